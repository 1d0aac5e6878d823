"""Systems without weights: OpenCV's, bgslibrary's, and thresholded backgrounds."""

from bgsub_lightning.systems.baselines.bgslibrary import BgsLibrarySubtractor
from bgsub_lightning.systems.baselines.classical import ClassicalSubtractor
from bgsub_lightning.systems.baselines.thresholded import ThresholdedDifference

__all__ = [
    "BgsLibrarySubtractor",
    "ClassicalSubtractor",
    "ThresholdedDifference",
]
