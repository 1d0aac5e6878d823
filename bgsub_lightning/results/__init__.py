"""Results: what a test found, tables, pictures."""

from bgsub_lightning.results.combining import merged, require_same_frames, spread
from bgsub_lightning.results.curves import (
    curves_picture,
    curves_table,
    precision_recall_picture,
    precision_recall_table,
)
from bgsub_lightning.results.drawing import comparison_panel, confusion_image
from bgsub_lightning.results.exports import write_statistics, write_videos
from bgsub_lightning.results.page import report_page
from bgsub_lightning.results.tables import table
from bgsub_lightning.results.testresult import TestResult, VideoResult
from bgsub_lightning.results.thresholds import at_threshold

__all__ = [
    "TestResult",
    "VideoResult",
    "at_threshold",
    "comparison_panel",
    "confusion_image",
    "curves_picture",
    "curves_table",
    "merged",
    "precision_recall_picture",
    "precision_recall_table",
    "report_page",
    "require_same_frames",
    "spread",
    "table",
    "write_statistics",
    "write_videos",
]
