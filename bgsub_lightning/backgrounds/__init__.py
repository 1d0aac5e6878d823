"""Sources of backgrounds: each watches a scene and gives a background to every frame."""

from bgsub_lightning.backgrounds.classical import Mog2Background, PreviousFrame, TemporalMedian
from bgsub_lightning.backgrounds.density import DensityBackground
from bgsub_lightning.backgrounds.reconstructed import ReconstructedBackground
from bgsub_lightning.backgrounds.samples import SampleBackground, SampleMedian
from bgsub_lightning.backgrounds.subspace import Eigenbackground, IncrementalPcp

__all__ = [
    "DensityBackground",
    "Eigenbackground",
    "IncrementalPcp",
    "Mog2Background",
    "PreviousFrame",
    "ReconstructedBackground",
    "SampleBackground",
    "SampleMedian",
    "TemporalMedian",
]
