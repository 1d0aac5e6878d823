"""Focal loss, and the class-in scale focal loss of CrossNet."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bgsub_lightning.datasets.labels import FOREGROUND, IGNORED
from bgsub_lightning.losses.reduction import global_mean

SCALE, LIMIT = 0.25, 50.0
"""t₃ of equation 6, and the limit of the reciprocal share."""

Share = Literal["all", "background"]
"""Divisor of the foreground's area: all valid pixels, as in the authors' code, or those of the background, as
in the paper's text."""


def scale_weight(target: Tensor, scale: float = SCALE, limit: float = LIMIT, share: Share = "all") -> Tensor:
    """Weigh the foreground of an image by how small it is: β = t₃ · min(1/S, limit) (CrossNet, equation 6).

    Args:
        target: Classes, shape ``(B, H, W)``, any integer type; 255 is ignored.
        scale: t₃.
        limit: The largest 1/S.
        share: What S is a share of, in each image.

    Returns:
        Shape ``(B,)``, float32, range [0.25, 12.5] by default. Where there is no foreground, 1/S is the limit; where
        there is no background, a share of it gives 0.

    Example:
        >>> scale_weight(torch.tensor([[[1, 0, 0, 0, 255]], [[0, 0, 0, 0, 0]]])).tolist()
        [1.0, 12.5]
    """
    foreground = (target == FOREGROUND).flatten(1).sum(1)
    area = (target != IGNORED).flatten(1).sum(1)
    if share == "background":
        area = area - foreground
    return scale * (area / foreground.clamp(min=1)).where(foreground > 0, torch.inf).clamp(max=limit)


def focal_loss(
    logits: Tensor,
    target: Tensor,
    alpha: float = 0.75,
    gamma: float = 0.0,
    beta: Tensor | None = None,
) -> Tensor:
    """Focal loss, mean over the valid pixels of the batch (CrossNet, equation 5), or its CS-Focal (equation 7).

    A pixel of foreground, of probability p, counts −α (1 − p)^γ log p, one of background −(1 − α) p^γ log(1 − p). It is
    computed from logits, so that it and its gradient are finite for any.

    Args:
        logits: Logits of foreground, shape ``(B, H, W)``.
        target: Classes, shape ``(B, H, W)``, any integer type; 255 is ignored.
        alpha: Weight of foreground, in [0, 1].
        gamma: How much less pixels count that are right already, from 0.
        beta: What the foreground of each image is multiplied by, shape ``(B,)``: :func:`scale_weight`.

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
    weight_of_foreground = alpha * (1.0 if beta is None else beta[:, None, None])
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
