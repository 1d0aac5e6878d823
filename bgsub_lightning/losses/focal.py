"""Focal loss, and the class-in scale focal loss of CrossNet."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bgsub_lightning.losses.reduction import global_mean
from bgsub_lightning.scenes.labels import FOREGROUND, IGNORED

_SCALE, _LARGEST = 0.25, 50.0
"""t₃ of equation 6, and the bound of the reciprocal share."""


def scale_weight(target: Tensor) -> Tensor:
    """Weigh the foreground of an image by how small it is: β = 0.25 · min(1/S, 50) (CrossNet, equation 6).

    Args:
        target: Classes, shape ``(B, H, W)``, any integer type; 255 is ignored.

    Returns:
        Shape ``(B,)``, range [0.25, 12.5], float32. S is the share of foreground among an image's valid pixels; where
        there is none, 1/S is 50.

    Example:
        >>> scale_weight(torch.tensor([[[1, 0, 0, 0, 255]], [[0, 0, 0, 0, 0]]])).tolist()
        [1.0, 12.5]
    """
    foreground = (target == FOREGROUND).flatten(1).sum(1)
    valid = (target != IGNORED).flatten(1).sum(1)
    return _SCALE * (valid / foreground.clamp(min=1)).where(foreground > 0, torch.inf).clamp(max=_LARGEST)


def focal_loss(
    logits: Tensor, target: Tensor, alpha: float = 0.75, gamma: float = 0.0, by_scale: bool = False
) -> Tensor:
    """Focal loss, mean over the valid pixels of the batch (CrossNet, equation 5), or its CS-Focal (equation 7).

    A pixel of foreground, of probability p, counts −α (1 − p)^γ log p, one of background −(1 − α) p^γ log(1 − p). It is
    computed from logits, so that it and its gradient are finite for any.

    Args:
        logits: Logits of foreground, shape ``(B, H, W)``.
        target: Classes, shape ``(B, H, W)``, any integer type; 255 is ignored.
        alpha: Weight of foreground, in [0, 1].
        gamma: How much less pixels count that are right already, from 0.
        by_scale: Multiply the foreground of each image by :func:`scale_weight`.

    Returns:
        The loss, a scalar; 0, with gradients of 0, where no pixel is valid.

    Example:
        >>> target = torch.tensor([[[1, 0, 0, 0]]])
        >>> round(focal_loss(torch.zeros(1, 1, 4), target).item(), 4)  # (0.75 + 3 · 0.25) · log 2 / 4
        0.2599
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    foreground, valid = target == FOREGROUND, target != IGNORED
    right = torch.where(foreground, logits, -logits)  # the logit of the true class
    losses = -F.logsigmoid(right) * (gamma * F.logsigmoid(-right)).exp()
    weight_of_foreground = alpha * (scale_weight(target)[:, None, None] if by_scale else 1.0)
    weights = torch.where(foreground, weight_of_foreground, 1 - alpha)
    return global_mean((losses * weights * valid).sum(), valid.sum())


def l1_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Absolute difference of probability and class, mean over the valid pixels of the batch (CrossNet, equation 8).

    Args:
        logits: Logits of foreground, shape ``(B, H, W)``.
        target: Classes, shape ``(B, H, W)``, any integer type; 255 is ignored.

    Returns:
        The loss, a scalar, range [0, 1]; 0, with gradients of 0, where no pixel is valid.

    Example:
        >>> l1_loss(torch.zeros(1, 1, 3), torch.tensor([[[0, 1, 255]]])).item()
        0.5
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    valid = target != IGNORED
    wrong = torch.where(target == FOREGROUND, -logits, logits).sigmoid()  # |p − y|, without cancellation
    return global_mean((wrong * valid).sum(), valid.sum())
