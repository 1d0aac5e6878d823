"""OpenCV's background subtractors under the same protocols and metrics.

Z. Zivkovic, "Improved adaptive Gaussian mixture model for background subtraction", ICPR 2004 (MOG2); Z. Zivkovic,
F. van der Heijden, "Efficient adaptive density estimation per image pixel", Pattern Recognition Letters 2006 (KNN).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.data import ByteStream, EvaluationBatch
from bgsub_lightning.frames.opencv import opencv_subtractor
from bgsub_lightning.systems.untrained import UntrainedModule


class Subtractor(Protocol):
    """What takes the frames of a scene one by one, from the first, and learns while it watches."""

    def apply(self, image: NDArray[np.uint8], /) -> NDArray[np.uint8]:
        """Take a frame, BGR of shape ``(H, W, 3)``, and return its mask, ``(H, W)`` or ``(H, W, C)``."""


class StreamingSubtractor(UntrainedModule):
    """A subtractor of a library: it sees every frame of a scene, from the first, and begins anew with each scene."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = (ByteStream(),)
        self._subtractor: Subtractor | None = None

    @abstractmethod
    def subtractor(self) -> Subtractor:
        """Return one that has seen nothing, and whose random numbers do not depend on whatever ran before."""

    def masks(self, frames: NDArray[np.uint8], opens: bool) -> NDArray[np.bool_]:
        """Say where foreground is: where a mask is 255 in any of its channels, not where it takes it for shadow.

        Args:
            frames: The next frames of the scene, RGB of shape ``(B, H, W, 3)``.
            opens: Whether they are the first.

        Returns:
            Shape ``(B, H, W)``.
        """
        if opens or self._subtractor is None:
            self._subtractor = self.subtractor()
        masks = [self.mask(_bgr(frame)) == 255 for frame in frames]
        return np.stack([mask.any(-1) if mask.ndim == 3 else mask for mask in masks])

    def mask(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the subtractor's mask of the next frame, BGR of shape ``(H, W, 3)``."""
        assert self._subtractor is not None
        return self._subtractor.apply(frame)

    def probability(self, batch: EvaluationBatch) -> Tensor:
        """Return 1 where the subtractor says foreground, else 0: shape ``(1, B, H, W)``."""
        frames = batch["image"].movedim(-3, -1).cpu().numpy()
        return torch.from_numpy(self.masks(frames, batch["first_in_scene"])).float().to(batch["image"].device)[None]


class ClassicalSubtractor(StreamingSubtractor):
    """A subtractor of OpenCV.

    Args:
        method: OpenCV's class, with its default parameters; what it takes for shadow is background.
    """

    def __init__(self, method: Literal["MOG2", "KNN"] = "MOG2") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.method = method

    def subtractor(self) -> Subtractor:  # noqa: D102
        created: Subtractor = opencv_subtractor(self.method)
        return created

    def background_pictures(self) -> dict[str, Tensor]:
        """Show the background that OpenCV makes of its model."""
        subtractor: Any = self._subtractor
        image = None if subtractor is None else subtractor.getBackgroundImage()
        if image is None or not image.size:
            return {}
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        return {"background": torch.from_numpy(rgb).movedim(-1, 0) / 255}


def _bgr(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), np.uint8)
