"""Jaccard loss: 1 minus the soft intersection over union."""

from __future__ import annotations

import torch
from torch import Tensor

from bgsub_lightning.datasets.labels import FOREGROUND, IGNORED
from bgsub_lightning.losses.reduction import global_sum


def batch_jaccard(logits: Tensor, target: Tensor, smoothing: float = 100.0, scale: float = 100.0) -> Tensor:
    """Jaccard loss over the pixels of the whole batch, of all processes together.

    It is the loss of BSUV-Net 2.0 and SeqFeedNet: scale · (1 − (I + s)/(Σp + Σy − I + s)) over the valid pixels, with
    the probabilities p, the truth y and I = Σ p·y, in single precision, under autocast too: a sum of half precision
    ends at 65,504 pixels. A batch without foreground costs scale · Σp/(Σp + s).

    Args:
        logits: Shape ``(B, H, W)``, any floating type.
        target: Classes, shape ``(B, H, W)``, any integer type; 255 is ignored.
        smoothing: Pixels s that are added to both sides of the ratio, so that few pixels do not decide.
        scale: What a batch costs that is wrong everywhere, where ``smoothing`` is few of its pixels.

    Returns:
        The loss, a scalar in [0, ``scale``], single precision (double of double); 0, with gradients of 0, where no
        pixel is valid.

    Example:
        >>> round(batch_jaccard(torch.full((1, 1, 2), 9.0), torch.tensor([[[1, 0]]]), 0.0, 1.0).item(), 3)
        0.5
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    valid, foreground = target != IGNORED, target == FOREGROUND
    found = torch.sigmoid(logits) * valid
    hits = global_sum((found * foreground).sum())
    either = global_sum((found + foreground).sum()) - hits
    return scale * (1 - (hits + smoothing) / (either + smoothing))
