"""Frames under another light, brought back to the light of the background."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

_OFFSET = 8.0  # grey levels: ratios of dark pixels are noise

_EQUAL, _MORE = 0.1, 0.02  # log ratio; share of the image


class Relighting:
    """Estimates by which factor each region is lighter than the background, and takes it away.

    Iteratively reweighted least squares of the log ratio at a quarter of the size: a pixel that its neighbourhood does
    not explain, as of an object, loses its weight. What is left in a dead zone is noise, and stays.

    Args:
        dead_zone: Log ratio below which nothing is changed.
        window: Side of the neighbourhood in pixels at a quarter of the size.
        largest: Log ratio beyond which nothing more is taken away.
    """

    def __init__(self, dead_zone: float = 0.02, window: int = 25, largest: float = 0.9) -> None:
        self.dead_zone, self.window, self.largest = dead_zone, window, largest
        self._background: Floats | None = None
        self._version = -1

    def __call__(self, frame: Bytes, background: Bytes, version: int) -> Bytes:
        """Return a frame, planar, ``(3, H, W)``, in the light of the background.

        Args:
            frame: Shape ``(3, H, W)``, uint8.
            background: Of the same shape.
            version: Number of the background: what is computed from it is kept until another comes.
        """
        if self._background is None or version != self._version:
            self._version = version
            self._background = _log_small(background)
        ratio = _log_small(frame) - self._background
        gain, tint = self._gain(ratio)
        if max(np.abs(gain).max(), np.abs(tint).max()) <= self.dead_zone or not _explains(ratio, gain, tint):
            return frame
        gain = gain * np.clip(np.abs(gain) / self.dead_zone - 1, 0, 1)  # all of it from twice the dead zone on
        size = frame.shape[:0:-1]
        relit = np.empty_like(frame)
        for channel, plane in enumerate(frame):
            own = float(tint[channel]) if abs(tint[channel]) > self.dead_zone / 2 else 0.0
            factor = np.exp(-np.clip(gain + own, -self.largest, self.largest)).astype(np.float32)
            factor = np.asarray(cv2.resize(factor, size, interpolation=cv2.INTER_LINEAR))
            lit = (plane.astype(np.float32) + _OFFSET) * factor - (_OFFSET - 0.5)
            relit[channel] = np.clip(lit, 0, 255).astype(np.uint8)
        return relit

    def _gain(self, ratio: Floats) -> tuple[Floats, Floats]:
        """Return the log gain of each pixel, ``(h, w)``, and what each channel adds to it, ``(3,)``."""
        grey = ratio.mean(0)
        *channels, middle = np.median(np.stack([*ratio, grey]).reshape(4, -1), 1)
        overall = float(middle)
        tint = np.array(channels, np.float32) - overall
        roughness = np.maximum(cv2.blur(grey * grey, (3, 3)) - cv2.blur(grey, (3, 3)) ** 2, 0)
        trust = 1 / (1 + roughness / 0.05**2)  # the outline of an object makes the ratio rough
        prior = np.float32(0.02 * trust.mean())
        gain, scale = np.full_like(grey, overall), 0.3
        for _ in range(3):
            weight = trust / (1 + ((grey - gain) / scale) ** 2)
            gain = self._spread(weight * grey + prior * overall) / self._spread(weight + prior)
            scale = max(0.1, 0.6 * scale)
        return gain, tint

    def _spread(self, values: Floats) -> Floats:
        wide = cv2.blur(values, (self.window, self.window), borderType=cv2.BORDER_REFLECT)
        return np.asarray(cv2.blur(wide, (9, 9), borderType=cv2.BORDER_REFLECT), np.float32)


def _explains(ratio: Floats, gain: Floats, tint: Floats) -> bool:
    """Whether more of the image equals the background under the gain than without: not so where objects cover it."""
    before, after = np.abs(ratio).max(0), np.abs(ratio - gain - tint[:, None, None]).max(0)
    return float(np.mean(after < _EQUAL)) > float(np.mean(before < _EQUAL)) + _MORE


def _log_small(planes: Bytes) -> Floats:
    height, width = planes.shape[1:]
    size = max(1, width // 4), max(1, height // 4)
    small = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes])
    return np.asarray(np.log(small.astype(np.float32) + _OFFSET), np.float32)
