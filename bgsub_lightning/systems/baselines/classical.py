"""OpenCV's background subtractors under the same protocols and metrics.

Z. Zivkovic, "Improved adaptive Gaussian mixture model for background subtraction", ICPR 2004 (MOG2); Z. Zivkovic,
F. van der Heijden, "Efficient adaptive density estimation per image pixel", Pattern Recognition Letters 2006 (KNN).
Of opencv-contrib: L. Guo, D. Xu, Z. Qiang, "Background subtraction using local SVD binary pattern", CVPR Workshops 2016
(LSBP); GSOC and CNT (counting), which no paper describes.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.data import ByteStream, EvaluationBatch, SceneInputs
from bgsub_lightning.frames.opencv import OpenCvName, opencv_subtractor, require_opencv
from bgsub_lightning.systems.kinds import UntrainedSystem


class LibrarySubtractor(Protocol):
    """A system that takes the frames of a scene one by one, from the first, and learns from each."""

    def apply(self, image: NDArray[np.uint8], /) -> NDArray[np.uint8]:
        """Take a frame, BGR of shape ``(H, W, 3)``, and return its mask, ``(H, W)`` or ``(H, W, C)``."""


@dataclass
class LibraryContext(SceneContext):
    """A library's model of a scene.

    KNN and some subtractors of bgslibrary draw from a generator of the process, which each scene seeds at its
    beginning: they give the same masks again only if scenes run one after the other, as loaders have them.
    """

    is_copyable: ClassVar[bool] = False
    subtractor: LibrarySubtractor

    def pictures(self) -> dict[str, Tensor]:
        """Show the background that OpenCV makes of its model."""
        shown = getattr(self.subtractor, "getBackgroundImage", None)
        image = shown() if shown else None
        if image is None or not image.size:
            return {}
        rgb = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)  # CNT's is grey
        return {"background": torch.from_numpy(rgb).movedim(-1, 0) / 255}


class StreamingSystem(UntrainedSystem):
    """A subtractor of a library: it sees every frame of a scene, from the first."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = (ByteStream(),)

    @abstractmethod
    def subtractor(self) -> LibrarySubtractor:
        """Return one that has seen nothing, and whose random numbers do not depend on whatever ran before."""

    def begin_scene(self, scene: SceneInputs) -> LibraryContext:  # noqa: D102
        return LibraryContext(self.subtractor())

    def masks(self, context: LibraryContext, frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Say where foreground is: where a mask is 255 in any of its channels, not where it takes it for shadow.

        Args:
            context: The scene's.
            frames: The next frames of the scene, RGB of shape ``(B, H, W, 3)``.

        Returns:
            Shape ``(B, H, W)``.
        """
        masks = [context.subtractor.apply(_bgr(frame)) == 255 for frame in frames]
        return np.stack([mask.any(-1) if mask.ndim == 3 else mask for mask in masks])

    def probability(self, context: LibraryContext, batch: EvaluationBatch) -> Tensor:
        """Return 1 where the subtractor says foreground, else 0: shape ``(1, B, H, W)``."""
        frames = batch["image"].movedim(-3, -1).cpu().numpy()
        return torch.from_numpy(self.masks(context, frames)).float().to(batch["image"].device)[None]


class ClassicalSubtractorSystem(StreamingSystem):
    """A subtractor of OpenCV.

    Args:
        method: OpenCV's class, with its default parameters; what it takes for shadow is background. GSOC, CNT and LSBP
            need the build opencv-contrib-python-headless.

    Raises:
        UserError: If the installed OpenCV does not have it.
    """

    def __init__(self, method: OpenCvName = "MOG2") -> None:
        super().__init__()
        require_opencv(method)
        self.save_hyperparameters()
        self.method = method

    def subtractor(self) -> LibrarySubtractor:  # noqa: D102
        created: LibrarySubtractor = opencv_subtractor(self.method)
        return created


def _bgr(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), np.uint8)
