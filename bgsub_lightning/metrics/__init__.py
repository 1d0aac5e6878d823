"""Metrics. Counting on tensors needs PyTorch, imported when it is first used; metrics of counts do not."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_WHEN_USED = {
    **dict.fromkeys(("confusion_counts", "dice_counts", "threshold_counts"), "counting"),
    **dict.fromkeys(("SceneConfusion", "SceneDice", "ThresholdConfusion", "ThresholdDice"), "scenes"),
}

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


def __getattr__(name: str) -> Any:
    if name not in _WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHEN_USED[name]}"), name)
