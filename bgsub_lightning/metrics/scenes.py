"""Figures by video, by category and overall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from bgsub_lightning.metrics.functional import COUNTS, FIGURES, THRESHOLDS, figures, undefined

Averaging = Literal["video", "pooled"]
"""How a category's figures come about: as the mean over its videos (CDnet), or from all its frames' counts together."""


@dataclass(frozen=True)
class Scores:
    """Figures of a set of videos.

    Attributes:
        videos: ``category/name`` → the seven figures.
        categories: Category → the seven figures.
        overall: The mean over the categories.
        undefined: ``category/name`` → its figures that are 0/0, where there are any.
    """

    videos: dict[str, dict[str, float]]
    categories: dict[str, dict[str, float]]
    overall: dict[str, float]
    undefined: dict[str, list[str]]


def scores(counts: Mapping[str, Sequence[int]], averaging: Averaging = "video") -> Scores:
    """Compute the figures of videos, of categories and overall.

    Args:
        counts: ``category/name`` → TP, FP, FN, TN (what follows is not looked at).
        averaging: CDnet's: mean over the videos of a category; pooled: the counts of a category's frames together.
            The overall figures are the mean over the categories in both.

    Example:
        >>> two = {"a/x": [10, 0, 0, 90], "a/y": [0, 0, 20, 80]}
        >>> scores(two).overall["f_measure"], round(scores(two, "pooled").overall["f_measure"], 4)
        (0.5, 0.5)
    """
    videos = {key: figures(row) for key, row in counts.items()}
    categories: dict[str, dict[str, float]] = {}
    for category in dict.fromkeys(key.split("/")[0] for key in counts):
        members = [key for key in counts if key.split("/")[0] == category]
        if averaging == "video":
            categories[category] = _mean([videos[key] for key in members])
        else:
            categories[category] = figures(
                [sum(column) for column in zip(*(counts[key] for key in members), strict=True)]
            )
    blanks = {key: names for key, row in counts.items() if (names := undefined(row))}
    return Scores(videos, categories, _mean(list(categories.values())), blanks)


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in FIGURES} if rows else {}


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
