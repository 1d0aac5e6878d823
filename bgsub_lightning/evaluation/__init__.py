"""Evaluation: masks against ground truth by the official rule; scores.json; the statistics of CDnet's comparator."""

from bgsub_lightning.evaluation.cdnet_stats import write_statistics, write_videos
from bgsub_lightning.evaluation.mask_files import MaskFiles, SceneCounts, count_masks
from bgsub_lightning.evaluation.testresult import TestResult, VideoResult

__all__ = [
    "MaskFiles",
    "SceneCounts",
    "TestResult",
    "VideoResult",
    "count_masks",
    "write_statistics",
    "write_videos",
]
