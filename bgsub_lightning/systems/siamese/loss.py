"""The contrastive loss of three classes of pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from bgsub_lightning.datasets.labels import IGNORED
from bgsub_lightning.losses.reduction import global_mean

CHANGED, OVERLAP, UNCHANGED = 0, 1, 2
"""Classes Y of a pixel in two frames: foreground in exactly one, in both, in neither."""


def pair_classes(target: Tensor, base: Tensor) -> Tensor:
    """Return the classes Y of the pixels of two frames.

    Args:
        target: Classes of the one frame: 0 background, 1 foreground, 255 ignored; any shape, uint8.
        base: Those of the other, of the same shape.

    Returns:
        Of the same shape, uint8; 255 where either is ignored.

    Example:
        >>> frame, base = torch.tensor([0, 1, 1, 255], dtype=torch.uint8), torch.tensor([0, 0, 1, 0], dtype=torch.uint8)
        >>> pair_classes(frame, base).tolist()
        [2, 0, 1, 255]
    """
    classes = torch.where(target == base, UNCHANGED - target, CHANGED)
    return torch.where((target == IGNORED) | (base == IGNORED), IGNORED, classes).byte()


def contrastive(distances: Tensor, classes: Tensor, margin: float = 2.0, tolerance: float = 0.0) -> Tensor:
    """Contrastive loss of three classes (siamese system, equation 2, with the square that the text has and it lacks).

    1/(2N) Σ [ Y/2 · max(D − t, 0)² + (1 − Y/2) · max(m − D, 0)² ], over the pixels of N pairs. At m = 2 and t = 0 a
    pixel is at its best at D = 2 if it is changed, 1 if it is foreground in both frames, and 0 if it is unchanged: the
    values that the map is rounded to.

    Args:
        distances: D, shape ``(N, h, w)``, range [0, 2].
        classes: Y of :func:`pair_classes`, of the same shape.
        margin: m: from which distance on changed pixels are left alone.
        tolerance: t: up to which distance similar pixels are left alone, as where a camera moves a little.

    Returns:
        The loss, a scalar: a sum over pixels, because at the paper's rate of 1e-5 a mean would not move.

    Example:
        >>> contrastive(torch.tensor([[[2.0, 1.0, 0.5, 1.3]]]), torch.tensor([[[0, 1, 2, 255]]])).item()
        0.625
    """
    distances = distances.to(torch.promote_types(distances.dtype, torch.float32))  # a sum over pixels exceeds 16 bits
    valid, similar = classes != IGNORED, classes.to(distances.dtype) / 2
    pull, push = (distances - tolerance).clamp(min=0).square(), (margin - distances).clamp(min=0).square()
    losses = similar * pull + (1 - similar) * push
    return global_mean(losses.where(valid, 0).sum() / 2, len(distances))


def class_constant(classes: Tensor, tau: float) -> Tensor:
    """The term C(Y) = 1/(τ − Y) of equations 2 and 3, summed and divided as the loss is.

    It depends on the labels alone, so it has no gradient and changes nothing but the curve of the loss.

    Args:
        classes: Y of :func:`pair_classes`, shape ``(N, h, w)``.
        tau: τ, between 1 and 2.

    Example:
        >>> round(class_constant(torch.tensor([[[0, 1, 2, 255]]]), 1.5).item(), 4)  # (1/1.5 + 1/0.5 − 1/0.5) / 2
        0.3333
    """
    valid = classes != IGNORED
    constants = (1 / (tau - classes.where(valid, 0).float())).where(valid, 0)
    return global_mean(constants.sum() / 2, len(classes))
