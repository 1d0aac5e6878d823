"""Frames and numbers that a program hands over: checked, and named in messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError

_FRAME = "must be uint8 or uint16, BGR (h, w, 3) or grey (h, w)"


def checked_frames(images: Sequence[NDArray[np.uint8]], most: int, numbers: Sequence[int] | None = None) -> None:
    """Check what is pushed.

    Raises:
        UserError: If there are too many, they are no RGB images of one size, or their numbers are none.
    """
    if not isinstance(images, (Sequence, np.ndarray)) or not 1 <= len(images) <= most:
        count = len(images) if isinstance(images, (Sequence, np.ndarray)) else got(images)
        raise UserError(f"images: must be 1 to {most} frames (batch_size); got {count}.")
    for place, image in enumerate(images):
        is_array = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size
        if not is_array or image.shape != (*images[0].shape[:2], 3):
            raise UserError(f"images[{place}]: must be RGB (h, w, 3), uint8, all of one size; got {got(image)}.")
    if numbers is not None:
        found = list(numbers) if isinstance(numbers, (Sequence, np.ndarray)) else []
        are_whole = all(isinstance(each, Integral) and not isinstance(each, bool) for each in found)
        if not are_whole or len(found) != len(images) or any(one >= other for one, other in pairwise(found)):
            what = f"whole numbers that ascend, one for each frame of {len(images)}"
            raise UserError(f"numbers: must be {what}; got {got(numbers)}.")


def require_number(name: str, value: Any) -> None:
    """Refuse nothing at all, and several, which :func:`~bgsub_lightning.core.ranges.check_range` lets pass.

    Raises:
        UserError: If it is one of these.
    """
    if value is None or (isinstance(value, Iterable) and not isinstance(value, str)):
        raise UserError(f"{name}: must be a number; got {got(value)}.")


def checked_frame(image: Any, name: str) -> NDArray[Any]:
    """Return a frame of 8 or 16 bits, in the order of bytes that this machine has.

    Raises:
        UserError: If it is none.
    """
    if not (
        isinstance(image, np.ndarray)
        and image.dtype.kind == "u"
        and image.dtype.itemsize <= 2
        and image.ndim in {2, 3}
        and image.shape[2:] in {(), (1,), (3,)}
        and image.size
    ):
        is_float = isinstance(image, np.ndarray) and image.dtype.kind == "f"
        raise UserError(f"{name}: {_FRAME}; got {got(image)}.{' Convert it to uint8.' if is_float else ''}")
    return image.astype(image.dtype.newbyteorder("="), copy=False)


def got(value: Any) -> str:
    """Return what a message calls a value."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
