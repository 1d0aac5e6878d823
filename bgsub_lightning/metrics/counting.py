"""CDnet's counting, on tensors; the Dice coefficient by frame.

N. Goyette et al., "changedetection.net: a new change detection benchmark dataset", CVPR Workshops 2012.

D. Liang, D. Zhang, Q. Wang, Z. Wei, L. Zhang, "CrossNet: cross-scene background subtraction network via 3D optical
flow", IEEE Transactions on Multimedia, 2023, equation 12 (Mean Dice).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bgsub_lightning.datasets.labels import MOVING, SHADOW, UNKNOWN
from bgsub_lightning.metrics.from_counts import DICE_UNITS, THRESHOLDS


def confusion_counts(prediction: Tensor, truth: Tensor, roi: Tensor | None = None) -> Tensor:
    """Count pixels by CDnet's official rule.

    Foreground is 255; background is 0, 50 (shadow) and what is 85 inside the ROI; 170 (unknown) and all that lies
    outside the ROI is ignored.

    Args:
        prediction: Whether a pixel was called foreground, shape ``(B, H, W)``, bool. (In a file it is foreground only
            when it is exactly 255.)
        truth: Grey levels of the masks, shape ``(B, H, W)``, uint8.
        roi: Region of interest, shape ``(H, W)`` or ``(B, H, W)``, bool; ``None``: the whole frame.

    Returns:
        TP, FP, FN, TN and shadow errors of each frame, shape ``(B, 5)``, int64.

    Raises:
        ValueError: If the shapes or the types do not fit.

    Example:
        >>> truth = torch.tensor([[[0, 50, 85, 170, 255, 255]]], dtype=torch.uint8)
        >>> confusion_counts(torch.tensor([[[False, True, False, True, True, False]]]), truth).tolist()
        [[1, 1, 1, 2, 1]]
    """
    if prediction.dtype != torch.bool or prediction.shape != truth.shape or prediction.ndim != 3:
        raise ValueError(
            f"Expected a bool prediction and a truth of one shape (B, H, W), "
            f"got {prediction.dtype} {tuple(prediction.shape)} and {tuple(truth.shape)}."
        )
    valid = _valid(truth, roi)
    moving = truth == MOVING
    positive, negative = valid & moving, valid & ~moving
    counted = (
        positive & prediction,
        negative & prediction,
        positive & ~prediction,
        negative & ~prediction,
        valid & (truth == SHADOW) & prediction,
    )
    return torch.stack([pixels.sum((1, 2)) for pixels in counted], dim=1)


def threshold_counts(probability: Tensor, truth: Tensor, roi: Tensor | None = None, inclusive: bool = False) -> Tensor:
    """Count pixels as :func:`confusion_counts` does, at each of :data:`THRESHOLDS`.

    Args:
        probability: Probability of foreground, shape ``(B, H, W)``, any floating type; a pixel is called foreground
            where it lies above the threshold.
        truth: See :func:`confusion_counts`.
        roi: See :func:`confusion_counts`.
        inclusive: Whether a pixel is called foreground where its probability equals the threshold as well.

    Returns:
        TP, FP, FN and TN of each frame at each threshold, shape ``(B, 101, 4)``, int64.

    Raises:
        ValueError: If the shapes or the types do not fit.

    Example:
        >>> truth = torch.tensor([[[0, 0, 170, 255]]], dtype=torch.uint8)
        >>> counts = threshold_counts(torch.tensor([[[0.0, 0.3, 0.9, 0.5]]]), truth)
        >>> counts[0, [0, 30, 50]].tolist()
        [[1, 1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 2]]
    """
    if not probability.is_floating_point() or probability.shape != truth.shape or probability.ndim != 3:
        raise ValueError(
            f"Expected probabilities and a truth of one shape (B, H, W), "
            f"got {probability.dtype} {tuple(probability.shape)} and {tuple(truth.shape)}."
        )
    frames, bins = len(truth), len(THRESHOLDS) + 1
    first = torch.arange(0, 2 * frames, 2, dtype=torch.int32, device=truth.device)[:, None, None] * bins
    index = first + bins * (truth == MOVING) + _exceeded(probability, inclusive)
    index = torch.where(_valid(truth, roi), index, 2 * frames * bins)
    histogram = torch.bincount(index.flatten(), minlength=2 * frames * bins + 1)[:-1]
    at_least = histogram.view(frames, 2, bins).flip(-1).cumsum(-1).flip(-1)
    (fp, tp), (negative, positive) = at_least[..., 1:].unbind(1), at_least[..., :1].unbind(1)
    return torch.stack([tp, fp, positive - tp, negative - fp], dim=-1)


def dice_counts(counts: Tensor) -> Tensor:
    """Count what Mean Dice is computed from.

    The Dice coefficient of a frame is 2 TP / (2 TP + FP + FN), its F-measure. Equation 12 of CrossNet prints the union
    where the sum of both areas belongs.

    Args:
        counts: TP, FP, FN of frames, shape ``(…, C)``, C ≥ 3, int64; what follows is not looked at.

    Returns:
        :data:`DICE_COUNTS` of each frame, shape ``(…, 4)``, int64; the coefficient is exact to 2⁻³³.

    Example:
        >>> rows = dice_counts(torch.tensor([[3, 1, 1], [0, 0, 9], [0, 5, 0], [0, 0, 0]]))
        >>> rows[:, 1:].tolist(), (rows[:, 0] / DICE_UNITS).tolist()
        ([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], [0.75, 0.0, 0.0, 0.0])
    """
    tp, fp, fn = counts[..., :3].unbind(-1)
    whole = (2 * tp + fp + fn).clamp(min=1)
    dice = torch.div(2 * tp * DICE_UNITS + whole // 2, whole, rounding_mode="floor")
    foreground, called = tp + fn > 0, fp > 0
    return torch.stack([dice, foreground.long(), (~foreground & called).long(), (~foreground & ~called).long()], -1)


def _exceeded(probability: Tensor, inclusive: bool) -> Tensor:
    """How many of the thresholds lie below each probability, or equal it, int32; none below NaN.

    A guess, which is wrong by one at most, is put right by comparison: five times as fast as torch.bucketize.
    """
    wide = torch.promote_types(probability.dtype, torch.float32)
    levels = torch.tensor(THRESHOLDS, dtype=torch.float64).to(probability).to(wide)  # rounded as `p > 0.15` rounds them
    bounds = torch.nn.functional.pad(levels, (1, 1), value=math.inf)
    bounds[0] = -math.inf
    value = probability.to(wide).nan_to_num(-1.0)
    guess = (value * 100).ceil_().clamp_(0, len(THRESHOLDS)).int()
    below, above = (torch.index_select(bounds, 0, (guess + i).flatten()).view_as(value) for i in (0, 1))
    if inclusive:
        return guess + (value >= above).int() - (value < below).int()
    return guess + (value > above).int() - (value <= below).int()


def _valid(truth: Tensor, roi: Tensor | None) -> Tensor:
    """Which pixels are counted."""
    valid = truth != UNKNOWN
    if roi is not None:
        if roi.dtype != torch.bool or roi.shape not in (truth.shape, truth.shape[1:]):
            raise ValueError(f"Expected a bool ROI for {tuple(truth.shape)}, got {roi.dtype} {tuple(roi.shape)}.")
        valid &= roi
    return valid
