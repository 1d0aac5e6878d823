"""Cross-entropy over the pixels that count."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bgsub_lightning.datasets.labels import FOREGROUND, IGNORED
from bgsub_lightning.losses.hard_sigmoid import SLOPE, hard_sigmoid
from bgsub_lightning.losses.reduction import global_count, global_mean

_SMALLEST = 1e-7  # of the probabilities whose logarithm is taken: finite, and the same in every precision


def masked_cross_entropy(logits: Tensor, target: Tensor, class_balanced: bool = False) -> Tensor:
    """Softmax cross-entropy summed over the valid pixels, divided by their number.

    It is the 'normalized cross-entropy' of BMN-BSN (section 3.1), which that paper does not define.

    Args:
        logits: Shape ``(B, C, H, W)``.
        target: Classes, shape ``(B, H, W)``, any integer type; 255 is ignored.
        class_balanced: Weigh each class of the batch so that all have the same share of the loss: a pixel of class c
            counts n / (k·n_c), for n valid pixels, of which n_c are of class c, and k classes present.

    Returns:
        The loss, a scalar; 0, with gradients of 0, where no pixel is valid.

    Example:
        >>> logits = torch.zeros(1, 2, 1, 3)
        >>> round(masked_cross_entropy(logits, torch.tensor([[[0, 1, 255]]])).item(), 4)
        0.6931
    """
    target = target.long()
    losses = F.cross_entropy(logits, target, ignore_index=IGNORED, reduction="none")
    valid = target != IGNORED
    if class_balanced:
        counts = global_count(torch.bincount(target[valid], minlength=logits.shape[1])[: logits.shape[1]])
        weights = counts.sum() / (counts.clamp(min=1) * (counts > 0).sum().clamp(min=1))
        losses = losses * weights[target.where(valid, 0)]
    return global_mean(losses.sum(), valid.sum())


def masked_binary_cross_entropy(
    logits: Tensor,
    target: Tensor,
    sigmoid: Literal["logistic", "hard"],
    slope: float = SLOPE,
    class_balanced: bool = False,
) -> Tensor:
    """Binary cross-entropy, mean over the valid pixels (CDN-MEDAL-net, equation 24).

    Args:
        logits: Shape ``(B, H, W)``.
        target: Classes, shape ``(B, H, W)``, any integer type; 255 is ignored.
        sigmoid: What makes probabilities of logits: the logistic function, in a numerically safe form; or
            clip(slope · x + 0.5), whose gradient is 0 where a pixel is saturated, wrongly or not.
        slope: Slope of the hard sigmoid.
        class_balanced: Weigh the classes of each image: a pixel of class c counts n / (2 n_c), for n valid pixels of
            the image, of which n_c are of class c.

    Returns:
        The loss, a scalar; 0, with gradients of 0, where no pixel is valid.

    Example:
        >>> target = torch.tensor([[[0, 1, 255]]])
        >>> round(masked_binary_cross_entropy(torch.zeros(1, 1, 3), target, "logistic").item(), 4)
        0.6931
    """
    valid = target != IGNORED
    foreground = (target == FOREGROUND).to(logits.dtype)
    if sigmoid == "logistic":
        losses = F.binary_cross_entropy_with_logits(logits, foreground, reduction="none")
    else:
        probability = hard_sigmoid(logits, slope)
        chance = torch.where(target == FOREGROUND, probability, 1 - probability)
        losses = -chance.clamp(min=_SMALLEST).log()
    if class_balanced:
        of_class = torch.stack([valid & (target != FOREGROUND), target == FOREGROUND])
        counts = of_class.sum((-2, -1), keepdim=True)
        losses = losses * (of_class * (counts.sum(0) / (2 * counts.clamp(min=1)))).sum(0)
    return global_mean((losses * valid).sum(), valid.sum())
