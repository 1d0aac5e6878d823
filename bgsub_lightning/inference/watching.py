"""What happens to the picture as a whole: the camera is moved, the light jumps, the picture freezes or goes dark."""

from __future__ import annotations

import itertools
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
_ALIKE = 0.35, 0.6
"""Correlation of the edges of two pictures of one view at least; and its share of what is usual for the scene."""
_SHIFT = 3
"""Pixels in any direction, of the reduced pictures, by which a camera that shakes may be out of place."""
_LEAST_SHIFT = 2.0
"""Pixels by which most parts are out of place, the same for 1.4 s, where the camera was moved a little."""
_MOST = 0.6
"""Share of the parts that are most of them; of a shaking camera, half may be out of place so."""
_DELAY = 8
"""Looks, 1.6 s, after which the slower picture takes a frame: it holds the old view while the new one is seen."""
_STABLE = 1.0
"""Seconds for which a change of the view, or of colours, must last."""
_NIGHT = 16.0
"""Grey levels that are added before brightness is compared, so that a flicker of one level at night is nothing."""
_CLEAR = 4.0
"""Strength of an edge, in grey levels, from which the view is known by it."""
_CALM = 0.8
"""Correlation of most parts in their places above which they are not searched for elsewhere, which takes time."""
_FEW_PARTS = 4
_FEW = 0.02
"""Share of such pixels below which a picture, as of fog, is not compared by its edges."""
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
    edges, which depends on the view and hardly on the light. Each of 4×4 parts is searched for within three pixels of
    its place, where a shaking camera may have it; a camera that was moved has most parts out of place, the same way for
    1.4 s, or nowhere. Waves are blurred in both pictures, and lower the correlation that is usual for the scene. A jump
    of the light changes the brightness of most pixels at once.
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
        self._fast = self._slow = view
        self._age = _SLOW

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
        self._waiting: deque[NDArray[np.float32]] = deque(maxlen=_DELAY)
        self._places: deque[NDArray[np.float32]] = deque(maxlen=7)
        self._age = 0.0
        self._usual = 1.0
        self._unlike_since: float | None = None

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
            yield from self._view(grey.astype(np.float32), time, step)

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

    def _view(self, grey: NDArray[np.float32], time: float, step: float) -> Iterator[Change]:
        if self._fast is None or self._slow is None or self._slow.shape != grey.shape:
            self._forget()
            self._fast = self._slow = grey
            return
        self._age += step
        ratio = np.log(grey + _NIGHT) - np.log(self._fast + _NIGHT)
        light = float(np.median(ratio))  # most pixels are not of something that passes
        self._fast = _followed(self._fast, grey, step, _FAST)
        if abs(light) > _LIGHT and self._age > _STABLE and self._unlike_since is None:
            self._fast, self._slow = grey, self._slow * math.exp(light)
            self._waiting.clear()
            yield "light_changed"
            return
        places = _found(_edges(self._fast), _edges(self._slow))
        self._places.append(places)
        if np.count_nonzero(places[:, 2]) < _FEW_PARTS:  # too few edges to know a view by, as in fog
            self._slow = self._followed_late(grey, step)
            return
        alike = float(np.median(places[places[:, 2] > 0, 2]))
        if self._is_out_of_place():
            self._forget()
            yield "camera_moved"
            return
        least, share = _ALIKE
        if self._age > _STABLE and alike < min(least, share * self._usual):
            self._unlike_since = time if self._unlike_since is None else self._unlike_since
            if time - self._unlike_since >= _STABLE:
                self._forget()
                yield "camera_moved"
            return
        self._unlike_since = None
        self._slow = self._followed_late(grey, step)
        self._usual = _followed(self._usual, alike, step, min(_SLOW, self._age))

    def _is_out_of_place(self) -> bool:
        """Whether most parts are where they were not, and stay there: a camera that shakes comes back."""
        if len(self._places) < (self._places.maxlen or 0):
            return False
        places = np.array(self._places)
        stays = (np.ptp(places[..., :2], axis=0).max(1) <= 1) & (places[..., 2] > 0.4).all(0)
        is_away = np.hypot(*places[-1, :, :2].T) >= _LEAST_SHIFT
        return bool((stays & is_away).sum() > _MOST * np.count_nonzero(places[-1, :, 2]))

    def _followed_late(self, grey: NDArray[np.float32], step: float) -> NDArray[np.float32]:
        """Return the slower picture once it has taken the frame that has waited longest."""
        assert self._slow is not None
        is_young = self._age < 2 * _DELAY * _EVERY
        late = grey if is_young else self._waiting[0] if len(self._waiting) == _DELAY else self._slow
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


def _found(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Search the 4×4 parts of a picture in another.

    What passes in front of some parts changes those alone; a camera that moves changes all.

    Returns:
        Shape ``(16, 3)``: how far each is out of place, x and y in pixels, and its correlation; 0 without edges.
    """
    in_place = _in_place(first, second)
    if np.median(in_place[:, 2]) > _CALM:
        return in_place
    height, width, _ = first.shape
    rows, columns = (itertools.pairwise(np.linspace(0, side, 5, dtype=int)) for side in (height, width))
    places = np.zeros((16, 3), np.float32)
    for place, ((top, bottom), (left, right)) in enumerate(itertools.product(rows, columns)):
        known = np.ascontiguousarray(second[top:bottom, left:right])
        seen = np.ascontiguousarray(first[top + _SHIFT : bottom - _SHIFT, left + _SHIFT : right - _SHIFT])
        if seen.size and (np.hypot(*cv2.split(known)) > _CLEAR).mean() > _FEW:
            _, most, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(known, seen, cv2.TM_CCORR_NORMED))
            places[place] = x - _SHIFT, y - _SHIFT, max(most, 1e-6)
    return places


def _in_place(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compare parts where they are; returned as by :func:`_found`."""
    products = [cv2.transform(a * b, np.ones((1, 2))) for a, b in ((first, second), (first, first), (second, second))]
    both, one, other = (cv2.resize(each, (4, 4), interpolation=cv2.INTER_AREA).ravel() for each in products)
    places = np.zeros((16, 3), np.float32)
    places[:, 2] = np.maximum(both / np.sqrt(one * other + 1e-9), 1e-6)
    return places
