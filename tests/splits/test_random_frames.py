"""Frames drawn at random: a fraction of each category, shares of each scene."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import Scene
from bgsub_lightning.splits import (
    CategoryBudget,
    FrameSet,
    HoldOut,
    Protocol,
    RandomShares,
    leakage,
    training_record,
)

LABELLED = {"a/short": 7, "a/x": 60, "a/y": 33, "b/z": 41}


@pytest.fixture
def make_masked(tmp_path: Path, make_scene: Callable[..., Scene]) -> Callable[..., Scene]:
    """Maker of scenes whose frames have masks of 8×6, white all over, or black in scenes without foreground."""
    for name, level in (("full", 255), ("empty", 0)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((6, 8), level, np.uint8))

    def make(key: str, labelled: int, foreground: bool = True) -> Scene:
        scene = make_scene(key, labelled)
        mask = tmp_path / f"{'full' if foreground else 'empty'}.png"
        return replace(scene, size=(8, 6), masks=dict.fromkeys(scene.masks, mask))

    return make


@pytest.fixture
def scenes(make_masked: Callable[..., Scene]) -> list[Scene]:
    return [make_masked(key, count) for key, count in LABELLED.items()]


def numbers(frames: FrameSet) -> dict[str, set[int]]:
    return {scene.key: set(chosen) for scene, chosen in frames}


def of_category(frames: FrameSet, category: str) -> dict[str, set[int]]:
    return {key: chosen for key, chosen in numbers(frames).items() if key.startswith(f"{category}/")}


PROTOCOLS = pytest.mark.parametrize(
    "protocol",
    [CategoryBudget(0.1), CategoryBudget(0.3, validation=HoldOut(fraction=0.25)), RandomShares()],
    ids=["5%", "val", "shares"],
)


@PROTOCOLS
@pytest.mark.parametrize("seed", range(5))
def test_parts_are_disjoint_and_cover_the_labelled_frames(scenes: list[Scene], protocol: Protocol, seed: int) -> None:
    split = protocol.split(scenes, 1, seed)
    assert split.train.isdisjoint(split.test)
    assert split.validation.isdisjoint(split.test)
    if split.validation_kind == "held-out frames":
        assert split.validation.isdisjoint(split.train)
    for scene in scenes:
        parts = [numbers(part).get(scene.key, set()) for part in (split.train, split.validation, split.test)]
        assert set().union(*parts) == set(scene.masks)
    assert not len(split.train_frames_scored)
    assert [scene.key for scene in split.test_scenes] == list(LABELLED)


@PROTOCOLS
def test_the_seed_decides_and_neither_fold_nor_order(scenes: list[Scene], protocol: Protocol) -> None:
    first = protocol.split(scenes, 1, 5)
    for shuffle in range(3):
        again = protocol.split(random.Random(shuffle).sample(scenes, len(scenes)), 2, 5)
        assert numbers(again.train) == numbers(first.train)
        assert numbers(again.validation) == numbers(first.validation)
    assert len({str(numbers(protocol.split(scenes, 1, seed).train)) for seed in range(5)}) == 5


@PROTOCOLS
def test_the_leak_guard_calls_it_unseen_frames_of_seen_scenes(scenes: list[Scene], protocol: Protocol) -> None:
    split = protocol.split(scenes, 1, 0)
    found = leakage(training_record(split.train, split.validation), split.test)
    assert found["b/z"] == "seen scenes, unseen frames"
    assert "includes training frames" not in found.values()


@PROTOCOLS
def test_exclusion(scenes: list[Scene], make_masked: Callable[..., Scene], protocol: Protocol) -> None:
    protocol.exclude = ("PTZ",)  # type: ignore[attr-defined]
    try:
        split = protocol.split([*scenes, make_masked("PTZ/one", 1)], 1, 0)
        assert protocol.describe(1).endswith("the others for test, without PTZ")
    finally:
        protocol.exclude = ()  # type: ignore[attr-defined]
    assert [scene.key for scene in split.test_scenes] == list(LABELLED)


# --- a fraction of each category -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_each_category_gives_its_fraction(scenes: list[Scene], fraction: float, seed: int) -> None:
    train = CategoryBudget(fraction).split(scenes, 1, seed).train
    for category, labelled in (("a", 100), ("b", 41)):
        assert sum(map(len, of_category(train, category).values())) == round(fraction * labelled)


def test_default_is_five_percent(make_masked: Callable[..., Scene]) -> None:
    split = CategoryBudget().split([make_masked("a/x", 100), make_masked("a/y", 100)], 1, 0)
    assert (len(split.train), len(split.test), split.validation_kind) == (10, 190, "training frames")


def test_a_category_is_drawn_over_its_videos_together(scenes: list[Scene]) -> None:
    """Every labelled frame has the same chance, so that a video gives many frames, few or none."""
    budget, draws = CategoryBudget(0.05), 400
    drawn = [of_category(budget.split(scenes, 1, seed).train, "a") for seed in range(draws)]
    assert {len(chosen.get("a/short", ())) for chosen in drawn} >= {0, 1, 2}
    counts = Counter(key for chosen in drawn for key, found in chosen.items() for _ in found)
    for key in ("a/short", "a/x", "a/y"):
        expected = draws * 5 * LABELLED[key] / 100
        assert abs(counts[key] - expected) < 4 * expected**0.5


def test_other_categories_do_not_change_a_draw(scenes: list[Scene]) -> None:
    for seed in range(3):
        every = CategoryBudget(0.2).split(scenes, 1, seed).train
        alone = CategoryBudget(0.2).split(scenes[:3], 1, seed).train
        assert numbers(alone) == of_category(every, "a")


def test_at_least_one_frame_of_each_category(make_masked: Callable[..., Scene]) -> None:
    split = CategoryBudget(0.01).split([make_masked("a/x", 3), make_masked("b/y", 2)], 1, 0)
    assert [len(chosen) for chosen in split.train.numbers] == [1, 1]


def test_one_category_with_foreground_is_enough(make_masked: Callable[..., Scene]) -> None:
    split = CategoryBudget(0.5).split([make_masked("a/x", 4, foreground=False), make_masked("b/y", 4)], 1, 0)
    assert len(split.train) == 4


def test_descriptions() -> None:
    expected = "0.05 of the labelled frames of each category (at random) for training, the others for test"
    assert CategoryBudget().describe(1) == expected
    expected = "0.3 of the labelled frames per scene (at random) for training, 0.1 for validation, the others for test"
    assert RandomShares().describe(1) == expected


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 5])
def test_impossible_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(UserError, match=r"protocol\.init_args\.fraction: .*\(0, 1\); got"):
        CategoryBudget(fraction)


@pytest.mark.parametrize(("fraction", "labelled"), [(0.05, 0), (0.05, 1), (0.99, 8)])
def test_a_category_that_would_leave_no_test_says_so(
    make_masked: Callable[..., Scene], fraction: float, labelled: int
) -> None:
    given = [make_masked("a/x", 100), make_masked("mine/few", labelled)]
    with pytest.raises(UserError, match=rf"fraction: .*mine .*{labelled}.*\.exclude"):
        CategoryBudget(fraction).split(given, 1, 0)
    assert len(CategoryBudget(fraction, exclude=["mine"]).split(given, 1, 0).test.scenes) == 1


@pytest.mark.parametrize(
    ("protocol", "fix"), [(CategoryBudget(), r"init_args\.fraction"), (RandomShares(), r"init_args\.train")]
)
def test_nothing_to_learn_says_so(make_masked: Callable[..., Scene], protocol: Protocol, fix: str) -> None:
    with pytest.raises(UserError, match=rf"\d+ frames .*foreground.*{fix}"):
        protocol.split([make_masked("a/x", 40, foreground=False)], 1, 0)


# --- shares of each scene --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labelled", [5, 6, 7, 10, 15, 24, 35, 201])
@pytest.mark.parametrize(("train", "val"), [(0.3, 0.1), (0.5, 0.2), (0.05, 0.05)])
def test_shares_are_exact_and_never_empty(
    make_masked: Callable[..., Scene], labelled: int, train: float, val: float
) -> None:
    for seed in range(4):
        split = RandomShares(train, val).split([make_masked("a/x", labelled)], 1, seed)
        assert split.validation_kind == "held-out frames"
        found = (len(split.train), len(split.validation), len(split.test))
        counts = max(1, round(train * labelled)), max(1, round(val * labelled))
        assert found == (*counts, labelled - sum(counts))


def test_a_tenth_or_the_given_number_validates(scenes: list[Scene]) -> None:
    whole, some = (RandomShares(val_frames=count).split(scenes, 1, 0) for count in (0, 6))
    assert {key: len(chosen) for key, chosen in numbers(whole.validation).items()} == {
        key: round(0.1 * count) for key, count in LABELLED.items()
    }
    assert len(some.validation) == 6
    assert (numbers(some.train), numbers(some.test)) == (numbers(whole.train), numbers(whole.test))


def test_other_scenes_do_not_change_a_draw(scenes: list[Scene]) -> None:
    every, alone = (RandomShares().split(given, 1, 3) for given in (scenes, scenes[1:2]))
    for part in ("train", "validation", "test"):
        assert numbers(getattr(alone, part)) == {"a/x": numbers(getattr(every, part))["a/x"]}


@pytest.mark.parametrize(("train", "val"), [(0.0, 0.1), (0.3, 0.0), (0.9, 0.1), (0.7, 0.7), (-0.3, 0.1)])
def test_impossible_shares_are_refused(train: float, val: float) -> None:
    with pytest.raises(UserError, match=r"protocol\.init_args: train, val: must be fractions above 0, .*; got"):
        RandomShares(train, val)


@pytest.mark.parametrize("labelled", [0, 1, 2])
def test_a_scene_with_too_few_frames_says_so(make_masked: Callable[..., Scene], labelled: int) -> None:
    given = [make_masked("a/x", 20), make_masked("mine/few", labelled)]
    with pytest.raises(UserError, match=rf"protocol\.init_args: .* mine/few has {labelled}\. Leave .*\.exclude"):
        RandomShares().split(given, 1, 0)
    assert len(RandomShares(exclude=["few"]).split(given, 1, 0).train) == 6
