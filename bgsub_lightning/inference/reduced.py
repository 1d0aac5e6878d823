"""Large frames at the speed of small ones: subtracted at a smaller size, with masks at their own."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.ranges import check_whole
from bgsub_lightning.core.steps import together
from bgsub_lightning.inference.stream import StreamSubtractor


class Reduced:
    """Shows a subtractor smaller frames, and returns masks of the original size.

    The probability is brought to the frames' size bilinearly, and compared with the threshold there; of OpenCV's,
    which have none, the mask.

    Args:
        subtractor: What subtracts.
        work_size: Pixels of the longer side at which it works; smaller frames stay as they are.

    Raises:
        UserError: If ``work_size`` is out of its range.
    """

    def __init__(self, subtractor: StreamSubtractor, work_size: int) -> None:
        checked_work_size(work_size)
        self.subtractor = subtractor
        self.work_size = work_size
        self.batch_size = subtractor.batch_size
        self.has_shadows = subtractor.has_shadows

    def push_in_steps(
        self, images: Sequence[NDArray[np.uint8]], numbers: Sequence[int] | None = None
    ) -> Generator[Any, Any, list[NDArray[np.uint8]]]:
        """Take the next frames; see :meth:`StreamSubtractor.push_in_steps`."""
        size, small = _size(images[0]), self._small(images)
        likely = yield from self.subtractor.probability_in_steps(small, numbers)
        if likely is not None:
            return list(self.subtractor.masks(_at_size(likely, size)))
        masks = yield from self.subtractor.push_in_steps(small, numbers)
        return [np.where(cv2.resize(mask, size) > 127, np.uint8(255), np.uint8(0)) for mask in masks]

    def push(
        self, images: Sequence[NDArray[np.uint8]], numbers: Sequence[int] | None = None
    ) -> list[NDArray[np.uint8]]:
        """Take the next frames; see :meth:`StreamSubtractor.push`."""
        return together([self.push_in_steps(images, numbers)], self.network)[0]

    def probability(
        self, images: Sequence[NDArray[np.uint8]], numbers: Sequence[int] | None = None
    ) -> NDArray[np.float32] | None:
        """Take the next frames; see :meth:`StreamSubtractor.probability`."""
        likely = self.subtractor.probability(self._small(images), numbers)
        return None if likely is None else _at_size(likely, _size(images[0]))

    def network(self, shown: Sequence[Any]) -> list[Any]:
        """Show the network what was yielded; see :meth:`StreamSubtractor.network`."""
        return self.subtractor.network(shown)

    def masks(self, probability: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return what is foreground; see :meth:`StreamSubtractor.masks`."""
        return self.subtractor.masks(probability)

    def reset(self) -> None:
        """Forget the stream; see :meth:`StreamSubtractor.reset`."""
        self.subtractor.reset()

    def _small(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        width, height = _size(images[0])
        scale = self.work_size / max(height, width)
        if scale >= 1:
            return list(images)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return [cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8) for image in images]


def checked_work_size(work_size: int | None) -> None:
    """Check a size to work at.

    Raises:
        UserError: If it is out of its range.
    """
    if work_size is not None:
        check_whole("--", least=16, most=100_000, work_size=work_size)


def _size(image: NDArray[np.uint8]) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _at_size(likely: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.stack([cv2.resize(each, size) for each in likely]).astype(np.float32)
