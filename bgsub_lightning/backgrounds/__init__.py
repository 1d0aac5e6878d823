"""Sources of backgrounds: each watches a scene and gives a background to every frame."""

from bgsub_lightning.backgrounds.classical import Mog2Background, PreviousFrame, TemporalMedian
from bgsub_lightning.backgrounds.samples import SampleBackground, SampleMedian
from bgsub_lightning.backgrounds.source import BackgroundContext, BackgroundSource, SceneContext, SourceBackgrounds
from bgsub_lightning.backgrounds.subspace import Eigenbackground, IncrementalPcp
from bgsub_lightning.backgrounds.trailing import as_bytes, median_before

__all__ = [
    "BackgroundContext",
    "BackgroundSource",
    "Eigenbackground",
    "IncrementalPcp",
    "Mog2Background",
    "PreviousFrame",
    "SampleBackground",
    "SampleMedian",
    "SceneContext",
    "SourceBackgrounds",
    "TemporalMedian",
    "as_bytes",
    "median_before",
]
