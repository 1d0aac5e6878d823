"""Room 3: which frames train, validate and test."""

from bgsub_lightning.sampling.budget import LabelBudget
from bgsub_lightning.sampling.frameset import FrameSet, Split
from bgsub_lightning.sampling.leaks import Leakage, TrainingRecord, leakage, training_record
from bgsub_lightning.sampling.protocols import FirstHalf, Protocol, SceneWise, Subset
from bgsub_lightning.sampling.random_frames import CategoryBudget, RandomShares

__all__ = [
    "CategoryBudget",
    "FirstHalf",
    "FrameSet",
    "LabelBudget",
    "Leakage",
    "Protocol",
    "RandomShares",
    "SceneWise",
    "Split",
    "Subset",
    "TrainingRecord",
    "leakage",
    "training_record",
]
