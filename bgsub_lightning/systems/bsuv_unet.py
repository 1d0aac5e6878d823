"""The U-Net of BSUV-Net, which SeqFeedNet has twice, and the authors' names of its weights.

M. O. Tezcan, P. Ishwar, J. Konrad, "BSUV-Net: a fully-convolutional neural network for background subtraction of unseen
videos", WACV 2020: VGG-16's widths, batch normalisation after each ReLU, transposed convolutions of 3×3.
"""

from __future__ import annotations

import re
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.systems.unet import in_multiples

_UNITS = (2, 2, 3, 3, 3)
_WIDTHS = (1, 2, 4, 8, 8)
_ENCODER = re.compile(r"enc(\d)\.down_block\.(conv|bn)(\d)\.(\w+)")
_UP = re.compile(r"dec(\d)\.up\.(conv2d_transpose|bn1)\.(\w+)")
_DECODER = re.compile(r"dec(\d)\.conv_block\.(conv|bn)(\d)\.(\w+)")
_HEAD = re.compile(r"out\.out\.conv2d\.(\w+)")

Normalisation = Literal["batch", "image"]
"""By the statistics of batches, which training collects for its tests; or by those of each image and channel."""


class Units(nn.Sequential):
    """Convolutions of 3×3, each with a ReLU and then batch normalisation.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        count: Number of convolutions.
        norm: Which normalisation.
    """

    def __init__(self, in_channels: int, out_channels: int, count: int, norm: Normalisation) -> None:
        layers: list[nn.Module] = []
        for unit in range(count):
            layers.append(nn.Conv2d(out_channels if unit else in_channels, out_channels, 3, padding=1))
            layers += [nn.ReLU(inplace=True), normalisation(norm, out_channels)]
        super().__init__(*layers)


class Up(nn.Module):
    """Doubles the resolution, joins the features of the encoder, and reduces them to their channels.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the encoder's features and of the output.
        norm: Which normalisation.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: Normalisation) -> None:
        super().__init__()
        self.up = nn.Sequential(
            nn.ConvTranspose2d(in_channels, in_channels, 3, stride=2, padding=1, output_padding=1),
            normalisation(norm, in_channels),  # and no ReLU
        )
        self.units = Units(in_channels + out_channels, out_channels, 2, norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Join ``x``, shape ``(B, C, H, W)``, with ``skip``, ``(B, D, 2H, 2W)``; returns the latter's shape."""
        return self.units(torch.cat([self.up(x), skip], 1))  # type: ignore[no-any-return]


class BsuvUNet(nn.Module):
    """The U-Net, with linear outputs.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        width: Channels of the first block; 64 in the paper.
        normalise: Normalisation of the output.
        norm: Which normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 1,
        width: int = 64,
        normalise: bool = False,
        norm: Normalisation = "batch",
    ) -> None:
        super().__init__()
        widths = [width * factor for factor in _WIDTHS]
        inputs = [in_channels, *widths[:-1]]
        self.down = nn.ModuleList(Units(*each, norm) for each in zip(inputs, widths, _UNITS, strict=True))
        self.up = nn.ModuleList(Up(widths[level + 1], widths[level], norm) for level in reversed(range(4)))
        head: list[nn.Module] = [nn.Conv2d(width, out_channels, 1)]
        self.head = nn.Sequential(*head, *([normalisation(norm, out_channels)] if normalise else []))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``.

        Sizes that 16 does not divide are padded by repeating the border, and cropped at the end.
        """
        return in_multiples(self.core, x, 16)

    def core(self, x: Tensor) -> Tensor:
        """Do what :meth:`forward` does, for heights and widths that 16 divides."""
        skips = []
        for level, units in enumerate(self.down):
            x = units(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for up in self.up:
            x = up(x, skips.pop())
        return self.head(x)  # type: ignore[no-any-return]


def normalisation(norm: Normalisation, channels: int) -> nn.Module:
    """Return a layer that normalises, whose weights have the same names in both cases."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(channels, channels)


def renamed(name: str) -> str:
    """Return this network's name of one of the authors' weights; another name stays as it is.

    Example:
        >>> renamed("enc2.down_block.bn1.weight"), renamed("dec4.up.bn1.bias"), renamed("out.out.conv2d.bias")
        ('down.1.2.weight', 'up.0.up.1.bias', 'head.0.bias')
    """
    if found := _ENCODER.search(name):
        block, kind, unit, what = found.groups()
        return f"down.{int(block) - 1}.{3 * (int(unit) - 1) + (0 if kind == 'conv' else 2)}.{what}"
    if found := _UP.search(name):
        block, kind, what = found.groups()
        return f"up.{4 - int(block)}.up.{0 if kind == 'conv2d_transpose' else 1}.{what}"
    if found := _DECODER.search(name):
        block, kind, unit, what = found.groups()  # bn2 follows conv1, bn3 conv2
        place = 3 * (int(unit) - 1) if kind == "conv" else 3 * (int(unit) - 2) + 2
        return f"up.{4 - int(block)}.units.{place}.{what}"
    if found := _HEAD.search(name):
        return f"head.0.{found[1]}"
    return name
