"""Windows of frames, so that training sees them at their own scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_ascending, check_range
from bgsub_lightning.data.inputs import Input
from bgsub_lightning.datasets.labels import MOVING
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.frames.images import resized
from bgsub_lightning.splits import FrameSet

Box = tuple[int, ...]
"""Left, top and side in pixels; or left, top, width and height."""

_MOST_ZOOM = 0.9


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
        check_ascending("data.init_args.crop.", scale=self.scale)

    def require(self, frames: SceneFrames) -> None:
        """Check that windows can be cut out of a scene's frames; smaller ones are enlarged.

        Raises:
            UserError: If they cannot.
        """

    def prepare(self, scenes: Sequence[SceneFrames], frames: FrameSet, seed: int) -> None:
        """Check the training scenes, and take what is needed of them, once before training.

        Args:
            scenes: Pixels of the scenes.
            frames: The frames whose masks training sees.
            seed: Seed of what is random in the choice.

        Raises:
            UserError: If windows cannot be cut out of a scene's frames.
        """
        for scene in scenes:
            self.require(scene)

    def of(self, frames: SceneFrames, number: int, seed: int, group: Sequence[int] = ()) -> Views:
        """Return windows of a scene's frames.

        Args:
            frames: The frames.
            number: The target frame, whose mask is looked at.
            seed: Seed of the sample.
            group: The frames of its group, if it has one.
        """
        return Views.same(self.aligned(frames, number, seed))

    def aligned(self, frames: SceneFrames, number: int, seed: int) -> Window:
        """Return the window in one place that a sample could have; the arguments are those of :meth:`of`."""
        return Window(frames, [self._box(frames, number, np.random.default_rng((seed, 2)))], self.size)

    def _box(self, frames: SceneFrames, number: int, rng: np.random.Generator, most_shift: int = 0) -> Box:
        """Draw a window, as far from the border as :meth:`_margin` says."""
        side = self._side(frames, rng)
        margin = self._margin(frames, side, most_shift)
        mask = frames.mask(number)
        for _ in range(self.tries):
            left, top = (
                int(rng.integers(free, each - side - free + 1)) for each, free in zip(frames.size, margin, strict=True)
            )
            window = mask[top : top + side, left : left + side]
            if rng.random() < self.anywhere or np.count_nonzero(window == MOVING) > side * side // 256:
                break
        return left, top, side

    @staticmethod
    def _margin(frames: SceneFrames, side: int, most_shift: int) -> tuple[int, int]:
        """Return by how many pixels a window can be moved in x and in y: less than half of the room that there is."""
        x, y = (max(0, min(most_shift, (each - side) // 2 - 1)) for each in frames.size)
        return x, y

    def _side(self, frames: SceneFrames, rng: np.random.Generator) -> int:
        return min(round(float(self.size / np.exp(rng.uniform(*np.log(self.scale))))), *frames.size)


@dataclass(frozen=True)
class SpatioTemporalCrop(Crop):
    """Windows that break the alignment of a frame with what came before, as cameras do that shake, pan and zoom.

    M. O. Tezcan, P. Ishwar, J. Konrad, "BSUV-Net 2.0: spatio-temporal data augmentations for video-agnostic supervised
    background subtraction", IEEE Access 2021. If the camera moves, the past is the mean of its newest views, and the
    long past the mean of all views on its way. If it neither shifts, zooms nor pans, all frames have the same window.

    Args:
        size: See :class:`Crop`.
        scale: See :class:`Crop`.
        tries: See :class:`Crop`; not for cameras that pan or zoom.
        anywhere: See :class:`Crop`.
        shift: Probability that the past and the long past are each moved by whole pixels.
        zoom: Probability that the camera has zoomed in, or out, evenly, about the centre of the frame.
        pan: Probability that it has turned, to the left or right evenly.
        most_shift: Pixels by which a shift moves in either axis, [-n, n).
        most_pan: Pixels of a pan between two frames at most.
        past_zoom: Change of the scale between two frames at most, in the recent past.
        long_zoom: The same of the long past, which changes as fast as the recent past at least.
        frames: Frames of a zoom, and of the recent part of a pan, which has as many before.

    Raises:
        UserError: If a number makes no sense.
    """

    tries: int = 1
    shift: float = 1 / 3
    zoom: float = 1 / 6
    pan: float = 1 / 6
    most_shift: int = 5
    most_pan: float = 5.0
    past_zoom: float = 0.02
    long_zoom: float = 0.04
    frames: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(shift=self.shift, zoom=self.zoom, pan=self.pan)
        check_range("data.init_args.crop.", least=0, most=1024, most_shift=self.most_shift, most_pan=self.most_pan)
        check_range("data.init_args.crop.", least=0, most=1, past_zoom=self.past_zoom, long_zoom=self.long_zoom)
        check_range("data.init_args.crop.", least=1, most=1000, frames=self.frames)
        if (self.frames - 1) * self.long_zoom > _MOST_ZOOM:
            raise UserError(
                f"data.init_args.crop.long_zoom: must be at most {_MOST_ZOOM / max(1, self.frames - 1):.3f} over "
                f"{self.frames} frames, so that the smallest window has a tenth of the side; got {self.long_zoom}."
            )
        if self.past_zoom > self.long_zoom:
            raise UserError(
                f"data.init_args.crop.past_zoom: must be at most long_zoom, {self.long_zoom}; got {self.past_zoom}."
            )

    def require(self, frames: SceneFrames) -> None:  # noqa: D102
        require_within(frames, self.size)

    def of(self, frames: SceneFrames, number: int, seed: int, group: Sequence[int] = ()) -> Views:  # noqa: D102
        rng = np.random.default_rng((seed, 2))
        chance = rng.random()
        if chance < self.shift:
            now, past, long_past = self._shifted(frames, number, rng)
        elif chance < self.shift + self.zoom:
            now, past, long_past = self._zoomed(frames, rng)
        elif chance < self.shift + self.zoom + self.pan:
            now, past, long_past = self._panned(frames, rng)
        else:
            return Views.same(Window(frames, [self._box(frames, number, rng)], self.size))
        return Views(*(Window(frames, boxes, self.size) for boxes in (now, past, long_past)))

    def _shifted(self, frames: SceneFrames, number: int, rng: np.random.Generator) -> tuple[list[Box], ...]:
        left, top, side = self._box(frames, number, rng, self.most_shift)
        x, y = self._margin(frames, side, self.most_shift)

        def moved() -> list[Box]:
            dx, dy = (int(rng.integers(-most, most)) if most else 0 for most in (x, y))
            return [(left + dx, top + dy, side)]

        return [(left, top, side)], moved(), moved()

    def _zoomed(self, frames: SceneFrames, rng: np.random.Generator) -> tuple[list[Box], ...]:
        past = rng.uniform(0, self.past_zoom)
        long_past = rng.uniform(past, self.long_zoom)
        side, is_nearer = self._side(frames, rng), rng.random() < 0.5
        nearest = side / (1 + self.frames * long_past) if is_nearer else side

        def centred(scale: float) -> Box:
            sides = max(1, round(nearest * scale))
            return (frames.size[0] - sides) // 2, (frames.size[1] - sides) // 2, sides

        def way(speed: float) -> list[Box]:
            speed = speed if is_nearer else -speed
            return [centred(1 + frame * speed) for frame in range(self.frames)]

        return [centred(1)], way(past), way(long_past)

    def _panned(self, frames: SceneFrames, rng: np.random.Generator) -> tuple[list[Box], ...]:
        side, (width, height), count = self._side(frames, rng), frames.size, 2 * self.frames
        speed = rng.uniform(0, max(0, min(self.most_pan, (width - side) // count - 1)))
        way = [int(speed * frame) for frame in range(count)]
        start, top = int(rng.integers(0, width - side - way[-1] + 1)), int(rng.integers(0, height - side + 1))
        to_left = rng.random() < 0.5
        boxes: list[Box] = [(start + (way[-1] - each if to_left else each), top, side) for each in way]
        return boxes[-1:], boxes[self.frames :], boxes


class Window(SceneFrames):
    """Square windows of a scene's frames, resized: the mean of them, for a camera that moved.

    Args:
        frames: The frames.
        boxes: Left, top and side of each window in their pixels.
        size: Side that they are resized to.
        blur: Side of the kernel and deviation of a blur of their images, in pixels; ``None``: they are sharp.
    """

    def __init__(
        self, frames: SceneFrames, boxes: Sequence[Box], size: int, blur: tuple[int, float] | None = None
    ) -> None:
        super().__init__(frames.scene, (size, size), flow=frames.flow)
        self.boxes = tuple(boxes)
        self.blur = blur
        self._frames = frames
        self._boxes = [np.s_[top : top + sides[-1], left : left + sides[0]] for left, top, *sides in boxes]

    @property
    def whole(self) -> SceneFrames:
        """The whole frames."""
        return self._frames

    def shown(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the windows of a background of the whole frames, ``(h, w, 3)``: at their size, uint8."""
        return self._seen(self._frames.shown(pixels))

    def _seen(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the windows of an image, ``(h, w)`` or ``(h, w, C)``: at their size, uint8."""
        mean = self._mean(pixels)
        if self.blur is None:
            return mean
        side, deviation = self.blur
        return np.asarray(cv2.GaussianBlur(mean, (side, side), deviation), np.uint8)

    def _mean(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if len(self._boxes) == 1:
            return resized(pixels[self._boxes[0]], self.size)
        total = np.zeros((*self.size, *pixels.shape[2:]), np.uint32)
        for box in self._boxes:
            total += resized(pixels[box], self.size)
        return np.asarray((total + len(self._boxes) // 2) // len(self._boxes), np.uint8)

    def image(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return the windows of a frame: RGB, ``(size, size, 3)``, uint8."""
        return self._put(self._seen(self._frames.image(number)), out)

    def mask(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return the newest window of a labelled frame's mask: grey levels, ``(size, size)``, uint8."""
        mask = self._frames.mask(number)[self._boxes[-1]]
        return self._put(np.asarray(cv2.resize(mask, self.size, interpolation=cv2.INTER_NEAREST), np.uint8), out)

    def motion(self, number: int, tau: int) -> NDArray[np.uint8]:
        """Return the windows of one channel of the optical flow, ``(size, size)``, uint8."""
        return self._seen(self._frames.motion(number, tau))

    def window(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Return the windows of several frames, ``(T, size, size, 3)``, uint8."""
        return np.stack([self.image(number) for number in numbers])

    @staticmethod
    def _put(pixels: NDArray[np.uint8], out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        if out is None:
            return pixels
        out[...] = pixels
        return out


@dataclass(frozen=True)
class Views:
    """The windows of a training sample: of now, of the past, and of the long past.

    Attributes:
        now: The target and its neighbours in time.
        past: The scene before.
        long_past: The scene before the objects came that stand still in it now.
    """

    now: SceneFrames
    past: SceneFrames
    long_past: SceneFrames

    @classmethod
    def same(cls, frames: SceneFrames) -> Views:
        """Show the same of all."""
        return cls(frames, frames, frames)

    def of(self, entry: Input) -> SceneFrames:
        """Return what an input is loaded from."""
        return self.long_past if entry.is_long_past else self.past if entry.is_past else self.now


def check_shares(**shares: float) -> None:
    """Check probabilities of a crop that are shares of one choice.

    Raises:
        UserError: If one is no probability, or they are more than 1 together.
    """
    check_range("data.init_args.crop.", least=0, most=1, **shares)
    if (total := sum(shares.values())) > 1 + 1e-9:
        *names, last = shares
        raise UserError(
            f"data.init_args.crop: {', '.join(names)} and {last} are probabilities of one choice, at most 1 together; "
            f"got {total:.3f}. Lower one of them."
        )


def require_within(frames: SceneFrames, size: int) -> None:
    """Check that a square window of a side fits into a scene's frames, which are not enlarged.

    Raises:
        UserError: If it does not.
    """
    if size > min(frames.size):
        width, height = frames.size
        raise UserError(
            f"data.init_args.crop.size: must be at most {min(frames.size)} for {frames.scene.key}, whose frames "
            f"are {width}×{height}; got {size}. Lower it, or leave the scene out by data.init_args.scene."
        )
