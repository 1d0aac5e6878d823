"""Shared by readers: find the files of a scene, and note what is wrong with them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

import cv2
from PIL import Image

from bgsub_lightning.core.decoding import read_pixels
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.depth import COLOUR, range_of
from bgsub_lightning.datasets.scene import Problem, Range, Scene
from bgsub_lightning.datasets.verdicts import verdicts

_ENDINGS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND"}
_ORIENTATION = 0x0112  # the tag of EXIF
_SIDEWAYS = {5, 6, 7, 8}  # orientations that swap width and height
_TAIL = 1024  # bytes; some programs write a few more after the end

_LAST = 999_999
_LONGEST = 10_000  # characters of temporalROI.txt that are read
"""The largest frame number: names have six digits."""


@dataclass
class Draft:
    """One scene's files while they are read: each method reads one thing and notes what is wrong with it.

    Attributes:
        frames_folder: The folder that holds the frames.
        frame_name: How they are named, such as ``in%06d.jpg``.
        problems: What was found wrong so far.
        range: See :attr:`Scene.range`.
    """

    frames_folder: Path
    frame_name: str
    problems: list[Problem] = field(default_factory=list)
    range: Range | None = None

    def note(self, severity: Literal["error", "warning"], file: Path, what: str, fix: str) -> None:
        """Add a problem (see :class:`Problem`)."""
        self.problems.append(Problem(severity, file, what, fix))

    def sound_frames(self, frames: Mapping[int, Path], start: int, pool: ThreadPoolExecutor) -> dict[int, Path]:
        """Leave out what was cut off in a download, and count the gaps from the number ``start`` on."""
        sound = dict(zip(frames, verdicts("whole", is_whole, frames.values(), pool), strict=True))
        damaged = [frames[number] for number, whole in sound.items() if not whole]
        if strange := next((path for path in damaged if not path.is_file()), None):
            self.note("error", strange, "is a folder or a pipe, not an image file", "Remove it.")
        elif damaged:
            what = f"{some(len(damaged), 'frame')} of this video {'is' if len(damaged) == 1 else 'are'} truncated"
            self.note("warning", damaged[0], what, "Left out; fetch the file again to have it back.")
        last = max(frames, default=start)
        missing = last - start - sum(start <= number < last for number in frames)
        if missing > 0:
            gap = next(number for number in range(start, last) if number not in frames)
            what = f"{some(missing, 'frame number')} missing before the last frame (the first is {gap})"
            self.note("warning", self.frames_folder, what, "Worked with the frames that are there.")
        return {number: path for number, path in frames.items() if sound[number]}

    def frame_size(self, frames: Mapping[int, Path]) -> tuple[int, int]:
        """Return width and height of the first frame, (0, 0) if there is none that can be decoded; note the range."""
        decoded = (read_pixels(each, COLOUR) for each in frames.values())  # no more of them than the range takes
        for path, image in zip(frames.values(), decoded, strict=False):
            if image is None:
                self.note("error", path, "cannot be decoded as an image", "Fetch the file again, or delete it.")
                return 0, 0
            try:
                self.range = range_of(chain([image], (each for each in decoded if each is not None)))
            except UserError as error:
                what, _, fix = str(error).removeprefix("frames: ").partition(". ")
                self.note("error", path, what, fix)
            if (turned := _header(path)[1]) != 1:
                what = f"is turned as its EXIF orientation {turned} says, to {image.shape[1]}×{image.shape[0]}"
                self.note("warning", path, what, "Masks must be turned alike; or save the frames upright.")
            return image.shape[1], image.shape[0]
        self.note("error", self.frames_folder, "holds no frame", f"Its files must be named {self.frame_name}.")
        return 0, 0

    @property
    def folder(self) -> Path:
        """The video's folder."""
        return self.frames_folder.parent

    def temporal_roi(self, start: int = 1) -> tuple[int, int]:
        """Return the first and the last number of the evaluated part, (1, 0) with an error noted if there is none.

        Args:
            start: The smallest number that a frame may have.
        """
        path = self.folder / "temporalROI.txt"
        fix = "It must hold the first and the last frame number of the evaluated part, such as '470 1700'."
        words: list[str] = []
        try:
            if not path.is_file():
                raise FileNotFoundError(path)
            with path.open(encoding="utf-8-sig", errors="replace") as file:  # a BOM is no part of a number
                words = file.read(_LONGEST).split()
            first, last = (int(word) for word in words)
        except OSError:
            self.note("error", path, "is missing", fix)
            return 1, 0
        except ValueError:
            self.note("error", path, f"does not parse ({' '.join(words)[:60]!r})", fix)
            return 1, 0
        if not start <= first <= last <= _LAST:
            self.note("error", path, f"is no range of frame numbers ({first} {last})", fix)
            return 1, 0
        return first, last

    def roi(self, size: tuple[int, int]) -> Path | None:
        """Return the file of the region of interest, ``None`` if it is the whole frame."""
        path = self.folder / "ROI.bmp"
        image = read_pixels(path, cv2.IMREAD_GRAYSCALE)
        if image is None:
            what = "cannot be decoded as an image" if path.is_file() else "is missing"
            self.note("warning", path, what, "The ROI is taken to be the whole frame.")
            return None
        if (uniform := bool((image == image.flat[0]).all())) and image.flat[0] == 0:
            self.note("error", path, "is black all over: nothing is inside the ROI", "Fetch it again, or delete it.")
        height, width = image.shape
        if size not in ((width, height), (0, 0)):
            what = f"is {width}×{height}, the frames are {size[0]}×{size[1]}"
            if uniform:
                self.note("warning", path, f"{what}, and it is uniform", "The ROI is taken to be the whole frame.")
            else:
                self.note("error", path, what, "Give it the frames' size; it cannot be guessed how it lies on them.")
        return None if uniform else path

    def named_otherwise(self, folder: Path, other: re.Pattern[str], expected: str) -> None:
        """Note files that would be masks under another name."""
        if not folder.is_dir():
            return
        strange = (path for path in folder.iterdir() if other.fullmatch(path.name))
        if found := sorted(path for path in strange if not path.with_suffix(".png").exists()):
            what = f"{some(len(found), 'mask')} of this video must be named {expected}; got {found[0].name}"
            self.note("warning", found[0], what, "Left out: save the original as PNG; a JPEG has lost the levels.")

    def sound_masks(
        self, masks: Mapping[int, Path], frames: Mapping[int, Path], size: tuple[int, int], pool: ThreadPoolExecutor
    ) -> dict[int, Path]:
        """Leave out the masks that have no frame, and look at the others.

        All are checked for truncation by a download, and the first for its size. Decoding a mask reports its other
        problems.
        """
        if lost := [path for number, path in masks.items() if number not in frames]:
            what = f"{some(len(lost), 'mask')} of this video without a frame that is there and whole"
            self.note("warning", lost[0], what, "Left out.")
        labelled = {number: path for number, path in masks.items() if number in frames}
        whole = verdicts("whole", is_whole, labelled.values(), pool)
        for position, (path, is_sound) in enumerate(zip(labelled.values(), whole, strict=True)):
            image = read_pixels(path, cv2.IMREAD_GRAYSCALE) if is_sound and position == 0 else None
            if not is_sound or (image is None and position == 0):
                what = "is truncated, or cannot be decoded as an image"
                self.note("error", path, what, "Fetch the mask again, or delete it.")
            elif image is not None:
                self.require_size(path, image.shape, size, "or delete the mask to leave the frame unlabelled")
        return labelled

    def require_size(self, path: Path, shape: Sequence[int], size: tuple[int, int], otherwise: str) -> None:
        """Note an error if a decoded image has not the frames' size."""
        if size not in ((shape[1], shape[0]), (0, 0)):
            what = f"is {shape[1]}×{shape[0]}, the frames are {size[0]}×{size[1]}"
            self.note("error", path, what, f"Fetch both again, {otherwise}.")


def stretched_frames(scene: Scene, pool: ThreadPoolExecutor) -> list[Problem]:
    """Name the frames that have another size than a video's first one, mostly by their headers alone."""
    width, height = scene.size
    frames = list(scene.frames.values())
    sound = verdicts(f"size {width}x{height}", lambda path: _size(path, scene.size) == scene.size, frames, pool)
    problems = []
    for path in (path for path, is_sound in zip(frames, sound, strict=True) if not is_sound):
        if size := _size(path, scene.size):
            what = f"is {size[0]}×{size[1]}, the video is {width}×{height}"
            fix = f"It is stretched to {width}×{height}; fetch it again, or delete it."
            problems.append(Problem("warning", path, what, fix))
        else:
            fix = "Fetch the file again, or delete it."
            problems.append(Problem("error", path, "cannot be decoded as an image", fix))
    return problems


def _size(path: Path, expected: tuple[int, int]) -> tuple[int, int] | None:
    """Return an image's width and height; ``None`` if it cannot be decoded, which only an unexpected size needs."""
    size, orientation = _header(path)
    if (size[::-1] if orientation in _SIDEWAYS else size) == expected:
        return expected
    image = read_pixels(path, COLOUR)
    return None if image is None else (image.shape[1], image.shape[0])


def _header(path: Path) -> tuple[tuple[int, int], int]:
    """Return the width and height that an image states, (0, 0) if none, and the EXIF orientation of a JPEG or 1."""
    is_jpeg = path.suffix.lower() in {".jpg", ".jpeg"}
    with suppress(Exception), Image.open(path) as image:  # of as many kinds as there are ways to be damaged
        return image.size, int(image.getexif().get(_ORIENTATION, 1)) if is_jpeg else 1
    return (0, 0), 1


def folders(folder: Path) -> list[Path]:
    """Return the folders inside a folder in order of their names, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def numbered(folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    """Return the files of a folder by the number in their names (the pattern's first group), ascending."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        matches = ((pattern.fullmatch(entry.name), entry.path) for entry in entries)
        return dict(sorted((int(match[1]), Path(path)) for match, path in matches if match))


def is_whole(path: Path) -> bool:
    """Whether an image was not cut off: OpenCV fills what is cut off with grey, and says nothing to the caller.

    A JPEG must have its end marker, a PNG its last chunk, a BMP the size that its header states.
    """
    if not path.is_file():  # a folder of such a name, or a pipe, which would block
        return False
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if path.suffix.lower() == ".bmp":
            file.seek(2)
            return size >= max(14, int.from_bytes(file.read(4), "little"))
        file.seek(max(0, size - _TAIL))
        return not is_cut_off(path, file.read())


def is_cut_off(path: Path, content: bytes) -> bool:
    """Whether the content of a JPEG or PNG, or its last part, has no end; of other files: whether it is empty."""
    ending = _ENDINGS.get(path.suffix.lower())
    return ending not in content[-_TAIL:] if ending else not content


def some(count: int, noun: str) -> str:
    """Return a count with its noun, such as ``2 frames``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
