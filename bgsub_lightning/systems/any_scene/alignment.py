"""Frames of a camera that shakes, moved onto the background."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Shift = tuple[float, float]

STILL: Shift = (0.0, 0.0)

_SMALLEST, _LARGEST = 0.15, 10.0  # pixels at the size that is compared
_MARGIN = 12
_LEAST = 90  # smaller frames cannot separate a shift from water or leaves
_GAIN, _SHARE = 0.025, 0.5


class Alignment:
    """Finds by how much a frame is shifted against the background: phase correlation, and a check by blocks.

    Both are taken at half the size, or at the size of frames that are small already, as grey without low frequencies.
    A shift is believed where it raises the correlation of most blocks that have texture: so it does not follow water,
    or a large object.
    """

    def __init__(self) -> None:
        self._version = -1
        self._reference: Floats | None = None
        self._window: Floats | None = None

    def shift(self, frame: Bytes, background: Bytes, version: int) -> Shift:
        """Return by how many pixels to move a frame, right and down; :data:`STILL` where none is certain.

        Args:
            frame: Planar, ``(3, H, W)``.
            background: Of the same shape.
            version: Number of the background: what is computed from it is kept until another comes.
        """
        if self._reference is None or self._window is None or version != self._version:
            self._version = version
            self._reference = _texture(background)
            self._window = np.asarray(cv2.createHanningWindow(self._reference.shape[::-1], cv2.CV_32F), np.float32)
        if min(self._reference.shape) < _LEAST:
            return STILL
        shown = _texture(frame)
        # copies: where a side needs no padding, OpenCV multiplies its arguments by the window in place
        (dx, dy), _ = cv2.phaseCorrelate(self._reference.copy(), shown.copy(), self._window)
        if not _SMALLEST <= max(abs(dx), abs(dy)) <= _LARGEST:
            return STILL
        scale = frame.shape[-1] / shown.shape[-1]
        return (-scale * dx, -scale * dy) if self._helps(shown, (-dx, -dy)) else STILL

    def _helps(self, shown: Floats, shift: Shift) -> bool:
        reference = self._reference
        assert reference is not None
        before, energy = _blocks(reference, shown), _blocks(reference, reference)
        textured = energy > np.median(energy) / 2
        moved = move(shown, shift)

        def correlation(image: Floats, products: Floats) -> Floats:
            return np.asarray(products / (np.sqrt(energy * _blocks(image, image)) + 1), np.float32)

        gain = (correlation(moved, _blocks(reference, moved)) - correlation(shown, before))[textured]
        return bool(np.median(gain) > _GAIN and np.mean(gain > 0.8 * _GAIN) > _SHARE)


def move(image: NDArray[Any], shift: Shift) -> NDArray[Any]:
    """Move a plane, ``(H, W)``, or planes, ``(C, H, W)``; the border is repeated."""
    if image.ndim == 3:
        return np.stack([move(plane, shift) for plane in image])
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    size = image.shape[::-1]
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def covered(size: tuple[int, ...], shift: Shift) -> NDArray[np.bool_]:
    """Return which pixels of an image, ``(H, W)``, a moved frame reaches."""
    inside = np.ones(size, np.bool_)
    for axis, amount in ((1, shift[0]), (0, shift[1])):
        lost = min(int(np.ceil(abs(amount))), size[axis])
        if lost:
            edge = [slice(None), slice(None)]
            edge[axis] = slice(None, lost) if amount > 0 else slice(size[axis] - lost, None)
            inside[tuple(edge)] = False
    return inside


def _texture(planes: Bytes) -> Floats:
    grey = cv2.addWeighted(cv2.addWeighted(planes[0], 0.5, planes[2], 0.5, 0), 0.5, planes[1], 0.5, 0)
    if min(grey.shape) >= 2 * _LEAST:
        grey = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    small = np.asarray(grey, np.float32)
    return np.asarray(np.clip(small - cv2.GaussianBlur(small, (0, 0), 4), -24, 24), np.float32)


def _blocks(a: Floats, b: Floats) -> Floats:
    inside = np.s_[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    return np.asarray(cv2.resize(a[inside] * b[inside], (8, 6), interpolation=cv2.INTER_AREA), np.float32)
