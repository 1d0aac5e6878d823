"""Groups of frames of one video at a constant gap, for systems that learn from sequences."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_ascending, check_range
from bgsub_lightning.data.inputs import Input, Stream
from bgsub_lightning.data.recent_background import RecentBackground
from bgsub_lightning.datasets.labels import UNKNOWN
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.frames import FrameStore, SceneFrames, median
from bgsub_lightning.splits import FrameSet, Split


@dataclass(frozen=True)
class EvaluationStream(Stream):
    """As :class:`Stream`, for systems whose training samples hold other frames than the target."""

    in_training = False


@dataclass(frozen=True)
class FrameGroup(Input):
    """Frames of the target's video at a constant gap, the target among them.

    Y.-S. Huang, J.-M. Guo, Y.-X. Yang, "SeqFeedNet", WACV 2026. The gap is drawn evenly from 1 to a limit, which grows
    with the run; where the labelled part is too short for it, to what fits. So is the target's place in the group,
    among those that leave the whole group inside the labelled part.

    Args:
        length: Number of frames.
        gap: Largest gap at the beginning of a run and at its end, in frames; in between it grows evenly.
        moving: Categories, or patterns of ``category/video``, whose camera moves: there the limit is a tenth, or 5.
        slow: The same, of few frames per second: there the gap is 1.
        progress: How much of the run is done, [0, 1]; see :meth:`at`.

    Raises:
        UserError: If a number makes no sense.
    """

    key = "frames"
    length: int = 7
    gap: tuple[int, int] = (3, 200)
    moving: tuple[str, ...] = ("PTZ",)
    slow: tuple[str, ...] = ("lowFramerate",)
    progress: float = field(default=1.0, compare=False)

    def __post_init__(self) -> None:
        check_range("model.init_args.", least=1, most=1000, group=self.length)
        check_range("model.init_args.", least=1, most=100_000, gap=self.gap)
        check_ascending("model.init_args.", gap=self.gap)

    def at(self, progress: float) -> FrameGroup:  # noqa: D102
        return replace(self, progress=progress)

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:  # noqa: D102
        return (self.length, size[1], size[0], 3)

    def require_training(self, frames: FrameSet) -> None:
        """Check that each scene's labelled part holds a group.

        Raises:
            UserError: If one does not.
        """
        for scene, _ in frames:
            if (count := len(labelled_part(scene))) < self.length:
                raise UserError(
                    f"model.init_args.group: must be at most the {count} frames of the labelled part of "
                    f"{scene.dataset} {scene.key}; got {self.length}. Lower it, or leave the scene out by "
                    f"data.init_args.scene."
                )

    def frames(self, scene: Scene, number: int, seed: int) -> list[int]:  # noqa: D102
        part, rng = labelled_part(scene), np.random.default_rng((seed, 9))
        gap = int(rng.integers(min(self.limit(scene), max(1, len(part) // self.length)))) + 1
        place = bisect_left(part, number)
        least = max(0, self.length - 1 - (len(part) - 1 - place) // gap)
        most = min(self.length - 1, place // gap)
        first = place - gap * int(rng.integers(least, most + 1))
        return part[first : first + gap * (self.length - 1) + 1 : gap]

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        for place, chosen in enumerate(self.frames(pixels.scene, number, seed)):
            pixels.at(place).image(chosen, out[place])

    def limit(self, scene: Scene) -> int:
        """Return the largest gap in a scene, where its labelled part is long enough."""
        if scene.matches(self.slow):
            return 1
        begin, end = self.gap
        limit = begin + (end - begin) * self.progress
        return round(max(5, limit / 10) if scene.matches(self.moving) else limit)


@dataclass(frozen=True)
class GroupMasks(Input):
    """The masks of a group's frames; unknown all over where a frame has none, or none that training may see.

    Training may see all masks of a scene of which nothing is tested or held out, and else those of its training frames.

    Args:
        group: The group.
        known: Key of a scene → the frames whose masks training sees; :meth:`begin_training` notes them.
    """

    key = "masks"
    colour = False
    is_mask = True
    group: FrameGroup
    known: dict[str, frozenset[int]] = field(default_factory=dict, compare=False, repr=False)

    def at(self, progress: float) -> GroupMasks:  # noqa: D102
        return replace(self, group=self.group.at(progress))

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:  # noqa: D102
        return self.group.shape(size)[:-1]

    def masks_seen(self, split: Split) -> FrameSet:  # noqa: D102
        tested = {scene.key for scene in split.test_scenes}
        return FrameSet.of(
            (scene, numbers if scene.key in tested or split.validation_kind == "held-out frames" else scene.masks)
            for scene, numbers in split.train
        )

    def begin_training(self, split: Split) -> None:
        """Note the frames whose masks training sees."""
        self.known.update((scene.key, frozenset(numbers)) for scene, numbers in self.masks_seen(split))

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        known = self.known[pixels.scene.key]
        for place, chosen in enumerate(self.group.frames(pixels.scene, number, seed)):
            if chosen in known:
                pixels.at(place).mask(chosen, out[place])
            else:
                out[place] = UNKNOWN


class GroupBackground(RecentBackground):
    """The recent background of a group's first frame.

    An evaluation has one for each scene: the median of the frames before the labelled part, or of a scene's first
    frames where there are none before. A stream has the median of its pool.

    Args:
        group: The group.
        history: Number of frames.

    Raises:
        UserError: If it is not positive.
    """

    def __init__(self, group: FrameGroup, history: int = 100) -> None:
        super().__init__(history)
        self.group = group

    def at(self, progress: float) -> GroupBackground:  # noqa: D102
        later = copy(self)
        later.group = self.group.at(progress)
        return later

    def prepare(self, pixels: Sequence[SceneFrames], frames: FrameSet, store: FrameStore) -> None:
        """Compute what the store lacks: of each frame that may be a group's first."""
        last = self.group.length - 1
        parts = ((scene, labelled_part(scene)) for scene in frames.scenes)
        super().prepare(pixels, FrameSet.of((scene, part[: len(part) - last]) for scene, part in parts), store)

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        super().load(pixels, self.group.frames(pixels.scene, number, seed)[0], seed, out)

    def scene(self, pixels: SceneFrames, seed: int) -> NDArray[np.uint8]:  # noqa: D102
        before, every = pixels.scene.references, list(pixels.scene.frames)
        chosen = before[-self.history :] if before else every[: self.history]
        return median([pixels.image(number) for number in chosen])[None]

    def of_pool(self, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Return the median of the pool's last frames."""
        return median(frames[-self.history :])[None]


def labelled_part(scene: Scene) -> list[int]:
    """Return the frames from the first labelled one to the last, those between them without a mask as well."""
    every, labelled = list(scene.frames), list(scene.masks)
    if not labelled:
        return []
    return every[bisect_left(every, labelled[0]) : bisect_left(every, labelled[-1]) + 1]
