"""Which frames train, validate and test."""

from bgsub_lightning.splits.budget import LabelBudget
from bgsub_lightning.splits.frameset import FrameSet, Split
from bgsub_lightning.splits.leaks import Leakage, TrainingRecord, leakage, published_record, training_record, worst
from bgsub_lightning.splits.protocols import FirstHalf, HoldOut, Protocol, SceneWise, Subset
from bgsub_lightning.splits.random_frames import CategoryBudget, RandomShares
from bgsub_lightning.splits.unlabelled import Unlabelled

__all__ = [
    "CategoryBudget",
    "FirstHalf",
    "FrameSet",
    "HoldOut",
    "LabelBudget",
    "Leakage",
    "Protocol",
    "RandomShares",
    "SceneWise",
    "Split",
    "Subset",
    "TrainingRecord",
    "Unlabelled",
    "leakage",
    "published_record",
    "training_record",
    "worst",
]
