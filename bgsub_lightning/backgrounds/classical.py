"""Backgrounds without learning, to measure others against."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor

from bgsub_lightning.backgrounds.source import BackgroundContext, BackgroundSource
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.frames.opencv import opencv_subtractor


@dataclass
class RecentFrames(BackgroundContext):
    """The newest frames, the oldest first, shape ``(3, H, W)`` each, range [0, 1]."""

    frames: deque[Tensor]

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {"frames": list(self.frames), "background": self.background}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        self.frames.clear()
        self.frames.extend(state["frames"])
        self.background = state["background"]


class PreviousFrame(BackgroundSource):
    """An earlier frame: what differs from it is frame difference.

    Args:
        interval: How many frames earlier; before there are as many, the first frame.
    """

    def __init__(self, interval: int = 1) -> None:
        super().__init__()
        check_range("PreviousFrame.", least=1, most=10_000, interval=interval)
        self.interval = interval

    def begin_scene(self) -> RecentFrames:  # noqa: D102
        return RecentFrames(deque(maxlen=self.interval))

    def estimate(self, context: RecentFrames, images: Tensor) -> Tensor:  # noqa: D102
        backgrounds = []
        for image in images:
            backgrounds.append(context.frames[0] if context.frames else image)
            context.frames.append(image)
        return torch.stack(backgrounds)

    def settings(self) -> str:  # noqa: D102
        return f"the frame {self.interval} before"


@dataclass
class TakenFrames(BackgroundContext):
    """Frames from which a median is computed.

    Attributes:
        frames: Those taken, the oldest first, shape ``(3, H, W)`` each, uint8.
        seen: Number of frames so far.
        median: Their median, range [0, 1].
    """

    frames: deque[Tensor]
    seen: int = 0
    median: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {
            "frames": list(self.frames),
            "seen": self.seen,
            "median": self.median,
            "background": self.background,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        self.frames.clear()
        self.frames.extend(state["frames"])
        self.seen, self.median, self.background = state["seen"], state["median"], state["background"]


class TemporalMedian(BackgroundSource):
    """The median of each pixel and channel over the newest frames.

    Args:
        history: How far back it looks, in frames: 245, as CDN-GM does.
        every: It takes one of so many frames, and is computed again when it has taken one.
    """

    def __init__(self, history: int = 245, every: int = 7) -> None:
        super().__init__()
        check_range("TemporalMedian.", least=1, most=10_000, history=history)
        check_range("TemporalMedian.", least=1, most=history, every=every)
        self.history = history
        self.every = every

    def begin_scene(self) -> TakenFrames:  # noqa: D102
        return TakenFrames(deque(maxlen=-(-self.history // self.every)))

    def estimate(self, context: TakenFrames, images: Tensor) -> Tensor:  # noqa: D102
        backgrounds = []
        for image in images:
            if context.seen % self.every == 0 or context.median is None:
                context.frames.append((image * 255).round().byte())
                context.median = torch.stack(list(context.frames)).median(0).values.to(image.dtype) / 255
            context.seen += 1
            backgrounds.append(context.median)
        return torch.stack(backgrounds)

    def settings(self) -> str:  # noqa: D102
        return f"median of {self.history} every {self.every}"


@dataclass
class Mog2Context(BackgroundContext):
    """OpenCV's model."""

    is_copyable: ClassVar[bool] = False
    subtractor: Any = field(default_factory=lambda: opencv_subtractor("MOG2"))


class Mog2Background(BackgroundSource):
    """The background image of OpenCV's MOG2, with its default parameters.

    Z. Zivkovic, "Improved adaptive Gaussian mixture model for background subtraction", ICPR 2004.
    """

    def begin_scene(self) -> Mog2Context:  # noqa: D102
        return Mog2Context()

    def estimate(self, context: Mog2Context, images: Tensor) -> Tensor:  # noqa: D102
        backgrounds = []
        for frame in (images * 255).round().byte().movedim(-3, -1).cpu().numpy():
            context.subtractor.apply(np.ascontiguousarray(frame))
            backgrounds.append(context.subtractor.getBackgroundImage())
        return torch.from_numpy(np.stack(backgrounds)).to(images.device).movedim(-1, -3).to(images.dtype) / 255

    def settings(self) -> str:  # noqa: D102
        return f"MOG2 of OpenCV {cv2.__version__}"
