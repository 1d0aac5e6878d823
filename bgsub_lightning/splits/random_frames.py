"""Labelled frames drawn at random, without a look at what they show: of each category, or of each scene."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.labels import MOVING
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits.draws import generator_named, generator_of
from bgsub_lightning.splits.frameset import FrameSet, ValidationKind
from bgsub_lightning.splits.protocols import OPTION, HoldOut, Protocol, left_after


class CategoryBudget(Protocol):
    """A fraction of each category's labelled frames is trained on, the others are tested; one model for all scenes.

    With 5 % it is the protocol of DeepBS, STAM and CrossNet (section IV-A of the latter). The frames are drawn by seed
    from all scenes of a category together, so that a scene may give many or none. Near-duplicates of them are tested:
    what it measures is not how a system does in unseen scenes.

    Args:
        fraction: Fraction of each category's labelled frames in (0, 1) to train on, at least one frame.
        exclude: Categories, or patterns of ``category/video``, that take no part.
        validation: See :class:`Protocol`.
    """

    def __init__(
        self,
        fraction: float = 0.05,
        exclude: Sequence[str] = (),
        validation: HoldOut = HoldOut(),
    ) -> None:
        super().__init__(validation)
        if not 0 < fraction < 1:
            raise UserError(f"{OPTION}.fraction: must be in (0, 1); got {fraction}.")
        self.fraction = fraction
        self.exclude = tuple(exclude)

    def describe(self, fold: int) -> str:  # noqa: D102
        share = f"{self.fraction:g} of the labelled frames of each category (at random)"
        return f"{share} for training, the others for test{_without(self.exclude)}"

    def assign(  # noqa: D102
        self, scenes: Sequence[Scene], fold: int, seed: int
    ) -> tuple[FrameSet, FrameSet, tuple[Scene, ...]]:
        left = left_after(self.exclude, scenes)
        categories: dict[str, list[Scene]] = {}
        for scene in left:
            categories.setdefault(scene.category, []).append(scene)
        pools = {category: FrameSet.labelled(of_category) for category, of_category in categories.items()}
        train = FrameSet.of(part for category, pool in pools.items() for part in self._draw(category, pool, seed))
        labelled = FrameSet.labelled(left)
        _require_foreground(train, f"Ask for more by {OPTION}.fraction")
        return train, labelled.without(train), labelled.scenes

    def _draw(self, category: str, pool: FrameSet, seed: int) -> Iterator[tuple[Scene, list[int]]]:
        """Draw a category's frames to train on."""
        count = max(1, round(self.fraction * len(pool)))
        if count >= len(pool):
            raise UserError(
                f"{OPTION}.fraction: {self.fraction:g} of the labelled frames of each category, at least one, was to "
                f"be trained on and the others tested, and {category} has {len(pool)}, which leaves none to test. Ask "
                f"for fewer, or leave the category out by data.init_args.scene or {OPTION}.exclude."
            )
        generator = generator_named(f"{pool.scenes[0].dataset}:{category}", seed, 1)
        drawn: dict[int, list[int]] = {}
        for index in generator.choice(len(pool), count, replace=False).tolist():
            scene, number = pool[index]
            drawn.setdefault(scene, []).append(number)
        return ((pool.scenes[scene], numbers) for scene, numbers in drawn.items())


class RandomShares(Protocol):
    """Of each scene's labelled frames some train, some validate, and the rest is tested.

    With 30 % and 10 % it is the protocol of the siamese system's paper (section 2.1). The frames are drawn by seed;
    those of validation are never trained on, and can choose a checkpoint, a threshold or the end of training.
    Near-duplicates of the training frames are tested: what it measures is not how a system does in unseen scenes.

    Args:
        train: Fraction of each scene's labelled frames in (0, 1) to train on, at least one frame.
        val: Fraction of them to validate on, at least one frame.
        exclude: Categories, or patterns of ``category/video``, that take no part.
        val_frames: Number of validation frames that are looked at, spread evenly over the scenes; 0: all.
    """

    def __init__(self, train: float = 0.3, val: float = 0.1, exclude: Sequence[str] = (), val_frames: int = 0) -> None:
        super().__init__(HoldOut(frames=val_frames))
        if not (train > 0 and val > 0 and train + val < 1):
            raise UserError(
                f"{OPTION}: train, val: must be fractions above 0, below 1 together; got {train} and {val}."
            )
        self.train = train
        self.val = val
        self.exclude = tuple(exclude)

    def describe(self, fold: int) -> str:  # noqa: D102
        shares = (
            f"{self.train:g} of the labelled frames per scene (at random) for training, {self.val:g} for validation"
        )
        return f"{shares}, the others for test{_without(self.exclude)}"

    def assign(  # noqa: D102
        self, scenes: Sequence[Scene], fold: int, seed: int
    ) -> tuple[FrameSet, FrameSet, tuple[Scene, ...]]:
        labelled = FrameSet.labelled(self._dividable(left_after(self.exclude, scenes)))
        train, val = (FrameSet.of((scene, self._shares(scene, seed)[i]) for scene in labelled.scenes) for i in (0, 1))
        _require_foreground(train, f"Ask for more by {OPTION}.train")
        part = train.joined(val)
        return part, labelled.without(part), labelled.scenes

    def hold_out(self, train: FrameSet, seed: int) -> tuple[FrameSet, ValidationKind]:
        """Return the share of validation."""
        return FrameSet.of((scene, self._shares(scene, seed)[1]) for scene in train.scenes), "held-out frames"

    def _shares(self, scene: Scene, seed: int) -> tuple[list[int], list[int]]:
        """Draw a scene's frames to train on, and those to validate on."""
        numbers = list(scene.masks)
        order = generator_of(scene, seed, 1).permutation(len(numbers)).tolist()
        train, val = self._counts(scene)
        return [numbers[i] for i in order[:train]], [numbers[i] for i in order[train : train + val]]

    def _counts(self, scene: Scene) -> tuple[int, int]:
        return max(1, round(self.train * len(scene.masks))), max(1, round(self.val * len(scene.masks)))

    def _dividable(self, scenes: Sequence[Scene]) -> Sequence[Scene]:
        """Return the scenes, all of which have a frame for each part."""
        for scene in scenes:
            if sum(self._counts(scene)) >= len(scene.masks):
                raise UserError(
                    f"{OPTION}: some labelled frames of each scene were to be trained on, some to be validated on and "
                    f"some to be tested, and {scene.key} has {len(scene.masks)}. Leave the scene out by "
                    f"data.init_args.scene or {OPTION}.exclude, or ask for smaller shares."
                )
        return scenes


def _without(exclude: Sequence[str]) -> str:
    return f", without {', '.join(exclude)}" if exclude else ""


def _require_foreground(frames: FrameSet, fix: str) -> None:
    """Check that there is something to learn; masks are read until one has foreground."""
    if not any((SceneFrames(scene, None).mask(n) == MOVING).any() for scene, numbers in frames for n in numbers):
        raise UserError(
            f"{OPTION}: the {len(frames)} frames to train on have no foreground, so there is nothing to learn. "
            f"{fix}, or set another data.init_args.seed."
        )
