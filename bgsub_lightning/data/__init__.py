"""Samples, and the one datamodule that is composed of source × protocol × inputs × augmentation."""

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.data.background import Background, StoredBackground
from bgsub_lightning.data.base_image import BaseImage, BaseMask
from bgsub_lightning.data.colour_jitter import ColourJitter
from bgsub_lightning.data.crops import Crop, SpatioTemporalCrop
from bgsub_lightning.data.empty_background import EmptyBackground
from bgsub_lightning.data.foreground_maps import ForegroundMaps
from bgsub_lightning.data.frame_group import EvaluationStream, FrameGroup, GroupBackground, GroupMasks
from bgsub_lightning.data.inputs import ByteStream, Histories, Hop, Image, Input, References, Stream, UnlabelledImage
from bgsub_lightning.data.pasting import VocObjects
from bgsub_lightning.data.recent_background import RecentBackground
from bgsub_lightning.data.sample import EvaluationBatch, SceneInputs, TrainingBatch
from bgsub_lightning.data.scene_objects import SceneObjects
from bgsub_lightning.data.sequence_crop import SequenceCrop
from bgsub_lightning.data.stages import Span, Stage, StagePlan
from bgsub_lightning.data.transforms import (
    Blur,
    CloudShade,
    Colours,
    IgnoreIndistinct,
    IntermittentObjects,
    Jpeg,
    LightChange,
    LightDifference,
    Misalignment,
    PastedObjects,
    Sample,
    SampleTransform,
    SensorNoise,
    Sway,
)
from bgsub_lightning.data.truth_background import TruthBackground

if TYPE_CHECKING:
    from bgsub_lightning.data.datamodule import ScenesDataModule
else:
    __getattr__ = when_used(__name__, {"datamodule": ["ScenesDataModule"]})  # with Lightning and albumentations

__all__ = [
    "Background",
    "BaseImage",
    "BaseMask",
    "Blur",
    "ByteStream",
    "CloudShade",
    "ColourJitter",
    "Colours",
    "Crop",
    "EmptyBackground",
    "EvaluationBatch",
    "EvaluationStream",
    "ForegroundMaps",
    "FrameGroup",
    "GroupBackground",
    "GroupMasks",
    "Histories",
    "Hop",
    "IgnoreIndistinct",
    "Image",
    "Input",
    "IntermittentObjects",
    "Jpeg",
    "LightChange",
    "LightDifference",
    "Misalignment",
    "PastedObjects",
    "RecentBackground",
    "References",
    "Sample",
    "SampleTransform",
    "SceneInputs",
    "SceneObjects",
    "ScenesDataModule",
    "SensorNoise",
    "SequenceCrop",
    "Span",
    "SpatioTemporalCrop",
    "Stage",
    "StagePlan",
    "StoredBackground",
    "Stream",
    "Sway",
    "TrainingBatch",
    "TruthBackground",
    "UnlabelledImage",
    "VocObjects",
]
