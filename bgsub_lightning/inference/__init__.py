"""Inference: any system on footage without labels, from a source of frames to masks, videos and boxes.

What needs PyTorch is imported when it is first used: sources, outputs, MOG2 and KNN work without.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bgsub_lightning.frames.opencv import OPENCV
from bgsub_lightning.inference.outputs import Box, Codec, Kind, boxes, open_outputs
from bgsub_lightning.inference.segmenting import SegmentProgress, segment_frames
from bgsub_lightning.inference.sources import Frame, Source, open_source
from bgsub_lightning.inference.stream import POOL, OpenCvSubtractor, Precision, StreamSubtractor

if TYPE_CHECKING:
    from bgsub_lightning.inference.subtractor import Subtractor
    from bgsub_lightning.inference.system import System, load_system
    from bgsub_lightning.inference.trust import named_modules

SHIPPED = "AnyScene"
"""The system whose weights ship with the package."""

BASELINES = (*OPENCV, "TemporalMedian")
"""Systems without weights."""

_WHEN_USED = {
    "Subtractor": "subtractor",
    "System": "system",
    "load_system": "system",
    "named_modules": "trust",
}

__all__ = [
    "BASELINES",
    "OPENCV",
    "POOL",
    "SHIPPED",
    "Box",
    "Codec",
    "Frame",
    "Kind",
    "OpenCvSubtractor",
    "Precision",
    "SegmentProgress",
    "Source",
    "StreamSubtractor",
    "Subtractor",
    "System",
    "boxes",
    "load_system",
    "named_modules",
    "open_outputs",
    "open_source",
    "segment_frames",
]


def __getattr__(name: str) -> Any:
    if name not in _WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHEN_USED[name]}"), name)
