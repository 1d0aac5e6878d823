"""Outputs of runs: checkpoints, scores, masks, pictures; and the state that several processes share."""

from bgsub_lightning.training.callbacks.backgrounds import BackgroundWriter
from bgsub_lightning.training.callbacks.checkpoints import (
    AtomicCheckpointIO,
    BestCheckpoint,
    LastCheckpoint,
    StageCheckpoints,
    checkpoints_of,
    newest_checkpoint,
)
from bgsub_lightning.training.callbacks.compiled import Compile
from bgsub_lightning.training.callbacks.ending import EarlyStopping, Finished, FinishedMarker
from bgsub_lightning.training.callbacks.gallery import Gallery
from bgsub_lightning.training.callbacks.log import RunLog
from bgsub_lightning.training.callbacks.masks import MaskWriter
from bgsub_lightning.training.callbacks.optimisers import ConfiguredOptimisers
from bgsub_lightning.training.callbacks.pictures import Pictures
from bgsub_lightning.training.callbacks.progress import ProgressBar
from bgsub_lightning.training.callbacks.samples import SamplePictures
from bgsub_lightning.training.callbacks.scores import ScoreWriter
from bgsub_lightning.training.processes import BatchNormSync

__all__ = [
    "AtomicCheckpointIO",
    "BackgroundWriter",
    "BatchNormSync",
    "BestCheckpoint",
    "Compile",
    "ConfiguredOptimisers",
    "EarlyStopping",
    "Finished",
    "FinishedMarker",
    "Gallery",
    "LastCheckpoint",
    "MaskWriter",
    "Pictures",
    "ProgressBar",
    "RunLog",
    "SamplePictures",
    "ScoreWriter",
    "StageCheckpoints",
    "checkpoints_of",
    "newest_checkpoint",
]
