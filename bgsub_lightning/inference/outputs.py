"""Outputs of results: videos, images, boxes, tracks, events, a page."""

from __future__ import annotations

import csv
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
from bgsub_lightning.inference.activity_page import ActivityPage
from bgsub_lightning.inference.annotation import Annotator
from bgsub_lightning.inference.blobs import blobs
from bgsub_lightning.inference.result import Result
from bgsub_lightning.inference.rle import encoded

Kind = Literal[
    "mask_video",
    "masks",
    "overlay",
    "side_by_side",
    "boxes_csv",
    "boxes_jsonl",
    "tracks_csv",
    "events_jsonl",
    "mot",
    "coco",
    "report",
]
"""Kinds of output: a video of the masks, a PNG for each, a video of the frames with the foreground tinted and what
is known of objects, one of frame and mask side by side; the boxes of the blobs as CSV or as JSON lines; objects with
their ids as CSV, or as text in the format of MOTChallenge; events as JSON lines; the blobs as COCO's run lengths; one
page that shows what happened."""

Codec = Literal["h264", "ffv1"]
"""Of videos: h264, which every player shows (few those of odd sizes, which are written in 4:4:4), or ffv1, which loses
nothing."""

_CLOCK = 90_000
"""Ticks per second of the videos' times, as broadcasting has it."""
_OF_MP4 = {"movflags": "hybrid_fragmented+delay_moov", "frag_duration": "1000000"}
"""The file of a killed process is on the disk, and plays; an .mp4 that is closed is a plain one all the same. With its
table of contents ahead of the first frame, all times would be late by the delay of the encoder."""


class Output(ABC):
    """Takes results, one after the other. What it has written is whole when it is closed."""

    path: Path
    wants_end: bool = False
    """Whether the user has asked for the end, as in a window."""
    left: Path | None = None
    """Where the part is that was written before a failure."""

    @abstractmethod
    def write(self, result: Result) -> None:
        """Take the next frame's result."""

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

    def write(self, result: Result) -> None:
        with self._failing():
            self._write(result)

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
    def _write(self, result: Result) -> None: ...

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
        self._annotator = Annotator()
        self._last = -1

    def _write(self, result: Result) -> None:
        picture = self._picture(result)
        if self.container is None:
            self._open(picture.shape[1], picture.shape[0])
        picture, kind = resized(picture, self.size), "gray" if picture.ndim == 2 else "rgb24"
        if kind == "rgb24" and self.stream.pix_fmt == "yuv420p":  # which OpenCV converts in a seventh of FFmpeg's time
            picture, kind = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8), "yuv420p"
        shown = av.VideoFrame.from_ndarray(picture, format=kind)
        self._last = max(self._last + 1, round(result.time * _CLOCK))  # times must rise
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

    def _picture(self, result: Result) -> NDArray[np.uint8]:
        if self.kind == "mask_video":
            return result.mask
        if self.kind == "overlay":
            return self._annotator.draw(result)
        return np.concatenate([result.frame, np.repeat(result.mask[..., None], 3, axis=2)], axis=1)


class Masks(Output):
    """A PNG for each mask: ``bin%06d.png``, 0 and 255.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, result: Result) -> None:  # noqa: D102
        write_png(self.path / f"bin{result.number:06d}.png", result.mask, self.path.parent)

    def close(self) -> None:  # noqa: D102
        pass


class _Lines(_FileOutput):
    """A text file, written line by line.

    Args:
        path: The file.
        header: The names of the columns of a CSV.

    Attributes:
        is_read_along: Whether the file has its name from the first line on, as that of a camera, which never ends.
    """

    is_read_along = False

    def __init__(self, path: Path, header: Sequence[str] = ()) -> None:
        super().__init__(path)
        self.header = header
        self._flushed = -math.inf

    def _write(self, result: Result) -> None:
        if self.partial is None:
            self.partial = PartialFile(self.path)
            if self.header:
                self._rows([self.header])
            if self.is_read_along:
                self.partial.show()
        self._lines(result)
        if self.is_read_along or time.monotonic() - self._flushed > 1:  # a killed process leaves the rest
            self._file.flush()
            self._flushed = time.monotonic()

    @abstractmethod
    def _lines(self, result: Result) -> None: ...

    def _rows(self, rows: Iterable[Sequence[object]]) -> None:
        csv.writer(self._file).writerows(rows)

    def _json(self, line: Mapping[str, object]) -> None:
        self._file.write(json.dumps(line) + "\n")

    @property
    def _file(self) -> Any:
        assert self.partial is not None
        return self.partial.file


class BoxesCsv(_Lines):
    """The boxes of the blobs, a row for each, with the number and the time (s) of their frame."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, ("frame", "time", "x", "y", "width", "height", "area"))

    def _lines(self, result: Result) -> None:
        self._rows([result.number, round(result.time, 6), *vars(box).values()] for box in result.boxes)


class BoxesJsonl(_Lines):
    """The boxes of the blobs, a line for each frame, with its number and its time (s)."""

    def _lines(self, result: Result) -> None:
        boxes = [vars(box) for box in result.boxes]
        self._json({"frame": result.number, "time": round(result.time, 6), "boxes": boxes})


class TracksCsv(_Lines):
    """Objects that are seen, a row for each: id, frame, time (s), box, area, speed (pixels per s)."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, ("id", "frame", "time", "x", "y", "width", "height", "area", "speed"))

    def _lines(self, result: Result) -> None:
        self._rows(
            [track.id, result.number, round(result.time, 6), *vars(track.box).values(), round(track.speed, 2)]
            for track in result.tracks
            if track.is_seen
        )


class Mot(_Lines):
    """Objects that are seen, in the text format of MOTChallenge: frame, id, left, top, width, height, 1, -1, -1, -1."""

    def _lines(self, result: Result) -> None:
        for track in result.tracks:
            if track.is_seen:
                box = track.box  # whose left and top are counted from 1 there
                place = [box.x + 1, box.y + 1, box.width, box.height]
                self._rows([[result.number, track.id, *place, 1, -1, -1, -1]])


class EventsJsonl(_Lines):
    """A line for each event; a file without lines if there was none."""

    def _lines(self, result: Result) -> None:
        for event in result.events:
            self._json(event.record())


class Coco(_FileOutput):
    """The blobs as results of COCO: an array of objects with ``image_id``, ``bbox``, ``segmentation``."""

    def _write(self, result: Result) -> None:
        if self.partial is None:
            self.partial = PartialFile(self.path)
            self._between = "[\n"
        for box, mask in blobs(result.mask, result.boxes):
            record = {
                "image_id": result.number,
                "category_id": 1,
                "bbox": [box.x, box.y, box.width, box.height],
                "segmentation": encoded(mask),
                "score": 1.0,
            }
            self.partial.file.write(self._between + json.dumps(record))
            self._between = ",\n"

    def _end(self) -> None:
        if self.partial is not None:
            self.partial.file.write("[]\n" if self._between == "[\n" else "\n]\n")


class Page(Output):
    """A page that shows what happened, written at the end.

    Args:
        path: The file.
        name: Of the source.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.page = ActivityPage(name)

    def write(self, result: Result) -> None:  # noqa: D102
        self.page.add(result)

    def close(self) -> None:  # noqa: D102
        self.page.write(self.path)


class Live(Output):
    """The overlay on the screen, or in a browser.

    Args:
        show: Takes each picture: RGB, shape ``(h, w, 3)``, uint8; returns whether the user wants to end.
    """

    path = Path("the screen")

    def __init__(self, show: Callable[[NDArray[np.uint8]], bool]) -> None:
        self.show = show
        self._annotator = Annotator()

    def write(self, result: Result) -> None:  # noqa: D102
        self.wants_end |= self.show(self._annotator.draw(result))

    def close(self) -> None:
        """Leave what is shown to its owner."""


def open_outputs(
    folder: Path, kinds: Sequence[Kind], codec: Codec, rate: Fraction, name: str = "", is_live: bool = False
) -> list[Output]:
    """Make what is to be written into a folder.

    Args:
        folder: The folder.
        kinds: What is written.
        codec: Of the videos.
        rate: Frames per second on the average.
        name: Of the source, for the page.
        is_live: Whether the source never ends, so that files of lines are read while they are written.
    """
    ending = ".mp4" if codec == "h264" else ".mkv"
    files: dict[Kind, Callable[[], Output]] = {
        "masks": lambda: Masks(folder / "masks"),
        "boxes_csv": lambda: BoxesCsv(folder / "boxes.csv"),
        "boxes_jsonl": lambda: BoxesJsonl(folder / "boxes.jsonl"),
        "tracks_csv": lambda: TracksCsv(folder / "tracks.csv"),
        "events_jsonl": lambda: EventsJsonl(folder / "events.jsonl"),
        "mot": lambda: Mot(folder / "mot.txt"),
        "coco": lambda: Coco(folder / "coco.json"),
        "report": lambda: Page(folder / "report.html", name),
    }
    outputs = [
        files[kind]() if kind in files else Video(folder / f"{kind}{ending}", kind, codec, rate)
        for kind in dict.fromkeys(kinds)
    ]
    for output in outputs:
        if isinstance(output, _Lines):
            output.is_read_along = is_live
    return outputs
