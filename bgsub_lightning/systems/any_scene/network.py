"""The network of AnyScene: a small U-Net over what a background model finds in a frame."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

COLOURS = 6
"""The first planes are colours, of the frame and of the background; the others are distances."""


def _block(channels: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, kernel, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


class AnySceneNetwork(nn.Module):
    """A U-Net from a half to a sixteenth of the resolution.

    Skips are added, not concatenated; the first convolution halves the resolution, and the last one is unfolded to the
    full resolution, so that no layer works on all pixels.

    Args:
        planes: Number of input planes.
        widths: Channels at 1/2, 1/4, 1/8 and 1/16 of the resolution.
    """

    def __init__(self, planes: int, widths: Sequence[int] = (8, 24, 32, 48)) -> None:
        super().__init__()
        half, quarter, eighth, last = widths
        self.stem = nn.Sequential(_block(planes, half, 4, 2), _block(half, half))
        self.down = nn.ModuleList(
            [
                nn.Sequential(_block(half, quarter, stride=2), _block(quarter, quarter)),
                nn.Sequential(_block(quarter, eighth, stride=2), _block(eighth, eighth)),
                nn.Sequential(_block(eighth, last, stride=2), _block(last, last), _block(last, last)),
            ]
        )
        pairs = [(last, eighth), (eighth, quarter), (quarter, half)]
        self.lateral = nn.ModuleList(nn.Conv2d(below, above, 1) for below, above in pairs)
        self.up = nn.ModuleList(_block(above, above) for _, above in pairs)
        self.head = nn.Conv2d(half, 4, 3, padding=1)

    def forward(self, planes: Tensor) -> Tensor:
        """Find foreground.

        Args:
            planes: As :func:`normalised` returns them; height and width are multiples of 16.

        Returns:
            Logits, ``(B, H, W)``.
        """
        found = [self.stem(planes)]
        for down in self.down:
            found.append(down(found[-1]))
        merged = found.pop()
        for lateral, up in zip(self.lateral, self.up, strict=True):
            skip = found.pop()
            merged = up(F.interpolate(lateral(merged), size=skip.shape[-2:], mode="bilinear") + skip)
        return F.pixel_shuffle(self.head(merged), 2)[:, 0]


def normalised(planes: Tensor) -> Tensor:
    """Take logarithms of colours, so that shade is a difference, and bound distances.

    Args:
        planes: Shape ``(B, C, H, W)``, uint8; the first :data:`COLOURS` are colours.

    Returns:
        The same shape, float32, in the range [−1, 2⅔], with channels last in memory.
    """
    tables = _tables(planes.shape[1])
    if planes.device.type == "cpu":  # OpenCV looks up in a quarter of the time of the arithmetic
        found = stacked([np.asarray(cv2.LUT(cv2.merge([*image]), tables)) for image in planes.numpy()])
        return torch.from_numpy(found).movedim(-1, 1)
    return _looked_up(planes, torch.from_numpy(tables[0]).to(planes.device))


def stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Stack arrays along a new first axis; one alone is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _looked_up(planes: Tensor, tables: Tensor) -> Tensor:
    """Look each plane up in its column of ``tables``, ``(256, C)``, on any device."""
    columns = torch.arange(planes.shape[1], device=planes.device)[:, None, None]
    return tables[planes.long(), columns].contiguous(memory_format=torch.channels_last)


@cache
def _tables(count: int) -> NDArray[np.float32]:
    """Return what each value of each plane becomes, ``(1, 256, C)``."""
    values = torch.arange(256.0)
    colour, other = torch.log2(1 + values / 24) / 1.8 - 1, values.clamp(max=160) / 60
    return torch.stack([colour] * COLOURS + [other] * (count - COLOURS), 1)[None].numpy()
