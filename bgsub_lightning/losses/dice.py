"""Dice losses: 1 minus the soft F-measure."""

from __future__ import annotations

import torch
from torch import Tensor

from bgsub_lightning.datasets.labels import FOREGROUND, IGNORED
from bgsub_lightning.losses.reduction import global_mean, global_sum


def batch_dice(logits: Tensor, target: Tensor, smoothing: float = 50.0) -> Tensor:
    """Dice loss over the pixels of the whole batch, of all processes together.

    Args:
        logits: Shape ``(B, H, W)``.
        target: Classes, shape ``(B, H, W)``, any integer type; 255 is ignored.
        smoothing: Pixels added to both sides of the ratio, so that few pixels do not decide.

    Returns:
        The loss, a scalar in [0, 1].

    Example:
        >>> round(batch_dice(torch.full((1, 1, 2), 9.0), torch.tensor([[[1, 0]]]), 0.0).item(), 3)
        0.333
    """
    hits, both = _sums(logits, target)
    return 1 - (2 * global_sum(hits.sum()) + smoothing) / (global_sum(both.sum()) + smoothing)


def image_dice(logits: Tensor, target: Tensor, smoothing: float = 60.0) -> Tensor:
    """Dice loss of each image, mean over the batch: false positives in empty images cost as much as in full ones.

    Args:
        logits: Shape ``(B, H, W)``.
        target: Classes, shape ``(B, H, W)``, any integer type; 255 is ignored.
        smoothing: Pixels added to both sides of the ratio.

    Returns:
        The loss, a scalar in [0, 1].

    Example:
        >>> round(image_dice(torch.full((2, 1, 1), -9.0), torch.tensor([[[1]], [[0]]]), 1.0).item(), 3)
        0.25
    """
    hits, both = _sums(logits, target)
    return global_mean((1 - (2 * hits + smoothing) / (both + smoothing)).sum(), len(hits))


def _sums(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the soft hits of each image, and the sum of what is found and what is true."""
    valid = (target != IGNORED).to(logits.dtype)
    found, true = torch.sigmoid(logits) * valid, (target == FOREGROUND).to(logits.dtype)
    return (found * true).sum((1, 2)), (found + true).sum((1, 2))
