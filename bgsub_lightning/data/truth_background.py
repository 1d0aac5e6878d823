"""Ground-truth backgrounds: the median of each pixel over frames in which it is labelled static."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data.background import StoredBackground
from bgsub_lightning.datasets.labels import SHADOW, STATIC
from bgsub_lightning.frames import FrameStore, SceneFrames
from bgsub_lightning.frames.store import fingerprint
from bgsub_lightning.splits import FrameSet

T = TypeVar("T")

_VERSION = 2
"""Raised when the rule changes; backgrounds of other versions are computed again."""
_BAND = 65_536  # bytes of each frame that are sorted at a time, so that a window of them stays in the processor's cache
_GATHERED = 2**28  # bytes


class TruthBackground(StoredBackground):
    """The background of a training frame, computed from the masks of the training frames around it.

    Each pixel and channel is the median over the first of these sets of frames that is not empty:

    1. those of the ``neighbours`` nearest training frames in which the pixel is labelled static, if there are at least
       ``enough``: a few can be wrong, such as those with a shadow that the labels do not show;
    2. all training frames in which it is static;
    3. all training frames in which it is a shadow;
    4. the nearest training frames, whatever their labels, with a note on the console.

    Of an even number of levels the median is the lower of the two in the middle.

    Args:
        neighbours: How many training frames: the frame itself, and those whose numbers are nearest to its own, the
            earlier one of two that are equally near.
        enough: How many of them must be static.

    Raises:
        UserError: If ``enough`` is not between 1 and ``neighbours``.
    """

    key = "truth_background"

    def __init__(self, neighbours: int = 31, enough: int = 8) -> None:
        super().__init__()
        if not 1 <= enough <= neighbours:
            raise UserError(
                f"TruthBackground.enough: must be between 1 and {neighbours}, the neighbours; got {enough}."
            )
        self.neighbours = neighbours
        self.enough = enough

    def prepare(self, pixels: Sequence[SceneFrames], frames: FrameSet, store: FrameStore) -> None:
        """Compute what the store lacks."""
        self.fill(pixels, frames, store, self, shared=True)

    def fingerprint(self, pixels: SceneFrames, numbers: Sequence[int]) -> str:  # noqa: D102
        scene = pixels.scene
        files = fingerprint(files[number] for files in (scene.frames, scene.masks) for number in numbers)
        frames = hashlib.sha256(str(list(numbers)).encode()).hexdigest()
        levels = f" {scene.range}" if scene.range else ""
        return f"{files} {frames} {scene.mask_code.value} {self.neighbours} {self.enough} {_VERSION}{levels}"

    def backgrounds(  # noqa: D102
        self, pixels: SceneFrames, numbers: Sequence[int]
    ) -> Generator[NDArray[np.uint8], None, None]:
        def is_static(number: int) -> NDArray[np.bool_]:
            return np.asarray(pixels.mask(number) == STATIC)

        count, size = min(self.neighbours, len(numbers)), pixels.size[::-1]
        ever_static, ever_shadow, fewest = np.zeros(size, np.bool_), np.zeros(size, np.bool_), np.full(size, count)
        for number in numbers:
            mask = pixels.mask(number)
            ever_static |= mask == STATIC
            ever_shadow |= mask == SHADOW
        for window in around(numbers, count, is_static):
            fewest = np.minimum(fewest, np.add.reduce(window, dtype=np.intp))
        never = ~ever_static & ~ever_shadow
        if np.any(never):
            console.print(
                f"{pixels.scene.key}: {np.count_nonzero(never):,} of {never.size:,} pixels are background in none of "
                f"the {len(numbers):,} training frames; their ground-truth background is the median of whatever is "
                f"seen there.",
                soft_wrap=True,
            )
        elsewhere = np.flatnonzero((fewest < self.enough) & ~never)

        def usable(number: int) -> NDArray[np.bool_]:
            mask = pixels.mask(number)
            return np.asarray((mask == STATIC) | (mask == SHADOW) & ~ever_static)

        from_all = self._median_of_all(pixels, numbers, elsewhere, usable)

        def load(number: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
            valid = is_static(number) | never
            return only(valid, pixels.image(number)), valid

        for loaded in around(numbers, count, load):
            valid = np.add.reduce([valid for _, valid in loaded], dtype=np.intp)
            background = valid_median([image for image, _ in loaded], valid)
            lacking = valid.flat[elsewhere] < self.enough
            background.reshape(-1, 3)[elsewhere[lacking]] = from_all[lacking]
            yield background

    @staticmethod
    def _median_of_all(
        pixels: SceneFrames,
        numbers: Sequence[int],
        positions: NDArray[np.intp],
        usable: Callable[[int], NDArray[np.bool_]],
    ) -> NDArray[np.uint8]:
        """The median of some pixels, shape ``(P, 3)``, over the frames in which they are usable: one at least."""
        medians = np.empty((len(positions), 3), np.uint8)
        step = max(1, _GATHERED // (3 * len(numbers)))
        for start in range(0, len(positions), step):
            chosen = positions[start : start + step]
            levels = np.empty((len(chosen), 3, len(numbers)), np.uint8)
            valid = np.zeros(len(chosen), np.intp)
            for i, number in enumerate(numbers):
                here = usable(number).flat[chosen]
                levels[..., i] = only(here, pixels.image(number).reshape(-1, 3)[chosen])
                valid += here
            levels.sort(axis=-1, kind="stable")  # by counting: bytes have few values
            middle = (valid[:, None, None] - 1) // 2
            medians[start : start + step] = np.take_along_axis(levels, middle, -1)[..., 0]
        return medians


def around(numbers: Sequence[int], count: int, load: Callable[[int], T]) -> Iterator[Sequence[T]]:
    """Slide a window over frames.

    Args:
        numbers: Frame numbers, ascending.
        count: Frames of a window, at most all.
        load: Loads a frame; called once for each, in their order.

    Yields:
        For each frame, the ``count`` frames whose numbers are nearest to its own, of two that are equally near the
        earlier one. It is the same object each time.

    Example:
        >>> [list(window) for window in around([1, 2, 3, 9, 10], 3, int)]
        [[1, 2, 3], [1, 2, 3], [1, 2, 3], [3, 9, 10], [3, 9, 10]]
    """
    window: deque[T] = deque(maxlen=count)
    first = loaded = 0
    for number in numbers:
        while first + count < len(numbers) and numbers[first + count] - number < number - numbers[first]:
            first += 1
        while loaded < first + count:
            window.append(load(numbers[loaded]))
            loaded += 1
        yield window


@cache
def sorting_network(count: int) -> tuple[tuple[int, int], ...]:
    """Return K. E. Batcher's odd-even merge sort: compare and exchange these pairs, and ``count`` values are sorted.

    "Sorting networks and their applications", AFIPS 1968. Over whole images it sorts tens of frames some twenty times
    as fast as ``np.sort``, because each exchange is a minimum and a maximum of contiguous bytes.
    """
    pairs: list[tuple[int, int]] = []
    merged = 1
    while merged < count:
        step = merged
        while step:
            for start in range(step % merged, count - step, 2 * step):
                lower = range(start, min(start + step, count - step))
                pairs += [(i, i + step) for i in lower if i // (2 * merged) == (i + step) // (2 * merged)]
            step //= 2
        merged *= 2
    return tuple(pairs)


def only(valid: NDArray[np.bool_], levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Raise what is not valid to the top, where it comes last in any order; levels that are 255 do not suffer."""
    return np.where(valid[..., None], levels, np.uint8(255))


def valid_median(images: Sequence[NDArray[np.uint8]], valid: NDArray[np.intp]) -> NDArray[np.uint8]:
    """The median over the valid ones of images.

    Args:
        images: Images of shape ``(H, W, 3)``, 255 where they are not valid.
        valid: How many are valid at each pixel, shape ``(H, W)``; where none is, the result means nothing.
    """
    median = np.empty_like(images[0])
    middle = np.maximum(valid - 1, 0) // 2
    rows = max(1, _BAND // (3 * median.shape[1]))
    for top in range(0, len(median), rows):
        band = slice(top, top + rows)
        planes = [image[band] for image in images]
        for low, high in sorting_network(len(planes)):
            a, b = planes[low], planes[high]
            planes[low], planes[high] = np.minimum(a, b), np.maximum(a, b)
        median[band] = np.take_along_axis(np.stack(planes), middle[None, band, :, None], 0)[0]
    return median
