"""State of a scene that AnyScene watches."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.backgrounds.samples import SampleBackground, distance
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.frames.images import resized
from bgsub_lightning.systems.any_scene.alignment import STILL, Alignment, Shift, covered, move
from bgsub_lightning.systems.any_scene.inputs import EARLIER
from bgsub_lightning.systems.any_scene.relighting import Relighting

Bytes = NDArray[np.uint8]

_STEP = 16  # the network halves four times
_WIDEST = 8  # times the working height: strips of a few rows would become hundreds of megapixels
_STILL, _SHAKES = 0.02, 0.1  # shares of the frames that were moved


@dataclass(frozen=True)
class Rules:
    """How a stream is watched; each rule can be switched off by itself.

    Args:
        locking: Keep foreground out of one of the two banks of samples.
        aligning: Move frames of a camera that shakes onto the background.
        relighting: Bring frames under another light back to the light of the background.
        restless: How much larger distances must be where the mask keeps changing: they are divided by 1 + ``restless``
            times the rate of changes. 0: not at all.
        restart: Share of foreground beyond which the background restarts, as when the camera pans: in two sampled
            frames that follow each other. 1: never.
        warm_up: Frames before which nothing is kept out: what is there at first is not known to be background.
        work_height: Height that larger frames are worked on at, in pixels; less for those wider than 8 times their
            height, so that none is wider than 8 times this.
        largest: Side in pixels beyond which frames are worked on at that height.
    """

    locking: bool = True
    aligning: bool = True
    relighting: bool = True
    restless: float = 3.0
    restart: float = 0.7
    warm_up: int = 20
    work_height: int = 240
    largest: int = 400

    def __post_init__(self) -> None:
        check_range("rules.", least=0, restless=self.restless, warm_up=self.warm_up)
        check_range("rules.", above=0, most=1, restart=self.restart)
        check_range("rules.", least=16, work_height=self.work_height, largest=self.largest)


@dataclass
class Seen:
    """A frame as it was seen.

    Attributes:
        planes: What the network is shown, ``(14, h, w)``, uint8.
        frame: The frame in its place and light, ``(3, h, w)``, uint8.
        shift: By how much it was moved.
        is_due: Whether the background model needs the mask before the next frame.
    """

    planes: Bytes
    frame: Bytes
    shift: Shift
    is_due: bool


class SceneStream(SceneContext):
    """The context of a scene, frame by frame; :meth:`state_dict` saves it.

    Args:
        rules: How it is watched.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.restarts = 0
        self.background: SampleBackground | None = None
        self._begin()

    def _begin(self) -> None:
        self.background = None
        self._alignment, self._relighting = Alignment(), Relighting()
        self._recent: deque[Bytes] = deque(maxlen=EARLIER)
        self._shaking = 0.0
        self._flooded = False
        self._calm: Bytes | None = None

    def see(self, image: Bytes) -> Seen:
        """Compare the next frame with the background.

        Args:
            image: RGB, ``(H, W, 3)``, uint8.
        """
        frame = np.ascontiguousarray(self._at_work_size(image).transpose(2, 0, 1))
        if self.background is None or self.background.median.shape != frame.shape:
            self._begin()
            self.background = SampleBackground(frame, warm_up=self.rules.warm_up)
        background, shift = self.background, STILL
        if self.rules.relighting:
            frame = self._relighting(frame, background.median, background.updates)
        if self._aligns:
            shift = self._alignment.shift(frame, background.median, background.updates)
            self._shaking += 0.03 * ((shift != STILL) - self._shaking)
            if shift != STILL:
                frame = np.where(covered(frame.shape[1:], shift), move(frame, shift), background.median)
        earlier = self._recent[0] if self._recent else frame
        found = background.compare(frame)
        if self.rules.restless and not self._shakes:
            calm = self._calmness
            found[:2] = [np.asarray(cv2.multiply(plane, calm, scale=1 / 255), np.uint8) for plane in found[:2]]
        planes = np.concatenate([frame, background.median, np.stack([*found, distance(frame, earlier)])])
        return Seen(planes, frame, shift, background.is_due)

    def learn(self, seen: Seen, mask: NDArray[np.bool_] | None) -> None:
        """Take a frame that was seen into the background.

        Args:
            seen: The frame.
            mask: Where foreground is, ``(h, w)``; needed where the frame is due.
        """
        assert self.background is not None
        self._recent.append(seen.frame)
        self.background.update(seen.frame, mask if self.rules.locking and not self._shakes else None)
        if not seen.is_due:
            return
        self._calm = None
        flooded = mask is not None and float(mask.mean()) > self.rules.restart
        if flooded and self._flooded and self.background.frames > 160:
            self.restarts += 1
            self._begin()
        else:
            self._flooded = flooded

    def in_place(self, probability: NDArray[np.float32], seen: Seen) -> NDArray[np.float32]:
        """Move probabilities, ``(h, w)``, back to where the camera saw them."""
        if seen.shift == STILL:
            return probability
        inside = np.where(covered(probability.shape, seen.shift), probability, 0).astype(np.float32)
        return np.asarray(move(inside, (-seen.shift[0], -seen.shift[1])), np.float32)

    def pictures(self) -> dict[str, Tensor]:
        """Show the median of the locked bank."""
        return {} if self.background is None else {"background": torch.from_numpy(self.background.median.copy()) / 255}

    def state_dict(self) -> dict[str, Any]:
        """Return all that makes the next answers, as tensors and numbers."""
        return {
            "background": None if self.background is None else self.background.state_dict(),
            "recent": [torch.tensor(frame) for frame in self._recent],
            "shaking": self._shaking,
            "flooded": self._flooded,
            "restarts": self.restarts,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned."""
        self._begin()
        if state["background"] is not None:
            self.background = SampleBackground(state["background"]["locked"][0].numpy())
            self.background.load_state_dict(state["background"])
        self._recent.extend(frame.numpy().copy() for frame in state["recent"])
        self._shaking = state["shaking"]
        self._flooded, self.restarts = state["flooded"], state["restarts"]

    def _at_work_size(self, image: Bytes) -> Bytes:
        height, width = image.shape[:2]
        rules, scale = self.rules, 1.0
        if max(height, width) > rules.largest:
            scale = min(rules.work_height / height, _WIDEST * rules.work_height / width)
        width, height = (max(_STEP, round(side * scale / _STEP) * _STEP) for side in (width, height))
        return resized(image, (width, height))

    @property
    def _aligns(self) -> bool:
        """Whether the next frame is compared with the background's position: each fourth of a camera that is still."""
        frames = self.background.frames if self.background else 0
        return self.rules.aligning and frames >= 60 and (self._shaking > _STILL or frames % 4 == 0)

    @property
    def _shakes(self) -> bool:
        """Whether the camera shakes: then masks flicker at every edge, and would lock what is out of place."""
        return self._shaking > _SHAKES

    @property
    def _calmness(self) -> Bytes:
        """Factor of distances, ``(h, w)``, in 255ths."""
        if self._calm is None:
            assert self.background is not None
            rate = cv2.blur(self.background.flips, (9, 9))
            self._calm = np.rint(255 / (1 + self.rules.restless * np.asarray(rate))).astype(np.uint8)
        return self._calm
