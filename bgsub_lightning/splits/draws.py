"""Draws of a scene's frames to train on: of the field's published list, balanced by foreground, at random."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.frames import SceneFrames

Drawn = Literal["fgsegnet", "balanced", "random"]
"""How frames are drawn: from the published list (:func:`published_frames`), by seed where it has more than are asked
for; by seed, half of them with foreground and half without; by seed, each with the same probability."""

DRAWN_TEXT: dict[Drawn, str] = {
    "fgsegnet": "FgSegNet's list",
    "balanced": "balanced by foreground",
    "random": "at random",
}


@cache
def published_frames() -> dict[str, tuple[int, ...]]:
    """The field's list of 200 training frames for each of the 53 videos of CDnet2014: ``category/video`` → numbers.

    It is that of L. A. Lim, H. Yalim Keles, "Foreground segmentation using convolutional neural networks for multiscale
    feature encoding" (FgSegNet), Pattern Recognition Letters 2018. BSUV-Net 2.0 publishes the same frames of every
    video.
    """
    text = files("bgsub_lightning.splits").joinpath("fgsegnet_200_frames.csv").read_text()
    rows = csv.DictReader(text.splitlines())
    return {f"{row['category']}/{row['video']}": tuple(map(int, row["frame_numbers"].split())) for row in rows}


def listed(scene: Scene) -> list[int]:
    """Return the frames of the published list that are labelled in this copy of a scene, which must be on the list."""
    return [number for number in published_frames()[scene.key] if number in scene.masks]


def draw(scene: Scene, candidates: Sequence[int], count: int, balanced: bool, seed: int) -> list[int]:
    """Draw frames of a scene.

    Args:
        scene: The scene, on which the draw depends, and on no other.
        candidates: Numbers of the frames to draw from.
        count: How many to draw; all where there are no more.
        balanced: Draw half of them with foreground and half without, as far as there are enough; those with foreground
            one after the other with a probability proportional to its area, so that the pixels of both classes are as
            balanced as whole frames allow (all masks of the candidates are read). Else each has the same probability.
        seed: Seed of the draw.

    Returns:
        The numbers, ascending.
    """
    count, generator = min(count, len(candidates)), generator_of(scene, seed, 1)
    if balanced:
        positions = _balanced(SceneFrames(scene, None).foreground_pixels(candidates), count, generator)
    else:
        positions = generator.choice(len(candidates), count, replace=False).tolist()
    return [candidates[i] for i in sorted(positions)]


def generator_of(scene: Scene, *seeds: int) -> np.random.Generator:
    """Make a generator that depends on the seeds and the scene, and on no other scene."""
    return generator_named(f"{scene.dataset}:{scene.key}", *seeds)


def generator_named(name: str, *seeds: int) -> np.random.Generator:
    """Make a generator that depends on the seeds and a name."""
    return np.random.default_rng((*seeds, zlib.crc32(name.encode())))


def _balanced(foreground: NDArray[np.int64], count: int, generator: np.random.Generator) -> list[int]:
    """Draw positions of frames with and without foreground in equal parts; an odd one has foreground.

    Args:
        foreground: Foreground pixels of each frame.
        count: How many to draw, at most all.
        generator: Source of randomness.
    """
    full, empty = np.flatnonzero(foreground), np.flatnonzero(foreground == 0)
    of_full = min(len(full), max(count - count // 2, count - len(empty)))
    shares = foreground[full] / foreground.sum() if of_full else None
    return [
        *generator.choice(full, of_full, replace=False, p=shares).tolist(),
        *generator.choice(empty, count - of_full, replace=False).tolist(),
    ]
