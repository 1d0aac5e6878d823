"""OpenCV's background subtractors under the same protocols and metrics.

Z. Zivkovic, "Improved adaptive Gaussian mixture model for background subtraction", ICPR 2004 (MOG2); Z. Zivkovic,
F. van der Heijden, "Efficient adaptive density estimation per image pixel", Pattern Recognition Letters 2006 (KNN).
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from bgsub_lightning.data import EvaluationBatch, Stream
from bgsub_lightning.modules.untrained import UntrainedModule


class ClassicalSubtractor(UntrainedModule):
    """A subtractor that learns while it watches: it sees every frame of a scene, from the first.

    Args:
        method: OpenCV's class, with its default parameters; what it takes for shadow is background.
    """

    def __init__(self, method: Literal["MOG2", "KNN"] = "MOG2") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.inputs = (Stream(),)
        self.method = method
        self._subtractor: Any = None

    def probability(self, batch: EvaluationBatch) -> Tensor:
        """Return 1 where the subtractor says foreground, else 0: shape ``(1, B, H, W)``."""
        if batch["opens"]:
            cv2.setRNGSeed(0)  # KNN draws from a generator that whatever ran before has moved
            self._subtractor = getattr(cv2, f"createBackgroundSubtractor{self.method}")()
        frames = (batch["image"] * 255).round().byte().movedim(-3, -1).flip(-1).cpu().numpy()  # OpenCV's BGR
        masks = np.stack([self._subtractor.apply(np.ascontiguousarray(frame)) for frame in frames])
        return torch.from_numpy(masks == 255).float().to(batch["image"].device)[None]
