"""Evaluation: masks against ground truth by the official rule; scores.json; the statistics of CDnet's comparator."""

from bgsub_lightning.evaluation.cdnet_stats import write_statistics, write_videos
from bgsub_lightning.evaluation.frame_scores import FrameScore, dataset_of, read_frames, video_of, write_frames
from bgsub_lightning.evaluation.mask_files import MaskCounts, MaskFiles, count_masks
from bgsub_lightning.evaluation.testresult import TestResult, VideoResult

__all__ = [
    "FrameScore",
    "MaskCounts",
    "MaskFiles",
    "TestResult",
    "VideoResult",
    "count_masks",
    "dataset_of",
    "read_frames",
    "video_of",
    "write_frames",
    "write_statistics",
    "write_videos",
]
