"""Budgets of labels: which frames train, which are tested."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import Scene
from bgsub_lightning.datasets.cdnet2014 import published_videos
from bgsub_lightning.evaluation.extent import missing_folds, protocol_name
from bgsub_lightning.splits import FrameSet, HoldOut, LabelBudget, SceneWise
from bgsub_lightning.splits.draws import published_frames

HIGHWAY, CANOE = "baseline/highway", "dynamicBackground/canoe"
MakeMasked = Callable[[str, Mapping[int, int]], Scene]


@pytest.fixture
def make_masked(tmp_path: Path, make_scene: Callable[..., Scene]) -> MakeMasked:
    """Maker of scenes with masks of 8×6: ``make_masked("category/name", {frame: pixels of foreground})``.

    Where there is no foreground, all is shadow and unknown.
    """

    def mask_of(area: int) -> Path:
        path = tmp_path / f"area_{area}.png"
        if not path.is_file():
            mask = np.zeros((6, 8), np.uint8)
            mask.flat[:area] = 255
            mask.flat[area:] = 0 if area else (50, 170) * 24
            cv2.imwrite(str(path), mask)
        return path

    def make(key: str, areas: Mapping[int, int]) -> Scene:
        scene = make_scene(key, labelled=areas)
        return replace(scene, size=(8, 6), masks={number: mask_of(area) for number, area in sorted(areas.items())})

    return make


@pytest.fixture
def scenes(make_masked: MakeMasked) -> list[Scene]:
    """Two videos of the published list, whole, every other frame with foreground."""
    return [
        make_masked(HIGHWAY, {number: number % 2 * (1 + number % 5) for number in range(470, 1701)}),
        make_masked(CANOE, {number: number % 2 * (1 + number % 7) for number in range(800, 1190)}),
    ]


def numbers(frames: FrameSet) -> dict[str, tuple[int, ...]]:
    return {scene.key: chosen for scene, chosen in frames}


def test_the_list_has_200_labelled_frames_of_each_of_the_53_videos() -> None:
    videos = {f"{row['category']}/{row['video']}": row for row in published_videos()}
    assert published_frames().keys() == videos.keys()
    assert len(videos) == 53
    for key, listed in published_frames().items():
        assert len(listed) == 200
        assert list(listed) == sorted(set(listed))
        assert int(videos[key]["temporal_roi_start"]) <= listed[0]
        assert listed[-1] <= int(videos[key]["last_labelled_frame"])
    assert published_frames()["PTZ/zoomInZoomOut"][:3] == (501, 504, 507)


def test_by_default_the_list_is_trained_on_and_the_others_are_tested(scenes: list[Scene]) -> None:
    split = LabelBudget().split(scenes, 1, 0)
    assert numbers(split.train) == {key: published_frames()[key] for key in (HIGHWAY, CANOE)}
    assert [len(chosen) for chosen in split.test.numbers] == [1031, 190]
    assert numbers(split.train_frames_scored) == numbers(split.train)
    assert [scene.key for scene in split.test_scenes] == [HIGHWAY, CANOE]
    assert split.validation_kind == "training frames"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("among", ["labelled", "fgsegnet"])
@pytest.mark.parametrize("drawn", ["fgsegnet", "balanced", "random"])
@pytest.mark.parametrize(
    "settings", [{"frames": 100}, {"frames": 0.1}, {"frames": 7, "validation": HoldOut(fraction=0.3)}], ids=str
)
def test_parts_are_disjoint_and_cover_the_pool(
    scenes: list[Scene], drawn: str, among: str, settings: dict[str, float], seed: int
) -> None:
    split = LabelBudget(drawn=drawn, among=among, **settings).split(scenes, 1, seed)  # type: ignore[arg-type]
    pools = {
        scene.key: set(scene.masks) if among == "labelled" else set(published_frames()[scene.key]) for scene in scenes
    }
    for scene in scenes:
        train, also_scored, test = (
            set(numbers(s)[scene.key]) for s in (split.train, split.train_frames_scored, split.test)
        )
        asked = settings["frames"]
        assert len(also_scored) == (asked if asked >= 1 else round(asked * len(pools[scene.key])))
        assert not also_scored & test
        assert also_scored | test == pools[scene.key]
        assert train <= also_scored
        assert drawn != "fgsegnet" or also_scored <= set(published_frames()[scene.key])
        validation = set(numbers(split.validation)[scene.key])
        assert validation <= also_scored
        if "validation" in settings:
            assert (len(train), len(validation)) == (5, 2)
            assert train | validation == also_scored
        else:
            assert train == also_scored


@pytest.mark.parametrize("drawn", ["fgsegnet", "balanced", "random"])
def test_draws_depend_on_the_seed_and_the_scene_alone(scenes: list[Scene], drawn: str) -> None:
    budget = LabelBudget(50, drawn, validation=HoldOut(fraction=0.2))  # type: ignore[arg-type]
    first = budget.split(scenes, 1, 5)
    for others in (scenes[::-1], random.Random(0).sample(scenes, 2)):
        split = budget.split(others, 2, 5)
        assert (numbers(split.train), numbers(split.validation)) == (numbers(first.train), numbers(first.validation))
    alone = budget.split(scenes[1:], 1, 5)
    assert numbers(alone.train) == {CANOE: numbers(first.train)[CANOE]}
    assert len({budget.split(scenes, 1, seed).train.numbers for seed in range(5)}) == 5


def test_frames_of_the_list_that_have_no_mask_are_left_out(make_masked: MakeMasked) -> None:
    half = make_masked(CANOE, dict.fromkeys(range(800, 1000), 9))
    there = [number for number in published_frames()[CANOE] if number < 1000]
    split = LabelBudget(len(there)).split([half], 1, 0)
    assert split.train.numbers == (tuple(there),)
    assert set(LabelBudget(30).split([half], 1, 0).train.numbers[0]) < set(there)


@pytest.mark.parametrize(
    ("full", "empty", "frames", "expected"),
    [(30, 30, 20, 10), (30, 30, 7, 4), (30, 30, 1, 1), (4, 30, 20, 4), (30, 3, 20, 17), (30, 0, 20, 20)],
)
def test_half_have_foreground_as_far_as_there_are_enough(
    make_masked: MakeMasked, full: int, empty: int, frames: int, expected: int
) -> None:
    scene = make_masked("mine/a", {i: (i < full) * (1 + i % 4) for i in range(full + empty)})
    for seed in range(5):
        chosen = LabelBudget(frames, "balanced").split([scene], 1, seed).train.numbers[0]
        assert len(set(chosen)) == frames
        assert sum(number < full for number in chosen) == expected


def test_frames_are_drawn_in_proportion_to_their_foreground(make_masked: MakeMasked) -> None:
    areas = {1: 1, 2: 0, 3: 2, 4: 5, 5: 0, 6: 12}
    budget, scene, draws = LabelBudget(2, "balanced"), make_masked("mine/a", areas), 600
    drawn = Counter(number for seed in range(draws) for number in budget.split([scene], 1, seed).train.numbers[0])
    for number, area in areas.items():
        chance = area / 20 if area else 1 / 2
        assert abs(drawn[number] - draws * chance) < 4 * (draws * chance * (1 - chance)) ** 0.5


def test_random_frames_are_equally_likely(make_masked: MakeMasked) -> None:
    areas = {1: 1, 2: 40, 3: 2, 4: 3}
    budget, scene, draws = LabelBudget(1, "random"), make_masked("mine/a", areas), 600
    drawn = Counter(budget.split([scene], 1, seed).train.numbers[0][0] for seed in range(draws))
    assert all(abs(drawn[number] - draws / 4) < 4 * (draws * 3 / 16) ** 0.5 for number in areas)


def test_held_out_scenes_and_exclusion(scenes: list[Scene], make_masked: MakeMasked) -> None:
    more = [*scenes, make_masked("PTZ/zoomInZoomOut", dict.fromkeys(range(500, 815), 9))]
    split = LabelBudget(exclude=["PTZ"], validation=HoldOut(scenes=1, frames=0)).split(more, 1, 0)
    assert split.validation_kind == "held-out scenes"
    assert split.train.isdisjoint(split.validation)
    assert numbers(split.train) | numbers(split.validation) == numbers(split.train_frames_scored)
    assert numbers(split.test).keys() == {HIGHWAY, CANOE}


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (LabelBudget(), "200 labelled frames per scene (FgSegNet's list) for training, the others for test"),
        (
            LabelBudget(100, "balanced", "fgsegnet", ["PTZ"]),
            "100 labelled frames of FgSegNet's list per scene (balanced by foreground) for training, the others for "
            "test, without PTZ",
        ),
        (
            LabelBudget(0.05, "random"),
            "0.05 of the labelled frames per scene (at random) for training, the others for test",
        ),
    ],
)
def test_descriptions(budget: LabelBudget, expected: str) -> None:
    assert budget.describe(1) == expected


@pytest.mark.parametrize("frames", [0, -5, 0.0, 1.0, 1.5, -0.1])
def test_impossible_budgets_are_refused(frames: float) -> None:
    with pytest.raises(UserError, match=r"protocol\.init_args\.frames: .*whole number from 1.*fraction"):
        LabelBudget(frames)


@pytest.mark.parametrize(
    ("budget", "areas", "message"),
    [
        (LabelBudget(9, "random"), [1] * 8, r"frames: mine/a has 8 labelled frames; got 9 .* Ask for fewer, or le"),
        (LabelBudget(8, "random"), [1] * 8, r"frames: must leave labelled frames of mine/a to test; got all 8 "),
        (LabelBudget(0.99, "random"), [1] * 8, r"frames: must leave .* got all 8 "),
        (LabelBudget(0.5, "random"), [], r"frames: mine/a has 0 labelled frames; got 1 "),
        (LabelBudget(3), [1] * 8, r"drawn: mine/a .* 53 .*protocol\.init_args\.drawn=balanced"),
        (LabelBudget(3, "random", "fgsegnet"), [1] * 8, r"mine/a .* 53 .* among=labelled"),
        (LabelBudget(3, "balanced"), [0] * 8, r"CDnet2014 mine/a: no foreground in its 8 frames"),
        (LabelBudget(3, "random"), [0] * 8, r"mine/a: no foreground in the 3 frames to train on.*drawn=bal"),
    ],
)
def test_what_cannot_be_drawn_says_why(
    make_masked: MakeMasked, budget: LabelBudget, areas: list[int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        budget.split([make_masked("mine/a", dict(enumerate(areas, 30)))], 1, 0)


@pytest.mark.parametrize(
    ("budget", "labelled", "message"),
    [
        (LabelBudget(), range(800, 1001), r"canoe has masks of 136 of its 200 .* got 200 "),
        (LabelBudget(201), range(800, 1190), r"masks of 200 of its 200 .* got 201 "),
        (LabelBudget(201, among="fgsegnet"), range(800, 1190), r"200 labelled frames that are in the .* got 201 "),
        (LabelBudget(200, among="fgsegnet"), range(800, 1190), r"labelled frames that are in the .* got all 200 "),
    ],
)
def test_a_list_that_is_too_short_says_so(
    make_masked: MakeMasked, budget: LabelBudget, labelled: range, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        budget.split([make_masked(CANOE, dict.fromkeys(labelled, 9))], 1, 0)


def test_a_list_without_foreground_says_so(make_masked: MakeMasked) -> None:
    listed = published_frames()[CANOE]
    scene = make_masked(CANOE, {number: 0 if number in listed else 9 for number in range(800, 1190)})
    with pytest.raises(UserError, match=r"canoe: .*200 frames"):
        LabelBudget().split([scene], 1, 0)


# --- the same budget for the training scenes of scene-wise folds ------------------------------------------------------


def field_scenes(make_scene: Callable[..., Scene]) -> list[Scene]:
    """The 53 videos with all labelled frames that the committed list of videos gives them, without files."""
    return [
        make_scene(
            f"{row['category']}/{row['video']}",
            range(int(row["temporal_roi_start"]), int(row["last_labelled_frame"]) + 1),
        )
        for row in published_videos()
    ]


@pytest.mark.parametrize(("fold", "videos"), [(1, 39), (2, 40), (3, 40), (4, 40)])
def test_the_fields_folds_train_on_200_frames_of_each_video(
    make_scene: Callable[..., Scene], fold: int, videos: int
) -> None:
    scenes = field_scenes(make_scene)
    every, split = (SceneWise(4, exclude=[], frames=count).split(scenes, fold, 0) for count in (0, 200))
    assert (len(split.train.scenes), len(split.train)) == (videos, 200 * videos)
    assert numbers(split.train) == {scene.key: published_frames()[scene.key] for scene in every.train.scenes}
    assert (split.test, split.test_scenes) == (every.test, every.test_scenes)  # all that is labelled
    assert split.validation_kind == "training frames"
    assert len(split.validation) == 96
    assert {*keys_of(split.validation)} <= {*keys_of(split.train)}
    assert all({*chosen} <= {*numbers(split.train)[scene.key]} for scene, chosen in split.validation)


def keys_of(frames: FrameSet) -> list[str]:
    return [scene.key for scene in frames.scenes]


@pytest.mark.parametrize("drawn", ["fgsegnet", "balanced", "random"])
@pytest.mark.parametrize("seed", range(3))
def test_training_frames_are_those_of_the_budget(
    scenes: list[Scene], make_masked: MakeMasked, drawn: str, seed: int
) -> None:
    folds = [[HIGHWAY], [CANOE], ["mine"]]
    tested = make_masked("mine/tested", {1: 1, 2: 0})
    expected = LabelBudget(50, drawn).split(scenes, 1, seed)  # type: ignore[arg-type]
    split = SceneWise(folds, exclude=[], frames=50, drawn=drawn).split([*scenes, tested], 3, seed)  # type: ignore[arg-type]
    assert numbers(split.train) == numbers(expected.train)
    assert numbers(split.test) == {"mine/tested": (1, 2)}


def test_scenes_that_the_list_does_not_know_are_drawn_balanced(scenes: list[Scene], make_masked: MakeMasked) -> None:
    own = make_masked("mine/a", {number: (number < 40) * 9 for number in range(1, 400)})
    tested = make_masked("mine/tested", {1: 1})
    folds = [["baseline", "dynamicBackground", "mine/a"], ["mine/tested"]]
    split = SceneWise(folds, exclude=[], frames=200).split([*scenes, own, tested], 2, 4)
    assert numbers(split.train)[HIGHWAY] == published_frames()[HIGHWAY]
    chosen = numbers(split.train)["mine/a"]
    assert (len(chosen), sum(number < 40 for number in chosen)) == (200, 39)
    assert chosen == LabelBudget(200, "balanced").split([own], 1, 4).train.numbers[0]


def test_scenes_with_fewer_frames_give_all(make_masked: MakeMasked) -> None:
    half = make_masked(CANOE, dict.fromkeys(range(800, 1000), 9))
    few, empty = make_masked("mine/few", {1: 1, 2: 0, 3: 9}), make_masked("mine/empty", dict.fromkeys(range(1, 400), 0))
    tested = make_masked("mine/tested", {1: 1})
    folds = [["dynamicBackground", "mine/few", "mine/empty"], ["mine/tested"]]
    found = numbers(SceneWise(folds, exclude=[], frames=200).split([half, few, empty, tested], 2, 0).train)
    assert found[CANOE] == tuple(number for number in published_frames()[CANOE] if number < 1000)
    assert found["mine/few"] == (1, 2, 3)
    assert len({*found["mine/empty"]}) == 200  # other scenes have the foreground that is learnt


def test_validation_is_held_out_of_the_budget(make_scene: Callable[..., Scene]) -> None:
    scenes = field_scenes(make_scene)
    whole = SceneWise(4, exclude=["PTZ"], frames=200).split(scenes, 1, 0)
    of_scenes, of_frames = (
        SceneWise(4, exclude=["PTZ"], frames=200, validation=validation).split(scenes, 1, 0)
        for validation in (HoldOut(scenes=3, frames=0), HoldOut(fraction=0.1, frames=0))
    )
    assert not any(key.startswith("PTZ/") for key in keys_of(whole.train) + keys_of(whole.test))
    for split in (of_scenes, of_frames):
        assert split.train.isdisjoint(split.validation)
        assert numbers(whole.train) == {
            key: tuple(sorted(numbers(split.train).get(key, ()) + numbers(split.validation).get(key, ())))
            for key in numbers(whole.train)
        }
    assert len(of_scenes.validation) == 600
    assert {len(chosen) for chosen in of_frames.validation.numbers} == {20}


def test_descriptions_of_scene_wise_budgets() -> None:
    field = SceneWise(4, exclude=[], frames=200).describe(2)
    assert field == "fold 2 of 4, 200 frames per training scene (FgSegNet's list)"
    assert (protocol_name(field), missing_folds(field)) == (
        "fold … of 4, 200 frames per training scene (FgSegNet's list)",
        ("fold 1 of 4", "fold 3 of 4", "fold 4 of 4"),
    )
    assert SceneWise(frames=9, drawn="balanced").describe(1).endswith("(balanced by foreground), without PTZ")
    named = SceneWise([["mine/a"], ["mine/b"]], frames=9, drawn="random", exclude=[]).describe(2)
    assert named == "fold 2 of 2 (mine/b), 9 frames per training scene (at random)"
    assert SceneWise(drawn="balanced").describe(1) == SceneWise().describe(1) == "fold 1 of 3, without PTZ"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": -1}, r"protocol\.init_args\.frames: .*got -1\b"),
        ({"frames": 201}, r"protocol\.init_args\.frames: .*\b200 frames.* got 201\b.*drawn=balanced"),
    ],
)
def test_impossible_budgets_of_folds_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SceneWise(4, **settings)  # type: ignore[arg-type]
    assert SceneWise(4, frames=201, drawn="balanced").frames == 201


def test_another_video_of_a_listed_name_says_so(make_masked: MakeMasked) -> None:
    """As a rendered twin is, whose frames have other numbers."""
    scenes = [make_masked(HIGHWAY, dict.fromkeys(range(1, 30), 9)), make_masked(CANOE, {1: 1})]
    with pytest.raises(UserError, match=r"protocol\.init_args\.drawn: baseline/highway .*'fgsegnet'.*drawn=balanced"):
        SceneWise(4, frames=9).split(scenes, 3, 0)
    assert len(SceneWise(4, frames=9, drawn="balanced").split(scenes, 3, 0).train) == 9
