"""Sets of frames, and how a dataset is split into them."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal

from bgsub_lightning.datasets.scene import Scene


@dataclass(frozen=True)
class FrameSet:
    """Frames of one or more scenes.

    Attributes:
        scenes: The scenes, in the order of their keys.
        numbers: Of each scene, the frame numbers, ascending.
    """

    scenes: tuple[Scene, ...] = ()
    numbers: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, frames: Iterable[tuple[Scene, Iterable[int]]]) -> FrameSet:
        """Collect scenes with their frame numbers; scenes without any are left out."""
        chosen = [(scene, tuple(sorted(numbers))) for scene, numbers in frames]
        chosen = sorted(((scene, numbers) for scene, numbers in chosen if numbers), key=lambda pair: pair[0].key)
        return cls(tuple(scene for scene, _ in chosen), tuple(numbers for _, numbers in chosen))

    @classmethod
    def labelled(cls, scenes: Iterable[Scene]) -> FrameSet:
        """All labelled frames of scenes."""
        return cls.of((scene, scene.masks) for scene in scenes)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> tuple[int, int]:
        """Return the position of the scene and the frame number of a frame."""
        scene = bisect.bisect_right(self._ends, index)
        return scene, self.numbers[scene][index - self._ends[scene]]

    def __iter__(self) -> Iterator[tuple[Scene, tuple[int, ...]]]:
        return zip(self.scenes, self.numbers, strict=True)

    def isdisjoint(self, other: FrameSet) -> bool:
        """Whether no frame is in both sets."""
        mine = {scene.key: set(numbers) for scene, numbers in self}
        return all(mine.get(scene.key, set()).isdisjoint(numbers) for scene, numbers in other)

    def joined(self, other: FrameSet) -> FrameSet:
        """The frames of this set, and another's frames of the same scenes."""
        added = {scene.key: numbers for scene, numbers in other}
        return FrameSet.of((scene, {*numbers, *added.get(scene.key, ())}) for scene, numbers in self)

    def without(self, other: FrameSet) -> FrameSet:
        """The frames of this set that are not in another."""
        taken = {scene.key: set(numbers) for scene, numbers in other}
        return FrameSet.of((scene, set(numbers) - taken.get(scene.key, set())) for scene, numbers in self)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(map(len, self.numbers)))


ValidationKind = Literal["held-out scenes", "held-out frames", "training frames"]
"""Kinds of validation frames: see :class:`Split`."""


@dataclass(frozen=True)
class Split:
    """A dataset as a protocol splits it.

    Attributes:
        train: Frames to learn from.
        validation: Frames of the training part alone; never test frames.
        validation_kind: What is special about the validation frames: whole scenes held out of training, frames held
            out of it, or frames that are trained on as well (the papers' configurations hold nothing out).
        test: Frames to score.
        test_scenes: The scenes of the test part, those without a labelled frame as well, which can only be predicted.
        train_frames_scored: Frames of the training part that the papers of the protocol score as well. They are scored
            next to the test frames and never among them.
    """

    train: FrameSet
    validation: FrameSet
    validation_kind: ValidationKind
    test: FrameSet
    test_scenes: tuple[Scene, ...]
    train_frames_scored: FrameSet = FrameSet()
