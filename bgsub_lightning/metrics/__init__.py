"""Metrics. Counting on tensors needs PyTorch, imported when it is first used; metrics of counts do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.metrics.from_counts import (
    COUNTS,
    DICE_COUNTS,
    DICE_METRICS,
    DICE_UNITS,
    METRICS,
    THRESHOLDS,
    Averaging,
    Scores,
    average_precision,
    best_of,
    dice_sums,
    metrics,
    scores,
    scores_at_thresholds,
    undefined,
)

if TYPE_CHECKING:
    from bgsub_lightning.metrics.counting import confusion_counts, dice_counts, threshold_counts
    from bgsub_lightning.metrics.scenes import SceneConfusion, SceneDice, ThresholdConfusion, ThresholdDice
else:
    __getattr__ = when_used(
        __name__,
        {
            "counting": ["confusion_counts", "dice_counts", "threshold_counts"],
            "scenes": ["SceneConfusion", "SceneDice", "ThresholdConfusion", "ThresholdDice"],
        },
    )

__all__ = [
    "COUNTS",
    "DICE_COUNTS",
    "DICE_METRICS",
    "DICE_UNITS",
    "METRICS",
    "THRESHOLDS",
    "Averaging",
    "SceneConfusion",
    "SceneDice",
    "Scores",
    "ThresholdConfusion",
    "ThresholdDice",
    "average_precision",
    "best_of",
    "confusion_counts",
    "dice_counts",
    "dice_sums",
    "metrics",
    "scores",
    "scores_at_thresholds",
    "threshold_counts",
    "undefined",
]
