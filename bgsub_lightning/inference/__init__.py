"""Inference: any system on footage without labels, from a source of frames to masks, videos and boxes.

What needs PyTorch is imported when it is first used: sources, outputs, MOG2 and KNN work without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.frames.opencv import OPENCV
from bgsub_lightning.inference.blobs import Box, boxes
from bgsub_lightning.inference.events import Event
from bgsub_lightning.inference.opening import BASELINES, SHIPPED, Opened, Setup, named_system, open_subtractor
from bgsub_lightning.inference.outputs import Codec, Kind, open_outputs
from bgsub_lightning.inference.result import Result, Wanted
from bgsub_lightning.inference.segmenting import Feed, SegmentProgress, segment_feeds, segment_frames
from bgsub_lightning.inference.sources import Frame, Source, open_source
from bgsub_lightning.inference.stream import POOL, OpenCvSubtractor, Precision, StreamSubtractor
from bgsub_lightning.inference.tracking import Track

if TYPE_CHECKING:
    from bgsub_lightning.inference.subtractor import Subtractor
    from bgsub_lightning.inference.system import System, load_system
    from bgsub_lightning.inference.trust import named_modules
else:
    __getattr__ = when_used(
        __name__,
        {"subtractor": ["Subtractor"], "system": ["System", "load_system"], "trust": ["named_modules"]},
    )

__all__ = [
    "BASELINES",
    "OPENCV",
    "POOL",
    "SHIPPED",
    "Box",
    "Codec",
    "Event",
    "Feed",
    "Frame",
    "Kind",
    "OpenCvSubtractor",
    "Opened",
    "Precision",
    "Result",
    "SegmentProgress",
    "Setup",
    "Source",
    "StreamSubtractor",
    "Subtractor",
    "System",
    "Track",
    "Wanted",
    "boxes",
    "load_system",
    "named_modules",
    "named_system",
    "open_outputs",
    "open_source",
    "open_subtractor",
    "segment_feeds",
    "segment_frames",
]
