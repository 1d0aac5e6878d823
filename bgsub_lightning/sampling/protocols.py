"""Protocols: who trains and who tests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from bgsub_lightning.errors import UserError
from bgsub_lightning.sampling.folds import scene_folds
from bgsub_lightning.sampling.frameset import FrameSet, Split
from bgsub_lightning.scenes.cdnet2014 import CDnet2014
from bgsub_lightning.scenes.scene import Scene, require_sound, select

_OPTION = "data.init_args.protocol.init_args"


class Protocol(ABC):
    """Splits scenes into training, validation and test frames.

    Args:
        val_scenes: Number of training scenes to hold out for validation, chosen by seed. 0, as in the papers: a fixed
            sample of training frames is looked at instead.
        val_frames: Number of validation frames, spread evenly over the scenes; 0 takes all of the held-out scenes.
    """

    def __init__(self, val_scenes: int = 0, val_frames: int = 96) -> None:
        if val_scenes < 0 or val_frames < 0:
            raise UserError(f"{_OPTION}: val_scenes and val_frames cannot be negative ({val_scenes}, {val_frames}).")
        self.val_scenes = val_scenes
        self.val_frames = val_frames

    @abstractmethod
    def assign(self, scenes: Sequence[Scene], fold: int, seed: int) -> tuple[FrameSet, FrameSet, tuple[Scene, ...]]:
        """Return the training part, of which validation will be taken, the test part, and the scenes of the latter.

        Args:
            scenes: The scenes of the dataset.
            fold: Which fold is tested, from 1.
            seed: Seed of what is random in the protocol.
        """

    @abstractmethod
    def describe(self, fold: int) -> str:
        """Say in a few words which part is tested, for tables."""

    def split(self, scenes: Sequence[Scene], fold: int, seed: int) -> Split:
        """Split scenes; the arguments are those of :meth:`assign`.

        Raises:
            UserError: If the protocol cannot be applied to these scenes, or one that takes part has an error.
        """
        train, test, test_scenes = self.assign(scenes, fold, seed)
        if not train.isdisjoint(test):
            raise ValueError(f"{type(self).__name__} would test frames that it trains on")
        if self.val_scenes == 0:
            return Split(train, _spread(train, self.val_frames), "training frames", test, test_scenes)
        if self.val_scenes >= len(train.scenes):
            raise UserError(
                f"{_OPTION}.val_scenes: {self.val_scenes} scenes were to be held out for validation, "
                f"of {len(train.scenes)} in training. Hold out fewer, or 0 for a sample of training frames."
            )
        order = np.random.default_rng((seed, 1)).permutation(len(train.scenes))
        held_out = {train.scenes[i].key for i in order[: self.val_scenes]}
        validation = FrameSet.of((scene, numbers) for scene, numbers in train if scene.key in held_out)
        train = train.without(validation)
        return Split(train, _spread(validation, self.val_frames), "held-out scenes", test, test_scenes)


class SceneWise(Protocol):
    """Scene-wise cross-validation: one fold's scenes are tested, the others' are trained on.

    With 3 folds and without PTZ it is the protocol of BMN-BSN (section 4.1); the lists of that paper are not published,
    so this project's are used. With 4 folds and nothing excluded it is that of BSUV-Net 2.0, by its published lists.

    Args:
        folds: Number of folds.
        exclude: Categories, or patterns of ``category/video``, that take no part.
        val_scenes: See :class:`Protocol`.
        val_frames: See :class:`Protocol`.
    """

    def __init__(
        self, folds: int = 3, exclude: Sequence[str] = ("PTZ",), val_scenes: int = 0, val_frames: int = 96
    ) -> None:
        super().__init__(val_scenes, val_frames)
        if folds < 2:
            raise UserError(f"{_OPTION}.folds: cross-validation needs at least 2 folds, got {folds}.")
        self.folds = folds
        self.exclude = tuple(exclude)

    def describe(self, fold: int) -> str:  # noqa: D102
        return f"fold {fold} of {self.folds}" + (f", without {', '.join(self.exclude)}" if self.exclude else "")

    def assign(  # noqa: D102
        self, scenes: Sequence[Scene], fold: int, seed: int
    ) -> tuple[FrameSet, FrameSet, tuple[Scene, ...]]:
        if not 1 <= fold <= self.folds:
            raise UserError(f"data.init_args.fold: {fold} is not among the folds 1 to {self.folds}.")
        excluded = select(
            [scene.key for scene in scenes], self.exclude, f"{_OPTION}.exclude", known=CDnet2014.categories
        )
        taking_part = [scene for scene in scenes if scene.key not in excluded]
        require_sound(taking_part)
        folds = scene_folds({scene.key: len(scene.masks) for scene in taking_part}, self.folds)
        return _by_scene(taking_part, {key for key, of_scene in folds.items() if of_scene == fold})


class Subset(Protocol):
    """Train on some scenes, test on others, both told by name.

    Args:
        train: Categories, or patterns of ``category/video``, whose labelled frames are trained on; none are needed to
            test or predict with a checkpoint.
        test: Those whose labelled frames are tested, and that are predicted.
        val_scenes: See :class:`Protocol`.
        val_frames: See :class:`Protocol`.
    """

    def __init__(
        self, train: Sequence[str] = (), test: Sequence[str] = (), val_scenes: int = 0, val_frames: int = 96
    ) -> None:
        super().__init__(val_scenes, val_frames)
        self.train = tuple(train)
        self.test = tuple(test)

    def describe(self, fold: int) -> str:  # noqa: D102
        return f"{', '.join(self.train) or 'none'} for training, {', '.join(self.test) or 'none'} for test"

    def assign(  # noqa: D102
        self, scenes: Sequence[Scene], fold: int, seed: int
    ) -> tuple[FrameSet, FrameSet, tuple[Scene, ...]]:
        keys = [scene.key for scene in scenes]
        train = select(keys, self.train, f"{_OPTION}.train")
        test = select(keys, self.test, f"{_OPTION}.test")
        if both := sorted(set(train) & set(test)):
            raise UserError(f"{_OPTION}: {', '.join(both)} would be trained on and tested. Take it out of one list.")
        taking_part = [scene for scene in scenes if scene.key in {*train, *test}]
        require_sound(taking_part)
        return _by_scene(taking_part, set(test))


def _by_scene(scenes: Sequence[Scene], tested: set[str]) -> tuple[FrameSet, FrameSet, tuple[Scene, ...]]:
    test_scenes = tuple(sorted((scene for scene in scenes if scene.key in tested), key=lambda scene: scene.key))
    train = FrameSet.labelled(scene for scene in scenes if scene.key not in tested)
    return train, FrameSet.labelled(test_scenes), test_scenes


def _spread(frames: FrameSet, count: int) -> FrameSet:
    """Take ``count`` frames, evenly over the scenes and within each; 0 takes all."""
    if not count or count >= len(frames):
        return frames
    shares = [0] * len(frames.scenes)
    while left := count - sum(shares):  # what a short scene cannot give is asked of the others
        able = [i for i, numbers in enumerate(frames.numbers) if shares[i] < len(numbers)]
        for rank, i in enumerate(able):
            shares[i] = min(shares[i] + left // len(able) + (rank < left % len(able)), len(frames.numbers[i]))
    return FrameSet.of(
        (scene, [numbers[i] for i in np.linspace(0, len(numbers) - 1, share, dtype=int)])
        for (scene, numbers), share in zip(frames, shares, strict=True)
    )
