"""Room 2: pixels. Decoding, and the store that keeps them decoded."""

from bgsub_lightning.frames.images import pseudo_coloured, read_image, read_mask, read_roi, write_png
from bgsub_lightning.frames.source import SceneFrames, fill
from bgsub_lightning.frames.store import FrameStore, StoredArray

__all__ = [
    "FrameStore",
    "SceneFrames",
    "StoredArray",
    "fill",
    "pseudo_coloured",
    "read_image",
    "read_mask",
    "read_roi",
    "write_png",
]
