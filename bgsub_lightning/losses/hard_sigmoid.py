"""The hard sigmoid of CDN-MEDAL-net, whose networks and losses share it."""

from __future__ import annotations

from torch import Tensor

SLOPE = 0.2
"""Slope of the hard sigmoid in the paper's gradients (equations 20 and 21: 0.2, 3.2/255, ±2.5).

Equations 7 and 8 print ½; the authors' published code has that of PyTorch, 1/6.
"""


def hard_sigmoid(x: Tensor, slope: float = SLOPE) -> Tensor:
    """Return clip(slope · x + 0.5, 0, 1).

    Args:
        x: Any shape.
        slope: See :data:`SLOPE`.
    """
    return (slope * x + 0.5).clamp(0, 1)
