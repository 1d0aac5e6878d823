"""Results: what a test found, tables, pictures."""

from bgsub_lightning.results.drawing import background_panel, comparison_panel, confusion_image
from bgsub_lightning.results.tables import table
from bgsub_lightning.results.testresult import TestResult, VideoResult

__all__ = ["TestResult", "VideoResult", "background_panel", "comparison_panel", "confusion_image", "table"]
