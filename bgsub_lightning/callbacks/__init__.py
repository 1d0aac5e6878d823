"""What runs have on the outside: checkpoints, scores, masks, pictures; and what several processes share."""

from bgsub_lightning.callbacks.backgrounds import BackgroundWriter
from bgsub_lightning.callbacks.checkpoints import (
    AtomicCheckpointIO,
    BestCheckpoint,
    EarlyStopping,
    Finished,
    FinishedMarker,
    LastCheckpoint,
    StageCheckpoints,
    checkpoints_of,
    newest_checkpoint,
)
from bgsub_lightning.callbacks.compiled import Compile
from bgsub_lightning.callbacks.gallery import Gallery
from bgsub_lightning.callbacks.log import RunLog
from bgsub_lightning.callbacks.masks import MaskWriter
from bgsub_lightning.callbacks.optimisers import ConfiguredOptimisers
from bgsub_lightning.callbacks.pictures import Pictures
from bgsub_lightning.callbacks.processes import BatchNormSync
from bgsub_lightning.callbacks.progress import ProgressBar
from bgsub_lightning.callbacks.scores import ScoreWriter

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
    "ScoreWriter",
    "StageCheckpoints",
    "checkpoints_of",
    "newest_checkpoint",
]
