"""Events of objects: they come and go, cross lines, enter and leave zones, stand still."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.inference.blobs import Box
from bgsub_lightning.inference.regions import Points, beyond, crossing, require_separate_names, side
from bgsub_lightning.inference.tracking import Track

_MARGIN = 2.0
"""Pixels by which an object must have passed a line or a border, so that one that stands on it is counted once."""
_STILL = 0.15
"""Way, in diagonals of its box, that an object which stands still may have gone."""

Name = Literal["enter", "leave", "cross", "abandoned", "removed", "moved_on"]


@dataclass(frozen=True)
class Event:
    """An event of an object.

    Attributes:
        frame: Number of the frame.
        time: Its time in s.
        event: ``enter``, ``leave``: the picture, or a zone; ``cross``: a line; ``abandoned``: it stood still for the
            given time; ``removed``: so did the hole that something left; ``moved_on``: it stood still until now.
        id: The object's.
        place: The line's or the zone's name; empty: the picture.
        direction: Of a crossing: ``in`` to the right of the line, seen from its first point, ``out`` to the left.
        inside: Number of objects inside of the zone after the event; ``None`` for lines.
    """

    frame: int
    time: float
    event: Name
    id: int
    place: str = ""
    direction: str = ""
    inside: int | None = None

    def record(self) -> dict[str, Any]:
        """Return what is written to ``events.jsonl``: what the event has, and nothing else."""
        return {
            name: round(value, 6) if name == "time" else value
            for name, value in asdict(self).items()
            if value is not None and value != ""
        }


class Counts:
    """How often a line was crossed, or a zone entered and left.

    Attributes:
        into: Crossings to the right of a line; entries into a zone.
        out: Crossings to the left; exits.
        inside: Ids of the objects in a zone.
    """

    def __init__(self) -> None:
        self.into = 0
        self.out = 0
        self.inside: set[int] = set()


class Activity:
    """Turns tracks into events, and counts them.

    Args:
        still: Seconds after which an object that stands still is reported; ``None``: never.

    Attributes:
        lines: Name → two points.
        zones: Name → polygon.
        counts: Name of a line or a zone → its counts; the picture's has the name ``""``.

    Raises:
        UserError: If ``still`` is out of its range.
    """

    def __init__(self, still: float | None = None) -> None:
        check_range("", above=0, most=1e6, still=still)
        self.still = still
        self.lines: dict[str, Points] = {}
        self.zones: dict[str, Points] = {}
        self.counts = {"": Counts()}
        self._borders: dict[str, Points] = {}
        self._sides: dict[tuple[str, int], tuple[bool, tuple[float, float]]] = {}
        self._resting: dict[int, tuple[tuple[float, float], float, bool]] = {}

    def place(self, lines: Mapping[str, Points], zones: Mapping[str, Points], size: tuple[int, int]) -> None:
        """Set lines and zones; those of known names keep their counts.

        Args:
            lines: Name → two points.
            zones: Name → polygon.
            size: Height and width of the frames.

        Raises:
            UserError: If a line and a zone have one name.
        """
        require_separate_names(lines, zones)
        self.lines, self.zones = dict(lines), dict(zones)
        self._borders = {name: beyond(polygon, size) for name, polygon in zones.items()}
        self.counts |= {name: Counts() for name in (*lines, *zones) if name not in self.counts}
        self._sides = {}

    def update(
        self,
        number: int,
        time: float,
        tracks: Sequence[Track],
        is_hole: Callable[[Box], bool] = lambda _: False,
    ) -> list[Event]:
        """Take the objects of the next frame.

        Args:
            number: Of the frame.
            time: Of the frame in s.
            tracks: All objects in it, those that are hidden too.
            is_hole: Whether the foreground in a box is a hole that something left; asked when it is reported.

        Returns:
            What happened in this frame.
        """
        events = list(self._events(number, time, tracks, is_hole))
        present = {track.id for track in tracks}
        self._sides = {key: value for key, value in self._sides.items() if key[1] in present}
        self._resting = {key: value for key, value in self._resting.items() if key in present}
        return events

    def _events(
        self, number: int, time: float, tracks: Sequence[Track], is_hole: Callable[[Box], bool]
    ) -> Iterator[Event]:
        inside = {"": {track.id for track in tracks}}
        for name, polygon in self._borders.items():
            before = self.counts[name].inside
            inside[name] = {
                each.id
                for each in tracks
                if (_is_inside(polygon, each, each.id in before) if each.is_seen else each.id in before)
            }
        for name, ids in inside.items():
            counts = self.counts[name]
            for identity in sorted(ids - counts.inside):
                counts.into += 1
                counts.inside.add(identity)
                yield Event(number, time, "enter", identity, name, inside=len(counts.inside))
            for identity in sorted(counts.inside - ids):
                counts.out += 1
                counts.inside.remove(identity)
                yield Event(number, time, "leave", identity, name, inside=len(counts.inside))
        for track in tracks:
            for name, line in self.lines.items():
                if direction := self._crossed(name, line, track):
                    yield Event(number, time, "cross", track.id, name, direction)
            if self.still is not None and (event := self._rest(track, self.still, is_hole)):
                yield Event(number, time, event, track.id)

    def _crossed(self, name: str, line: Points, track: Track) -> str:
        distance = side(line, track.anchor)
        if not track.is_seen or abs(distance) < _MARGIN:  # where it is expected is no evidence
            return ""
        is_right = distance > 0
        was_right, point = self._sides.get((name, track.id), (is_right, track.anchor))
        self._sides[name, track.id] = is_right, track.anchor
        if was_right == is_right or not crossing(point, track.anchor, *line):
            return ""
        counts = self.counts[name]
        counts.into += is_right
        counts.out += not is_right
        return "in" if is_right else "out"

    def _rest(self, track: Track, still: float, is_hole: Callable[[Box], bool]) -> Name | None:
        if not track.is_seen:
            return None
        point, since, is_reported = self._resting.get(track.id, (track.anchor, track.time, False))
        reach = max(_MARGIN, _STILL * math.hypot(track.box.width, track.box.height))
        if math.dist(point, track.anchor) > reach:
            self._resting[track.id] = track.anchor, track.time, False
            return "moved_on" if is_reported else None
        is_due = not is_reported and track.time - since >= still
        self._resting[track.id] = point, since, is_reported or is_due
        if not is_due:
            return None
        return "removed" if is_hole(track.box) else "abandoned"


def is_hole(image: NDArray[np.uint8], background: NDArray[np.uint8], mask: NDArray[np.uint8]) -> bool:
    """Whether a blob is the hole that something left, rather than something new.

    The outline of the blob runs along edges of the picture that has the object: of the background if it was removed.

    Args:
        image: Of the frame, shape ``(h, w)`` or ``(h, w, 3)``, uint8.
        background: Of the same shape.
        mask: Of the blob, shape ``(h, w)``, uint8; foreground is not 0.
    """
    outline = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
    return bool(_edges(background)[outline].sum() > _edges(image)[outline].sum())


def _edges(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    smooth = cv2.GaussianBlur(grey, (3, 3), 0)
    return np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))


def _is_inside(polygon: Points, track: Track, was_inside: bool) -> bool:
    distance = cv2.pointPolygonTest(polygon.astype(np.float32), track.anchor, True)  # positive inside
    return bool(distance >= (-_MARGIN if was_inside else _MARGIN))
