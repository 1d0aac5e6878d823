"""A budget of labels: some labelled frames of each scene train, its other ones are tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.labels import MOVING
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits.draws import DRAWN_TEXT, Drawn, draw, listed, published_frames
from bgsub_lightning.splits.frameset import FrameSet
from bgsub_lightning.splits.protocols import OPTION, HoldOut, Protocol, left_after


class LabelBudget(Protocol):
    """Each scene gives a budget of its labelled frames to training; its other labelled frames are tested.

    With 200 frames it is the protocol of FgSegNet, Cascade CNN and CDN-MEDAL-net, which train one model per scene; the
    datamodule's ``scene`` chooses the scenes, and one model is trained over all of them. The papers score the frames
    that they train on as well: these have a score by themselves, and the result is that of the others.

    Args:
        frames: Frames of each scene that are trained on: a number from 1, or a fraction in (0, 1) of the scene's frames
            that take part, at least one frame.
        drawn: How they are drawn. ``"fgsegnet"``: from the field's published list (see
            :func:`~bgsub_lightning.splits.draws.published_frames`), by seed where not all of it is asked for.
            ``"balanced"``: by seed, half of them with foreground and half without, as far as there are enough (see
            :func:`~bgsub_lightning.splits.draws.draw`). ``"random"``: by seed, each frame with the same probability.
        among: Which frames take part at all, to be trained on or tested: all that are labelled, or those of the
            published list alone.
        exclude: Categories, or patterns of ``category/video``, that take no part.
        validation: See :class:`Protocol`.
    """

    scores_training_frames = True

    def __init__(
        self,
        frames: int | float = 200,
        drawn: Drawn = "fgsegnet",
        among: Literal["labelled", "fgsegnet"] = "labelled",
        exclude: Sequence[str] = (),
        validation: HoldOut = HoldOut(),
    ) -> None:
        super().__init__(validation)
        if not (frames >= 1 if isinstance(frames, int) else 0 < frames < 1):
            raise UserError(f"{OPTION}.frames: must be a whole number from 1, or a fraction in (0, 1); got {frames}.")
        self.frames = frames
        self.drawn = drawn
        self.among = among
        self.exclude = tuple(exclude)

    def describe(self, fold: int) -> str:  # noqa: D102
        share = f"{self.frames:g} of the" if self.frames < 1 else f"{self.frames}"
        those = "labelled frames" if self.among == "labelled" else "labelled frames of FgSegNet's list"
        without = f", without {', '.join(self.exclude)}" if self.exclude else ""
        return f"{share} {those} per scene ({DRAWN_TEXT[self.drawn]}) for training, the others for test{without}"

    def assign(  # noqa: D102
        self, scenes: Sequence[Scene], fold: int, seed: int
    ) -> tuple[FrameSet, FrameSet, tuple[Scene, ...]]:
        pools = FrameSet.of((scene, self._pool(scene)) for scene in left_after(self.exclude, scenes))
        train = FrameSet.of((scene, self._draw(scene, pool, seed)) for scene, pool in pools)
        return train, pools.without(train), pools.scenes

    def _pool(self, scene: Scene) -> list[int]:
        """The frames that take part, of which some but not all are asked for."""
        pool = list(scene.masks) if self.among == "labelled" else _listed(scene)
        those = "labelled frames" if self.among == "labelled" else "labelled frames that are in the published list"
        asked = self._count(pool)
        if asked > len(pool):
            raise UserError(
                f"{OPTION}.frames: {scene.key} has {len(pool)} {those}; got {asked} frames of each scene to train on. "
                f"Ask for fewer, or leave the scene out by data.init_args.scene or {OPTION}.exclude."
            )
        if asked == len(pool):
            raise UserError(
                f"{OPTION}.frames: must leave {those} of {scene.key} to test; got all {asked} to train on. "
                f"Ask for fewer."
            )
        return pool

    def _draw(self, scene: Scene, pool: Sequence[int], seed: int) -> list[int]:
        """The frames to train on."""
        count = self._count(pool)
        candidates = _listed(scene) if self.drawn == "fgsegnet" else pool
        if count > len(candidates):
            raise UserError(
                f"{OPTION}.frames: {scene.key} has masks of {len(candidates)} of its "
                f"{len(published_frames()[scene.key])} frames of the published list; got {count} to train on. Ask for "
                f"fewer, or set {OPTION}.drawn=balanced to draw from all labelled frames."
            )
        chosen = draw(scene, candidates, count, self.drawn == "balanced", seed)
        masks = SceneFrames(scene, None)
        if any((masks.mask(number) == MOVING).any() for number in chosen):
            return chosen
        if self.drawn == "balanced":  # which draws a frame with foreground if there is one
            none = f"its {len(pool)} frames that could be trained on"
            fix = f"Leave the scene out by data.init_args.scene or {OPTION}.exclude."
        else:
            none = f"the {count} frames to train on"
            fix = f"Set {OPTION}.drawn=balanced, ask for more by {OPTION}.frames, or set another data.init_args.seed."
        raise UserError(f"{scene.dataset} {scene.key}: no foreground in {none}, so there is nothing to learn. {fix}")

    def _count(self, pool: Sequence[int]) -> int:
        return self.frames if isinstance(self.frames, int) else max(1, round(self.frames * len(pool)))


def _listed(scene: Scene) -> list[int]:
    if scene.key not in published_frames():
        raise UserError(
            f"{OPTION}.drawn: {scene.key} is not among the 53 videos of the published list. "
            f"Set {OPTION}.drawn=balanced (and among=labelled)."
        )
    return listed(scene)
