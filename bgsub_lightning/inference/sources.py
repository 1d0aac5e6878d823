"""Where frames come from: video files, images, cameras, streams."""

from __future__ import annotations

import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.format import Flags
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from bgsub_lightning.core.decoding import read_pixels
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.core.text import one_line, without_passwords
from bgsub_lightning.datasets.checks import is_whole, some
from bgsub_lightning.datasets.depth import COLOUR, Depth
from bgsub_lightning.datasets.scene import Range

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""Endings of image files."""

_PATIENCE = 50
"""Reads of a camera, one after the other, that may fail before it is given up."""

_LARGE = 10**9
"""A number in an image's name that is no frame's."""

_PRINTF = re.compile(r"%0?(\d{0,2})d")
"""The number in a pattern such as ``in%06d.png``, as OpenCV takes it."""

_PAUSE = 0.1
"""Seconds after one that has failed."""

_STEP = 1.0
"""Seconds by which the times of a live stream may go back from one frame to the next; more is a clock that was set."""

_LEAP = 10.0
"""Seconds by which they may go ahead, beyond those that have passed."""

_REFUSALS = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError, av.error.ProtocolNotFoundError)
"""Errors of an address that time does not mend."""

_OPTIONS = {"rtsp_flags": "prefer_tcp"}
"""For FFmpeg, whose RTSP would lose packets over UDP without a word."""


class Frame(NamedTuple):
    """A frame of a source.

    Attributes:
        number: Its number, from 1, or the one in an image's name; damaged frames have theirs.
        time: Its time in s since the source's beginning.
        image: RGB, shape ``(h, w, 3)``, uint8.
    """

    number: int
    time: float
    image: NDArray[np.uint8]


class NotUpError(UserError):
    """A camera or a stream cannot be opened, but may be later.

    Attributes:
        what: The problem alone, for a message while it is waited for.
    """

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(f"{what}.{fix}")
        self.what = what


class Source(ABC):
    """Gives frames.

    Attributes:
        name: What messages call it.
        rate: Frames per second, as the source has them on the average.
        count: Number of its frames, which may be an estimate; ``None``: not known, or without an end.
        is_live: Whether it cannot be read twice.
        damaged: Number of frames so far that could not be decoded, and were skipped.
        reopened: How often so far it broke off, or ended, and was opened again.
        why_ended: What is to be said of its end; empty if it came to it as it should.
        depth: What brings its frames to 8 bits; sources of the same scene share one.
    """

    name: str
    rate: Fraction
    count: int | None = None
    is_live = False

    def __init__(self, levels: Range | None = None) -> None:
        self.depth = Depth(levels)
        self.damaged = 0
        self.reopened = 0
        self.why_ended = ""

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]: ...

    def first(self, count: int) -> list[NDArray[np.uint8]]:
        """Return the first frames of a source that can be read twice, or all of a shorter one."""
        frames = iter(self)
        return [frame.image for frame, _ in zip(frames, range(count), strict=False)]

    def _shown(self, image: NDArray[np.generic], name: object) -> NDArray[np.uint8]:
        """Bring a frame to 8 bits and to RGB."""
        if image.dtype != np.uint8:
            self.depth.look(self._ahead())
        shown = self.depth.shown(image, name)
        return shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, 2)

    def _ahead(self) -> Iterator[NDArray[np.generic]]:
        """Decode the first frames, before any is shown; none of what cannot be read twice."""
        yield from ()

    @property
    def range(self) -> Range | None:
        """Grey levels that become 0 and 255, of frames of 16 bits; ``None``: no such frame was read yet."""
        return self.depth.range

    @abstractmethod
    def spread(self, count: int) -> list[NDArray[np.uint8]]:
        """Return frames at equal distances from each other over the whole source, which can be read twice."""


class VideoFile(Source):
    """A video file, or a stream that FFmpeg opens by its address.

    Frames come as a player shows them: turned as the file says, at their own times. An address whose length is known is
    a file of another machine; any other is live.

    Args:
        address: Path or URL.
        reconnect: Seconds for which a live stream that broke off, or ended, is opened again and again.
        timeout: Seconds that one may stall before it counts as broken off.
        levels: Grey levels that become 0 and 255, of a video of 16 bits; ``None``: by its first frames.

    Raises:
        NotUpError: If it is a stream that cannot be opened now.
        UserError: If it cannot be opened, or holds no video.
    """

    def __init__(
        self, address: str, reconnect: float = 10.0, timeout: float = 10.0, levels: Range | None = None
    ) -> None:
        super().__init__(levels)
        self.name = _without_secrets(address)
        self._address = address
        self._reformatter = VideoReformatter()  # one for all frames, since each sets up the conversion again
        self.reconnect = reconnect
        self.timeout = timeout if "://" in address else None
        container = self._open()
        video = container.streams.video[0]
        self.rate = Fraction(video.average_rate or video.guessed_rate or 25)
        self.length = float(container.duration or 0) / av.time_base
        self.is_live = "://" in address and not address.startswith("file:") and not self.length
        self._begun = container if self.is_live else None  # a live stream goes on meanwhile
        if not self.is_live:
            self.count = video.frames or round(self.length * self.rate) or None
            container.close()

    def __iter__(self) -> Iterator[Frame]:
        self.damaged, self.reopened, self.why_ended = 0, 0, ""
        number, clock = 0, _Timestamps(float(1 / self.rate), self.is_live)
        container = self._begun or self._open()
        self._begun = None
        while container is not None:
            clock.begin(bool(container.format.flags & Flags.no_timestamps.value))
            with container:
                for frame in self._decoded(container):
                    number += 1
                    if frame is None or frame.is_corrupt:
                        self.damaged += 1
                        continue
                    at = float(frame.time) if frame.time is not None else float((number - 1) / self.rate)
                    yield Frame(number, clock.read(at), self._shown(self._upright(frame), self.name))
            container = self._again() if self.is_live else None
        if clock.at < 0.9 * self.length - 2 / self.rate and not self.why_ended:  # the last may be shown for long
            self.why_ended = (
                f"{self.name} declares {self.length:.1f} s and holds {clock.at:.1f} s: it seems to be cut off"
            )

    def _decoded(self, container: Any) -> Iterator[Any]:
        """Decode what is left of a container: its frames, ``None`` for what cannot be decoded."""
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        self.why_ended = ""
        packets = container.demux(video)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                self.why_ended = "the stream ended" if self.is_live else ""
                return
            except FFmpegError as error:
                self.why_ended = f"{'the stream' if self.is_live else self.name} broke off ({self._reason(error)})"
                with suppress(FFmpegError):
                    yield from video.codec_context.decode(None)  # what the decoder still holds
                return
            try:
                yield from packet.decode()
            except FFmpegError:
                yield None

    def _again(self) -> Any:
        """Open a live stream again; ``None`` if it does not come back."""
        until = time.monotonic() + self.reconnect
        while time.monotonic() < until:
            try:
                container = self._open(self.reconnect)
            except UserError:
                time.sleep(min(0.5, self.reconnect))
            else:
                self.reopened += 1
                return container
        self.why_ended += f", and did not come back within {self.reconnect:g} s"
        return None

    def spread(self, count: int) -> list[NDArray[np.uint8]]:  # noqa: D102
        total = self.count or sum(1 for _ in self)
        wanted = {1 + i * total // min(count, total) for i in range(min(count, total))}
        if self.length and total > 40 * count:
            return self._sought(sorted(wanted)) or self.first(count)
        return [frame.image for frame in self if frame.number in wanted] or self.first(count)

    def _sought(self, numbers: list[int]) -> list[NDArray[np.uint8]]:
        """Jump to the frames: the key frame before each will do, and is decoded on from if it is there already."""
        images = []
        had = -math.inf
        with self._open() as container:
            video = container.streams.video[0]
            start = (container.start_time or 0) / av.time_base
            for number in numbers:
                place = start + float((number - 1) / self.rate)
                try:
                    container.seek(round(place * av.time_base))
                    frames = container.decode(video)
                    found = next(frames)
                    if found.time <= had:
                        found = next(frame for frame in frames if frame.time >= place)
                    else:
                        had = found.time
                except (FFmpegError, StopIteration, TypeError):  # or frames without a time
                    continue
                images.append(self._shown(self._upright(found), self.name))
        return images

    def _ahead(self) -> Iterator[NDArray[np.generic]]:
        if not self.is_live:
            with self._open() as container, suppress(FFmpegError):
                for frame in container.decode(video=0):
                    yield self._upright(frame)

    def _upright(self, frame: av.VideoFrame) -> NDArray[np.generic]:
        """A frame turned as its file says: a phone that is held upright writes lying frames and an angle."""
        is_deep = frame.format.name.startswith("gray16")  # which FFmpeg would cut to 8 bits
        reformatted = self._reformatter.reformat(frame, format="gray16le" if is_deep else "rgb24")
        image: NDArray[np.generic] = reformatted.to_ndarray()
        return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4)) if frame.rotation else image

    def _reason(self, error: Exception) -> str:
        if isinstance(error, av.error.ExitError):
            return f"nothing came for {self.timeout:g} s"
        return getattr(error, "strerror", None) or str(error)

    def _open(self, patience: float = math.inf) -> Any:
        timeout = None if self.timeout is None else (min(self.timeout, patience), self.timeout)
        try:
            container = av.open(self._address, timeout=timeout, options=_OPTIONS)
        except (FFmpegError, OSError, ValueError) as error:
            reason = self._reason(error)
            if Path(self._address).is_file():
                raise UserError(
                    f"--source: {self.name}: is no video that FFmpeg knows, or one that was cut off ({reason}): an "
                    f".mp4 without its end has lost its table of contents. Get it again, or let a repair tool see it."
                ) from error
            what = f"--source: {self.name}: cannot be opened as a video ({reason})"
            fix = (
                " Name a video file, a folder of images, a pattern such as 'frames/*.jpg', the number of a camera, or "
                "the address of a stream."
            )
            may_come = "://" in self._address and not isinstance(error, _REFUSALS) and type(error) is not ValueError
            # without the cause, which holds the address with its password
            raise (NotUpError(what, fix) if may_come else UserError(f"{what}.{fix}")) from None
        if not container.streams.video:
            container.close()
            raise UserError(f"--source: {self.name}: holds no video.")
        return container


class _Timestamps:
    """Turns the timestamps of frames into seconds since the first one.

    Those of a live stream restart when it is opened again, are made up where its format has none, and leap where the
    sender's clock is set. They are compared with the time that passes, but may run ahead: a server sends as it likes.

    Attributes:
        at: The last time.
    """

    def __init__(self, period: float, is_live: bool) -> None:
        self.at = 0.0
        self._period = period
        self._is_live = is_live
        self._began: float | None = None  # when the first frame came
        self._origin = 0.0
        self._stamp: float | None = None  # the last timestamp, and when it came
        self._seen = 0.0
        self._are_made_up = False

    def begin(self, are_made_up: bool) -> None:
        """Expect the times of a container that has just been opened, and whether its format knows none."""
        self._stamp = None
        self._are_made_up = self._is_live and are_made_up

    def read(self, stamp: float) -> float:
        """Return the time of the next frame, whose timestamp this is."""
        now = time.monotonic()
        if self._began is None:
            self._began, self._origin = now, stamp
        elif self._are_made_up:
            self._origin = stamp - (now - self._began)
        elif self._stamp is None or (self._is_live and self._leaps(stamp - self._stamp, now - self._seen)):
            self._origin = stamp - max(now - self._began, self.at + self._period)
        self.at, self._stamp, self._seen = max(self.at, stamp - self._origin), stamp, now
        return self.at

    @staticmethod
    def _leaps(stamp: float, passed: float) -> bool:
        return not -_STEP <= stamp <= passed + _LEAP


class Images(Source):
    """Image files, in the order of the numbers in their names.

    Where all names end with different numbers these are the frames' numbers, otherwise, or where they are so large that
    they mean something else, such as the time, their places are.

    Args:
        files: The files.
        name: What messages call them.
        rate: Frames per second.
        levels: Grey levels that become 0 and 255, of images of 16 bits; ``None``: by the first ones.
    """

    def __init__(
        self, files: list[Path], name: str, rate: Fraction = Fraction(25), levels: Range | None = None
    ) -> None:
        super().__init__(levels)
        self.files = sorted(files, key=_natural)
        self.name = name
        self.rate = rate
        self.count = len(files)

    def __iter__(self) -> Iterator[Frame]:
        self.damaged = 0
        for place, (number, file) in enumerate(zip(self.numbers, self.files, strict=True)):
            image = self._image(file)
            if image is None:
                self.damaged += 1
            else:
                yield Frame(number, float(place / self.rate), image)

    def _image(self, file: Path) -> NDArray[np.uint8] | None:
        image = _read(file)
        return None if image is None else self._shown(image, file)

    def _ahead(self) -> Iterator[NDArray[np.generic]]:
        yield from (image for image in map(_read, self.files) if image is not None)

    @property
    def numbers(self) -> Sequence[int]:
        """The frames' numbers, which ascend."""
        found = [re.search(r"\d+$", file.stem) for file in self.files]
        numbers = [int(each.group()) for each in found if each]
        ascend = len(numbers) == len(self.files) and all(one < other for one, other in pairwise(numbers))
        return numbers if ascend and numbers[-1] < _LARGE else range(1, len(self.files) + 1)

    def spread(self, count: int) -> list[NDArray[np.uint8]]:  # noqa: D102
        total = len(self.files)
        images = [self._image(self.files[i * total // min(count, total)]) for i in range(min(count, total))]
        return [image for image in images if image is not None]


class Camera(Source):
    """A camera of this machine.

    Args:
        index: Its number.
        levels: As of other sources; the frames of most cameras have 8 bits, and so no range.

    Raises:
        NotUpError: If there is none of that number.
    """

    is_live = True

    def __init__(self, index: int, levels: Range | None = None) -> None:
        super().__init__(levels)
        self.name = f"camera {index}"
        with _silent_opencv():
            self.capture = cv2.VideoCapture(index)
        if not self.capture.isOpened():
            raise NotUpError(f"--source: there is no camera {index}, or it is in use")
        self.rate = Fraction(self.capture.get(cv2.CAP_PROP_FPS) or 25).limit_denominator(1001)

    def __iter__(self) -> Iterator[Frame]:
        number, failures, started = 0, 0, time.monotonic()
        try:
            while failures < _PATIENCE:
                is_read, image = self.capture.read()
                number += 1
                if is_read:
                    failures = 0
                    rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
                    yield Frame(number, time.monotonic() - started, self._shown(rgb, self.name))
                else:
                    failures += 1
                    self.damaged += 1
                    time.sleep(_PAUSE)
        finally:
            self.capture.release()
        self.why_ended = f"{self.name} gave no frame {_PATIENCE} times one after the other"

    def spread(self, count: int) -> list[NDArray[np.uint8]]:  # noqa: D102
        raise ValueError("a camera cannot be read twice")


def open_source(source: str, rate: float | None = None, reconnect: float = 10.0, levels: Range | None = None) -> Source:
    """Open a source.

    Args:
        source: A video file, a folder of images, a pattern such as ``frames/*.jpg`` or ``frames/in%06d.png``, the
            number of a camera, or the address of a stream (``rtsp://…``).
        rate: Frames per second of images, which have none; ``None``: 25. Videos and cameras have their own.
        reconnect: See :class:`VideoFile`.
        levels: Grey levels that become 0 and 255, of frames of 16 bits; ``None``: by the first ones (see
            :func:`bgsub_lightning.datasets.depth.range_of`).

    Raises:
        NotUpError: If it is a camera or a stream that cannot be opened now.
        UserError: If it is none of these, cannot be opened, is a folder of files under several patterns of names, or
            has its own times where a rate is given.
    """
    check_range("--", least=0.0003, most=1000, rate=rate)
    per_second = Fraction(25 if rate is None else rate).limit_denominator(100_000)
    path = Path(source).expanduser()
    try:
        is_there = path.exists()
    except OSError as error:  # a name that is too long, as an address may be
        if "://" not in source:
            raise UserError(f"--source: {one_line(source)[:60]}…: cannot be opened ({error.strerror}).") from error
        is_there = False
    if source.isdecimal() and not is_there:
        if len(source) > 4:
            raise UserError(f"--source: must be a camera's number of at most 4 digits; got {source}. Name another.")
        _require_no_rate(rate, f"camera {source}")
        return Camera(int(source), levels)
    if is_there and path.is_dir():
        if files := [file for file in path.iterdir() if is_image(file)]:
            _require_one_pattern(files, source)
            return Images(files, source, per_second, levels)
        raise UserError(f"--source: {source}: the folder holds no images ({', '.join(IMAGES)}).")
    if not is_there and "://" not in source and (number := _PRINTF.search(path.name)):
        before, after = (re.escape(part) for part in (path.name[: number.start()], path.name[number.end() :]))
        name = re.compile(rf"{before}\d{{{number[1] or 1},}}{after}")
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        if files := [file for file in siblings if name.fullmatch(file.name) and is_image(file)]:
            return Images(files, source, per_second, levels)
        raise UserError(f"--source: {source}: no image has such a name.")
    if not is_there and any(mark in source for mark in "*?[") and "://" not in source:
        folder = Path(path.anchor)
        with suppress(ValueError):  # patterns that are none
            if files := [file for file in folder.glob(str(path.relative_to(folder))) if is_image(file)]:
                return Images(files, source, per_second, levels)
        raise UserError(f"--source: {source}: no image has such a name.")
    if is_there and path.is_file() and is_image(path):
        return Images([path], source, per_second, levels)
    if "://" not in source and not is_there:
        raise UserError(f"--source: {source}: there is no such file or folder.")
    if is_there and (path.is_fifo() or path.is_socket()):
        raise UserError(f"--source: {source}: must be a file, or the address of a stream; got a pipe. Name another.")
    address = source if "://" in source else str(path)
    _require_no_rate(rate, _without_secrets(address))
    return VideoFile(address, reconnect, levels=levels)


def _require_no_rate(rate: float | None, name: str) -> None:
    if rate is not None:
        raise UserError(f"--rate: {name} has its own times; got {rate:g}. Leave the option out: it is for images.")


def _require_one_pattern(files: Sequence[Path], folder: str) -> None:
    """Refuse a folder in which one name pattern may be the frames, and another their masks.

    Raises:
        UserError: If there are several.
    """
    groups: dict[str, list[Path]] = {}
    for file in sorted(files):
        groups.setdefault(_skeleton(file), []).append(file)
    if len(groups) > 1:
        largest = sorted(groups.values(), key=len, reverse=True)
        shown = ", ".join(f"{_pattern(group)} ({some(len(group), 'file')})" for group in largest[:3])
        more = f" and {len(groups) - 3} more" if len(groups) > 3 else ""
        raise UserError(
            f"--source: {folder}: must hold images of one name pattern; got {shown}{more}. Name that of the frames, "
            f"such as '{Path(folder) / _pattern(largest[0])}'; '{Path(folder) / '*'}' takes all."
        )


def _skeleton(file: Path) -> str:
    """Return a name without its numbers, as a glob."""
    return re.sub(r"\d+", "[0-9]*", file.stem) + file.suffix


def _pattern(files: Sequence[Path]) -> str:
    """Return the pattern of files of one skeleton, as :func:`open_source` takes it.

    Example:
        >>> _pattern([Path("cam2_left_0001.PNG"), Path("cam2_left_0002.PNG")]), _pattern([Path("a1b2.png")])
        ('cam2_left_%04d.PNG', 'a1b%d.png')
    """
    number = next(re.finditer(r"\d+(?=\D*$)", files[0].stem), None)
    if number is None:
        return files[0].name
    before, after = files[0].name[: number.start()], files[0].name[number.end() :]
    found = [re.fullmatch(rf"{re.escape(before)}(\d+){re.escape(after)}", file.name) for file in files]
    digits = {len(match[1]) for match in found if match}
    if not all(found):
        return _skeleton(files[0])
    padded = len(digits) == 1 and digits != {1}
    return f"{before}%0{digits.pop()}d{after}" if padded else f"{before}%d{after}"


def _without_secrets(address: str) -> str:
    """Leave out of an address what is before its host, and the values of what it is called with."""
    if "://" not in address:
        return address
    return re.sub("=[^&/;]*", "=…", re.sub("(?<=://)[^/]*@", "", without_passwords(address)))


@contextmanager
def _silent_opencv() -> Iterator[None]:
    """OpenCV writes several lines about each way of opening a camera that fails."""
    place: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # since 4.13
    before = place.getLogLevel()
    place.setLogLevel(0)
    try:
        yield
    finally:
        place.setLogLevel(before)


def _read(file: Path) -> NDArray[Any] | None:
    return read_pixels(file, COLOUR) if is_whole(file) else None


def is_image(file: Path) -> bool:
    """Whether the name is that of an image."""
    return file.suffix.lower() in IMAGES and file.is_file() and not file.name.startswith(".")


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort numbers by their value: frame9 before frame10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(file)) if part]
