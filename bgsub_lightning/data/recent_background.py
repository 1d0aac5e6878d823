"""Recent backgrounds: what the camera showed just before a frame."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data.background import StoredBackground
from bgsub_lightning.frames import FrameStore, SceneFrames
from bgsub_lightning.frames.running_median import RunningMedian
from bgsub_lightning.splits import FrameSet

_VERSION = 1


class RecentBackground(StoredBackground):
    """The median of each pixel and channel over the frames before the target, without the target itself.

    M. O. Tezcan, P. Ishwar, J. Konrad, "BSUV-Net", WACV 2020, take 100 frames. Early frames have fewer before them, and
    the first frame is its own background. The median of an even number is the lower of the two in the middle.

    An evaluation loads none: systems that see every frame of a scene make it as they go.

    Args:
        history: Number of frames.

    Raises:
        UserError: If it is not positive.
    """

    key = "recent"

    def __init__(self, history: int = 100) -> None:
        super().__init__()
        check_range("RecentBackground.", least=1, most=10_000, history=history)
        self.history = history

    def prepare(self, pixels: Sequence[SceneFrames], frames: FrameSet, store: FrameStore) -> None:
        """Compute what the store lacks."""
        self.fill(pixels, frames, store, self, shared=True)

    def fingerprint(self, pixels: SceneFrames, numbers: Sequence[int]) -> str:  # noqa: D102
        return f"{pixels.source} {self.history} {_VERSION}"

    def backgrounds(  # noqa: D102
        self, pixels: SceneFrames, numbers: Sequence[int]
    ) -> Generator[NDArray[np.uint8], None, None]:
        yield from medians_before(pixels, numbers, self.history)


def medians_before(
    pixels: SceneFrames, numbers: Sequence[int], history: int
) -> Generator[NDArray[np.uint8], None, None]:
    """Yield the median over the frames before each of some, ``(H, W, 3)``, uint8; of the first frame, the frame."""
    every = list(pixels.scene.frames)
    running, taken = RunningMedian(history), 0
    for number in numbers:
        place = bisect_left(every, number)
        taken = max(taken, place - history)  # what is older has no part in it
        running.extend(pixels.image(every[each]) for each in range(taken, place))
        taken = max(taken, place)
        median = running.median if place else pixels.image(number)
        assert median is not None
        yield median.copy()
