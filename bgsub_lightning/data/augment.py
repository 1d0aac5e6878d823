"""The same geometry for every frame of a sample."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no look at the network when it is imported

import albumentations as A

__all__ = ["A", "ClipAugmentation"]


class ClipAugmentation:
    """Applies an albumentations pipeline to all frames of a sample and its masks, with one set of parameters.

    It is seeded for each sample, so that augmentations differ between workers and epochs, which left to itself
    albumentations does not see to (every worker draws the same stream), and are the same after a resume.

    Args:
        compose: The pipeline.
        images: Number of frames in a sample.
        planes: Number of channels in a sample that are no colours, such as those of optical flow.
    """

    def __init__(self, compose: A.Compose, images: int, planes: int = 0) -> None:
        self.compose = compose
        self.names = ["image", *(f"image{i}" for i in range(1, images))]
        self.planes = [f"plane{i}" for i in range(planes)]
        compose.add_targets(dict.fromkeys(self.names[1:], "image") | dict.fromkeys(self.planes, "mask"))

    def __call__(
        self,
        images: Sequence[NDArray[np.uint8]],
        mask: NDArray[np.uint8],
        seed: int,
        planes: Sequence[NDArray[np.uint8]] = (),
    ) -> None:
        """Augment a sample in place.

        Args:
            images: Frames, each of shape ``(H, W, 3)``, uint8.
            mask: Grey levels, shape ``(H, W)``, uint8; resampled by nearest neighbour.
            seed: Seed of this sample.
            planes: Channels, each of shape ``(H, W)``, uint8, that move as the mask does, and whose values stay.

        Raises:
            UserError: If the pipeline changes the size or the type.
        """
        self.compose.set_random_seed(seed % 2**32)
        names, parts = (*self.names, "mask", *self.planes), (*images, mask, *planes)
        done = self.compose(**dict(zip(names, map(np.ascontiguousarray, parts), strict=True)))
        for name, image in zip(names, parts, strict=True):
            if done[name].shape != image.shape or done[name].dtype != np.uint8:
                raise UserError(
                    f"data.init_args.augment: the pipeline makes {done[name].dtype}{done[name].shape} of "
                    f"uint8{image.shape}. It must keep size and type: end it with a crop or a resize to the input "
                    f"size, and leave normalisation to the datamodule."
                )
            image[...] = done[name]
