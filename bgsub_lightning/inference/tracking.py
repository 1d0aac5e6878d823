"""Blobs become objects: tracks with ids, by constant velocity and assignment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.inference.blobs import Box

_POSITION = 0.05
"""Standard deviation of a blob's centre, in diagonals of its box."""
_ACCELERATION = 2.0
"""Standard deviation of an object's acceleration, in diagonals per s²."""
_SPEED = 3.0
"""Standard deviation of the unknown speed of a new object, in diagonals per s."""
_REACH = 1.0
"""Distance between a blob and where an object is expected, in diagonals of its box, beyond which they do not match."""
_GROWTH = 4.0
"""Factor by which the areas of a blob and of an object's box differ at most."""
_INSIDE = 0.6
"""Share of a blob inside the expected box of an object from which the blob is taken for a fragment of that object."""
_LARGER = 1.15
"""Width and height that a blob may have with its fragments, in those that are usual for the object."""
_MERGED = 1.4
"""Area of a blob, in areas of an object's box, from which the blob may hold a second object as well."""
_SLOWED = 0.9
"""Factor of the velocity of objects in a blob that they share, for each frame."""
_SMOOTHING = 0.2
"""Weight of the newest box in an object's usual size."""


@dataclass(frozen=True)
class Track:
    """An object in one frame.

    Attributes:
        id: Its number, from 1, in the order in which objects were confirmed.
        box: Its blob; where it is hidden or merged with another, its expected place, of area 0.
        time: Time of the frame in s.
        since: Time in s at which it was first seen.
        anchor: Where it stands, x and y in pixels: the middle of the lower edge of its smoothed box, in the picture.
        velocity: Of its centre, x and y in pixels per s.
        is_seen: Whether a blob in this frame is this object's alone.
    """

    id: int
    box: Box
    time: float
    since: float
    anchor: tuple[float, float]
    velocity: tuple[float, float]
    is_seen: bool

    @property
    def speed(self) -> float:
        """Pixels per s."""
        return math.hypot(*self.velocity)


@dataclass
class _Object:
    """A Kalman filter of constant velocity for the centre, of the same covariance in x and y; and the usual size."""

    box: Box
    since: float
    time: float
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    variances: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of position, of both, of velocity
    id: int = 0
    hits: int = 1
    seen: float = 0.0
    is_seen: bool = True

    @classmethod
    def of(cls, box: Box, time: float) -> _Object:
        made = cls(box, time, time, _centre(box), np.array([box.width, box.height], float), seen=time)
        made.variances = ((_POSITION * made.diagonal) ** 2, 0.0, (_SPEED * made.diagonal) ** 2)
        return made

    @property
    def diagonal(self) -> float:
        return float(np.hypot(*self.size))

    @property
    def expected(self) -> Box:
        """The box that its filter expects, of area 0, since no pixel of it was seen."""
        x, y = self.centre - self.size / 2
        width, height = self.size
        return Box(round(x), round(y), max(1, round(width)), max(1, round(height)), 0)

    def predict(self, time: float) -> None:
        step = time - self.time
        self.time = time
        self.is_seen = False
        self.centre = self.centre + step * self.velocity
        position, both, speed = self.variances
        noise = (_ACCELERATION * self.diagonal) ** 2
        self.variances = (
            position + 2 * step * both + step**2 * speed + noise * step**3 / 3,
            both + step * speed + noise * step**2 / 2,
            speed + noise * step,
        )

    def update(self, box: Box, largest: Box) -> None:
        """Take its box in this frame, and the largest blob in that, beyond which its usual size does not grow."""
        position, both, speed = self.variances
        total = position + (_POSITION * self.diagonal) ** 2
        gain, gain_of_speed = position / total, both / total
        error = _centre(box) - self.centre
        self.centre = self.centre + gain * error
        self.velocity = self.velocity + gain_of_speed * error
        self.variances = ((1 - gain) * position, (1 - gain) * both, speed - gain_of_speed * both)
        most = np.maximum(self.size, [largest.width, largest.height])
        self.size = (1 - _SMOOTHING) * self.size + _SMOOTHING * np.minimum([box.width, box.height], most)
        self.box, self.seen, self.is_seen = box, self.time, True
        self.hits += 1

    def hide_in(self, box: Box) -> None:
        """Take a blob that it shares with others: it stays inside of it, and slows down."""
        self.seen = self.time
        self.centre = np.clip(self.centre, [box.x, box.y], [box.x + box.width, box.y + box.height])
        self.velocity = _SLOWED * self.velocity

    def track(self, size: tuple[int, int]) -> Track:
        x, y = self.centre
        return Track(
            self.id,
            self.box if self.is_seen else self.expected,
            self.time,
            self.since,
            (min(max(0.0, float(x)), size[1] - 1.0), min(max(0.0, float(y + self.size[1] / 2)), size[0] - 1.0)),
            (float(self.velocity[0]), float(self.velocity[1])),
            self.is_seen,
        )


class Tracker:
    """Follows objects from frame to frame.

    Each object is expected where a constant velocity brings it; blobs and objects are matched so that the sum of their
    distances is least (the Hungarian method). Blobs inside an object's expected box are its fragments. Objects whose
    blobs have merged go on as they moved, and have their ids back when the blobs part. An object has an id once it has
    been seen in several frames; an unconfirmed one that is missing in a frame is dropped.

    Args:
        patience: Seconds for which an object that is not seen keeps its id.
        confirm: Frames in which an object is seen before it counts.

    Raises:
        UserError: If a number is out of its range.
    """

    def __init__(self, patience: float = 1.0, confirm: int = 5) -> None:
        check_range("", least=0, most=1e6, patience=patience)
        check_range("", least=1, most=10_000, confirm=confirm)
        self.patience = patience
        self.confirm = confirm
        self.count = 0
        self._objects: list[_Object] = []

    def update(self, boxes: Sequence[Box], time: float, size: tuple[int, int]) -> list[Track]:
        """Take the blobs of the next frame; return the objects that are in it, by their ids.

        Args:
            boxes: Of the frame's blobs.
            time: Of the frame in s; it must not go back.
            size: Height and width of the frame: who is expected outside of it has left.
        """
        for each in self._objects:
            each.predict(max(time, each.time))
        left = list(boxes)
        for group in (
            [each for each in self._objects if each.id],
            [each for each in self._objects if not each.id],
        ):
            left = self._match(group, left)
        self._objects = [each for each in self._objects if self._lives(each, time, size)]
        self._objects += [_Object.of(box, time) for box in left]
        for each in self._objects:
            if not each.id and each.hits >= self.confirm:
                self.count += 1
                each.id = self.count
        return [each.track(size) for each in self._objects if each.id]

    def forget(self) -> None:
        """Remove all objects; ids continue."""
        self._objects = []

    def _lives(self, each: _Object, time: float, size: tuple[int, int]) -> bool:
        if each.is_seen:
            return True
        is_inside = _holds(Box(0, 0, size[1], size[0], 0), each.centre)
        return each.id > 0 and is_inside and time - each.seen <= self.patience

    def _match(self, objects: list[_Object], boxes: list[Box]) -> list[Box]:
        """Give objects their blobs; return the blobs that are nobody's."""
        pairs = _assigned(objects, boxes)
        lost = [each for index, each in enumerate(objects) if index not in pairs]
        taken = set(pairs.values())
        for index, place in pairs.items():
            each, box = objects[index], boxes[place]
            hidden = [other for other in lost if _holds(box, other.centre)]
            if hidden and box.area > _MERGED * each.box.area > 0:
                for merged in (each, *hidden):  # where each is inside the blob is not seen
                    merged.hide_in(box)
                continue
            whole = box
            for other, fragment in enumerate(boxes):
                is_inside = other not in taken and _overlap(fragment, each.expected) >= _INSIDE
                if is_inside and _fits(both := _union(whole, fragment), each.size):
                    whole = both
                    taken.add(other)
            each.update(whole, box)
        return [box for place, box in enumerate(boxes) if place not in taken]


def _assigned(objects: Sequence[_Object], boxes: Sequence[Box]) -> dict[int, int]:
    """Match objects and blobs, by their places, so that the sum of distances is least."""
    if not objects or not boxes:
        return {}
    from scipy.optimize import linear_sum_assignment  # here, because it takes half a second

    centres = np.array([each.centre for each in objects])
    sizes = np.array([each.size for each in objects])
    found = np.array([_centre(box) for box in boxes])
    shapes = np.array([[box.width, box.height] for box in boxes], float)
    scales = np.maximum(np.hypot(*sizes.T)[:, None], np.hypot(*shapes.T)[None])
    distances = np.linalg.norm(centres[:, None] - found[None], axis=2) / scales
    growth = np.abs(np.log(sizes.prod(1)[:, None] / shapes.prod(1)[None]))
    costs = distances + 0.2 * growth
    allowed = (distances <= _REACH) & (growth <= math.log(_GROWTH))
    rows, columns = linear_sum_assignment(np.where(allowed, costs, 1e6))
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if allowed[row, column]}


def _centre(box: Box) -> NDArray[np.float64]:
    return np.array([box.x + box.width / 2, box.y + box.height / 2])


def _holds(box: Box, point: NDArray[np.float64]) -> bool:
    x, y = point
    return bool(box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height)


def _fits(box: Box, size: NDArray[np.float64]) -> bool:
    width, height = size
    return bool(box.width <= _LARGER * width and box.height <= _LARGER * height)


def _overlap(box: Box, other: Box) -> float:
    """Share of a box inside another."""
    width = min(box.x + box.width, other.x + other.width) - max(box.x, other.x)
    height = min(box.y + box.height, other.y + other.height) - max(box.y, other.y)
    return max(0, width) * max(0, height) / (box.width * box.height)


def _union(box: Box, other: Box) -> Box:
    x, y = min(box.x, other.x), min(box.y, other.y)
    right, bottom = max(box.x + box.width, other.x + other.width), max(box.y + box.height, other.y + other.height)
    return replace(box, x=x, y=y, width=right - x, height=bottom - y, area=box.area + other.area)
