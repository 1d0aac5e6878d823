"""Protocols: who trains and who tests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets.cdnet2014 import CDnet2014
from bgsub_lightning.datasets.scene import Scene, raise_for_errors, select
from bgsub_lightning.splits.draws import DRAWN_TEXT, Drawn, draw, generator_of, listed, published_frames
from bgsub_lightning.splits.folds import scene_folds
from bgsub_lightning.splits.frameset import FrameSet, Split, ValidationKind

OPTION = "data.init_args.protocol.init_args"
VALIDATION = f"{OPTION}.validation"


@dataclass(frozen=True)
class HoldOut:
    """The part of the training frames that validation uses.

    Args:
        scenes: Training scenes to hold out: a number of them, chosen by seed, or categories or patterns of
            ``category/video``. 0, as in the papers: a fixed sample of training frames is looked at instead.
        fraction: Fraction in [0, 1) of each scene's training frames to hold out by seed, instead of whole scenes.
        frames: Number of validation frames, spread evenly over the scenes; 0: all that are held out.
    """

    scenes: int | Sequence[str] = 0
    fraction: float = 0.0
    frames: int = 96

    def __post_init__(self) -> None:
        check_range(f"{VALIDATION}.", least=0, frames=self.frames)
        check_range(f"{VALIDATION}.", least=0, below=1, fraction=self.fraction)
        if isinstance(self.scenes, int):
            check_range(f"{VALIDATION}.", least=0, scenes=self.scenes)
        if self.scenes and self.fraction:
            raise UserError(
                f"{VALIDATION}: either whole scenes or frames of each can be held out; got scenes={self.scenes} and "
                f"fraction={self.fraction}. Set one of them to 0."
            )

    @property
    def named(self) -> tuple[str, ...]:
        """The categories and patterns of the scenes that are held out by name."""
        return () if isinstance(self.scenes, int) else tuple(self.scenes)

    def of(self, train: FrameSet, seed: int) -> tuple[FrameSet, ValidationKind]:
        """Return the frames of the training part that are held out, and what they are.

        Args:
            train: The training part.
            seed: Seed of the choice.

        Raises:
            UserError: If no scene would be left to train on, or a pattern of ``scenes`` matches no training scene.
        """
        if self.fraction:
            parts = ((scene, _part(scene, numbers, self.fraction, seed)) for scene, numbers in train)
            return FrameSet.of(parts), "held-out frames"
        if not self.scenes:
            return FrameSet(), "training frames"
        if isinstance(self.scenes, int):
            if self.scenes >= len(train.scenes):
                raise UserError(
                    f"{VALIDATION}.scenes: must be below {len(train.scenes)}, the number of training scenes; got "
                    f"{self.scenes}. Hold out fewer, or 0 for a sample of training frames."
                )
            order = np.random.default_rng((seed, 1)).permutation(len(train.scenes))
            chosen = {train.scenes[i].key for i in order[: self.scenes]}
        else:
            chosen = {*select([scene.key for scene in train.scenes], self.named, f"{VALIDATION}.scenes")}
        return FrameSet.of((scene, numbers) for scene, numbers in train if scene.key in chosen), "held-out scenes"


class Protocol(ABC):
    """Splits scenes into training, validation and test frames.

    Args:
        validation: The part of the training frames that validation uses.
    """

    scores_training_frames: ClassVar[bool] = False
    """Whether the papers of the protocol score the frames that they train on among the others."""
    pastes_objects: ClassVar[bool] = False
    """Whether objects are pasted into the training frames of scenes whose training part has no foreground."""

    def __init__(self, validation: HoldOut = HoldOut()) -> None:
        self.validation = validation

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
        train_frames_scored = train if self.scores_training_frames else FrameSet()
        held_out, kind = self.hold_out(train, seed)
        validation = _spread(train if kind == "training frames" else held_out, self.validation.frames)
        return Split(train.without(held_out), validation, kind, test, test_scenes, train_frames_scored)

    def hold_out(self, train: FrameSet, seed: int) -> tuple[FrameSet, ValidationKind]:
        """Return what validation holds out; see :meth:`HoldOut.of`."""
        return self.validation.of(train, seed)


class SceneWise(Protocol):
    """Scene-wise cross-validation: one fold's scenes are tested, the others' are trained on.

    With 3 folds and without PTZ it is the protocol of BMN-BSN (section 4.1); the lists of that paper are not published,
    so this project's are used. With 4 folds, nothing excluded and 200 frames it is that of BSUV-Net 2.0 and SeqFeedNet,
    by their published lists. Folds of one scene each, ``[[baseline/highway], [baseline/pedestrians]]``, leave one scene
    out in turn.

    Args:
        folds: Number of folds, or the scenes of each: categories, or patterns of ``category/video``.
        exclude: Categories or patterns that take no part.
        train: Those that every fold trains on and none tests, as rendered scenes next to real ones.
        frames: Labelled frames of each training scene to train on, all where it has no more; 0: all. Validation is held
            out of these frames; tests score all labelled frames of their scenes.
        drawn: How they are drawn, as in :class:`~bgsub_lightning.splits.LabelBudget`; ``"fgsegnet"``: scenes that the
            published list does not know are drawn as by ``"balanced"``.
        validation: See :class:`Protocol`; scenes that it names are tested by no fold either.

    Raises:
        UserError: If there are fewer than two folds, or the published list has fewer frames than are asked for.
    """

    def __init__(
        self,
        folds: int | Sequence[Sequence[str]] = 3,
        exclude: Sequence[str] = ("PTZ",),
        train: Sequence[str] = (),
        frames: int = 0,
        drawn: Drawn = "fgsegnet",
        validation: HoldOut = HoldOut(),
    ) -> None:
        super().__init__(validation)
        self.lists = None if isinstance(folds, int) else [tuple(patterns) for patterns in folds]
        self.folds = folds if isinstance(folds, int) else len(folds)
        if self.folds < 2:
            raise UserError(f"{OPTION}.folds: must be at least 2; got {folds}.")
        check_range(f"{OPTION}.", least=0, frames=frames)
        if drawn == "fgsegnet" and frames > (most := max(map(len, published_frames().values()))):
            raise UserError(
                f"{OPTION}.frames: the published list has {most} frames of each video; got {frames}. Ask for fewer, or "
                f"set {OPTION}.drawn=balanced."
            )
        self.exclude = tuple(exclude)
        self.train = tuple(train)
        self.frames = frames
        self.drawn = drawn

    def describe(self, fold: int) -> str:  # noqa: D102
        tested = f" ({', '.join(self.lists[fold - 1])})" if self.lists and 1 <= fold <= self.folds else ""
        budget = f", {self.frames} frames per training scene ({DRAWN_TEXT[self.drawn]})" if self.frames else ""
        without = f", without {', '.join(self.exclude)}" if self.exclude else ""
        return f"fold {fold} of {self.folds}{tested}{budget}{without}"

    def assign(  # noqa: D102
        self, scenes: Sequence[Scene], fold: int, seed: int
    ) -> tuple[FrameSet, FrameSet, tuple[Scene, ...]]:
        if not 1 <= fold <= self.folds:
            raise UserError(f"data.init_args.fold: must be between 1 and {self.folds}; got {fold}.")
        left = left_after(self.exclude, scenes)
        keys = [scene.key for scene in left]
        always = {
            *select(keys, self.train, f"{OPTION}.train"),
            *select(keys, self.validation.named, f"{VALIDATION}.scenes"),
        }
        folds = self._folds([scene for scene in left if scene.key not in always])
        taking_part = [scene for scene in left if scene.key in folds or scene.key in always]
        train, test, test_scenes = _by_scene(taking_part, {key for key, of_scene in folds.items() if of_scene == fold})
        if self.frames:
            train = FrameSet.of((scene, self._draw(scene, labelled, seed)) for scene, labelled in train)
        return train, test, test_scenes

    def _draw(self, scene: Scene, labelled: Sequence[int], seed: int) -> list[int]:
        """The frames of a scene to train on."""
        is_listed = self.drawn == "fgsegnet" and scene.key in published_frames()
        candidates = listed(scene) if is_listed else labelled
        if not candidates:
            raise UserError(
                f"{OPTION}.drawn: {scene.key} has no mask of a frame of the published list; got {self.drawn!r}. Set "
                f"{OPTION}.drawn=balanced to draw from all labelled frames."
            )
        return draw(scene, candidates, self.frames, self.drawn != "random" and not is_listed, seed)

    def _folds(self, scenes: Sequence[Scene]) -> dict[str, int]:
        """Return the fold of each scene that is dealt to one."""
        if self.lists is None:
            return scene_folds({scene.key: len(scene.masks) for scene in scenes}, self.folds)
        folds: dict[str, int] = {}
        for fold, patterns in enumerate(self.lists, 1):
            for key in select([scene.key for scene in scenes], patterns, f"{OPTION}.folds"):
                if key in folds:
                    raise UserError(f"{OPTION}.folds: {key} is in fold {folds[key]} and in fold {fold}. Name it once.")
                folds[key] = fold
        return folds


class Subset(Protocol):
    """Train on some scenes, test on others, both given by name.

    Args:
        train: Categories, or patterns of ``category/video``, whose labelled frames are trained on; none are needed to
            test or predict with a checkpoint.
        test: Those whose labelled frames are tested, and that are predicted.
        validation: See :class:`Protocol`; scenes that it names need not be among those of ``train``.
    """

    def __init__(
        self,
        train: Sequence[str] = (),
        test: Sequence[str] = (),
        validation: HoldOut = HoldOut(),
    ) -> None:
        super().__init__(validation)
        self.train = tuple(train)
        self.test = tuple(test)

    def describe(self, fold: int) -> str:  # noqa: D102
        train, test = ("all" if named == ("*",) else ", ".join(named) or "none" for named in (self.train, self.test))
        return f"{train} for training, {test} for test"

    def assign(  # noqa: D102
        self, scenes: Sequence[Scene], fold: int, seed: int
    ) -> tuple[FrameSet, FrameSet, tuple[Scene, ...]]:
        keys = [scene.key for scene in scenes]
        train = select(keys, self.train, f"{OPTION}.train")
        test = select(keys, self.test, f"{OPTION}.test")
        held_out = select(keys, self.validation.named, f"{VALIDATION}.scenes")
        for what, others in (("validation.scenes", held_out), ("test", test)):
            if both := sorted({*train, *(held_out if what == "test" else ())} & {*others}):
                raise UserError(
                    f"{OPTION}.{what}: {', '.join(both)} is among the training or validation scenes, too. Take it out "
                    f"of one list."
                )
        train += held_out
        taking_part = [scene for scene in scenes if scene.key in {*train, *test}]
        raise_for_errors(taking_part)
        return _by_scene(taking_part, set(test))


class FirstHalf(Protocol):
    """The first half of each scene's labelled frames is trained on, the second is tested.

    It is the protocol of recon + MCFCN (section 4.1), which trains one model per scene: the datamodule's ``scene``
    chooses the scenes, and one model is trained over all of them. Of n labelled frames the first ⌊n/2⌋ are trained on.
    Where they have no foreground, as in some videos of CDnet2014, objects of PASCAL VOC 2012 are pasted into them.

    Args:
        exclude: Categories, or patterns of ``category/video``, that take no part.
        validation: See :class:`Protocol`.
    """

    pastes_objects = True

    def __init__(self, exclude: Sequence[str] = (), validation: HoldOut = HoldOut()) -> None:
        super().__init__(validation)
        self.exclude = tuple(exclude)

    def describe(self, fold: int) -> str:  # noqa: D102
        without = f", without {', '.join(self.exclude)}" if self.exclude else ""
        return f"the first half of each scene's labelled frames for training, the second for test{without}"

    def assign(  # noqa: D102
        self, scenes: Sequence[Scene], fold: int, seed: int
    ) -> tuple[FrameSet, FrameSet, tuple[Scene, ...]]:
        left = left_after(self.exclude, scenes)
        for scene in left:
            if len(scene.masks) < 2:
                raise UserError(
                    f"{OPTION}: half of the labelled frames of each scene were to be trained on and half to be tested, "
                    f"and {scene.key} has {len(scene.masks)}. Leave the scene out by data.init_args.scene or "
                    f"{OPTION}.exclude."
                )
        labelled = FrameSet.labelled(left)
        train = FrameSet.of((scene, numbers[: len(numbers) // 2]) for scene, numbers in labelled)
        return train, labelled.without(train), labelled.scenes


def left_after(exclude: Sequence[str], scenes: Sequence[Scene]) -> list[Scene]:
    """Return the scenes that are not excluded, all of them sound.

    Raises:
        UserError: If a pattern matches nothing, or one of the scenes that are left has an error.
    """
    keys = [scene.key for scene in scenes]
    excluded = select(keys, exclude, f"{OPTION}.exclude", known=CDnet2014.categories)
    left = [scene for scene in scenes if scene.key not in excluded]
    raise_for_errors(left)
    return left


def _part(scene: Scene, numbers: Sequence[int], fraction: float, seed: int) -> list[int]:
    """Draw a fraction of a scene's frames: one at least, and not all of them."""
    count = min(max(1, round(fraction * len(numbers))), len(numbers) - 1)
    return [numbers[i] for i in generator_of(scene, seed, 2).choice(len(numbers), count, replace=False)]


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
