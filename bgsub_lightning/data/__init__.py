"""Room 4: samples, and the one datamodule that is composed of source × protocol × inputs × augmentation."""

from bgsub_lightning.data.datamodule import ScenesDataModule
from bgsub_lightning.data.inputs import Image, Input, References, Stream
from bgsub_lightning.data.sample import EvaluationBatch, TrainingBatch

__all__ = ["EvaluationBatch", "Image", "Input", "References", "ScenesDataModule", "Stream", "TrainingBatch"]
