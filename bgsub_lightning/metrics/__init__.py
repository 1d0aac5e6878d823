"""Room 6: metrics."""

from bgsub_lightning.metrics.functional import COUNTS, FIGURES, confusion_counts, figures
from bgsub_lightning.metrics.scenes import SceneConfusion, Scores, scores

__all__ = ["COUNTS", "FIGURES", "SceneConfusion", "Scores", "confusion_counts", "figures", "scores"]
