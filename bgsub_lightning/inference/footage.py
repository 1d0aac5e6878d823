"""The newest frames of a stream, and a pool of older ones."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.frames import median
from bgsub_lightning.frames.flow import FlowMethod, FrameFlow, channel, earlier, seen
from bgsub_lightning.frames.images import resized


class Footage:
    """The newest frames of a video, and a pool of frames from which references and base images are made.

    It is what inputs load their samples from, as :class:`bgsub_lightning.data.inputs.Pixels`. Its memory does not grow
    with the video.

    Args:
        frame_size: Width and height of the frames.
        size: Width and height of the network's input; ``None``: the frames' own.
        flow: What computes optical flow; ``None``: no input asks for it.
        history: Number of newest frames that can be asked for; see :func:`history_length`.
        pool: Number of frames that the pool has at most; newer ones replace the oldest.

    Raises:
        UserError: If flow cannot be computed from the frames alone.
    """

    def __init__(
        self,
        frame_size: tuple[int, int],
        size: tuple[int, int] | None,
        flow: FlowMethod | None,
        history: int,
        pool: int,
    ) -> None:
        if flow is not None and not isinstance(flow, FrameFlow):
            raise UserError(
                f"{type(flow).__name__} reads the flow of footage from files, which frames that come one by one do not "
                f"have. Choose another method by --flow, such as DisFlow."
            )
        self.frame_size = frame_size
        self.size = size or frame_size
        self.flow = flow
        self.pool: deque[NDArray[np.uint8]] = deque(maxlen=pool)
        self._newest: deque[tuple[int, NDArray[np.uint8]]] = deque(maxlen=history)

    def copy(self) -> Footage:
        """Return a copy that frames added to this one do not change."""
        twin = copy.copy(self)
        twin._newest, twin.pool = self._newest.copy(), self.pool.copy()
        return twin

    def add(self, number: int, image: NDArray[np.uint8]) -> None:
        """Take the next frame: RGB at its own size, shape ``(h, w, 3)``, uint8."""
        self._newest.append((number, image))

    def image(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return one of the newest frames at the input size; written into ``out`` if that is given."""
        image = resized(self._of(number), self.size)
        if out is None:
            return image
        out[...] = image
        return out

    def resized_pool(self) -> list[NDArray[np.uint8]]:
        """Return the frames of the pool at the input size."""
        return [resized(image, self.size) for image in self.pool]

    def background(self) -> NDArray[np.uint8]:
        """Return the median of the pool at the input size: RGB, shape ``(H, W, 3)``, uint8."""
        return median(self.resized_pool())

    def hop(self, number: int, taus: Sequence[int], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return a frame's hierarchical optical flow; see :meth:`bgsub_lightning.frames.SceneFrames.hop`."""
        image = np.stack([self.motion(number, tau) for tau in sorted(taus, reverse=True)], -1)
        if out is None:
            return image
        out[...] = image
        return out

    def motion(self, number: int, tau: int) -> NDArray[np.uint8]:
        """Return one channel of :meth:`hop`, shape ``(H, W)``, uint8."""
        before = earlier(tuple(each for each, _ in self._newest), number, tau)
        if before == number:
            return np.zeros(self.size[::-1], np.uint8)
        assert self.flow is not None
        frames = (seen(self._of(each), self.flow.colour) for each in (number, before))
        return resized(channel(self.flow.length(*frames)), self.size)

    def _of(self, number: int) -> NDArray[np.uint8]:
        return next(image for each, image in self._newest if each == number)


def history_length(batch: int, taus: Sequence[int]) -> int:
    """Return how many newest frames a system needs that sees batches of frames and flow over intervals."""
    return batch + max(taus, default=0)
