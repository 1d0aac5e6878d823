"""A scene whose frames come one after the other and are not kept."""

from __future__ import annotations

import copy
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data.inputs import FOOTAGE_BACKGROUND
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.frames.flow import FlowMethod, FrameFlow, channel, earlier, seen
from bgsub_lightning.frames.images import resized

_POOL = 1 << 40
"""The number of the pool's oldest frame: those of a video come nowhere near."""

KEY = "footage/footage"
"""The key of the scene."""


class Footage(SceneFrames):
    """The newest frames of a video, and a pool of frames from which references and backgrounds are made.

    The memory it takes does not depend on how many frames have come.

    Args:
        frame_size: Width and height of the frames.
        size: Width and height of the network's input; ``None``: the frames' own.
        flow: What computes optical flow; ``None``: it is not asked for.
        keep: Number of newest frames that can be asked for.
        pool: Number of frames that the pool has at most; newer ones replace the oldest.

    Raises:
        UserError: If flow cannot be computed from the frames alone.
    """

    def __init__(
        self,
        frame_size: tuple[int, int],
        size: tuple[int, int] | None,
        flow: FlowMethod | None,
        keep: int,
        pool: int,
    ) -> None:
        if flow is not None and not isinstance(flow, FrameFlow):
            raise UserError(
                f"{type(flow).__name__} reads the flow of footage from files, which frames that come one by one do not "
                f"have. Choose another method by --flow, such as DisFlow."
            )
        category, name = KEY.split("/")
        super().__init__(Scene("footage", category, name, frame_size, {}, {}, (1, 0), ()), size, None, flow)
        self._newest: deque[tuple[int, NDArray[np.uint8]]] = deque(maxlen=keep)
        self.pool: deque[NDArray[np.uint8]] = deque(maxlen=pool)

    def copy(self) -> Footage:
        """Return one of the same frames, which those that come do not change."""
        twin = copy.copy(self)
        twin._newest, twin.pool = self._newest.copy(), self.pool.copy()
        return twin

    def add(self, number: int, image: NDArray[np.uint8]) -> None:
        """Take the next frame: RGB at its own size, shape ``(h, w, 3)``, uint8."""
        self._newest.append((number, image))

    def image(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return one of the newest frames, the background, or one of the scene's references, at the input size."""
        if number == FOOTAGE_BACKGROUND:
            image = self.background
        else:
            image = resized(self.pool[number - _POOL] if number >= _POOL else self._of(number), self.size)
        if out is None:
            return image
        out[...] = image
        return out

    @property
    def background(self) -> NDArray[np.uint8]:
        """The median of the pool at the input size: RGB, shape ``(H, W, 3)``, uint8."""
        frames = [resized(image, self.size) for image in self.pool]
        return np.asarray(np.median(frames, axis=0).round(), np.uint8)

    def offer(self, references: int) -> None:
        """Make the pool's frames the scene's references, each as often as it takes to have so many."""
        numbers = itertools.islice(
            itertools.cycle(range(_POOL, _POOL + len(self.pool))), max(references, len(self.pool))
        )
        self.scene = replace(self.scene, references=tuple(numbers))

    def motion(self, number: int, tau: int) -> NDArray[np.uint8]:
        """Return one channel of the optical flow; see :meth:`SceneFrames.motion`."""
        before = earlier(tuple(each for each, _ in self._newest), number, tau)
        if before == number:
            return np.zeros(self.size[::-1], np.uint8)
        assert isinstance(self.flow, FrameFlow)
        frames = (seen(self._of(each), self.flow.colour) for each in (number, before))
        return resized(channel(self.flow.length(*frames)), self.size)

    def _of(self, number: int) -> NDArray[np.uint8]:
        return next(image for each, image in self._newest if each == number)


def keeps(batch: int, taus: Sequence[int]) -> int:
    """Return how many newest frames a system needs that sees batches of frames and flow over intervals."""
    return batch + max(taus, default=0)
