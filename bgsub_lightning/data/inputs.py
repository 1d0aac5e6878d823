"""The inputs that a module can ask for.

A module declares ``inputs = (Image(), References(16))``; the datamodule builds exactly these.
"""

from __future__ import annotations

import bisect
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.frames import FrameStore, SceneFrames
from bgsub_lightning.frames.flow import require_motion
from bgsub_lightning.splits import FrameSet, Split

_POOL = "footage:footage/footage"
"""Seeds draws from a pool, in the place of a scene's name."""


class Pixels(Protocol):
    """Frames by their numbers, at the input size: those of a scene, or the newest of a stream."""

    size: tuple[int, int]

    def image(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return a frame: RGB, shape ``(H, W, 3)``, uint8; written into ``out`` if that is given."""

    def hop(self, number: int, taus: Sequence[int], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return a frame's hierarchical optical flow; see :meth:`bgsub_lightning.frames.SceneFrames.hop`."""


@dataclass(frozen=True)
class Input:
    """An input of a module: a key of its batches.

    Attributes:
        key: The key.
        labelled: Whether its samples are labelled frames, whose masks are loaded with them.
        per_frame: Whether evaluation, too, loads it for each frame.
        colour: Whether it is built from RGB frames, whose light and geometry an augmentation may change.
        is_mask: Whether it is a mask, whose grey levels stay as they are: shape ``(H, W)``, uint8. It has no colour.
        is_past: Whether it shows the scene before the target frame, as references and backgrounds do: a change of light
            or an object that a transform adds now is not in it.
        is_long_past: Whether it shows the scene long before: what has come since and stays is not in it either. It is
            of the past as well.
        of_files: Whether it is read from files that a stream of frames does not have.
        is_image: Whether a sample is one or more images, channels last before it reaches the device.
        in_training: Whether training samples hold it.
        as_bytes: Whether it stays uint8 on the device, range [0, 255], for what works on bytes, as statistics of many
            frames do.
    """

    key: ClassVar[str]
    labelled: ClassVar[bool] = True
    per_frame: ClassVar[bool] = False
    colour: ClassVar[bool] = True
    is_mask: ClassVar[bool] = False
    is_past: ClassVar[bool] = False
    is_long_past: ClassVar[bool] = False
    of_files: ClassVar[bool] = False
    is_image: ClassVar[bool] = True
    in_training: ClassVar[bool] = True
    as_bytes: ClassVar[bool] = False

    def validate(self, scene: Scene) -> None:
        """Check that a scene can serve this input.

        Raises:
            UserError: If it cannot.
        """

    def require_training(self, frames: FrameSet) -> None:
        """Check that the frames of training can serve this input, before anything takes time.

        Raises:
            UserError: If they cannot.
        """

    def require_evaluation(self, frames: FrameSet) -> None:
        """Check that what is evaluated can be served, before anything takes time.

        Args:
            frames: Those of :meth:`chosen`.

        Raises:
            UserError: If it cannot.
        """

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of one sample before it reaches the device: ``(..., H, W, C)``, for a size (W, H)."""
        return (size[1], size[0], 3)

    def at(self, progress: float) -> Input:
        """Return this input as it is at a point of the run; most are the same throughout.

        Args:
            progress: How much of the run is done, [0, 1]: by the number of the batch alone, so that a resumed run and
                any number of workers agree. 1 where no end is set.
        """
        return self

    def frames(self, scene: Scene, number: int, seed: int) -> list[int]:
        """Choose the frames that make up a training sample.

        Args:
            scene: The scene.
            number: The target frame.
            seed: Seed of what is random in the sample.
        """
        raise NotImplementedError

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:
        """Load a training sample.

        Args:
            pixels: The scene's pixels.
            number: The target frame.
            seed: Seed of what is random in the sample.
            out: Where it goes, of :meth:`shape`.
        """
        places = out.reshape(-1, *out.shape[-3:])
        for chosen, place in zip(self.frames(pixels.scene, number, seed), places, strict=True):
            pixels.image(chosen, place)

    def drawn_from(self, split: Split) -> FrameSet:
        """Return the frames that training samples are drawn from."""
        return split.train

    def masks_seen(self, split: Split) -> FrameSet:
        """Return the frames whose masks training samples hold, for the leak guard."""
        return split.train

    def begin_training(self, split: Split) -> None:
        """Note what samples need to know of the split, before any is loaded."""

    def prepare(self, pixels: Sequence[SceneFrames], frames: FrameSet, store: FrameStore) -> None:
        """Make what training samples read, before a run or a stage of it begins.

        Args:
            pixels: The scenes' pixels.
            frames: The frames of the samples.
            store: Where to keep it: that of the data, or else the run's own.
        """

    def chosen(self, pixels: Sequence[SceneFrames], frames: FrameSet, seed: int) -> Input:
        """Return this input as an evaluation has it, when it has chosen what it loads once per scene.

        Args:
            pixels: The scenes' pixels.
            frames: The frames that are tested.
            seed: Seed of what is random in the choice.
        """
        return self

    def bases(self) -> Mapping[str, int | Path]:
        """Return what each scene's frames are compared with: key → frame, which is not scored, or image file."""
        return {}

    def scene(self, pixels: SceneFrames, seed: int) -> NDArray[np.uint8] | None:
        """Load what evaluation needs once per scene, shape ``(D, ..., H, W, 3)``, uint8; ``None``: nothing."""
        return None

    def of_stream(self) -> Input:
        """Return this input as a stream of frames has it, which has no scene."""
        return self

    def of_pool(self, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8] | None:
        """Return what :meth:`scene` loads, made from a pool of frames of a stream.

        Args:
            frames: One or more, at the input size: RGB, shape ``(H, W, 3)``, uint8.
        """
        return None


@dataclass(frozen=True)
class Image(Input):
    """The target frame."""

    key = "image"
    per_frame = True

    def load(self, pixels: Pixels, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        pixels.image(number, out)


@dataclass(frozen=True)
class UnlabelledImage(Image):
    """Any frame of a training scene, for systems that learn without labels: its mask is not read."""

    labelled = False

    def drawn_from(self, split: Split) -> FrameSet:
        """Return all frames of the training scenes, labelled or not."""
        return FrameSet.of((scene, scene.frames) for scene in split.train.scenes)


@dataclass(frozen=True)
class Stream(Image):
    """The target frame, for systems that carry state: evaluation shows them every frame of a scene, from the first."""


@dataclass(frozen=True)
class ByteStream(Stream):
    """The same, uint8 in the range [0, 255], for systems that work on bytes."""

    as_bytes = True


@dataclass(frozen=True)
class Hop(Input):
    """Hierarchical optical flow of the target frame (CrossNet, section III-C).

    It is computed from the frames as they were recorded, before anything varies them in training: a change of
    appearance is no motion. What moves the frames of a sample moves its flow as well.

    Args:
        taus: The intervals τ between the two frames of a flow, in frames; each is a channel, the longest first.

    Raises:
        UserError: If there is none, or one is not positive or named twice.
    """

    key = "hop"
    per_frame = True
    colour = False
    taus: tuple[int, ...] = (1, 5, 10)

    def __post_init__(self) -> None:
        object.__setattr__(self, "taus", tuple(sorted(self.taus)))
        if not self.taus or self.taus[0] < 1 or len(set(self.taus)) < len(self.taus):
            raise UserError(
                f"model.init_args.taus: must be different numbers of frames, each at least 1; got {list(self.taus)}."
            )
        check_range("model.init_args.", least=1, most=10_000, taus=self.taus)

    def validate(self, scene: Scene) -> None:  # noqa: D102
        require_motion(scene, self.taus)

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:  # noqa: D102
        return (size[1], size[0], len(self.taus))

    def load(self, pixels: Pixels, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        pixels.hop(number, self.taus, out)


@dataclass(frozen=True)
class References(Input):
    """Frames of the scene's unlabelled part, drawn at random (BMN-BSN, section 4.1).

    For training each sample has its own draw. For evaluation they are fixed by (seed, scene).

    Args:
        count: Number of frames of a draw, N; each is another frame.
        draws: Number of draws that evaluation makes.
    """

    key = "references"
    is_past = is_long_past = True
    count: int
    draws: int = 1

    def validate(self, scene: Scene) -> None:  # noqa: D102
        if len(scene.references) < self.count:
            raise UserError(
                f"model.init_args.references: must be at most {len(scene.references)}, the frames before the labelled "
                f"part of {scene.dataset} {scene.key}; got {self.count}. Lower it, or leave "
                f"the scene out by data.init_args.scene."
            )

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:  # noqa: D102
        return (self.count, size[1], size[0], 3)

    def frames(self, scene: Scene, number: int, seed: int) -> list[int]:  # noqa: D102
        return self._draw(scene.references, np.random.default_rng(seed))

    def scene(self, pixels: SceneFrames, seed: int) -> NDArray[np.uint8]:  # noqa: D102
        draws = self._draws(pixels.scene.references, f"{pixels.scene.dataset}:{pixels.scene.key}", seed)
        return np.stack([[pixels.image(i) for i in draw] for draw in draws])

    def of_stream(self) -> Input:
        """Return this input as a stream of frames has it, which has no scene."""
        return self

    def of_pool(self, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Draw from the pool; while it has fewer frames than a draw, each is used several times."""
        positions = [i % len(frames) for i in range(max(self.count, len(frames)))]
        return np.stack([[frames[i] for i in draw] for draw in self._draws(positions, _POOL, 0)])

    def _draws(self, among: Sequence[int], name: str, seed: int) -> list[list[int]]:
        digest = zlib.crc32(name.encode())
        return [self._draw(among, np.random.default_rng((seed, digest, draw))) for draw in range(self.draws)]

    def _draw(self, among: Sequence[int], generator: np.random.Generator) -> list[int]:
        chosen = generator.choice(len(among), self.count, replace=False, shuffle=True)
        return [among[i] for i in chosen]


@dataclass(frozen=True)
class Histories(Input):
    """Histories of pixels drawn at random from one window of frames (CDN-MEDAL-net, section III-A).

    A draw is a window, which may end at any frame of a training scene, labelled or not. Its sample has the shape
    ``(T, 3, pixels)``, from the oldest frame to the newest.

    Args:
        length: Frames of a history, T.
        pixels: Number of pixels.
    """

    key = "history"
    labelled = False
    is_image = False
    length: int
    pixels: int

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:  # noqa: D102
        return (self.length, 3, self.pixels)

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        window = pixels.window(history(tuple(pixels.scene.frames), number, self.length))
        series = window.reshape(self.length, -1, 3)
        positions = np.random.default_rng(seed).integers(series.shape[1], size=self.pixels)
        out[...] = series[:, positions].swapaxes(1, 2)

    def drawn_from(self, split: Split) -> FrameSet:
        """Return the last frames of the windows: every one with T frames up to it, or the last of a shorter scene."""
        return FrameSet.of(
            (scene, numbers[min(self.length, len(numbers)) - 1 :])
            for scene in split.train.scenes
            for numbers in [tuple(scene.frames)]
        )


def history(numbers: Sequence[int], last: int, length: int) -> list[int]:
    """Return the ``length`` newest frames up to ``last``.

    What is missing before the first frame is filled by repeating those that there are, in their order.

    Example:
        >>> history([1, 2, 3, 4, 5], 5, 3), history([1, 2, 3], 3, 5)
        ([3, 4, 5], [2, 3, 1, 2, 3])
    """
    end = bisect.bisect_right(numbers, last)
    return [numbers[i if i >= 0 else i % end] for i in range(end - length, end)]
