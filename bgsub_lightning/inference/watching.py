"""Changes of the picture as a whole: the camera is moved, the light jumps, the picture freezes or goes dark."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Change = Literal["camera_moved", "light_changed", "infrared", "colour", "frozen", "dark", "resumed"]
"""``infrared``: the colours have gone, as when a camera turns to infrared at night; ``colour``: they are back;
``resumed``: the picture is neither frozen nor dark any more."""

_WIDTH = 160
"""Pixels to which frames are reduced."""
_EVERY = 0.2
"""Seconds between two frames that are looked at."""
_FAST, _SLOW = 0.5, 10.0
"""Seconds over which the two pictures that are compared follow the frames."""
_LIGHT = 0.2
"""Median change of the logarithm of the brightness, within half a second, that is a jump of the light."""
_ELSEWHERE = 0.4
"""Share of the correlation that is usual for the scene, below which the view is another; trucks stay above."""
_STEADY = 0.65
"""Share of it at least, between the picture and that of eight looks before, where the camera has come to rest."""
_NOWHERE = 0.15
"""Share below which the view is another even while the camera still turns or zooms."""
_KNOWN = 0.2
"""Correlation, usual for the scene, from which edges say something of the view; those of waves do not."""
_UNKNOWN = 0.5
"""Correlation that is taken for usual where a view was learnt by another run."""
_LOOKS = 8
"""Looks, 1.6 s, for which another view must last, and which the slower picture lags behind: it holds the old view."""
_STABLE = 1.0
"""Seconds for which a change of the colours must last, and of age of the pictures before light is compared."""
_NIGHT = 16.0
"""Grey levels that are added before brightness is compared, so that a flicker of one level at night is nothing."""
_CLEAR = 3.0
"""Strength of an edge, in grey levels, from which the view is known by it."""
_FEW = 0.02
"""Share of such pixels below which a part, as of fog, is not compared."""
_FEW_PARTS = 4
_FROZEN = 5.0
"""Seconds without any change of any pixel that are a frozen picture; cameras have noise."""
_DARK = 10
"""Grey level below which 99 % of the pixels of a dark picture are."""
_GREY = 2.0, 6.0
"""Median difference between the channels of a picture without colours at most, and of one with colours at least."""


@dataclass(frozen=True)
class Seen:
    """A change of the picture.

    Attributes:
        frame: Number of the frame.
        time: Its time in s.
        event: What has happened.
    """

    frame: int
    time: float
    event: Change

    def record(self) -> dict[str, Any]:
        """Return what is written to ``events.jsonl``."""
        return {"frame": self.frame, "time": round(self.time, 6), "event": self.event}

    @property
    def is_of_view(self) -> bool:
        """Whether no background that was learnt before holds any more."""
        return self.event in {"camera_moved", "infrared", "colour"}


class PictureWatch:
    """Notices changes of the whole picture; it looks at five frames per second, reduced to a width of 160 pixels.

    The mean picture of the last half second is compared with that of ten seconds before: by the correlation of their
    edges, which depends on the view and hardly on the light. It is the median of 4×4 parts, so that objects in some do
    not count, and is taken of upright and level edges apart, since a camera that turns aside leaves the level ones in
    place. The camera was moved where either stays far below what is usual for the scene, while the picture is as
    steady as usual: that of a camera that shakes is not, nor that of a truck that passes. A jump of the light changes
    the brightness of most pixels at once.
    """

    def __init__(self) -> None:
        self._looked = -math.inf
        self._last: NDArray[np.uint8] | None = None
        self._still_since = 0.0
        self._state: Change | None = None
        self._has_colour: bool | None = None
        self._colour_since: float | None = None
        self._fast: NDArray[np.float32] | None
        self._slow: NDArray[np.float32] | None
        self._forget()

    @property
    def view(self) -> NDArray[np.float32] | None:
        """The usual view, grey, 160 pixels wide: what :meth:`expect` takes; ``None`` before the first frames."""
        return self._slow

    def expect(self, view: NDArray[np.float32]) -> None:
        """Expect a view that another has learnt, so that one that has changed meanwhile is noticed."""
        self._fast, self._slow = None, view
        self._age = _SLOW
        self._usual = np.full(2, _UNKNOWN)

    def update(self, image: NDArray[np.uint8], number: int, time: float) -> list[Seen]:
        """Take the next frame.

        Args:
            image: RGB, shape ``(h, w, 3)``, uint8.
            number: Of the frame.
            time: Of the frame in s.
        """
        step = time - self._looked
        if 0 <= step < _EVERY:
            return []
        self._looked = time
        height, width = image.shape[:2]
        size = (_WIDTH, max(1, round(_WIDTH * height / width)))
        small: NDArray[Any] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return [Seen(number, time, change) for change in self._changes(small, time, step)]

    def _forget(self) -> None:
        self._fast = self._slow = None
        self._waiting: deque[NDArray[np.float32]] = deque(maxlen=_LOOKS)
        self._seen: deque[NDArray[np.float32]] = deque(maxlen=_LOOKS)
        self._shares: deque[NDArray[np.float64]] = deque(maxlen=_LOOKS)
        self._age = 0.0
        self._usual = np.ones(2)

    def _changes(self, small: NDArray[np.uint8], time: float, step: float) -> Iterator[Change]:
        if self._last is None or not np.array_equal(small, self._last):
            self._still_since = time
        self._last = small
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        is_dark = float(np.percentile(grey, 99)) < _DARK
        state: Change | None = "dark" if is_dark else "frozen" if time - self._still_since >= _FROZEN else None
        if state != self._state:
            yield state or "resumed"
        self._state = state
        if state is None:
            yield from self._colours(small, time)
            yield from self._view(grey.astype(np.float32), step)

    def _colours(self, small: NDArray[np.uint8], time: float) -> Iterator[Change]:
        size = (max(1, small.shape[1] // 4), max(1, small.shape[0] // 4))
        blurred = cv2.resize(small, size, interpolation=cv2.INTER_AREA)  # without its noise
        chroma = float(np.median(np.ptp(blurred.astype(np.int16), axis=2)))  # of most of the picture
        least, most = _GREY
        has_colour = chroma >= most if chroma >= most or chroma <= least else self._has_colour
        if self._has_colour is None or has_colour == self._has_colour:
            self._has_colour, self._colour_since = has_colour, None
            return
        self._colour_since = time if self._colour_since is None else self._colour_since
        if time - self._colour_since >= _STABLE:
            self._has_colour, self._colour_since = has_colour, None
            self._forget()
            yield "colour" if has_colour else "infrared"

    def _view(self, grey: NDArray[np.float32], step: float) -> Iterator[Change]:
        if self._slow is None or self._slow.shape != grey.shape:
            self._forget()
            self._slow = grey
        if self._fast is None:
            self._fast = grey
            return
        self._age += step
        ratio = np.log(grey + _NIGHT) - np.log(self._fast + _NIGHT)
        light = float(np.median(ratio))  # most pixels are not of something that passes
        self._fast = _followed(self._fast, grey, step, _FAST)
        if abs(light) > _LIGHT and self._age > _STABLE:
            self._fast, self._slow = grey, self._slow * math.exp(light)
            self._waiting.clear()
            yield "light_changed"
            return
        self._seen.append(self._fast)
        if self._is_elsewhere(step):
            self._forget()
            yield "camera_moved"
            return
        self._slow = self._followed_late(grey, step)

    def _is_elsewhere(self, step: float) -> bool:
        """Whether the view is another, and has been for eight looks."""
        assert self._fast is not None
        assert self._slow is not None
        edges, old = _edges(self._fast), _edges(self._slow)
        known = _parts(np.abs(old) > _CLEAR) > _FEW
        enough = known.sum(0) >= _FEW_PARTS
        alike = np.where(enough, _alike(edges, old, known), self._usual)
        usual = np.maximum(self._usual, 1e-6)
        self._shares.append(alike / usual)
        most = np.max(self._shares, axis=0)
        is_away = enough & (usual > _KNOWN) & (most < _ELSEWHERE)
        if len(self._shares) == _LOOKS and is_away.any():
            rest = _alike(edges, _edges(self._seen[0]), known) / usual
            if (is_away & ((rest > _STEADY) | (most < _NOWHERE))).any():
                return True
        self._usual = _followed(self._usual, alike, step, min(_SLOW, self._age))
        return False

    def _followed_late(self, grey: NDArray[np.float32], step: float) -> NDArray[np.float32]:
        """Return the slower picture once it has taken the frame that has waited longest."""
        assert self._slow is not None
        is_young = self._age < 2 * _LOOKS * _EVERY
        late = grey if is_young else self._waiting[0] if len(self._waiting) == _LOOKS else self._slow
        self._waiting.append(grey)
        return _followed(self._slow, late, step, min(_SLOW, self._age))


def _followed(value: T, target: T, step: float, seconds: float) -> T:
    """An exponential mean over some seconds."""
    weight = 1 - math.exp(-max(step, 0.0) / seconds)
    return cast("T", value + weight * (target - value))  # type: ignore[operator]


def _edges(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Edges by direction, ``(h, w, 2)``; their root evens out the contrasts of light and shade."""
    x, y = (cv2.Sobel(grey, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    scale = np.sqrt(np.hypot(x, y)) + 1
    return np.dstack([x / scale, y / scale])


def _alike(first: NDArray[Any], second: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Correlate edges, part by part; return the medians of the known parts, ``(2,)``: of upright and of level edges."""
    both, one, other = (_parts(product) for product in (first * second, first * first, second * second))
    alike = both / np.sqrt(one * other + 1e-9)
    return np.array([np.median(each[has]) if has.any() else 1.0 for each, has in zip(alike.T, known.T, strict=True)])


def _parts(values: NDArray[Any]) -> NDArray[np.float32]:
    """Means of 4×4 parts, ``(16, 2)``."""
    means: NDArray[Any] = cv2.resize(values.astype(np.float32), (4, 4), interpolation=cv2.INTER_AREA)
    return means.reshape(16, 2)
