"""CDnet's seven metrics, Mean Dice and average precision, from counts: by video, by category and overall. No PyTorch.

N. Goyette et al., "changedetection.net: a new change detection benchmark dataset", CVPR Workshops 2012.

D. Liang, D. Zhang, Q. Wang, Z. Wei, L. Zhang, "CrossNet: cross-scene background subtraction network via 3D optical
flow", IEEE Transactions on Multimedia, 2023, equation 12 (Mean Dice).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

COUNTS = ("TP", "FP", "FN", "TN", "SE")
"""Names of counts; SE, the shadow errors (shadow taken for foreground), are part of FP and also counted."""

METRICS = ("recall", "specificity", "fpr", "fnr", "pwc", "precision", "f_measure")
"""CDnet's seven metrics, in the order of its tables. PWC is in percent, the others lie in [0, 1]."""

DICE_COUNTS = ("dice", "foreground", "false_alarms", "silent")
"""Counts of Mean Dice: the sum of the Dice coefficients in units of 1 / :data:`DICE_UNITS`, the frames
whose truth has foreground, and those of the other frames where a pixel was called foreground, and where none was."""

DICE_UNITS = 2**32
"""Dice coefficients are added up as integers: the sum is the same in any order, on any number of processes."""

DICE_METRICS = ("mean_dice", "mean_dice_include_empty")
"""Mean Dice over the frames whose truth has foreground; and with the false alarms on the other frames as 0."""

THRESHOLDS = tuple(i / 100 for i in range(101))
"""The thresholds of metrics that are shown against the threshold. Between two of them nothing is known: probabilities
that are nearly all below 0.01 or above 0.99 have few points of a curve."""


def metrics(counts: Sequence[int], dice: Sequence[int] = ()) -> dict[str, float]:
    """Compute the seven metrics from counts, and Mean Dice.

    Undefined ratios (0/0) count as perfect: recall, specificity, precision and F-measure are 1, the rates of error 0.
    The official tool does not define them. :func:`undefined` names them. The same holds for Mean Dice where no frame
    has foreground. Frames without foreground and without a false alarm count in neither Mean Dice: as ones they would
    outweigh the others in a video that is mostly empty.

    Args:
        counts: TP, FP, FN, TN; what follows is not looked at.
        dice: Sum of :data:`DICE_COUNTS` over the frames; empty: no Mean Dice.

    Returns:
        The metrics by the names of :data:`METRICS`, and of :data:`DICE_METRICS`.

    Example:
        >>> {name: round(value, 3) for name, value in metrics([8, 2, 2, 88]).items() if name in ("f_measure", "pwc")}
        {'pwc': 4.0, 'f_measure': 0.8}
        >>> metrics([9, 5, 2, 9], [2 * DICE_UNITS, 3, 1, 7])["mean_dice_include_empty"]
        0.5
    """
    return {name: (bound if math.isnan(value) else value) for name, value, bound in _ratios(counts, dice)}


def dice_sums(frames: Iterable[Sequence[int]]) -> list[int]:
    """Add up :data:`DICE_COUNTS` of frames, as :func:`bgsub_lightning.metrics.dice_counts` counts them on tensors.

    Args:
        frames: TP, FP and FN of each frame; what follows is not looked at.

    Example:
        >>> dice_sums([[3, 1, 1], [0, 0, 9], [0, 5, 0], [0, 0, 0]]) == [3 * DICE_UNITS // 4, 2, 1, 1]
        True
    """
    total = [0, 0, 0, 0]
    for tp, fp, fn, *_ in frames:
        whole = max(2 * tp + fp + fn, 1)
        total[0] += (2 * tp * DICE_UNITS + whole // 2) // whole
        total[1 if tp + fn else 2 if fp else 3] += 1
    return total


def undefined(counts: Sequence[int], dice: Sequence[int] = ()) -> list[str]:
    """Return the metrics that are 0/0 for these counts.

    Example:
        >>> undefined([0, 0, 0, 100])
        ['recall', 'fnr', 'precision', 'f_measure']
    """
    return [name for name, value, _ in _ratios(counts, dice) if math.isnan(value)]


def _ratios(counts: Sequence[int], dice: Sequence[int]) -> list[tuple[str, float, float]]:
    """Name and value of each metric (NaN where it is 0/0), and what it is then taken to be."""
    tp, fp, fn, tn = (int(count) for count in counts[:4])

    def ratio(part: int, whole: int) -> float:
        return part / whole if whole else math.nan

    of_frames = []
    if dice:
        total, foreground, false_alarms, _ = (int(count) for count in dice)
        frames = (foreground, foreground + false_alarms)
        of_frames = [(name, ratio(total, n * DICE_UNITS), 1.0) for name, n in zip(DICE_METRICS, frames, strict=True)]
    return [
        ("recall", ratio(tp, tp + fn), 1.0),
        ("specificity", ratio(tn, tn + fp), 1.0),
        ("fpr", ratio(fp, fp + tn), 0.0),
        ("fnr", ratio(fn, tp + fn), 0.0),
        ("pwc", 100 * ratio(fn + fp, tp + fp + fn + tn), 0.0),
        ("precision", ratio(tp, tp + fp), 1.0),
        ("f_measure", ratio(2 * tp, 2 * tp + fp + fn), 1.0),
        *of_frames,
    ]


def average_precision(precision: Sequence[float], recall: Sequence[float]) -> float:
    """Compute the area under a precision-recall curve as a step function.

    It is Σ (Rᵢ − Rᵢ₊₁) Pᵢ, where recall is 0 after the last: between two thresholds precision is that of the lower, so
    that what is not known between them counts little rather than much.

    Args:
        precision: Precision at increasing thresholds, range [0, 1].
        recall: Recall at the same thresholds, which does not increase.

    Example:
        >>> average_precision([0.25, 0.5, 1.0], [1.0, 1.0, 0.5])
        0.75
    """
    steps = zip(precision, recall, [*recall[1:], 0.0], strict=True)
    return math.fsum((here - after) * value for value, here, after in steps)


Averaging = Literal["video", "pooled", "frames"]
"""How metrics come about. ``video``: a category's is the mean over its videos, the overall the mean over the categories
(CDnet). ``pooled``: a category's is of its frames' counts together, the overall the mean over the categories.
``frames``: so is a category's, and the overall is of all frames' counts together, whatever their category."""


@dataclass(frozen=True)
class Scores:
    """Metrics of a set of videos.

    Attributes:
        videos: ``category/name`` → the metrics, by the names of :data:`METRICS` and :data:`DICE_METRICS`.
        categories: Category → the metrics.
        overall: The mean over the categories; averaged by ``frames``, the same as ``all_frames``.
        all_frames: The metrics of all frames together, whatever their category.
        undefined: ``category/name`` → its metrics that are 0/0, where there are any.
    """

    videos: dict[str, dict[str, float]]
    categories: dict[str, dict[str, float]]
    overall: dict[str, float]
    all_frames: dict[str, float]
    undefined: dict[str, list[str]]

    @property
    def silent(self) -> list[str]:
        """Videos in which nothing was called foreground, so that there is no precision."""
        return sorted(key for key, names in self.undefined.items() if "precision" in names)


def scores(
    counts: Mapping[str, Sequence[int]],
    averaging: Averaging = "video",
    dice: Mapping[str, Sequence[int]] | None = None,
    skip_silent: bool = False,
) -> Scores:
    """Compute the metrics of videos, of categories and overall.

    Args:
        counts: ``category/name`` → TP, FP, FN, TN (what follows is not looked at).
        averaging: See :data:`Averaging`.
        dice: ``category/name`` → sum of :data:`DICE_COUNTS`; pooled, Mean Dice is over a category's frames together.
            ``None``: no Mean Dice.
        skip_silent: Give no precision where nothing was called foreground, and leave it out of the means, instead of
            taking 0/0 for 1 (see :func:`metrics`), which would raise the mean of a system that finds nothing.

    Example:
        >>> two = {"a/x": [10, 0, 0, 90], "a/y": [0, 0, 20, 80]}
        >>> scores(two).overall["f_measure"], round(scores(two, "pooled").overall["f_measure"], 4)
        (0.5, 0.5)
        >>> scores(two).overall["precision"], scores({"a/y": [0, 0, 20, 80]}, skip_silent=True).overall.get("precision")
        (1.0, None)
    """
    of_frames = dice or dict.fromkeys(counts, ())

    def of(row: Sequence[int], frames: Sequence[int]) -> dict[str, float]:
        found = metrics(row, frames)
        if skip_silent and not row[0] + row[1]:
            del found["precision"]
        return found

    def together(keys: Sequence[str]) -> dict[str, float]:
        return of(_sum([counts[key] for key in keys]), _sum([of_frames[key] for key in keys]))

    videos = {key: of(row, of_frames[key]) for key, row in counts.items()}
    categories: dict[str, dict[str, float]] = {}
    for category in dict.fromkeys(key.split("/")[0] for key in counts):
        members = [key for key in counts if key.split("/")[0] == category]
        categories[category] = _mean([videos[key] for key in members]) if averaging == "video" else together(members)
    blanks = {key: names for key, row in counts.items() if (names := undefined(row, of_frames[key]))}
    all_frames = together(list(counts)) if counts else {}
    overall = all_frames if averaging == "frames" else _mean(list(categories.values()))
    return Scores(videos, categories, overall, all_frames, blanks)


def scores_at_thresholds(
    counts: Mapping[str, Sequence[Sequence[int]]],
    averaging: Averaging = "video",
    dice: Mapping[str, Sequence[Sequence[int]]] | None = None,
    skip_silent: bool = False,
) -> list[Scores]:
    """Compute the metrics at each of :data:`THRESHOLDS`, as :func:`scores` does.

    Args:
        counts: ``category/name`` → TP, FP, FN, TN at each threshold.
        averaging: See :func:`scores`.
        dice: ``category/name`` → sum of :data:`DICE_COUNTS` at each threshold; ``None``: no Mean Dice.
        skip_silent: See :func:`scores`.
    """
    return [
        scores(
            {key: rows[i] for key, rows in counts.items()},
            averaging,
            {key: rows[i] for key, rows in dice.items()} if dice else None,
            skip_silent,
        )
        for i in range(len(THRESHOLDS))
    ]


def best_of(at_thresholds: Sequence[Scores]) -> int:
    """Return the position of the largest overall F-measure, the first of several."""
    return max(range(len(at_thresholds)), key=lambda i: at_thresholds[i].overall.get("f_measure", 0.0))


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    there = {name: [row[name] for row in rows if name in row] for name in dict.fromkeys(chain.from_iterable(rows))}
    return {name: sum(values) / len(values) for name, values in there.items()}


def _sum(rows: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)]
