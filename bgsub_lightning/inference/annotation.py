"""Drawings on frames: foreground, boxes with ids, trails, lines, zones, counts."""

from __future__ import annotations

import colorsys
from collections import deque
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.inference.events import Activity
from bgsub_lightning.inference.regions import Points
from bgsub_lightning.inference.result import Result

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN = 0.618034
"""Turn of the hue from one id to the next, so that ids which follow each other differ most."""
_LINE = (255, 200, 0)
_TRAIL = 50
"""Points of a trail."""

_TINT = (255, 40, 40)
_TINTED = (
    np.array([[(0.6 * level + 0.4 * tint) for tint in _TINT] for level in range(256)]).round().astype(np.uint8)[None]
)
"""Level → level under the tint, of each channel."""


class Annotator:
    """Draws what is known of a frame onto it: foreground, boxes with ids, ways, lines and zones with their counts."""

    def __init__(self) -> None:
        self._ways: dict[int, deque[tuple[int, int]]] = {}

    def draw(self, result: Result) -> NDArray[np.uint8]:
        """Return the frame with all that is known of it: RGB, shape ``(h, w, 3)``, uint8."""
        shown = tinted(result.frame, result.mask)
        thick = max(1, round(shown.shape[0] / 480))
        size = max(0.4, shown.shape[0] / 900)
        if result.activity is not None:
            self._places(shown, result.activity, thick, size)
        self._ways = {track.id: self._ways.get(track.id, deque(maxlen=_TRAIL)) for track in result.tracks}
        for track in result.tracks:
            way = self._ways[track.id]
            way.append((round(track.anchor[0]), round(track.anchor[1])))
            tone = colour(track.id)
            if len(way) > 1:
                cv2.polylines(shown, [np.array(way, np.int32)], False, tone, thick, cv2.LINE_AA)
            box = track.box
            if track.is_seen:
                cv2.rectangle(shown, (box.x, box.y), (box.x + box.width, box.y + box.height), tone, thick)
            label(shown, str(track.id), (box.x, box.y), tone, size, thick)
        return shown

    @staticmethod
    def _places(shown: NDArray[np.uint8], activity: Activity, thick: int, size: float) -> None:
        places: tuple[Mapping[str, Points], Mapping[str, Points]] = (activity.lines, activity.zones)
        for is_zone, named in enumerate(places):
            for name, points in named.items():
                cv2.polylines(shown, [points.round().astype(np.int32)], bool(is_zone), _LINE, thick, cv2.LINE_AA)
                counts = activity.counts[name]
                text = f"{name}: {len(counts.inside)}" if is_zone else f"{name}: in {counts.into} out {counts.out}"
                x, y = points.mean(0)
                label(shown, text, (round(x), round(y)), _LINE, size, thick)


def tinted(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Show the foreground of a frame in red, with its outline: RGB, shape ``(h, w, 3)``, uint8."""
    shown = image.copy()
    x, y, width, height = cv2.boundingRect(mask)  # most of the picture is background
    part = np.s_[y : y + height, x : x + width]
    if width:
        cv2.copyTo(cv2.LUT(image[part], _TINTED), mask[part], shown[part])
    outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, outlines, -1, _TINT, 1)
    return shown


def label(
    shown: NDArray[np.uint8], text: str, corner: tuple[int, int], tone: tuple[int, int, int], size: float, thick: int
) -> None:
    """Write a text above a point, within the picture, in black on a tone."""
    (width, height), below = cv2.getTextSize(text, _FONT, size, thick)
    x = min(max(0, corner[0]), max(0, shown.shape[1] - width - 2))
    y = min(max(height + below, corner[1]), shown.shape[0])
    cv2.rectangle(shown, (x, y - height - below), (x + width + 2, y), tone, cv2.FILLED)
    cv2.putText(shown, text, (x + 1, y - below + 1), _FONT, size, (0, 0, 0), thick, cv2.LINE_AA)


def colour(identity: int) -> tuple[int, int, int]:
    """Return the colour of an id: RGB, bright, always the same."""
    red, green, blue = colorsys.hsv_to_rgb(identity * _GOLDEN % 1, 0.75, 1)
    return round(255 * red), round(255 * green), round(255 * blue)
