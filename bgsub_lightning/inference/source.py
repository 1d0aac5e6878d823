"""Base of every source of frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.depth import Depth
from bgsub_lightning.datasets.scene import Range


class Frame(NamedTuple):
    """A frame of a source.

    Attributes:
        number: Its number, from 1, or the one in an image's name; damaged frames have theirs.
        time: Its time in s since the source's beginning.
        image: RGB, shape ``(h, w, 3)``, uint8.
    """

    number: int
    time: float
    image: NDArray[np.uint8]


class NotUpError(UserError):
    """A camera or a stream cannot be opened, but may be later.

    Attributes:
        what: The problem alone, for a message while it is waited for.
    """

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(f"{what}.{fix}")
        self.what = what


class Source(ABC):
    """Gives frames.

    Attributes:
        name: What messages call it.
        rate: Frames per second, as the source has them on the average.
        count: Number of its frames, which may be an estimate; ``None``: not known, or without an end.
        is_live: Whether it cannot be read twice.
        damaged: Number of frames so far that could not be decoded, and were skipped.
        reopened: How often so far it broke off, or ended, and was opened again.
        why_ended: What is to be said of its end; empty if it came to it as it should.
        depth: What brings its frames to 8 bits; sources of the same scene share one.
    """

    name: str
    rate: Fraction
    count: int | None = None
    is_live = False

    def __init__(self, levels: Range | None = None) -> None:
        self.depth = Depth(levels)
        self.damaged = 0
        self.reopened = 0
        self.why_ended = ""

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]: ...

    def first(self, count: int) -> list[NDArray[np.uint8]]:
        """Return the first frames of a source that can be read twice, or all of a shorter one."""
        frames = iter(self)
        return [frame.image for frame, _ in zip(frames, range(count), strict=False)]

    def _shown(self, image: NDArray[np.generic], name: object) -> NDArray[np.uint8]:
        """Bring a frame to 8 bits and to RGB."""
        if image.dtype != np.uint8:
            self.depth.look(self._ahead())
        shown = self.depth.shown(image, name)
        return shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, 2)

    def _ahead(self) -> Iterator[NDArray[np.generic]]:
        """Decode the first frames, before any is shown; no frames of a source that cannot be read twice."""
        yield from ()

    @property
    def range(self) -> Range | None:
        """Grey levels that become 0 and 255, of frames of 16 bits; ``None``: no such frame was read yet."""
        return self.depth.range

    @abstractmethod
    def spread(self, count: int) -> list[NDArray[np.uint8]]:
        """Return frames at equal distances from each other over the whole source, which can be read twice."""
