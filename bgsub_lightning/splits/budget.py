"""A budget of labels: some labelled frames of each scene train, its other ones are tested."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.labels import MOVING
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits.frameset import FrameSet
from bgsub_lightning.splits.protocols import OPTION, HoldOut, Protocol, generator_of, left_after


@cache
def published_frames() -> dict[str, tuple[int, ...]]:
    """The field's list of 200 training frames for each of the 53 videos of CDnet2014: ``category/video`` → numbers.

    It is that of L. A. Lim, H. Yalim Keles, "Foreground segmentation using convolutional neural networks for multiscale
    feature encoding" (FgSegNet), Pattern Recognition Letters 2018; BSUV-Net 2.0 uses it nearly unchanged.
    """
    text = files("bgsub_lightning.splits").joinpath("fgsegnet_200_frames.csv").read_text()
    rows = csv.DictReader(text.splitlines())
    return {f"{row['category']}/{row['video']}": tuple(map(int, row["frame_numbers"].split())) for row in rows}


class LabelBudget(Protocol):
    """Each scene gives a budget of its labelled frames to training; its other labelled frames are tested.

    With 200 frames it is the protocol of FgSegNet, Cascade CNN and CDN-MEDAL-net, which train one model per scene; the
    datamodule's ``scene`` chooses the scenes, and one model is trained over all of them. The papers score the frames
    that they train on as well: these have a score by themselves, and the result is that of the others.

    Args:
        frames: Frames of each scene that are trained on: a number from 1, or a fraction in (0, 1) of the scene's frames
            that take part, at least one frame.
        drawn: How they are drawn. ``"fgsegnet"``: from the field's published list (see :func:`published_frames`), by
            seed where not all of it is asked for. ``"balanced"``: by seed, half of them with foreground and half
            without, as far as there are enough; those with foreground one after the other with a probability
            proportional to its area, so that the pixels of both classes are as balanced as whole frames allow (all
            masks of the scenes are read). ``"random"``: by seed, each frame with the same probability.
        among: Which frames take part at all, to be trained on or tested: all that are labelled, or those of the
            published list alone.
        exclude: Categories, or patterns of ``category/video``, that take no part.
        validation: See :class:`Protocol`.
    """

    scores_training_frames = True

    def __init__(
        self,
        frames: int | float = 200,
        drawn: Literal["fgsegnet", "balanced", "random"] = "fgsegnet",
        among: Literal["labelled", "fgsegnet"] = "labelled",
        exclude: Sequence[str] = (),
        validation: HoldOut = HoldOut(),
    ) -> None:
        super().__init__(validation)
        if not (frames >= 1 if isinstance(frames, int) else 0 < frames < 1):
            raise UserError(f"{OPTION}.frames: a whole number from 1 or a fraction in (0, 1) is needed, got {frames}.")
        self.frames = frames
        self.drawn = drawn
        self.among = among
        self.exclude = tuple(exclude)

    def describe(self, fold: int) -> str:  # noqa: D102
        share = f"{self.frames:g} of the" if self.frames < 1 else f"{self.frames}"
        how = {"fgsegnet": "FgSegNet's list", "balanced": "balanced by foreground", "random": "at random"}[self.drawn]
        those = "labelled frames" if self.among == "labelled" else "labelled frames of FgSegNet's list"
        without = f", without {', '.join(self.exclude)}" if self.exclude else ""
        return f"{share} {those} per scene ({how}) for training, the others for test{without}"

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
                f"{OPTION}.frames: {asked} frames of each scene were to be trained on, and {scene.key} has {len(pool)} "
                f"{those}. Ask for fewer, or leave the scene out by data.init_args.scene or {OPTION}.exclude."
            )
        if asked == len(pool):
            raise UserError(
                f"{OPTION}.frames: {asked} frames of each scene were to be trained on, which is all {those} of "
                f"{scene.key}: none is left to test. Ask for fewer."
            )
        return pool

    def _draw(self, scene: Scene, pool: Sequence[int], seed: int) -> list[int]:
        """The frames to train on."""
        count = self._count(pool)
        generator = generator_of(scene, seed, 1)
        if self.drawn == "balanced":
            foreground = SceneFrames(scene, None).foreground_pixels(pool)
            if not foreground.any():
                raise UserError(
                    f"{scene.dataset} {scene.key}: there is nothing to learn, as none of its {len(pool)} frames that "
                    f"could be trained on has foreground. Leave the scene out by data.init_args.scene or "
                    f"{OPTION}.exclude."
                )
            return [pool[i] for i in _balanced(foreground, count, generator)]
        candidates = pool if self.drawn == "random" else _listed(scene)
        if count > len(candidates):
            raise UserError(
                f"{OPTION}.frames: {count} frames of the published list were to be trained on, and {scene.key} has "
                f"masks of {len(candidates)} of its {len(published_frames()[scene.key])}. Ask for fewer, or set "
                f"{OPTION}.drawn=balanced to draw from all labelled frames."
            )
        chosen = [candidates[i] for i in sorted(generator.choice(len(candidates), count, replace=False))]
        masks = SceneFrames(scene, None)
        if not any((masks.mask(number) == MOVING).any() for number in chosen):
            raise UserError(
                f"{scene.dataset} {scene.key}: there is nothing to learn, as none of the {count} frames to train on "
                f"has foreground. Set {OPTION}.drawn=balanced, ask for more by {OPTION}.frames, or set another "
                f"data.init_args.seed."
            )
        return chosen

    def _count(self, pool: Sequence[int]) -> int:
        return self.frames if isinstance(self.frames, int) else max(1, round(self.frames * len(pool)))


def _listed(scene: Scene) -> list[int]:
    """The frames of the published list that are labelled in this copy of the dataset."""
    if scene.key not in published_frames():
        raise UserError(
            f"{OPTION}.drawn: {scene.key} is none of the 53 videos of the published list. "
            f"Set {OPTION}.drawn=balanced (and among=labelled)."
        )
    return [number for number in published_frames()[scene.key] if number in scene.masks]


def _balanced(foreground: NDArray[np.int64], count: int, generator: np.random.Generator) -> list[int]:
    """Draw positions of frames with and without foreground in equal parts; an odd one has foreground.

    Args:
        foreground: Foreground pixels of each frame.
        count: How many to draw, at most all.
        generator: Source of randomness.
    """
    full, empty = np.flatnonzero(foreground), np.flatnonzero(foreground == 0)
    of_full = min(len(full), max(count - count // 2, count - len(empty)))
    shares = foreground[full] / foreground.sum()
    return [
        *generator.choice(full, of_full, replace=False, p=shares).tolist(),
        *generator.choice(empty, count - of_full, replace=False).tolist(),
    ]
