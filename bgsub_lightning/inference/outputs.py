"""What is written of masks: videos, images, boxes."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from bgsub_lightning.core.files import PartialFile
from bgsub_lightning.frames import write_png
from bgsub_lightning.frames.images import resized
from bgsub_lightning.inference.sources import Frame

Kind = Literal["mask_video", "masks", "overlay", "side_by_side", "boxes_csv", "boxes_jsonl"]
"""What can be written: a video of the masks, a PNG for each, a video of the frames with the foreground tinted, one of
frame and mask side by side, the boxes of the blobs as CSV or as JSON lines."""

Codec = Literal["h264", "ffv1"]
"""Of videos: h264, which every player shows (few those of odd sizes, which are written in 4:4:4), or ffv1, which loses
nothing."""

_CLOCK = 90_000
"""Ticks per second of the videos' times, as broadcasting has it."""
_OF_MP4 = {"movflags": "hybrid_fragmented+delay_moov", "frag_duration": "1000000"}
"""What a killed process leaves is on the disk, and plays; an .mp4 that is closed is a plain one all the same. With its
table of contents ahead of the first frame, all times would be late by the delay of the encoder."""
_TINT = (255, 40, 40)
_TINTED = (
    np.array([[(0.6 * level + 0.4 * tint) for tint in _TINT] for level in range(256)]).round().astype(np.uint8)[None]
)
"""Level → level under the tint, of each channel."""


@dataclass(frozen=True)
class Box:
    """A blob of foreground.

    Attributes:
        x: Left edge in pixels.
        y: Upper edge.
        width: Width in pixels.
        height: Height in pixels.
        area: Pixels of foreground.
    """

    x: int
    y: int
    width: int
    height: int
    area: int


def boxes(mask: NDArray[np.uint8], least: int = 50) -> list[Box]:
    """Find the blobs of a mask, connected across corners too (8), from the largest to the smallest.

    Args:
        mask: Shape ``(h, w)``, uint8; foreground is not 0.
        least: Area in pixels below which a blob is left out.
    """
    _, _, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = [Box(*map(int, row)) for row in statistics[1:] if row[cv2.CC_STAT_AREA] >= least]
    return sorted(found, key=lambda box: (-box.area, box.y, box.x))


class Output(ABC):
    """Takes frames with their masks, one after the other. What it has written is whole when it is closed."""

    path: Path
    left: Path | None = None
    """Where the part is that was written before a failure."""

    @abstractmethod
    def write(self, frame: Frame, mask: NDArray[np.uint8]) -> None:
        """Take the next frame and its mask, ``(h, w)``, uint8, 0 and 255."""

    @abstractmethod
    def close(self) -> None:
        """Bring the file to its end; nothing is left of one that no frame was written to."""


class _FileOutput(Output):
    """A file that gets its name when it is closed.

    Once it could not be written, as on a full disk, it never does: what fits stays under its temporary name.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial: PartialFile | None = None

    def write(self, frame: Frame, mask: NDArray[np.uint8]) -> None:
        with self._failing():
            self._write(frame, mask)

    def close(self) -> None:
        if self.partial is None:
            return
        try:
            with suppress(OSError, FFmpegError) if self.left else self._failing():
                self._end()
            if not self.left:
                with self._failing():
                    self.partial.publish()
        finally:
            self.partial.close()
            self.partial = None

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, FFmpegError):
            self.left = self.partial.partial if self.partial else None
            raise

    @abstractmethod
    def _write(self, frame: Frame, mask: NDArray[np.uint8]) -> None: ...

    def _end(self) -> None:
        """Write what comes last."""


class Video(_FileOutput):
    """A video, each frame at its own time; all have the size of the first.

    Args:
        path: The file, ``.mp4`` or ``.mkv``.
        kind: What is shown.
        codec: See :data:`Codec`.
        rate: Frames per second on the average.
    """

    def __init__(self, path: Path, kind: Kind, codec: Codec, rate: Fraction) -> None:
        super().__init__(path)
        self.kind = kind
        self.codec = codec
        self.rate = rate
        self.container: Any = None
        self._last = -1

    def _write(self, frame: Frame, mask: NDArray[np.uint8]) -> None:
        picture = self._picture(frame.image, mask)
        if self.container is None:
            self._open(picture.shape[1], picture.shape[0])
        kind = "gray" if picture.ndim == 2 else "rgb24"
        shown = av.VideoFrame.from_ndarray(resized(picture, self.size), format=kind)
        self._last = max(self._last + 1, round(frame.time * _CLOCK))  # times must rise
        shown.pts, shown.time_base = self._last, Fraction(1, _CLOCK)
        self.container.mux(self.stream.encode(shown))

    def _end(self) -> None:
        if self.container is not None:
            try:
                self.container.mux(self.stream.encode(None))
            finally:
                self.container.close()
                self.container = None

    def _open(self, width: int, height: int) -> None:
        self.partial = PartialFile(self.path, "wb")
        kind = "mp4" if self.path.suffix == ".mp4" else "matroska"
        # by its name, so that each packet is on the disk at once
        more = _OF_MP4 if kind == "mp4" else {}
        self.container = av.open(
            f"file:{self.partial.partial}", "w", format=kind, options={"flush_packets": "1", **more}
        )
        options = {"crf": "18", "preset": "veryfast"} if self.codec == "h264" else {}
        name = "libx264" if self.codec == "h264" else "ffv1"
        self.stream = self.container.add_stream(name, rate=self.rate, options=options)
        self.size = width, height
        self.stream.width, self.stream.height = width, height
        if self.codec == "ffv1":
            self.stream.pix_fmt = "gray" if self.kind == "mask_video" else "bgr0"
        else:  # every player knows yuv420p, which needs even sizes
            self.stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        self.stream.codec_context.time_base = Fraction(1, _CLOCK)
        self.stream.time_base = Fraction(1, _CLOCK)

    def _picture(self, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.kind == "mask_video":
            return mask
        if self.kind == "overlay":
            return tinted(image, mask)
        return np.concatenate([image, np.repeat(mask[..., None], 3, axis=2)], axis=1)


def tinted(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Show the foreground of a frame in red, with its outline: RGB, shape ``(h, w, 3)``, uint8."""
    shown = image.copy()
    cv2.copyTo(cv2.LUT(image, _TINTED), mask, shown)
    outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, outlines, -1, _TINT, 1)
    return shown


class Masks(Output):
    """A PNG for each mask: ``bin%06d.png``, 0 and 255.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, frame: Frame, mask: NDArray[np.uint8]) -> None:  # noqa: D102
        write_png(self.path / f"bin{frame.number:06d}.png", mask, self.path.parent)

    def close(self) -> None:  # noqa: D102
        pass


class Boxes(_FileOutput):
    """The boxes of the blobs, with the number and the time (s) of their frame.

    Args:
        path: The file, ``.csv`` with a row for each box or ``.jsonl`` with a line for each frame.
        least: Area in pixels below which a blob is left out.
    """

    def __init__(self, path: Path, least: int) -> None:
        super().__init__(path)
        self.least = least

    def _write(self, frame: Frame, mask: NDArray[np.uint8]) -> None:
        is_csv = self.path.suffix == ".csv"
        if self.partial is None:
            self.partial = PartialFile(self.path)
            if is_csv:
                csv.writer(self.partial.file).writerow(["frame", "time", "x", "y", "width", "height", "area"])
        found = boxes(mask, self.least)
        seconds = round(frame.time, 6)
        if is_csv:
            rows = [[frame.number, seconds, *vars(box).values()] for box in found]
            csv.writer(self.partial.file).writerows(rows)
        else:
            line = {"frame": frame.number, "time": seconds, "boxes": [vars(box) for box in found]}
            self.partial.file.write(json.dumps(line) + "\n")


def open_outputs(folder: Path, kinds: list[Kind], codec: Codec, rate: Fraction, least: int) -> list[Output]:
    """Make what is to be written into a folder."""
    ending = ".mp4" if codec == "h264" else ".mkv"
    made: list[Output] = []
    for kind in dict.fromkeys(kinds):
        if kind == "masks":
            made.append(Masks(folder / "masks"))
        elif kind == "boxes_csv" or kind == "boxes_jsonl":
            made.append(Boxes(folder / f"boxes.{kind.removeprefix('boxes_')}", least))
        else:
            made.append(Video(folder / f"{kind}{ending}", kind, codec, rate))
    return made
