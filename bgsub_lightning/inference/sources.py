"""Where frames come from: video files, images, cameras, streams."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.decoding import read_pixels
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.core.text import one_line
from bgsub_lightning.datasets.checks import is_whole, some
from bgsub_lightning.datasets.depth import COLOUR
from bgsub_lightning.datasets.scene import Range
from bgsub_lightning.inference.source import Frame, NotUpError, Source
from bgsub_lightning.inference.video_file import VideoFile, without_secrets

__all__ = ["IMAGES", "Camera", "Frame", "Images", "NotUpError", "Source", "VideoFile", "is_image", "open_source"]

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""Endings of image files."""

_PATIENCE = 50
"""Consecutive reads of a camera that may fail before it counts as lost."""

_LARGE = 10**9
"""A number in an image's name that is no frame's."""

_PRINTF = re.compile(r"%0?(\d{0,2})d")
"""The number in a pattern such as ``in%06d.png``, as OpenCV takes it."""

_PAUSE = 0.1
"""Seconds after one that has failed."""


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
        NotUpError: If there is no camera of that number.
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
        self.why_ended = f"{self.name} gave no frame {_PATIENCE} times in a row"

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
        UserError: If it is something else, cannot be opened, is a folder of files under several patterns of names,
            holds a frame under two names, or has its own times where a rate is given.
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
            return _images(files, source, per_second, levels)
        raise UserError(f"--source: {source}: the folder holds no images ({', '.join(IMAGES)}).")
    if not is_there and "://" not in source and (number := _PRINTF.search(path.name)):
        before, after = (re.escape(part) for part in (path.name[: number.start()], path.name[number.end() :]))
        name = re.compile(rf"{before}\d{{{number[1] or 1},}}{after}")
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        if files := [file for file in siblings if name.fullmatch(file.name) and is_image(file)]:
            return _images(files, source, per_second, levels)
        raise UserError(f"--source: {source}: no image has such a name.")
    if not is_there and any(mark in source for mark in "*?[") and "://" not in source:
        folder = Path(path.anchor)
        with suppress(ValueError):  # patterns that are none
            if files := [file for file in folder.glob(str(path.relative_to(folder))) if is_image(file)]:
                return _images(files, source, per_second, levels)
        raise UserError(f"--source: {source}: no image has such a name.")
    if is_there and path.is_file() and is_image(path):
        return Images([path], source, per_second, levels)
    if "://" not in source and not is_there:
        raise UserError(f"--source: {source}: there is no such file or folder.")
    if is_there and (path.is_fifo() or path.is_socket()):
        raise UserError(f"--source: {source}: must be a file, or the address of a stream; got a pipe. Name another.")
    address = source if "://" in source else str(path)
    _require_no_rate(rate, without_secrets(address))
    return VideoFile(address, reconnect, levels=levels)


def _require_no_rate(rate: float | None, name: str) -> None:
    if rate is not None:
        raise UserError(f"--rate: {name} has its own times; got {rate:g}. Leave the option out: it is for images.")


def _images(files: list[Path], source: str, rate: Fraction, levels: Range | None) -> Images:
    """Take the images of a folder or of a pattern.

    Raises:
        UserError: If two names differ in leading zeros alone: these are one frame.
    """
    images = Images(files, source, rate, levels)
    for one, other in pairwise(images.files):
        if one.parent == other.parent and _natural(one) == _natural(other):
            both = " and ".join(sorted((str(one), str(other))))
            raise UserError(f"--source: {source}: must hold one image of each frame; got {both}. Remove one.")
    return images


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
