"""Room 6: metrics."""

from bgsub_lightning.metrics.functional import (
    COUNTS,
    FIGURES,
    THRESHOLDS,
    confusion_counts,
    figures,
    threshold_counts,
)
from bgsub_lightning.metrics.scenes import SceneConfusion, Scores, ThresholdConfusion, scores

__all__ = [
    "COUNTS",
    "FIGURES",
    "THRESHOLDS",
    "SceneConfusion",
    "Scores",
    "ThresholdConfusion",
    "confusion_counts",
    "figures",
    "scores",
    "threshold_counts",
]
