"""MEDAL-net, the second half of CDN-MEDAL-net: the difference of a frame and its background, learnt.

See :mod:`bgsub_lightning.systems.cdn_medal.cdn_gm` for the paper.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WIDTH = 16


class MedalNet(nn.Module):
    """An auto-encoder of depthwise separable convolutions without skips (table II).

    Images and features are kept with their channels last, in which depthwise convolutions are several times faster on
    CPUs; ``benchmarks/cdn_medal.py`` measures it.

    Example:
        >>> sum(parameter.numel() for parameter in MedalNet().parameters())
        2806
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            _Separable(6),
            nn.ReLU(),
            _Separable(),
            nn.ReLU(),
            nn.MaxPool2d(2),
            _Separable(),
            nn.ReLU(),
            _Separable(),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.decoder = nn.Sequential(
            _Separable(),
            _instance_norm(),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            _Separable(),
            _instance_norm(),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            _Separable(),
            _instance_norm(),
            nn.ReLU(),
            _Separable(outputs=1),
        )

    def forward(self, image: Tensor, background: Tensor) -> Tensor:
        """Return logits.

        Args:
            image: Shape ``(B, 3, H, W)``, range [0, 1]. Where 4 does not divide H or W, the last row or column is
                repeated, and what is added is cut off again.
            background: As ``image``.

        Returns:
            Shape ``(B, H, W)``.
        """
        pair = torch.cat([image, background], dim=1).contiguous(memory_format=torch.channels_last)
        height, width = pair.shape[-2:]
        if height % 4 or width % 4:
            pair = F.pad(pair, (0, -width % 4, 0, -height % 4), mode="replicate")
        return self.core(pair)[:, 0, :height, :width]

    def core(self, pair: Tensor) -> Tensor:
        """Map both images, shape ``(B, 6, H, W)``, to logits ``(B, 1, H, W)``; 4 divides H and W."""
        return self.decoder(self.encoder(pair))  # type: ignore[no-any-return]


class _Separable(nn.Module):
    """Depthwise 3×3, then pointwise convolution, both without bias."""

    def __init__(self, inputs: int = _WIDTH, outputs: int = _WIDTH) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(x)
        if self.pointwise.out_channels > 1:
            return self.pointwise(x)  # type: ignore[no-any-return]
        return F.linear(x.movedim(1, -1), self.pointwise.weight[..., 0, 0]).movedim(-1, 1)  # faster for one channel


def _instance_norm() -> nn.Module:
    """Affine instance normalisation: of groups of one channel, because this implementation keeps the channels last."""
    return nn.GroupNorm(_WIDTH, _WIDTH)
