"""Systems without weights: OpenCV's, bgslibrary's, and thresholded backgrounds."""

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.systems.baselines.bgslibrary import BgsLibrarySubtractorSystem
from bgsub_lightning.systems.baselines.classical import ClassicalSubtractorSystem
from bgsub_lightning.systems.baselines.thresholded import ThresholdedDifferenceSystem

if TYPE_CHECKING:
    from bgsub_lightning.systems.baselines.module import (
        BgsLibrarySubtractor,
        ClassicalSubtractor,
        ThresholdedDifference,
    )
else:
    __getattr__ = when_used(
        __name__, {"module": ["BgsLibrarySubtractor", "ClassicalSubtractor", "ThresholdedDifference"]}
    )

__all__ = [
    "BgsLibrarySubtractor",
    "BgsLibrarySubtractorSystem",
    "ClassicalSubtractor",
    "ClassicalSubtractorSystem",
    "ThresholdedDifference",
    "ThresholdedDifferenceSystem",
]
