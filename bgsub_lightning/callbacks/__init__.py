"""What runs have on the outside: checkpoints, scores, masks, pictures."""

from bgsub_lightning.callbacks.backgrounds import BackgroundWriter
from bgsub_lightning.callbacks.checkpoints import (
    AtomicCheckpointIO,
    BestCheckpoint,
    EarlyStopping,
    FinishedMarker,
    LastCheckpoint,
    StageCheckpoints,
    checkpoints_of,
    damage,
    newest_checkpoint,
)
from bgsub_lightning.callbacks.masks import MaskWriter
from bgsub_lightning.callbacks.pictures import Pictures
from bgsub_lightning.callbacks.progress import ProgressBar
from bgsub_lightning.callbacks.scores import ScoreWriter

__all__ = [
    "AtomicCheckpointIO",
    "BackgroundWriter",
    "BestCheckpoint",
    "EarlyStopping",
    "FinishedMarker",
    "LastCheckpoint",
    "MaskWriter",
    "Pictures",
    "ProgressBar",
    "ScoreWriter",
    "StageCheckpoints",
    "checkpoints_of",
    "damage",
    "newest_checkpoint",
]
