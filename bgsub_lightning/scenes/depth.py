"""Frames deeper than 8 bits, as thermal cameras write them, and the one rule by which they become 8 bits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.errors import UserError
from bgsub_lightning.scenes.scene import Range, Scene

_PERCENTILES = 0.1, 99.9
_LEVELS = 255  # between black and white


def range_of(first: NDArray[Any]) -> Range | None:
    """Return the range of a source's grey levels by its first frame: what becomes 0 and what becomes 255.

    It reaches from the frame's 0.1th to its 99.9th percentile, of all channels together, and on either side by half as
    much again for what comes later. It is at least 255 levels wide, so that no noise is magnified.

    Args:
        first: The first frame, of any shape, uint8 or uint16.

    Returns:
        The range; ``None``: the source has 8 bits, and stays as it is.

    Raises:
        UserError: If it is of another type.

    Example:
        >>> range_of(np.linspace(20_000, 30_000, 1001).astype(np.uint16))
        (15020.0, 34980.0)
        >>> range_of(np.array([51600, 51640], np.uint16)), range_of(np.array([7], np.uint8))
        ((51492.5, 51747.5), None)
    """
    if first.dtype == np.uint8:
        return None
    if first.dtype != np.uint16:
        raise UserError(f"frames: must have 8 or 16 bits; got {first.dtype}. Convert them to uint8 or uint16.")
    low, high = (float(level) for level in np.percentile(first, _PERCENTILES, method="nearest"))
    width = max(2 * (high - low), _LEVELS)
    return (low + high - width) / 2, (low + high + width) / 2


def as_bytes(image: NDArray[Any], levels: Range | None, name: object = "frame") -> NDArray[np.uint8]:
    """Bring a frame to 8 bits: linear in a range, black below it and white above. A frame of 8 bits stays as it is.

    Args:
        image: uint8 or uint16, of any shape.
        levels: Range of its source; see :func:`range_of`.
        name: Its file, for the message.

    Raises:
        UserError: If it is deeper than the frames that the range was taken from.

    Example:
        >>> as_bytes(np.array([90, 100, 151, 355, 400], np.uint16), (100, 355)).tolist()
        [0, 0, 51, 255, 255]
    """
    if image.dtype == np.uint8:
        return image.astype(np.uint8, copy=False)
    if levels is None or image.dtype != np.uint16:
        raise UserError(
            f"{name}: is deeper than the first frame of its source, which has 8 bits; got {image.dtype}. Write all "
            f"frames of a source with the same depth."
        )
    low, high = levels
    scaled = (image.astype(np.float32) - np.float32(low)) * np.float32(_LEVELS / (high - low))
    return np.asarray(np.rint(scaled).clip(0, _LEVELS), np.uint8)


def parsed_range(text: str | None, option: str = "--range") -> Range | None:
    """Read ``low,high``.

    Raises:
        UserError: If these are not two numbers, the first below the second.
    """
    if text is None:
        return None
    try:
        low, high = (float(word) for word in text.strip("[]() ").split(","))
    except ValueError:
        low = high = 0.0
    return checked_range((low, high), option, text)


def checked_range(levels: Range, option: str, given: object = None) -> Range:
    """Return a range.

    Raises:
        UserError: If its first number is not below its second, or either is not finite.
    """
    if not (np.isfinite(levels).all() and levels[0] < levels[1]):
        raise UserError(
            f"{option}: must be two grey levels, the first below the second; got {given or list(levels)}. Write "
            f"low,high, such as 51000,52000."
        )
    return levels


def with_range(scenes: Iterable[Scene], levels: Range | None, option: str = "--range") -> list[Scene]:
    """Replace the range of those scenes whose frames are deeper than 8 bits.

    Args:
        scenes: The scenes.
        levels: The range; ``None``: each scene keeps its own.
        option: Where it comes from, for the message.

    Raises:
        UserError: If no scene is that deep.
    """
    found = list(scenes)
    if levels is None:
        return found
    if found and all(scene.range is None for scene in found):
        raise UserError(f"{option}: frames of 8 bits have no range; got {list(levels)}. Leave the option out.")
    return [scene if scene.range is None else replace(scene, range=levels) for scene in found]
