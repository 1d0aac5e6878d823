"""Windows of groups of frames, of a camera that stands still, pans or zooms while they are taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data.crops import Box, Crop, Views, Window, check_shares, require_within
from bgsub_lightning.data.scene_objects import SceneObjects
from bgsub_lightning.datasets.labels import OUTSIDE_ROI
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits import FrameSet

_PAST = 10  # positions of a camera while it recorded the frames of the backgrounds
_RECENT = 5  # of these, those of the recent background
_SMALLEST = 112  # side of the smallest window of a zoom in pixels, for windows of 224


@dataclass(frozen=True)
class SequenceCrop(Crop):
    """Windows of the frames of a group and of both of its backgrounds, as cameras see them that shake, pan or zoom.

    Y.-S. Huang, J.-M. Guo, Y.-X. Yang, "SeqFeedNet", WACV 2026, by the authors' code. What is left of the four
    probabilities is a window in one place. Of a camera that moves the long past is the mean of ten of its positions,
    the past that of the last five of them, and each frame of the group has one of the following; or the backgrounds
    alone move, or the frames.

    Args:
        size: See :class:`Crop`.
        scale: See :class:`Crop`; of windows that stand still and are not resized.
        tries: Windows that are drawn until one has enough of the region of interest.
        anywhere: See :class:`Crop`; not used here.
        shift: Probability that the past and the long past are each moved by whole pixels.
        resize: Probability of a window of any proportions, or of the whole frame.
        zoom: Probability that the camera zooms.
        pan: Probability that it turns.
        most_shift: Pixels by which a shift moves in either axis at most.
        moving_past: Probability that the backgrounds are those of a moving camera, where it moves.
        moving_now: The same of the frames of the group.
        fixed: Categories, or patterns of ``category/video``, whose camera moves by itself and is not moved here.
        shaky: The same, of those that are moved half as often.
        objects: What is put into the scene; ``None``: nothing.

    Raises:
        UserError: If a number makes no sense.
    """

    size: int = 224
    tries: int = 10
    shift: float = 0.175
    resize: float = 0.175
    zoom: float = 0.14
    pan: float = 0.21
    most_shift: int = 5
    moving_past: float = 0.9
    moving_now: float = 0.75
    fixed: tuple[str, ...] = ("PTZ",)
    shaky: tuple[str, ...] = ("badWeather", "cameraJitter")
    objects: SceneObjects | None = field(default_factory=SceneObjects)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(shift=self.shift, resize=self.resize, zoom=self.zoom, pan=self.pan)
        check_range("data.init_args.crop.", least=0, most=1, moving_past=self.moving_past, moving_now=self.moving_now)
        check_range("data.init_args.crop.", least=0, most=1024, most_shift=self.most_shift)

    def require(self, frames: SceneFrames) -> None:  # noqa: D102
        require_within(frames, self.size)

    def prepare(self, scenes: Sequence[SceneFrames], frames: FrameSet, seed: int) -> None:  # noqa: D102
        super().prepare(scenes, frames, seed)
        if self.objects:
            self.objects.prepare(scenes, frames, seed)

    def of(self, frames: SceneFrames, number: int, seed: int, group: Sequence[int] = ()) -> Views:  # noqa: D102
        rng = np.random.default_rng((seed, 2))
        kinds = ("shift", "resize", "zoom", "pan")
        ends = np.cumsum([getattr(self, kind) for kind in kinds])
        kind = dict(enumerate(kinds)).get(int(np.searchsorted(ends, rng.random(), "right")), "aligned")
        way = self._way(kind, frames, group, rng) if kind in ("zoom", "pan") else None
        if self.objects and (way or kind == "aligned"):
            frames = self.objects.put_into(frames, rng, {"zoom": 1, "pan": 2}[kind] if way else None)
        return way.views(frames, self.size, rng) if way else self._still(frames, kind, number, rng)

    def _may_move(self, frames: SceneFrames, rng: np.random.Generator) -> bool:
        scene = frames.scene
        return not scene.matches(self.fixed) and not (scene.matches(self.shaky) and rng.random() < 0.5)

    def _still(self, frames: SceneFrames, kind: str, number: int, rng: np.random.Generator) -> Views:
        mask = frames.mask(number)
        for _ in range(self.tries):
            boxes = self._boxes(frames, kind, rng)
            left, top, *sides = boxes[0]
            window = mask[top : top + sides[-1], left : left + sides[0]]
            if np.count_nonzero(window != OUTSIDE_ROI) >= min(125, window.size // 2):
                break
        return Views(*(Window(frames, [box], self.size) for box in boxes))

    def _boxes(self, frames: SceneFrames, kind: str, rng: np.random.Generator) -> list[Box]:
        """Draw the windows of now, the past and the long past."""
        if kind == "resize":
            return 3 * [resized_box(frames.size, rng) if rng.random() < 0.9 else (0, 0, *frames.size)]
        side = self._side(frames, rng)
        free = [max(0, min(self.most_shift, (each - side) // 2)) if kind == "shift" else 0 for each in frames.size]
        left, top = (
            int(rng.integers(each, whole - side - each + 1)) for whole, each in zip(frames.size, free, strict=True)
        )

        def moved() -> Box:
            dx, dy = (int(rng.integers(-each, each + 1)) for each in free)
            return left + dx, top + dy, side

        here: Box = (left, top, side)
        return [here, moved(), moved()] if kind == "shift" else [here, here, here]

    def _way(self, kind: str, frames: SceneFrames, group: Sequence[int], rng: np.random.Generator) -> Way | None:
        """Draw the way of a camera; ``None``: it stands still, or has no room to move."""
        if not self._may_move(frames, rng):
            return None
        past, now = rng.random() < self.moving_past, rng.random() < self.moving_now
        count = _PAST * past + max(1, len(group)) * now
        if count < 2:
            return None
        gap = group[1] - group[0] if len(group) > 1 else 1
        boxes = (self._zoomed if kind == "zoom" else self._panned)(frames.size, count, gap, rng)
        if not boxes:
            return None
        return Way(boxes[:: 1 if rng.random() < 0.5 else -1], past, now)

    def _zoomed(self, size: tuple[int, int], count: int, gap: int, rng: np.random.Generator) -> list[Box]:
        """Draw windows that grow evenly about one point, from the smallest."""
        least, room = self.size * _SMALLEST // 224, min(size)
        most = min(max(3, gap // 4), (room - least) // (2 * count))
        if most < 1:
            return []
        step = int(rng.integers(1, most + 1))
        first = int(rng.integers(least, room - 2 * step * (count - 1) + 1))
        largest = first + 2 * step * (count - 1)
        left, top = (int(rng.integers(0, each - largest + 1)) for each in size)
        inset = [step * (count - 1 - place) for place in range(count)]
        return [(left + each, top + each, largest - 2 * each) for each in inset]

    def _panned(self, size: tuple[int, int], count: int, gap: int, rng: np.random.Generator) -> list[Box]:
        """Draw windows that move evenly, in the vertical half as fast at most."""
        most, side = max(5, gap // 4), min(self.size, *size)
        speeds = [
            int(rng.integers(-reach, reach + 1))
            for limit, each in zip((most, most // 2), size, strict=True)
            for reach in [min(limit, (each - side) // (count - 1))]
        ]
        if not any(speeds):
            return []
        starts = [
            int(rng.integers(0, each - side - abs(speed) * (count - 1) + 1)) + max(0, -speed) * (count - 1)
            for speed, each in zip(speeds, size, strict=True)
        ]
        return [(starts[0] + place * speeds[0], starts[1] + place * speeds[1], side) for place in range(count)]


@dataclass(frozen=True)
class Way:
    """The way of a camera.

    Attributes:
        boxes: What it sees at its positions, in their order.
        past: Whether the backgrounds are taken on it; otherwise at its beginning.
        now: Whether the frames of the group are; otherwise at its end.
    """

    boxes: Sequence[Box]
    past: bool
    now: bool

    def views(self, frames: SceneFrames, size: int, rng: np.random.Generator) -> Views:
        """Return what the frames of a sample show.

        Args:
            frames: The scene's frames.
            size: Side of the samples in pixels.
            rng: Random numbers of the sample: backgrounds that are taken on the way are blurred.
        """
        before = self.boxes[:_PAST] if self.past else self.boxes[:1]
        after = (self.boxes[_PAST:] if self.past else self.boxes) if self.now else self.boxes[-1:]
        step = max(abs(one - other) for one, other in zip(self.boxes[0][:2], self.boxes[1][:2], strict=True))
        blur = (2 * math.ceil(step / 2) + 5, rng.uniform(0.1, 3.0)) if self.past else None
        return Views(
            Windows(frames, after, size),
            Window(frames, before[-_RECENT:], size, blur),
            Window(frames, before, size, blur),
        )


class Windows(Window):
    """The window of each frame of a group; of other frames, the last."""

    def at(self, place: int) -> SceneFrames:
        """Return the window of the frame at a place in the group."""
        return Window(self.whole, [self.boxes[min(place, len(self.boxes) - 1)]], self.size[0])

    def image(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return a frame through the last window."""
        return self.at(len(self.boxes)).image(number, out)


def resized_box(size: tuple[int, int], rng: np.random.Generator) -> Box:
    """Draw a window of .6 to 1.8 of the area of a frame, .6 to 2 times as wide as high.

    After ten draws that do not fit it is the largest that does, in the middle, as in torchvision.

    Args:
        size: Width and height of the frame.
        rng: Random numbers.

    Returns:
        Left, top, width and height.
    """
    width, height = size
    for _ in range(10):
        area = width * height * rng.uniform(0.6, 1.8)
        ratio = math.exp(rng.uniform(math.log(0.6), math.log(2.0)))
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            return int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - high + 1)), wide, high
    ratio = min(max(width / height, 0.6), 2.0)
    wide, high = (width, round(width / ratio)) if width / height < ratio else (round(height * ratio), height)
    return (width - wide) // 2, (height - high) // 2, wide, high
