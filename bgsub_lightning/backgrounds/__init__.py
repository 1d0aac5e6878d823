"""Sources of backgrounds: each watches a scene and gives a background to every frame."""

from bgsub_lightning.backgrounds.classical import Mog2Background, TemporalMedian
from bgsub_lightning.backgrounds.density import DensityBackground

__all__ = ["DensityBackground", "Mog2Background", "TemporalMedian"]
