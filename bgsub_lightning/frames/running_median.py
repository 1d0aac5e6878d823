"""The median of the newest frames, which follows from one frame to the next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


class RunningMedian:
    """The median of each value over the newest arrays of a stream; of an even number, the lower of the middle two.

    Equal to sorting, bit for bit, at a fraction of its cost: where an array comes and another goes, the middle moves to
    the next level above or below at most, and it moves in few places. Levels are counted there alone.

    Args:
        history: Arrays that it is taken over; while there are fewer, all that there are.
    """

    def __init__(self, history: int) -> None:
        self.history = history
        self._count = 0  # of all arrays that have come
        self._kept: Bytes | None = None  # (history, N), the place of an array is its count modulo the history
        self._shape: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Return the number of arrays that the median is taken over."""
        return min(self._count, self.history)

    @property
    def arrays(self) -> list[Bytes]:
        """The arrays that the median is taken over, the oldest first."""
        if self._kept is None:
            return []
        numbers = range(self._count - len(self), self._count)
        return [self._kept[number % self.history].reshape(self._shape) for number in numbers]

    @property
    def median(self) -> Bytes | None:
        """The median, of the shape of the arrays; ``None`` before the first. It is overwritten by the next."""
        return None if self._kept is None else self._median.reshape(self._shape)

    def extend(self, arrays: Iterable[Bytes]) -> None:
        """Take several, in their order."""
        for array in arrays:
            self.push(array)

    def push(self, array: Bytes) -> None:
        """Take the next array: uint8, of the shape of those before; one of another shape begins a new stream.

        Raises:
            ValueError: If it is of another type.
        """
        if array.dtype != np.uint8:
            raise ValueError(f"arrays must be uint8; got {array.dtype}")
        if self._kept is None or array.shape != self._shape:
            self._begin(array)
            return
        new, place = array.reshape(-1), self._count % self.history
        below, equal = self._below, self._equal
        if self._count >= self.history:
            old = self._kept[place]
            below -= old < self._median
            equal -= old == self._median
        self._kept[place] = new
        self._count += 1
        below += new < self._median
        equal += new == self._median
        middle = (len(self) - 1) // 2
        self._move(np.flatnonzero(below > middle), downwards=True)
        self._move(np.flatnonzero(below + equal <= middle), downwards=False)

    def _begin(self, array: Bytes) -> None:
        self._shape, self._count = array.shape, 1
        self._kept = np.zeros((self.history, array.size), np.uint8)
        self._kept[0] = self._median = array.reshape(-1).copy()
        counts: type[np.uint8] | type[np.uint16] = np.uint8 if self.history < 256 else np.uint16
        self._below: NDArray[Any] = np.zeros(array.size, counts)
        self._equal: NDArray[Any] = np.ones(array.size, counts)

    def _move(self, places: NDArray[np.intp], downwards: bool) -> None:
        """Move the middle of some places to the next level that there is."""
        if not len(places) or self._kept is None:
            return
        levels, median = np.take(self._kept[: len(self)], places, 1), self._median[places]
        if downwards:
            moved = np.where(levels < median, levels, 0).max(0)
        else:
            moved = np.where(levels > median, levels, 255).min(0)
        self._median[places] = moved
        self._below[places] = np.count_nonzero(levels < moved, 0)
        self._equal[places] = np.count_nonzero(levels == moved, 0)
