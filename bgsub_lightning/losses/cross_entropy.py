"""Cross-entropy over the pixels that count."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bgsub_lightning.scenes.labels import IGNORED


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
        counts = torch.bincount(target[valid], minlength=logits.shape[1])[: logits.shape[1]]
        weights = valid.sum() / (counts.clamp(min=1) * (counts > 0).sum().clamp(min=1))
        losses = losses * weights[target.where(valid, 0)]
    return losses.sum() / valid.sum().clamp(min=1)
