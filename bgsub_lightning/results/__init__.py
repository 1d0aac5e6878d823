"""Results: what a test found, tables, pictures."""

from bgsub_lightning.results.combining import merged, require_same_frames, spread
from bgsub_lightning.results.curves import curves_picture, curves_table
from bgsub_lightning.results.drawing import comparison_panel, confusion_image
from bgsub_lightning.results.tables import table
from bgsub_lightning.results.testresult import TestResult, VideoResult

__all__ = [
    "TestResult",
    "VideoResult",
    "comparison_panel",
    "confusion_image",
    "curves_picture",
    "curves_table",
    "merged",
    "require_same_frames",
    "spread",
    "table",
]
