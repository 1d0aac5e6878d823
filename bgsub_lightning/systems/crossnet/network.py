"""CrossNet: two encoders, of appearance and of motion, and a decoder that filters the features of both.

D. Liang, D. Zhang, Q. Wang, Z. Wei, L. Zhang, "CrossNet: cross-scene background subtraction network via 3D optical
flow", IEEE Transactions on Multimedia 2023.

Where the paper and its authors' published code differ, this is the code: kernels of 3 to 7, LeakyReLU before each
convolution, normalisation of each sample over all its channels, and dropout behind it. :data:`Form` has the decoder's
steps as they are printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

_ENCODER = ((7, 1), (7, 2), (5, 4), (5, 8), (5, 8), (5, 8), (3, 8), (3, 16))
"""Kernel, and channels as a multiple of the width, of each layer; each halves the resolution."""
_DECODER = ((3, 8), (3, 8), (5, 8), (5, 8), (5, 4), (5, 2), (7, 1))
"""The same of each step of the decoder; each doubles the resolution."""
_DROPPED = 3  # steps of the decoder with dropout

UNIT = 2 ** len(_ENCODER)
"""Height and width must be multiples of it: 256."""

Normalisation = Literal["group", "batch"]
"""Of each sample over all its channels, as in the authors' code; or batch normalisation, as the paper's text has it."""


Form = Literal["code", "paper"]
"""The steps of the decoder.

``code`` has kernels of 3 to 7, LeakyReLU, and dropout behind the normalisation in the first three steps. ``paper`` is
equations 1 to 3: kernels of 3 in both convolutions, ReLU before them, and dropout before the normalisation in every
step; transposed convolutions, of which the paper prints no numbers, are the code's.
"""


class CrossNetNetwork(nn.Module):
    """Foreground of a frame and its hierarchical optical flow (section III).

    At full width, with three intervals, it has 173,173,697 parameters.

    Args:
        flows: Channels of the optical flow, one for each interval τ. 0: no flow, and no second encoder (the ablation
            of table I, row 10).
        width: Channels of the first layer; the others scale with it, up to 16 times as many.
        filters: Whether the decoder filters the encoders' features (CmDFF); else it takes them as they are (row 11).
        norm: Which normalisation.
        dropout: Probability to drop a feature of the decoder in training; see :data:`Form`.
        freeze_fusion: Leave the convolutions that fuse appearance and motion (equation 1, and the bottleneck) as they
            were drawn.
        form: Whether the steps of the decoder are the code's or the paper's.

    Raises:
        ValueError: If there is a negative number of flows, or no channel.
    """

    def __init__(
        self,
        flows: int = 3,
        width: int = 64,
        filters: bool = True,
        norm: Normalisation = "group",
        dropout: float = 0.5,
        freeze_fusion: bool = False,
        form: Form = "code",
    ) -> None:
        super().__init__()
        if flows < 0 or width < 1:
            raise ValueError(f"expected no negative number of flows and a width from 1, got {flows} and {width}.")
        self.flows = flows
        self.appearance = _encoder(3, width, norm)
        self.motion = _encoder(flows, width, norm) if flows else None
        streams = 2 if flows else 1
        top = _ENCODER[-1][1] * width
        self.bottleneck = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(streams * top, top, 3, padding=1))
        steps: list[nn.Module] = []
        channels = top
        for i, (kernel, multiple) in enumerate(_DECODER):
            rate = dropout if i < _DROPPED or form == "paper" else 0.0
            kind = CmDff if filters else _Concatenation
            steps.append(kind(channels, multiple * width, streams, kernel, norm, rate, form))
            channels = multiple * width * (2 if filters else 1 + streams)
        self.decoder = nn.ModuleList(steps)
        self.head = nn.Sequential(nn.LeakyReLU(0.2), nn.ConvTranspose2d(channels, 1, 7, 2, 3, output_padding=1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        if freeze_fusion:
            self.bottleneck.requires_grad_(False)
            for step in self.decoder:
                if isinstance(step, CmDff):
                    step.fuse.requires_grad_(False)

    def forward(self, image: Tensor, flow: Tensor | None = None) -> Tensor:
        """Segment frames.

        Args:
            image: Frames, shape ``(B, 3, H, W)``, range [-1, 1]; height and width are multiples of 256.
            flow: Hierarchical optical flow, shape ``(B, flows, H, W)``, range [-1, 1]; ``None`` without flow.

        Returns:
            Logits of foreground, shape ``(B, H, W)``.

        Raises:
            ValueError: If shapes do not fit.
        """
        if image.shape[-2] % UNIT or image.shape[-1] % UNIT:
            raise ValueError(f"Expected heights and widths that {UNIT} divides, got {tuple(image.shape[-2:])}.")
        channels = 0 if flow is None else flow.shape[1]
        if channels != self.flows:
            raise ValueError(f"Expected optical flow of {self.flows} channels, got {channels}.")
        streams = [_features(self.appearance, image)]
        if self.motion is not None and flow is not None:
            streams.append(_features(self.motion, flow))
        levels = [torch.cat(level, dim=1) for level in zip(*streams, strict=True)]
        x = self.bottleneck(levels.pop())
        for step in self.decoder:
            x = step(x, levels.pop())
        return self.head(x)[:, 0]  # type: ignore[no-any-return]


class CmDff(nn.Module):
    """Cross-modal dynamic feature filter: a step of the decoder, which weighs what the encoders have seen.

    Args:
        in_channels: Channels of the step before.
        channels: Channels of each encoder at this level, C.
        streams: Number of encoders.
        kernel: Size of the kernels.
        norm: Which normalisation.
        dropout: Probability to drop a feature in training.
        form: Whether it is the code's or the paper's.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        streams: int,
        kernel: int,
        norm: Normalisation,
        dropout: float,
        form: Form = "code",
    ) -> None:
        super().__init__()
        self.up = _up(in_channels, channels, kernel)
        size = kernel if form == "code" else 3
        weigh, fuse = (nn.Conv2d(n * channels, channels, size, padding=size // 2) for n in (1, streams))
        self.weigh = nn.Sequential(_activation(form), weigh, _norm(norm, channels), nn.Sigmoid())
        self.fuse = nn.Sequential(_activation(form), fuse)
        self.keep = _keep(channels, norm, dropout, form)

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        """Double the resolution.

        Args:
            x: Features of the step before, shape ``(B, in_channels, H/2, W/2)``.
            encoded: Features of all encoders, shape ``(B, streams · C, H, W)``.

        Returns:
            The upsampled features next to the weighted ones, shape ``(B, 2C, H, W)`` (equations 1 to 3).
        """
        up = self.up(x)
        return torch.cat([self.keep(up), self.weigh(up) * self.fuse(encoded)], dim=1)


class _Concatenation(nn.Module):
    """The step without the filter: everything side by side; arguments and shapes are those of :class:`CmDff`."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        streams: int,
        kernel: int,
        norm: Normalisation,
        dropout: float,
        form: Form,
    ) -> None:
        super().__init__()
        self.up = _up(in_channels, channels, kernel)
        self.keep = _keep(channels, norm, dropout, form)

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        return torch.cat([self.keep(self.up(x)), encoded], dim=1)


def _encoder(in_channels: int, width: int, norm: Normalisation) -> nn.ModuleList:
    layers: list[nn.Module] = []
    channels = [in_channels, *(multiple * width for _, multiple in _ENCODER)]
    for (kernel, _), (i, o) in zip(_ENCODER, pairwise(channels), strict=True):
        convolution = nn.Conv2d(i, o, kernel, 2, kernel // 2)
        first = not layers  # which has neither activation nor normalisation
        layers.append(convolution if first else nn.Sequential(nn.LeakyReLU(0.2), convolution, _norm(norm, o)))
    return nn.ModuleList(layers)


def _features(layers: Sequence[nn.Module] | nn.ModuleList, x: Tensor) -> list[Tensor]:
    found = []
    for layer in layers:
        x = layer(x)
        found.append(x)
    return found


def _up(in_channels: int, channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LeakyReLU(0.2), nn.ConvTranspose2d(in_channels, channels, kernel, 2, kernel // 2, output_padding=1)
    )


def _activation(form: Form) -> nn.Module:
    return nn.LeakyReLU(0.2) if form == "code" else nn.ReLU()


def _keep(channels: int, norm: Normalisation, dropout: float, form: Form) -> nn.Sequential:
    layers = [_norm(norm, channels), nn.Dropout(dropout)]
    return nn.Sequential(*(layers if form == "code" else reversed(layers)))


def _norm(norm: Normalisation, channels: int) -> nn.Module:
    return nn.GroupNorm(1, channels) if norm == "group" else nn.BatchNorm2d(channels)
