"""The U-Net.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015,
with padded convolutions, as in figure 2 of the BMN-BSN paper.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DoubleConv(nn.Sequential):
    """Two 3×3 convolutions, each with a ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        normalise: Batch normalisation before each ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, normalise: bool = False) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers.append(nn.Conv2d(channels, out_channels, 3, padding=1, bias=not normalise))
            layers += [nn.BatchNorm2d(out_channels)] if normalise else []
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class Up(nn.Module):
    """Doubles the resolution, halves the channels and joins the features of the encoder.

    Args:
        in_channels: Channels of the input; the encoder's features and the output have half of them.
        normalise: See :class:`DoubleConv`.
    """

    def __init__(self, in_channels: int, normalise: bool = False) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2)
        self.conv = DoubleConv(in_channels, in_channels // 2, normalise)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Join ``x``, shape ``(B, C, H, W)``, with ``skip``, shape ``(B, C/2, 2H, 2W)``; returns the latter's shape."""
        return self.conv(torch.cat([skip, self.up(x)], dim=1))  # type: ignore[no-any-return]


class UNet(nn.Module):
    """U-Net with linear outputs.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        channels: Channels of the first block (K in the BMN-BSN paper), doubled by each of the following.
        depth: Number of times the resolution is halved.
        normalise: Batch normalisation after each 3×3 convolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, channels: int = 64, depth: int = 4, normalise: bool = False
    ) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(depth + 1)]
        self.depth = depth
        inputs = [in_channels, *widths[:-1]]
        self.down = nn.ModuleList(DoubleConv(i, o, normalise) for i, o in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList(Up(width, normalise) for width in reversed(widths[1:]))
        self.head = nn.Conv2d(channels, out_channels, 1)
        self.apply(_init_he)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``.

        Sizes that ``2**depth`` does not divide are padded by repeating the border, and cropped at the end.
        """
        return in_multiples(self.core, x, 2**self.depth)

    def core(self, x: Tensor) -> Tensor:
        """Do what :meth:`forward` does, for heights and widths that ``2**depth`` divides."""
        skips = []
        for block in self.down[:-1]:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.down[-1](x)
        for block in self.up:
            x = block(x, skips.pop())
        return self.head(x)  # type: ignore[no-any-return]


def in_multiples(core: Callable[[Tensor], Tensor], x: Tensor, unit: int) -> Tensor:
    """Show images to a network whose heights and widths must be multiples of ``unit``.

    Both sides are padded by repeating the border.

    Args:
        core: The network: ``(B, C, H, W)`` → ``(…, H, W)``.
        x: Images of any size, ``(B, C, h, w)``.
        unit: What must divide height and width.

    Returns:
        The answer at the images' size, ``(…, h, w)``.
    """
    height, width = x.shape[-2:]
    more_height, more_width = -height % unit, -width % unit
    if more_height == more_width == 0:
        return core(x)
    left, top = more_width // 2, more_height // 2
    padding = (left, more_width - left, top, more_height - top)
    return core(F.pad(x, padding, mode="replicate"))[..., top : top + height, left : left + width]


def _init_he(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
