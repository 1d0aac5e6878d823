"""The network of FgSegNet_v2.

L. A. Lim, H. Yalim Keles, "Learning multi-scale features for foreground segmentation", Pattern Analysis and
Applications 2019 (arXiv:1808.01477).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.systems.unet import in_multiples
from bgsub_lightning.systems.vgg import Vgg, conv3x3, relu

Norm = Literal["image", "instance"]
"""``image``: one mean and deviation of each image over all of its channels, with one gain and one offset, as the
authors' code has it; ``instance``: those of each channel, as the paper calls it."""

_DILATIONS = (4, 8, 16)
_EPSILON = 1e-3


class ImageNorm(nn.Module):
    """Normalises each image over its channels and pixels: γ · (x − μ) / (σ + 0.001) + β, γ and β numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, H, W)``."""
        deviation, mean = torch.std_mean(x, (1, 2, 3), correction=0, keepdim=True)
        return self.gain * (x - mean) / (deviation + _EPSILON) + self.offset


class MultiScaleFeatures(nn.Module):
    """The modified feature pooling module (M-FPM): convolutions of growing dilation, each sees the one before.

    Args:
        inputs: Channels of the input.
        width: Channels of each branch; the output has five times as many.
        norm: See :data:`Norm`.
    """

    def __init__(self, inputs: int, width: int, norm: Norm) -> None:
        super().__init__()
        self.pool = nn.Conv2d(inputs, width, 1)
        self.d1 = conv3x3(inputs, width)
        self.dilated = nn.ModuleList(conv3x3(inputs + width, width, dilation) for dilation in _DILATIONS)
        self.norm = _normalisation(norm, 5 * width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)``, not negative, to ``(B, 5 · width, H, W)``."""
        pooled = F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)  # zeros, not -∞, which no range of 8 bits holds
        branches = [self.pool(pooled), self.d1(x)]
        for convolution in self.dilated:
            branches.append(convolution(F.relu(torch.cat([x, branches[-1]], 1))))
        return F.relu(self.norm(torch.cat(branches, 1)))


class FgSegNetwork(Vgg):
    """VGG-16's first four blocks at a quarter of the resolution, features of several scales, and a decoder.

    What the encoder has seen at higher resolutions weighs the channels of the decoder by its means. It has 9,225,161
    parameters.

    Args:
        width: Channels of the first two layers, by which all others scale.
        norm: See :data:`Norm`.
    """

    def __init__(self, width: int = 64, norm: Norm = "image") -> None:
        super().__init__(3, width, 8)
        self.features = MultiScaleFeatures(8 * width, width, norm)
        self.weigh_half = nn.Linear(2 * width, width)
        inputs = (5 * width, width, width)
        self.decoder = nn.ModuleList(conv3x3(each, width) for each in inputs)
        self.norms = nn.ModuleList(_normalisation(norm, width) for _ in inputs)
        self.head = nn.Conv2d(width, 1, 1)
        self.dropout = nn.Dropout(0.5)
        self.dropout_of_maps = nn.Dropout2d(0.25)
        self.initialise(from_scratch=True)

    @property
    def pretrained_blocks(self) -> list[list[nn.Conv2d]]:
        """The convolutions of VGG's four blocks."""
        blocks = ("1_1", "1_2"), ("2_1", "2_2"), ("3_1", "3_2", "3_3"), ("4_1", "4_2", "4_3")
        return [[getattr(self, f"conv{name}") for name in block] for block in blocks]

    def initialise(self, from_scratch: bool) -> None:
        """Draw all weights: VGG's as He et al. do, the others uniformly as Glorot does; biases are 0."""
        super().initialise(from_scratch)
        for part in (self.features, self.weigh_half, self.decoder, self.head):
            for layer in part.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    nn.init.xavier_uniform_(layer.weight)
                    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map images, ``(B, 3, H, W)``, in the range that pretrained weights were made for, to logits ``(B, H, W)``.

        Sizes that 4 does not divide are padded by repeating the border, and cropped at the end.
        """
        return in_multiples(self.core, x, 4)

    def core(self, x: Tensor) -> Tensor:
        """Do what :meth:`forward` does, for heights and widths that 4 divides."""
        first, second, third, fourth = self.pretrained_blocks
        full = _through(first, x)
        half = _through(second, F.max_pool2d(full, 2))
        x = _through(third, F.max_pool2d(half, 2))
        for convolution in fourth:
            x = self.dropout(relu(convolution(x)))
        x = self.dropout_of_maps(self.features(x))
        for place, weights in enumerate((self.weigh_half(half.mean((2, 3))), full.mean((2, 3)), None)):
            x = F.relu(self.norms[place](self.decoder[place](x)))
            if weights is not None:
                x = F.interpolate(x + x * weights[..., None, None], scale_factor=2.0, mode="nearest")
        return self.head(x)[:, 0]  # type: ignore[no-any-return]


def _through(convolutions: list[nn.Conv2d], x: Tensor) -> Tensor:
    for convolution in convolutions:
        x = relu(convolution(x))
    return x


def _normalisation(norm: Norm, channels: int) -> nn.Module:
    return ImageNorm() if norm == "image" else nn.InstanceNorm2d(channels, affine=True)
