"""Results of tests that were never run: counts drawn by a seed, for tests of what is computed from results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bgsub_lightning.datasets.cdnet2014 import published_videos
from bgsub_lightning.evaluation import TestResult, VideoResult
from bgsub_lightning.metrics import DICE_UNITS

KEYS = ("a/x", "a/y", "b/x", "c/x", "c/y", "c/z")
FOLDS = {1: KEYS[:2], 2: KEYS[2:4], 3: KEYS[4:]}


def result_of(name: str, videos: dict[str, VideoResult], **more: Any) -> TestResult:
    """A test of these videos."""
    whole = TestResult(
        name=name,
        system="BmnBsn",
        dataset="CDnet2014",
        protocol="all but one for training, all for test",
        fold=1,
        seed=0,
        leakage="unseen scenes",
        checkpoint=None,
        videos=videos,
        device="cpu",
        versions={},
    )
    return replace(whole, **more)


def made(name: str, keys: Sequence[str] = KEYS, draw: int = 0, skill: float = 0.8, **more: Any) -> TestResult:
    """A test of these videos: 100 frames each, recall and precision near ``skill``."""
    generator = np.random.default_rng([draw, *name.encode()])
    videos = {}
    for key in keys:
        tp, fp, fn = (
            int(value) for value in generator.uniform(0.8, 1.2, 3) * 1000 * np.array([skill, 1 - skill, 1 - skill])
        )
        dice = [int(100 * skill * DICE_UNITS), 100, 0, 0]
        videos[key] = VideoResult([tp, fp, fn, 100_000 - tp - fp - fn, 1], 100, "unseen scenes", dice=dice)
    timed = {"frames_shown": 1000, "seconds": 100.0 + draw + skill}
    return result_of(name, videos, **(timed | more))


def fold(number: int, seed: int = 0, name: str = "fold", **more: Any) -> TestResult:
    """A fold of three over :data:`KEYS`."""
    return made(
        f"{name}_{number}_seed_{seed}" if seed else f"{name}_{number}",
        FOLDS[number],
        draw=10 * seed + number,
        protocol=f"fold {number} of 3, without PTZ",
        fold=number,
        seed=seed,
        **more,
    )


def saved(folder: Path, *results: TestResult) -> list[Path]:
    """Save each in its own run directory."""
    for result in results:
        result.save(folder / result.name / "scores.json")
    return [folder / result.name for result in results]


def cdnet_keys(*without: str) -> list[str]:
    """The videos of CDnet2014."""
    return [f"{row['category']}/{row['video']}" for row in published_videos() if row["category"] not in without]
