"""Results: what a test found, tables, pictures."""

from bgsub_lightning.report.curves import (
    best_thresholds,
    precision_recall_figure,
    precision_recall_table,
    threshold_figure,
)
from bgsub_lightning.report.merge import merged, require_same_frames, tested
from bgsub_lightning.report.terminal import comparison, published_tables, spread, table
from bgsub_lightning.report.thresholds import ThresholdCurve, at_threshold
from bgsub_lightning.report.writers import as_rich

__all__ = [
    "ThresholdCurve",
    "as_rich",
    "at_threshold",
    "best_thresholds",
    "comparison",
    "merged",
    "precision_recall_figure",
    "precision_recall_table",
    "published_tables",
    "require_same_frames",
    "spread",
    "table",
    "tested",
    "threshold_figure",
]
