"""Results: what a test found, tables, pictures."""

from bgsub_lightning.report.curves import (
    curves_picture,
    curves_table,
    precision_recall_picture,
    precision_recall_table,
)
from bgsub_lightning.report.merge import merged, require_same_frames, spread
from bgsub_lightning.report.page import report_page
from bgsub_lightning.report.tables import table
from bgsub_lightning.report.thresholds import at_threshold

__all__ = [
    "at_threshold",
    "curves_picture",
    "curves_table",
    "merged",
    "precision_recall_picture",
    "precision_recall_table",
    "report_page",
    "require_same_frames",
    "spread",
    "table",
]
