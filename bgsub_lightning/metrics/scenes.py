"""Counts of every scene, added up on any number of processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from bgsub_lightning.metrics.from_counts import COUNTS, DICE_COUNTS, THRESHOLDS


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

    def by_scene(self) -> dict[str, Any]:
        """Return the counts of each scene that has any, of all processes, as nested lists."""
        if not self.update_called:  # on a process without a frame, of which torchmetrics would warn
            self.update(self.counts.new_zeros(0, *self.shape), 0)
        rows = self.compute()
        return {key: row.tolist() for key, row in zip(self.scenes, rows, strict=True) if bool(row.any())}


class SceneConfusion(_SceneCounts):
    """Counts of every scene by CDnet's official rule; see :func:`confusion_counts`, whose rows ``(B, 5)`` it adds."""

    shape = (len(COUNTS),)


class ThresholdConfusion(_SceneCounts):
    """The same at each of 101 thresholds; see :func:`threshold_counts`, whose rows ``(B, 101, 4)`` it adds."""

    shape = (len(THRESHOLDS), 4)


class SceneDice(_SceneCounts):
    """Counts of Mean Dice for every scene; see :func:`dice_counts`, whose rows ``(B, 4)`` it adds."""

    shape = (len(DICE_COUNTS),)


class ThresholdDice(_SceneCounts):
    """The same at each of 101 thresholds: rows ``(B, 101, 4)``."""

    shape = (len(THRESHOLDS), len(DICE_COUNTS))
