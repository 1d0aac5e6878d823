"""The U-Net of BSUV-Net.

M. O. Tezcan, P. Ishwar, J. Konrad, "BSUV-Net: a fully-convolutional neural network for background subtraction of unseen
videos", WACV 2020: VGG-16's widths, batch normalisation after each ReLU, transposed convolutions of 3×3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.systems.unet import in_multiples

_UNITS = (2, 2, 3, 3, 3)
_WIDTHS = (1, 2, 4, 8, 8)


class Units(nn.Sequential):
    """Convolutions of 3×3, each with a ReLU and then batch normalisation.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        count: Number of convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, count: int) -> None:
        layers: list[nn.Module] = []
        for unit in range(count):
            layers.append(nn.Conv2d(out_channels if unit else in_channels, out_channels, 3, padding=1))
            layers += [nn.ReLU(inplace=True), nn.BatchNorm2d(out_channels)]
        super().__init__(*layers)


class Up(nn.Module):
    """Doubles the resolution, joins the features of the encoder, and reduces them to their channels.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the encoder's features and of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.Sequential(
            nn.ConvTranspose2d(in_channels, in_channels, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(in_channels),  # and no ReLU
        )
        self.units = Units(in_channels + out_channels, out_channels, 2)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Join ``x``, shape ``(B, C, H, W)``, with ``skip``, ``(B, D, 2H, 2W)``; returns the latter's shape."""
        return self.units(torch.cat([self.up(x), skip], 1))  # type: ignore[no-any-return]


class BsuvUNet(nn.Module):
    """The U-Net, with linear outputs.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        width: Channels of the first block; 64 in the paper.
        normalise: Batch normalisation of the output.
    """

    def __init__(self, in_channels: int, out_channels: int = 1, width: int = 64, normalise: bool = False) -> None:
        super().__init__()
        widths = [width * factor for factor in _WIDTHS]
        inputs = [in_channels, *widths[:-1]]
        self.down = nn.ModuleList(Units(*each) for each in zip(inputs, widths, _UNITS, strict=True))
        self.up = nn.ModuleList(Up(widths[level + 1], widths[level]) for level in reversed(range(4)))
        head: list[nn.Module] = [nn.Conv2d(width, out_channels, 1)]
        self.head = nn.Sequential(*head, *([nn.BatchNorm2d(out_channels)] if normalise else []))

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


class BsuvNetwork(nn.Module):
    """Normalises the images of a frame, and shows them to the U-Net together.

    Args:
        width: See :class:`BsuvUNet`.
        maps: Whether each image comes with a map of what could be foreground.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int = 64, maps: bool = False) -> None:
        super().__init__()
        self.unet = BsuvUNet(12 if maps else 9, 1, width)
        own = ([0.5], [0.5]) if maps else ([], [])
        mean, deviation = own[0] + [0.485, 0.456, 0.406], own[1] + [0.229, 0.224, 0.225]
        self.register_buffer("mean", torch.tensor(mean * 3)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation * 3)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(B, H, W)``.

        Args:
            images: The empty background, the recent one and the frame, each of which a map of its foreground comes
                before if there are maps: ``(B, 9, H, W)`` or ``(B, 12, H, W)``, range [0, 1].
        """
        return self.unet((images - self.mean) / self.deviation)[:, 0]  # type: ignore[no-any-return]
