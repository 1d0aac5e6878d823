"""Live: any system at work on footage without labels, from a source of frames to masks, videos and boxes."""

from bgsub_lightning.live.outputs import Box, Codec, Kind, boxes, open_outputs
from bgsub_lightning.live.segmenting import Progress, segment_frames
from bgsub_lightning.live.sources import Frame, Source, open_source
from bgsub_lightning.live.subtractor import POOL, Precision, Subtractor
from bgsub_lightning.live.system import BASELINES, SHIPPED, System, load_system
from bgsub_lightning.live.trust import named_modules

__all__ = [
    "BASELINES",
    "POOL",
    "SHIPPED",
    "Box",
    "Codec",
    "Frame",
    "Kind",
    "Precision",
    "Progress",
    "Source",
    "Subtractor",
    "System",
    "boxes",
    "load_system",
    "named_modules",
    "open_outputs",
    "open_source",
    "segment_frames",
]
