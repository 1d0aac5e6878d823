"""Pixels: decoding, the store that keeps them decoded, and optical flow."""

from bgsub_lightning.frames.filling import fill_flow
from bgsub_lightning.frames.flow import DisFlow, FarnebackFlow, FlowFiles, FlowMethod, FrameFlow, LucasKanadeFlow
from bgsub_lightning.frames.images import median, pseudo_coloured, read_image, read_mask, read_roi, write_png
from bgsub_lightning.frames.source import SceneFrames, fill
from bgsub_lightning.frames.store import FrameStore, StoredArray

__all__ = [
    "DisFlow",
    "FarnebackFlow",
    "FlowFiles",
    "FlowMethod",
    "FrameFlow",
    "FrameStore",
    "LucasKanadeFlow",
    "SceneFrames",
    "StoredArray",
    "fill",
    "fill_flow",
    "median",
    "pseudo_coloured",
    "read_image",
    "read_mask",
    "read_roi",
    "write_png",
]
