"""Reconstruction losses."""

from __future__ import annotations

from torch import Tensor

from bgsub_lightning.losses.reduction import global_mean


def squared_error(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Half the squared distance of each image, mean over the batch (two-stage MCFCN, equation 1).

    The sum over pixels and channels matters: a mean would make the gradients 49,152 times smaller at 128×128.

    Args:
        reconstruction: Shape ``(B, C, H, W)``.
        target: Of the same shape.

    Returns:
        The loss, a scalar.

    Example:
        >>> import torch
        >>> squared_error(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)).item()
        24.0
    """
    squares = (reconstruction - target).square()
    return global_mean(squares.sum() / 2, len(target))
