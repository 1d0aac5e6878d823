"""Gradients that are too large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

VALUE = "value"
"""Lightning's name of clipping each value; any other clips the norm."""


def clip(parameters: Sequence[nn.Parameter], most: float | None, algorithm: str | None) -> Tensor:
    """Clip the gradients of parameters that have one, and return the norm of them all before that, a scalar.

    Args:
        parameters: One or more, with gradients.
        most: Largest norm, or value; 0 or ``None``: they stay.
        algorithm: What is clipped: the trainer's ``gradient_clip_algorithm``.
    """
    norm = nn.utils.get_total_norm([cast("Tensor", parameter.grad) for parameter in parameters])
    if most and algorithm == VALUE:
        nn.utils.clip_grad_value_(parameters, most)
    elif most:
        nn.utils.clip_grads_with_norm_(parameters, most, norm)
    return norm
