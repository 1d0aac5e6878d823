"""Objects of other training frames, put into all frames of a sample: into the scene, or into a part of its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.ranges import check_ascending, check_range
from bgsub_lightning.datasets.labels import MOVING, OUTSIDE_ROI, SHADOW, STATIC, UNKNOWN
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits import FrameSet

Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Cut:
    """An object that was cut out: its colours, ``(h, w, 3)``, and which pixels are its own, ``(h, w)``."""

    image: Bytes
    cover: Bools


@dataclass(frozen=True)
class Placed:
    """An object in its place.

    Attributes:
        cut: The object.
        left: Its place in the frame.
        top: Its place in the frame.
        is_static: Whether the backgrounds show it as well, so that it is not foreground.
        is_behind: Whether what moves passes in front of it.
    """

    cut: Cut
    left: int
    top: int
    is_static: bool = True
    is_behind: bool = False

    def put_on(self, image: Bytes, mask: Bytes | None) -> None:
        """Put it on a frame, ``(H, W, 3)``, whose mask is known or not."""
        area, cover = image[self._box], self.cut.cover
        if self.is_behind and mask is not None:
            cover = cover & (mask[self._box] != MOVING)
        area[cover] = self.cut.image[cover]

    def mark(self, mask: Bytes) -> None:
        """Say in a mask, ``(H, W)``, what it is; what is outside of the region of interest stays so."""
        area, cover = mask[self._box], self.cut.cover
        if not self.is_static:
            area[cover & (area != OUTSIDE_ROI)] = MOVING
        elif not self.is_behind:
            area[cover & (area != OUTSIDE_ROI) & (area != UNKNOWN)] = STATIC

    @property
    def _box(self) -> tuple[slice, slice]:
        height, width = self.cut.cover.shape
        return np.s_[self.top : self.top + height, self.left : self.left + width]


@dataclass
class SceneObjects:
    """Puts objects into the frames of a sample: static ones are part of the scene, intermittent ones are not.

    Y.-S. Huang, J.-M. Guo, Y.-X. Yang, "SeqFeedNet", WACV 2026, by the authors' code. Objects are cut out of training
    frames of the same video, or else of another video of its category. Each stands at one place in all frames of a
    group. A static one is in the backgrounds too; an intermittent one has come since.

    Args:
        p: Probability that a sample gets objects whose window stands in one place.
        moving: The same of a camera that moves.
        most: Objects of a sample at most; two at most where the camera pans, one where it zooms.
        intermittent: Probability that one of fewer than three objects is intermittent; not where the camera moves.
        behind: Probability that what moves passes in front of a static one.
        scaled: Probability that one is resized.
        scale: Smallest and largest factor of that.
        any_shape: Whether objects that are higher than wide are cut out as well, as people are; the authors' code
            leaves them out.
        least: Pixels of the smallest that is cut out.
        per_scene: Objects that are cut out of a video at most.

    Raises:
        UserError: If a number makes no sense.
    """

    p: float = 0.5
    moving: float = 0.75
    most: int = 7
    intermittent: float = 0.5
    behind: float = 0.5
    scaled: float = 0.75
    scale: tuple[float, float] = (0.75, 1.5)
    any_shape: bool = False
    least: int = 900
    per_scene: int = 50
    _cuts: dict[str, list[Cut]] = field(default_factory=dict, init=False, repr=False)
    _known: Mapping[str, frozenset[int]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        shares = {"p": self.p, "moving": self.moving, "intermittent": self.intermittent, "behind": self.behind}
        check_range("data.init_args.crop.objects.", least=0, most=1, **shares, scaled=self.scaled)
        check_range("data.init_args.crop.objects.", least=1, per_scene=self.per_scene)
        check_range("data.init_args.crop.objects.most", above=0, **{"": self.most})  # `most` is its argument as well
        check_range("data.init_args.crop.objects.least", above=0, **{"": self.least})  # and `least`
        check_range("data.init_args.crop.objects.", above=0, most=16, scale=self.scale)
        check_ascending("data.init_args.crop.objects.", scale=self.scale)

    def prepare(self, scenes: Sequence[SceneFrames], frames: FrameSet, seed: int) -> None:
        """Cut objects out of training frames.

        Args:
            scenes: Pixels of the training scenes.
            frames: The frames whose masks training sees.
            seed: Seed of the choice.
        """
        rng = np.random.default_rng((seed, 10))
        self._known = {scene.key: frozenset(numbers) for scene, numbers in frames}
        self._cuts = {}
        for pixels in scenes:
            found: list[Cut] = []
            for number in rng.permutation(sorted(self._known[pixels.scene.key]))[: 4 * self.per_scene]:
                mask = pixels.mask(int(number))
                if (mask == MOVING).any():
                    found += cut_out(pixels.image(int(number)), mask, self.least, self.any_shape)
                if len(found) >= self.per_scene:
                    break
            self._cuts[pixels.scene.key] = found[: self.per_scene]

    def put_into(self, frames: SceneFrames, rng: np.random.Generator, most: int | None = None) -> SceneFrames:
        """Return a scene's frames with objects, or as they are.

        Args:
            frames: The frames.
            rng: Random numbers of the sample.
            most: Objects at most of a camera that moves; ``None``: it stands still.
        """
        chance = self.p if most is None else self.moving
        if rng.random() >= chance or not (cuts := self._cuts_for(frames)):
            return frames
        count = int(rng.integers(1, min(self.most, most or self.most) + 1))
        may_come = most is None and count < 3
        placed = []
        for _ in range(count):
            cut = self._resized(cuts[int(rng.integers(len(cuts)))], frames.size, rng)
            height, width = cut.cover.shape
            left, top = (
                int(rng.integers(0, whole - side + 1)) for whole, side in zip(frames.size, (width, height), strict=True)
            )
            is_static = not (may_come and rng.random() < self.intermittent)
            placed.append(Placed(cut, left, top, is_static, is_static and rng.random() < self.behind))
        return WithObjects(frames, placed, self._known[frames.scene.key])

    def _cuts_for(self, frames: SceneFrames) -> list[Cut]:
        own, category = frames.scene.key, f"{frames.scene.category}/"
        others = [cut for key, cuts in self._cuts.items() if key.startswith(category) for cut in cuts]
        return self._cuts.get(own) or others

    def _resized(self, cut: Cut, frame: tuple[int, int], rng: np.random.Generator) -> Cut:
        height, width = cut.cover.shape
        largest = min(0.35 * frame[0] / width, 0.35 * frame[1] / height)
        wanted = rng.uniform(*self.scale) if rng.random() < self.scaled else 1.0
        scale = min(wanted, largest)
        if scale == 1:
            return cut
        size = max(1, int(width * scale)), max(1, int(height * scale))
        image = cv2.resize(cut.image, size, interpolation=cv2.INTER_NEAREST)
        cover = cv2.resize(cut.cover.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        return Cut(np.asarray(image, np.uint8), np.asarray(cover) > 0)


class WithObjects(SceneFrames):
    """A scene's frames with objects in them.

    Args:
        frames: The frames.
        objects: The objects, those behind first.
        known: The frames whose masks may be looked at.
    """

    def __init__(self, frames: SceneFrames, objects: Sequence[Placed], known: frozenset[int]) -> None:
        super().__init__(frames.scene, frames.size, flow=frames.flow)
        self.objects = tuple(objects)
        self._frames, self._known_masks = frames, known

    def image(self, number: int, out: Bytes | None = None) -> Bytes:
        """Return a frame with all objects: RGB, ``(H, W, 3)``, uint8."""
        image = np.empty((*self.size[::-1], 3), np.uint8) if out is None else out
        image[...] = self._frames.image(number)
        mask = self._frames.mask(number) if number in self._known_masks else None
        for each in self.objects:
            each.put_on(image, mask)
        return image

    def mask(self, number: int, out: Bytes | None = None) -> Bytes:
        """Return a labelled frame's mask with the objects: grey levels, ``(H, W)``, uint8."""
        mask = np.empty(self.size[::-1], np.uint8) if out is None else out
        mask[...] = self._frames.mask(number)
        for each in self.objects:
            each.mark(mask)
        return mask

    def shown(self, pixels: Bytes) -> Bytes:
        """Return a background with the static objects."""
        image = pixels.copy()
        for each in self.objects:
            if each.is_static:
                each.put_on(image, None)
        return image

    def motion(self, number: int, tau: int) -> Bytes:
        """Return the optical flow of the frames as they were recorded."""
        return self._frames.motion(number, tau)


def cut_out(image: Bytes, mask: Bytes, least: int = 900, any_shape: bool = False) -> list[Cut]:
    """Cut out the objects of a frame, with their borders and the shadows inside of their boxes.

    At least 30 % of an object are surely foreground, it fills half of its box, and is, unless any shape will do, at
    least as wide as high.

    Args:
        image: RGB, ``(H, W, 3)``, uint8.
        mask: Grey levels, ``(H, W)``, uint8.
        least: See :class:`SceneObjects`.
        any_shape: Likewise.
    """
    region = (mask == MOVING) | (mask == UNKNOWN)
    count, regions, found, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
    cuts = []
    for number in range(1, count):
        x, y, width, height, area = found[number]
        box = np.s_[y : y + height, x : x + width]
        own = np.asarray(regions)[box] == number
        is_sure = np.count_nonzero(mask[box][own] == MOVING) >= 0.3 * area
        if area >= least and 2 * area >= width * height and is_sure and (any_shape or width >= height):
            cuts.append(Cut(image[box].copy(), own | (mask[box] == SHADOW)))
    return cuts
