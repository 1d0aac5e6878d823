"""Backgrounds without learning, to measure others against."""

from __future__ import annotations

from collections import deque
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data.background import BackgroundSource
from bgsub_lightning.frames.opencv import opencv_subtractor


class PreviousFrame(BackgroundSource):
    """An earlier frame: what differs from it is frame difference.

    Args:
        interval: How many frames earlier; before there are as many, the first frame.
    """

    def __init__(self, interval: int = 1) -> None:
        super().__init__()
        check_range("PreviousFrame.", least=1, most=10_000, interval=interval)
        self.interval = interval
        self.reset()

    def reset(self) -> None:  # noqa: D102
        self._frames: deque[Tensor] = deque(maxlen=self.interval)

    def estimate(self, images: Tensor) -> Tensor:  # noqa: D102
        backgrounds = []
        for image in images:
            backgrounds.append(self._frames[0] if self._frames else image)
            self._frames.append(image)
        return torch.stack(backgrounds)

    def settings(self) -> str:  # noqa: D102
        return f"the frame {self.interval} before"

    def pictures(self) -> dict[str, Tensor]:  # noqa: D102
        return {"background": self._frames[0]} if self._frames else {}


class TemporalMedian(BackgroundSource):
    """The median of each pixel and channel over the newest frames.

    Args:
        history: How far back it looks, in frames: 245, as CDN-GM does.
        every: It takes one of so many frames, and is computed anew when it has taken one.
    """

    def __init__(self, history: int = 245, every: int = 7) -> None:
        super().__init__()
        check_range("TemporalMedian.", least=1, most=10_000, history=history)
        check_range("TemporalMedian.", least=1, most=history, every=every)
        self.history = history
        self.every = every
        self.reset()

    def reset(self) -> None:  # noqa: D102
        self._frames: deque[Tensor] = deque(maxlen=-(-self.history // self.every))
        self._seen = 0
        self._median: Tensor | None = None

    def estimate(self, images: Tensor) -> Tensor:  # noqa: D102
        backgrounds = []
        for image in images:
            if self._seen % self.every == 0 or self._median is None:
                self._frames.append((image * 255).round().byte())
                self._median = torch.stack(list(self._frames)).median(0).values.to(image.dtype) / 255
            self._seen += 1
            backgrounds.append(self._median)
        return torch.stack(backgrounds)

    def settings(self) -> str:  # noqa: D102
        return f"median of {self.history} every {self.every}"

    def pictures(self) -> dict[str, Tensor]:  # noqa: D102
        return {} if self._median is None else {"background": self._median}


class Mog2Background(BackgroundSource):
    """The background image of OpenCV's MOG2, with its default parameters.

    Z. Zivkovic, "Improved adaptive Gaussian mixture model for background subtraction", ICPR 2004.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:  # noqa: D102
        self._subtractor: Any = None
        self._image: Tensor | None = None

    def estimate(self, images: Tensor) -> Tensor:  # noqa: D102
        if self._subtractor is None:
            self._subtractor = opencv_subtractor("MOG2")
        backgrounds = []
        for frame in (images * 255).round().byte().movedim(-3, -1).cpu().numpy():
            self._subtractor.apply(np.ascontiguousarray(frame))
            backgrounds.append(self._subtractor.getBackgroundImage())
        background = torch.from_numpy(np.stack(backgrounds)).to(images.device).movedim(-1, -3).to(images.dtype) / 255
        self._image = background[-1]
        return background

    def settings(self) -> str:  # noqa: D102
        return f"MOG2 of OpenCV {cv2.__version__}"

    def pictures(self) -> dict[str, Tensor]:  # noqa: D102
        return {} if self._image is None else {"background": self._image}
