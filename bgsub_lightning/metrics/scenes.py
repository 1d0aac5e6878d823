"""Figures by video, by category and overall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from bgsub_lightning.metrics.functional import COUNTS, DICE_COUNTS, THRESHOLDS, figures, undefined

Averaging = Literal["video", "pooled", "frames"]
"""How figures come about. ``video``: a category's is the mean over its videos, the overall the mean over the categories
(CDnet). ``pooled``: a category's is of its frames' counts together, the overall the mean over the categories.
``frames``: so is a category's, and the overall is of all frames' counts together, whatever their category."""


@dataclass(frozen=True)
class Scores:
    """Figures of a set of videos.

    Attributes:
        videos: ``category/name`` → the figures, by the names of :data:`FIGURES` and :data:`DICE_FIGURES`.
        categories: Category → the figures.
        overall: The mean over the categories; averaged by ``frames``, the same as ``all_frames``.
        all_frames: The figures of all frames together, whatever their category.
        undefined: ``category/name`` → its figures that are 0/0, where there are any.
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
    """Compute the figures of videos, of categories and overall.

    Args:
        counts: ``category/name`` → TP, FP, FN, TN (what follows is not looked at).
        averaging: See :data:`Averaging`.
        dice: ``category/name`` → sum of :data:`DICE_COUNTS`; pooled, Mean Dice is over a category's frames together.
            ``None``: no Mean Dice.
        skip_silent: Give no precision where nothing was called foreground, and leave it out of the means, instead of
            taking 0/0 for 1 (see :func:`figures`), which would raise the mean of a system that finds nothing.

    Example:
        >>> two = {"a/x": [10, 0, 0, 90], "a/y": [0, 0, 20, 80]}
        >>> scores(two).overall["f_measure"], round(scores(two, "pooled").overall["f_measure"], 4)
        (0.5, 0.5)
        >>> scores(two).overall["precision"], scores({"a/y": [0, 0, 20, 80]}, skip_silent=True).overall.get("precision")
        (1.0, None)
    """
    of_frames = dice or dict.fromkeys(counts, ())

    def of(row: Sequence[int], frames: Sequence[int]) -> dict[str, float]:
        found = figures(row, frames)
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
    """Compute the figures at each of :data:`THRESHOLDS`, as :func:`scores` does.

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


class _SceneCounts(Metric):
    """Counts of every scene, exact on any number of processes.

    Its state is a sum, so that it is exact if each frame is counted once; evaluation is sharded without padding.

    Args:
        scenes: ``category/name`` of the scenes, in the order of the positions given to :meth:`update`.
    """

    full_state_update = False
    higher_is_better = True
    shape: ClassVar[tuple[int, ...]]
    counts: Tensor

    def __init__(self, scenes: Sequence[str]) -> None:
        super().__init__()
        self.scenes = tuple(scenes)
        self.add_state("counts", torch.zeros(len(scenes), *self.shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, counts: Tensor, scene: int) -> None:
        """Add the counts of frames of one scene, shape ``(B, …)``, int64."""
        self.counts[scene] += counts.sum(0)

    def compute(self) -> Tensor:
        """Return the counts of each scene, shape ``(S, …)``, int64."""
        return self.counts

    def _by_scene(self) -> dict[str, Any]:
        rows = self.compute()
        return {key: row.tolist() for key, row in zip(self.scenes, rows, strict=True) if bool(row.any())}


class SceneConfusion(_SceneCounts):
    """Counts of every scene by CDnet's official rule; see :func:`confusion_counts`, whose rows ``(B, 5)`` it adds."""

    shape = (len(COUNTS),)

    def by_scene(self) -> dict[str, list[int]]:
        """Return the counts of each scene that has any, after all processes' have been added."""
        return self._by_scene()


class ThresholdConfusion(_SceneCounts):
    """The same at each of 101 thresholds; see :func:`threshold_counts`, whose rows ``(B, 101, 4)`` it adds."""

    shape = (len(THRESHOLDS), 4)

    def by_scene(self) -> dict[str, list[list[int]]]:
        """Return TP, FP, FN and TN at each threshold of each scene that has any, of all processes."""
        return self._by_scene()


class SceneDice(_SceneCounts):
    """What Mean Dice of every scene is computed from; see :func:`dice_counts`, whose rows ``(B, 4)`` it adds."""

    shape = (len(DICE_COUNTS),)

    def by_scene(self) -> dict[str, list[int]]:
        """Return the sums of each scene that has any frame, of all processes."""
        return self._by_scene()


class ThresholdDice(_SceneCounts):
    """The same at each of 101 thresholds: rows ``(B, 101, 4)``."""

    shape = (len(THRESHOLDS), len(DICE_COUNTS))

    def by_scene(self) -> dict[str, list[list[int]]]:
        """Return the sums at each threshold of each scene that has any frame, of all processes."""
        return self._by_scene()
