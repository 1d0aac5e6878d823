"""The fully convolutional siamese network: how much each pixel differs between two frames of a scene.

"Foreground subtraction by a fully convolutional siamese network and an encoder-decoder" (in Chinese), section 1.1: the
feature extraction of DeepLab v2 under a pyramid of pools. The encoder-decoder is a
:class:`~bgsub_lightning.systems.unet.UNet`, whose decoder has the paper's transposed convolutions and joins the
encoder's features after each.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.systems.vgg import Vgg

STRIDE = 4
"""Pixels from one feature to the next."""

Fusion = Literal["stretch", "mean"]
"""How a similarity map is added to its image."""


class SiameseNetwork(Vgg):
    """Features of unit length whose distances show what has changed.

    The ten convolutions have 7,635,264 parameters, the pyramid's 1×1 convolution has 524,800.

    Args:
        width: Channels of the first two layers, by which all others scale, up to the 8 · width of the features.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__(3, width, STRIDE)
        self.pyramid = nn.Conv2d(16 * width, 8 * width, 1)
        self.initialise(from_scratch=True)

    def features(self, image: Tensor) -> Tensor:
        """Describe each place of an image by a vector.

        Args:
            image: Shape ``(B, 3, H, W)``, any size, in the range that pretrained weights were made for.

        Returns:
            Vectors of length 1 along the channels, shape ``(B, 8 · width, ⌈H/4⌉, ⌈W/4⌉)``.
        """
        top = self.first_ten(image)
        pools = [F.max_pool2d(top, size, 1, size // 2) for size in (3, 5)]
        # in single precision, as distances are: half of it would be wrong in the third digit
        return F.normalize(self.pyramid(torch.cat(pools, dim=1)).float(), dim=1)

    def forward(self, image: Tensor, base: Tensor) -> Tensor:
        """Return the distances of an image from a base image, as :func:`distance` does of their features."""
        return distance(self.features(image), self.features(base))


def distance(features: Tensor, base: Tensor) -> Tensor:
    """Measure the Euclidean distance of two images' features.

    Args:
        features: Shape ``(B, C, h, w)``, of length 1 along C.
        base: Of the same shape, or of a batch of one.

    Returns:
        Shape ``(B, h, w)``, range [0, 2]. Where both are the same the gradient is 0.
    """
    return torch.linalg.vector_norm(features.float() - base.float(), dim=1)  # type: ignore[no-any-return]


def fuse(distances: Tensor, image: Tensor, fusion: Fusion = "stretch") -> Tensor:
    """Add a similarity map to its image (section 1.3).

    The map is rounded to 0, 1 and 2, enlarged by nearest neighbour, halved and added to each channel. The paper then
    normalises the sum, and does not say how. Each image of the batch is stretched to [0, 1] as a whole, so that a
    single place of the map that becomes 2 darkens all the rest; or the sum is halved, and a place acts on itself alone.

    Args:
        distances: Shape ``(B, h, w)``, range [0, 2].
        image: Shape ``(B, 3, H, W)``, range [0, 1].
        fusion: ``stretch``, or ``mean``: (image + map / 2) / 2.

    Returns:
        Shape ``(B, 3, H, W)``, range [0, 1]; stretched, it is 0 where an image and its map are of one value all over.
    """
    similarity = F.interpolate(distances.round()[:, None], image.shape[-2:], mode="nearest-exact") / 2
    both = image + similarity.to(image.dtype)
    if fusion == "mean":
        return both / 2
    low, high = both.amin((1, 2, 3), keepdim=True), both.amax((1, 2, 3), keepdim=True)
    return (both - low) / (high - low).clamp(min=torch.finfo(both.dtype).tiny)
