"""Windows of frames, so that training sees them at their own scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets.labels import MOVING
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.frames.images import resized


@dataclass(frozen=True)
class Crop:
    """A square window of a training sample: the same for all of its frames.

    Args:
        size: Side of the samples in pixels.
        scale: Smallest and largest factor by which frames are resized, drawn on a logarithmic scale.
        tries: Windows that are drawn until one has foreground; the last is taken whatever it has.
        anywhere: Probability that a window is taken at once, whatever it has.

    Raises:
        UserError: If a number makes no sense.
    """

    size: int = 128
    scale: tuple[float, float] = (1.0, 1.0)
    tries: int = 3
    anywhere: float = 0.35

    def __post_init__(self) -> None:
        check_range("data.init_args.crop.", least=16, most=8192, size=self.size)
        check_range("data.init_args.crop.", above=0, most=16, scale=self.scale)
        check_range("data.init_args.crop.", least=1, most=1000, tries=self.tries)
        check_range("data.init_args.crop.", least=0, most=1, anywhere=self.anywhere)
        if self.scale[0] > self.scale[1]:
            raise UserError(f"data.init_args.crop.scale: must ascend; got {list(self.scale)}.")

    def of(self, frames: SceneFrames, number: int, seed: int) -> SceneFrames:
        """Return a window of a scene's frames.

        Args:
            frames: The frames.
            number: The target frame, whose mask is looked at.
            seed: Seed of the sample.
        """
        rng = np.random.default_rng((seed, 2))
        side = round(self.size / np.exp(rng.uniform(*np.log(self.scale))))
        side = min(side, *frames.size)
        mask = frames.mask(number)
        for _ in range(self.tries):
            left, top = (int(rng.integers(0, each - side + 1)) for each in frames.size)
            window = mask[top : top + side, left : left + side]
            if rng.random() < self.anywhere or np.count_nonzero(window == MOVING) > side * side // 256:
                break
        return Window(frames, (left, top, side), self.size)


class Window(SceneFrames):
    """A square window of a scene's frames, resized: pixels of it alone.

    Args:
        frames: The frames.
        box: Left, top and side of the window in their pixels.
        size: Side that it is resized to.
    """

    def __init__(self, frames: SceneFrames, box: tuple[int, int, int], size: int) -> None:
        super().__init__(frames.scene, (size, size), flow=frames.flow)
        self._frames = frames
        left, top, side = box
        self._box = np.s_[top : top + side, left : left + side]

    def image(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return the window of a frame: RGB, ``(size, size, 3)``, uint8."""
        return self._put(resized(self._frames.image(number)[self._box], self.size), out)

    def mask(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return the window of a labelled frame's mask: grey levels, ``(size, size)``, uint8."""
        mask = self._frames.mask(number)[self._box]
        return self._put(np.asarray(cv2.resize(mask, self.size, interpolation=cv2.INTER_NEAREST), np.uint8), out)

    def motion(self, number: int, tau: int) -> NDArray[np.uint8]:
        """Return the window of one channel of the optical flow, ``(size, size)``, uint8."""
        return resized(self._frames.motion(number, tau)[self._box], self.size)

    def window(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Return the window of several frames, ``(T, size, size, 3)``, uint8."""
        return np.stack([self.image(number) for number in numbers])

    @staticmethod
    def _put(pixels: NDArray[np.uint8], out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        if out is None:
            return pixels
        out[...] = pixels
        return out
