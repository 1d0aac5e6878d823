"""Room 6: metrics."""

from bgsub_lightning.metrics.functional import (
    COUNTS,
    DICE_COUNTS,
    DICE_FIGURES,
    DICE_UNITS,
    FIGURES,
    THRESHOLDS,
    average_precision,
    confusion_counts,
    dice_counts,
    figures,
    threshold_counts,
)
from bgsub_lightning.metrics.scenes import (
    SceneConfusion,
    SceneDice,
    Scores,
    ThresholdConfusion,
    ThresholdDice,
    best_of,
    scores,
    scores_at_thresholds,
)

__all__ = [
    "COUNTS",
    "DICE_COUNTS",
    "DICE_FIGURES",
    "DICE_UNITS",
    "FIGURES",
    "THRESHOLDS",
    "SceneConfusion",
    "SceneDice",
    "Scores",
    "ThresholdConfusion",
    "ThresholdDice",
    "average_precision",
    "best_of",
    "confusion_counts",
    "dice_counts",
    "figures",
    "scores",
    "scores_at_thresholds",
    "threshold_counts",
]
