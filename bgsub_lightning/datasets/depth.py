"""Frames deeper than 8 bits, as thermal cameras write them, and the one rule by which they become 8 bits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from numbers import Real
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.decoding import read_pixels
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.scene import Problem, Range, Scene

_PERCENTILES = 0.1, 99.9
_LEVELS = 255  # between black and white
_FRAMES = 8  # that a range is taken from
_AHEAD = 100  # among which these are looked for
_SAMPLES = 8  # of a scene, that must lie in its range
_FURTHEST = 1_000_000  # of a level from 0

COLOUR = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH
"""How frames are decoded: with the depth that they have."""


def range_of(frames: Iterable[NDArray[Any]]) -> Range | None:
    """Return the range of a source's grey levels by its first frames: what becomes 0 and what becomes 255.

    Each of the first 8 frames that are not uniform, of the first 100, reaches from its 0.1th to its 99.9th percentile,
    of all channels together; levels 0 and 65535 do not count, as a closed shutter, a border or a dead pixel has them.
    The range reaches from the median of the lower ends to that of the upper ones, and on either side by half as much
    again for what comes later. It is at least 255 levels wide, so that no noise is magnified. Where all frames are
    uniform, all count.

    Args:
        frames: The first frames, of any shape, uint8 or uint16; no more of them are taken than are needed.

    Returns:
        The range; ``None``: the source has 8 bits, and stays as it is, or there is no frame.

    Raises:
        UserError: If the first is of another type.

    Example:
        >>> range_of([np.linspace(20_000, 30_000, 1001).astype(np.uint16)])
        (15020.0, 34980.0)
        >>> shutter, scene = np.array([[0, 0], [51600, 51640]], np.uint16)
        >>> range_of([shutter, scene]), range_of([np.array([7], np.uint8)])
        ((51492.5, 51747.5), None)
    """
    uneven: list[Range] = []
    uniform: list[Range] = []
    blank: list[Range] = []
    for image in islice(frames, _AHEAD):
        if image.dtype != np.uint16:
            if uneven or uniform or blank:
                continue  # which is refused with its name when it is shown
            _require_depth(image, "frames")
            return None
        if (span := _span(image)) is None:
            blank.append((float(image.min()), float(image.max())))
        else:
            (uneven if span[0] < span[1] else uniform).append(span)
        if len(uneven) == _FRAMES:
            break
    if not (chosen := uneven or uniform or blank):
        return None
    low, high = (float(level) for level in np.median(chosen, axis=0))
    width = max(2 * (high - low), _LEVELS)
    return (low + high - width) / 2, (low + high + width) / 2


def _span(image: NDArray[Any]) -> Range | None:
    """Return the percentiles of a frame of 16 bits, ``None`` if it has no other levels than 0 and 65535."""
    measured = image[(image > 0) & (image < 65535)]
    if not measured.size:
        return None
    low, high = (float(level) for level in np.percentile(measured, _PERCENTILES, method="nearest"))
    return low, high


def outside(image: NDArray[Any], levels: Range) -> str:
    """Say how a frame of 16 bits misses a range; empty if half of its pixels lie in it, or it is uniform.

    Example:
        >>> outside(np.array([90, 400, 450], np.uint16), (100, 355))
        'must lie in the range 100 to 355 that becomes 0 to 255; got 100 % of its pixels outside'
    """
    share, span = _share_outside(image, levels), _span(image)
    if share <= 0.5 or span is None or span[0] == span[1]:  # a shutter's frame may come at any time
        return ""
    becomes = f"{levels[0]:g} to {levels[1]:g} that becomes 0 to 255"
    return f"must lie in the range {becomes}; got {100 * share:.0f} % of its pixels outside"


def _share_outside(image: NDArray[Any], levels: Range) -> float:
    return float(np.mean((image < levels[0]) | (image > levels[1])))


class Depth:
    """Brings the frames of one source to 8 bits: all have the same depth, and those of 16 bits one range.

    Args:
        levels: The range; ``None``: by the first frames. Where these cannot be looked at ahead (see :meth:`look`) it is
            taken from the first that is not uniform; a uniform one has a range for as long as frames lie in it.
        option: What gives it, for messages.

    Attributes:
        range: What becomes 0 and 255; ``None``: not known yet, or the frames have 8 bits.
        warning: What is to be said of the first frame that lies mostly outside of the range; empty if there is none.
    """

    def __init__(self, levels: Range | None = None, option: str = "--range") -> None:
        self.range = levels
        self.warning = ""
        self._option = option
        self._bits = 0
        self._is_open = levels is None

    def look(self, frames: Iterable[NDArray[Any]]) -> None:
        """Take the range from the first frames (see :func:`range_of`), unless there is one already."""
        if self._is_open and (found := range_of(frames)) is not None:
            self.range, self._is_open = found, False

    def shown(self, image: NDArray[Any], name: object = "frame") -> NDArray[np.uint8]:
        """Bring the next frame to 8 bits; see :func:`as_bytes`.

        Args:
            image: Of any shape, uint8 or uint16.
            name: Its file, for messages.

        Raises:
            UserError: If it has another depth than the frames before, or 8 bits where a range is given.
        """
        _require_depth(image, name)
        bits = 8 * image.dtype.itemsize
        if not self._bits and bits == 8 and self.range is not None:
            raise _rangeless(self.range, self._option)
        if bits != (self._bits or bits):
            raise _other_depth(name, self._bits, image)
        self._bits = bits
        if bits == 8:
            return as_bytes(image, None, name)
        levels = self.range
        if self._is_open:
            span = _span(image)
            if levels is None or (span and _share_outside(image, levels) > 0.5):
                levels = range_of([image])
            if span:
                self.range, self._is_open = levels, span[0] == span[1]
        if levels is not None and not self.warning and (what := outside(image, levels)):
            self.warning = f"{name}: {what}. {_cure(self._option)}"
        return as_bytes(image, levels, name)


def as_bytes(image: NDArray[Any], levels: Range | None, name: object = "frame") -> NDArray[np.uint8]:
    """Bring a frame to 8 bits: linear in a range, black below it and white above. A frame of 8 bits stays as it is.

    Args:
        image: uint8 or uint16, of any shape.
        levels: Range of its source, which has 16 bits (see :func:`range_of`); ``None``: it has 8.
        name: Its file, for the message.

    Raises:
        UserError: If it has another depth than its source.

    Example:
        >>> as_bytes(np.array([90, 100, 151, 355, 400], np.uint16), (100, 355)).tolist()
        [0, 0, 51, 255, 255]
    """
    _require_depth(image, name)
    if (image.dtype == np.uint8) is not (levels is None):
        raise _other_depth(name, 8 if levels is None else 16, image)
    if levels is None:
        return image.astype(np.uint8, copy=False)
    low, high = levels
    scaled = (image.astype(np.float32) - np.float32(low)) * np.float32(_LEVELS / (high - low))
    return np.asarray(np.rint(scaled).clip(0, _LEVELS), np.uint8)


def _require_depth(image: NDArray[Any], name: object) -> None:
    if image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{name}: must have 8 or 16 bits; got {image.dtype}. Convert to uint8 or uint16.")


def _other_depth(name: object, bits: int, image: NDArray[Any]) -> UserError:
    return UserError(
        f"{name}: must have {bits} bits, as the other frames of its source have; got {8 * image.dtype.itemsize} bits "
        f"({image.dtype}). Write all frames, and the background, with the same depth."
    )


def _rangeless(levels: Range, option: str) -> UserError:
    return UserError(f"{option}: frames of 8 bits have no range; got {list(levels)}. Leave the option out.")


def _cure(option: str) -> str:
    return f"Set {option} to the grey levels of the scene, such as 51000,52000."


def parsed_range(text: str | None) -> Range | None:
    """Read ``low,high``.

    Raises:
        UserError: If these are not two numbers, the first below the second.
    """
    if text is None:
        return None
    try:
        levels = [float(word) for word in text.strip("[]() ").split(",")]
    except ValueError:
        levels = []
    return checked_range(levels, "--range", text)


def checked_range(levels: Any, option: str, given: object = None) -> Range:
    """Return a range, whatever was given for it.

    Args:
        levels: Two numbers.
        option: What gives it, for the message.
        given: What is to be said that was given; ``None``: ``levels``.

    Raises:
        UserError: If these are not two numbers, the first at least 1 below the second, neither beyond ±1,000,000.
    """
    found = list(levels) if isinstance(levels, (list, tuple, np.ndarray)) else []
    if (
        len(found) != 2
        or any(isinstance(level, bool) or not isinstance(level, Real) for level in found)
        or not all(math.isfinite(level) and abs(level) <= _FURTHEST for level in found)
        or not found[1] - found[0] >= 1
    ):
        got = " ".join(repr(levels).split())[:60] if given is None else given
        raise UserError(
            f"{option}: must be two grey levels, the first at least 1 below the second, from -{_FURTHEST:,} to "
            f"{_FURTHEST:,}; got {got}. Name two, such as 51000,52000."
        )
    return float(found[0]), float(found[1])


def with_range(scenes: Iterable[Scene], levels: Range | None, option: str = "--range") -> list[Scene]:
    """Replace the range of those scenes whose frames are deeper than 8 bits, and note where frames lie outside of it.

    Args:
        scenes: The scenes.
        levels: The range; ``None``: each scene keeps its own.
        option: Where it comes from, for messages.

    Raises:
        UserError: If no scene is that deep.
    """
    found = list(scenes)
    if levels is not None and found and all(scene.range is None for scene in found):
        raise _rangeless(levels, option)
    return [scene if scene.range is None else _with_range(scene, levels or scene.range, option) for scene in found]


def _with_range(scene: Scene, levels: Range, option: str) -> Scene:
    """Replace the range of a scene, and note the first of some frames that lies mostly outside of it."""
    files = list(scene.frames.values())
    noted: tuple[Problem, ...] = ()
    for place in sorted({place * (len(files) - 1) // (_SAMPLES - 1) for place in range(_SAMPLES)} if files else ()):
        image = read_pixels(files[place], COLOUR)
        if image is not None and image.dtype == np.uint16 and (what := outside(image, levels)):
            noted = (Problem("warning", files[place], what, _cure(option)),)
            break
    return replace(scene, range=levels, problems=scene.problems + noted)
