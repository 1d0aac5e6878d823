from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import Scene
from bgsub_lightning.splits import FrameSet, HoldOut, Protocol, SceneWise, Split, Subset

LABELLED = {
    "PTZ/zoomInZoomOut": 31,
    "baseline/PETS2006": 90,
    "baseline/highway": 12,
    "baseline/office": 58,
    "mine/a": 20,
    "mine/b": 30,
    "mine/c": 40,
    "shadow/bungalows": 14,
    "thermal/park": 35,
}


@pytest.fixture
def scenes(make_scene: Callable[..., Scene]) -> list[Scene]:
    return [make_scene(key, count) for key, count in LABELLED.items()]


PROTOCOLS = pytest.mark.parametrize(
    "make",
    [
        SceneWise,
        lambda **settings: SceneWise(folds=4, exclude=[], **settings),
        lambda **settings: Subset(["baseline", "mine/*"], ["thermal/park", "PTZ"], **settings),
    ],
    ids=["3 folds", "4 folds", "subset"],
)


def keys(frames: FrameSet) -> list[str]:
    return [scene.key for scene in frames.scenes]


def numbers(frames: FrameSet) -> dict[str, tuple[int, ...]]:
    return {scene.key: chosen for scene, chosen in frames}


def contents(split: Split) -> list[object]:
    return [numbers(split.train), numbers(split.validation), numbers(split.test), split.validation_kind]


@PROTOCOLS
@pytest.mark.parametrize("val_scenes", [0, 1, 2])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fold", [1, 2, 3])
def test_no_part_sees_what_it_must_not(
    scenes: list[Scene], make: Callable[..., Protocol], val_scenes: int, seed: int, fold: int
) -> None:
    split = make(validation=HoldOut(scenes=val_scenes, frames=9)).split(scenes, fold, seed)
    assert not set(keys(split.train)) & set(keys(split.test))
    assert not set(keys(split.validation)) & set(keys(split.test))
    assert len(split.validation) == 9
    if val_scenes:
        assert split.validation_kind == "held-out scenes"
        assert len(split.validation.scenes) == val_scenes
        assert not set(keys(split.validation)) & set(keys(split.train))
    else:
        assert split.validation_kind == "training frames"
        assert all(set(chosen) <= set(numbers(split.train)[key]) for key, chosen in numbers(split.validation).items())
    for scene, chosen in [*split.train, *split.test]:  # scenes are never cut
        assert chosen == tuple(scene.masks)


@PROTOCOLS
def test_a_split_depends_on_the_seed_not_on_the_order_of_scenes(
    scenes: list[Scene], make: Callable[..., Protocol]
) -> None:
    protocol = make(validation=HoldOut(scenes=1))
    expected = contents(protocol.split(scenes, 1, 5))
    for seed in range(3):
        shuffled = random.Random(seed).sample(scenes, len(scenes))
        assert contents(protocol.split(shuffled, 1, 5)) == expected
    assert len({str(contents(protocol.split(scenes, 1, seed))) for seed in range(20)}) > 1


@PROTOCOLS
def test_held_out_scenes_come_out_of_training_alone(scenes: list[Scene], make: Callable[..., Protocol]) -> None:
    without, split = (make(validation=HoldOut(scenes=count, frames=0)).split(scenes, 1, 0) for count in (0, 2))
    assert numbers(split.train) | numbers(split.validation) == numbers(without.train)
    assert numbers(split.test) == numbers(without.test)


@PROTOCOLS
@pytest.mark.parametrize("seed", range(3))
def test_held_out_frames_come_out_of_each_training_scene(
    scenes: list[Scene], make: Callable[..., Protocol], seed: int
) -> None:
    without, split = (make(validation=HoldOut(fraction=part, frames=0)).split(scenes, 1, seed) for part in (0, 0.2))
    assert split.validation_kind == "held-out frames"
    assert not len(split.train_frames_scored)
    assert numbers(split.test) == numbers(without.test)
    for key, before in numbers(without.train).items():
        train, validation = numbers(split.train)[key], numbers(split.validation)[key]
        assert sorted(train + validation) == list(before)
        assert len(validation) == round(0.2 * len(before))
    assert len(make(validation=HoldOut(fraction=0.2, frames=9)).split(scenes, 1, seed).validation) == 9
    assert numbers(make(validation=HoldOut(fraction=0.2)).split(scenes, 1, seed + 9).train) != numbers(split.train)


@pytest.mark.parametrize(("frames", "fraction", "expected"), [(1, 0.5, 0), (2, 0.1, 1), (4, 0.99, 3)])
def test_held_out_frames_leave_one_to_train_on(
    make_scene: Callable[..., Scene], frames: int, fraction: float, expected: int
) -> None:
    scenes = [make_scene("a/x", frames), make_scene("b/test")]
    split = Subset(["a"], ["b"], validation=HoldOut(fraction=fraction)).split(scenes, 1, 0)
    assert (len(split.validation), len(split.train)) == (expected, frames - expected)


def test_folds_cover_all_scenes_but_the_excluded_ones(scenes: list[Scene]) -> None:
    splits = [SceneWise().split(scenes, fold, 0) for fold in (1, 2, 3)]
    tested = [key for split in splits for key in keys(split.test)]
    assert sorted(tested) == [key for key in LABELLED if not key.startswith("PTZ")]
    for split in splits:
        assert sorted(keys(split.train) + keys(split.test)) == sorted(tested)
    assert {"baseline/highway", "shadow/bungalows"} <= set(keys(splits[0].test))
    assert {"baseline/office", "thermal/park"} <= set(keys(splits[1].test))
    assert "baseline/PETS2006" in keys(splits[2].test)


def test_four_folds_are_bsuv_nets(scenes: list[Scene]) -> None:
    split = SceneWise(folds=4, exclude=["mine"]).split(scenes, 3, 0)
    assert keys(split.test) == ["PTZ/zoomInZoomOut", "baseline/office"]


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_folds_by_name_leave_each_of_them_out_in_turn(scenes: list[Scene], fold: int) -> None:
    folds = [["mine/a"], ["mine/b", "thermal"], ["baseline/office"]]
    protocol = SceneWise(folds, train=["shadow"], exclude=["mine/c"], validation=HoldOut(["PTZ"], frames=0))
    split = protocol.split(scenes, fold, 0)
    tested = [["mine/a"], ["mine/b", "thermal/park"], ["baseline/office"]]
    assert keys(split.test) == tested[fold - 1]
    others = [key for named in tested if named != tested[fold - 1] for key in named]
    assert sorted(keys(split.train)) == sorted([*others, "shadow/bungalows"])
    assert (keys(split.validation), split.validation_kind) == (["PTZ/zoomInZoomOut"], "held-out scenes")
    assert protocol.describe(fold).startswith(f"fold {fold} of 3 ({', '.join(folds[fold - 1])})")


def test_scenes_that_every_fold_trains_on_change_no_fold(scenes: list[Scene]) -> None:
    mine = ["mine/a", "mine/b", "mine/c"]
    for fold in (1, 2, 3):
        alone = SceneWise(exclude=["PTZ", "mine"]).split(scenes, fold, 0)
        beside = SceneWise(train=mine[:2], validation=HoldOut(mine[2:], frames=0)).split(scenes, fold, 0)
        assert beside.test == alone.test
        assert sorted(keys(beside.train)) == sorted([*keys(alone.train), *mine[:2]])
        assert keys(beside.validation) == mine[2:]


def test_excluding_a_category_that_is_not_there_is_fine(make_scene: Callable[..., Scene]) -> None:
    scenes = [make_scene(key) for key in ("baseline/highway", "baseline/office")]
    assert keys(SceneWise(exclude=["PTZ", "thermal"]).split(scenes, 1, 0).test) == ["baseline/highway"]


def test_scenes_without_a_labelled_frame_take_no_part(make_scene: Callable[..., Scene]) -> None:
    scenes = [make_scene("baseline/highway"), make_scene("baseline/office"), make_scene("thermal/park", labelled=0)]
    split = SceneWise().split(scenes, 1, 0)
    assert "thermal/park" not in keys(split.train) + keys(split.test)


@pytest.mark.parametrize("val_scenes", [0, 3])
def test_zero_validation_frames_take_all(scenes: list[Scene], val_scenes: int) -> None:
    split = SceneWise(validation=HoldOut(scenes=val_scenes, frames=0)).split(scenes, 1, 0)
    source = split.train if val_scenes == 0 else split.validation
    assert len(split.validation) == sum(LABELLED[key] for key in keys(source))


@pytest.mark.parametrize("val_frames", [1, 4, 5, 17, 60])
def test_validation_frames_are_spread_over_scenes_and_within_them(
    make_scene: Callable[..., Scene], val_frames: int
) -> None:
    scenes = [make_scene(f"a/{i}", 40) for i in range(4)] + [make_scene("b/test", 5)]
    split = Subset(["a"], ["b"], validation=HoldOut(frames=val_frames)).split(scenes, 1, 0)
    assert len(split.validation) == val_frames
    shares = [len(numbers(split.validation).get(f"a/{i}", ())) for i in range(4)]
    assert max(shares) - min(shares) <= 1
    for _, chosen in split.validation:
        assert len(set(chosen)) == len(chosen)
        if len(chosen) > 1:
            assert (chosen[0], chosen[-1]) == (21, 60)
            steps = [b - a for a, b in pairwise(chosen)]
            assert max(steps) - min(steps) <= 1


def test_validation_frames_are_the_given_number_next_to_a_short_scene(make_scene: Callable[..., Scene]) -> None:
    scenes = [make_scene("a/long", 100), make_scene("a/short", 3), make_scene("b/test", 5)]
    assert len(Subset(["a"], ["b"], validation=HoldOut(frames=50)).split(scenes, 1, 0).validation) == 50


def test_subset_takes_patterns(scenes: list[Scene]) -> None:
    split = Subset(["baseline", "mine/[ab]"], ["*/c", "PTZ/*"]).split(scenes, 1, 0)
    assert keys(split.train) == ["baseline/PETS2006", "baseline/highway", "baseline/office", "mine/a", "mine/b"]
    assert keys(split.test) == ["PTZ/zoomInZoomOut", "mine/c"]


def test_subset_holds_out_scenes_by_name(scenes: list[Scene]) -> None:
    split = Subset(["baseline"], ["PTZ"], validation=HoldOut(["mine/[ab]"], frames=0)).split(scenes, 1, 0)
    assert keys(split.train) == ["baseline/PETS2006", "baseline/highway", "baseline/office"]
    assert keys(split.validation) == ["mine/a", "mine/b"]
    assert keys(split.test) == ["PTZ/zoomInZoomOut"]
    assert [scene.key for scene in split.test_scenes] == keys(split.test)
    assert split.validation_kind == "held-out scenes"
    assert split.validation == FrameSet.labelled(scene for scene in scenes if scene.key in {"mine/a", "mine/b"})
    assert len(Subset(["baseline"], [], validation=HoldOut(["mine"], frames=4)).split(scenes, 1, 0).validation) == 4
    assert split == Subset(["baseline"], ["PTZ"], validation=HoldOut(["mine/[ab]"], frames=0)).split(
        scenes, 1, 9
    )  # no seed in it


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SceneWise(folds=1), r"protocol\.init_args\.folds: .* got 1"),
        (lambda: SceneWise(folds=[["mine"]]), r"protocol\.init_args\.folds: .* got \[\['mine'\]\]"),
        (lambda: HoldOut(scenes=-1), r"protocol\.init_args\.validation\.scenes: .*got -1\b"),
        (lambda: HoldOut(frames=-3), r"protocol\.init_args\.validation\.frames: .*got -3\b"),
        (lambda: HoldOut(fraction=1), r"protocol\.init_args\.validation\.fraction: .*got 1\b"),
        (lambda: HoldOut(fraction=-0.1), r"protocol\.init_args\.validation\.fraction: .*got -0\.1"),
        (lambda: HoldOut(["a"], 0.5), r"protocol\.init_args\.validation: .*scenes=\['a'\] .*fraction=0\.5"),
        (lambda: HoldOut(2, 0.1), r"protocol\.init_args\.validation: .*scenes=2 .*fraction=0\.1"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], Protocol], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize(
    ("protocol", "fold", "message"),
    [
        (SceneWise(), 0, r"data\.init_args\.fold: .*3; got 0"),
        (SceneWise(), 4, r"data\.init_args\.fold: .*3; got 4"),
        (SceneWise(exclude=["PZT"]), 1, r"protocol\.init_args\.exclude: 'PZT' is no video .*Did you mean PTZ"),
        (SceneWise(folds=[["mine"], ["mnie/c"]]), 1, r"protocol\.init_args\.folds: 'mnie/c'"),
        (SceneWise(folds=[["mine"], ["mine/c"]]), 1, r"protocol\.init_args\.folds: mine/c .*fold 1 .*fold 2"),
        (SceneWise(train=["shadw"]), 1, r"protocol\.init_args\.train: 'shadw'"),
        (SceneWise(validation=HoldOut(["shadw"])), 1, r"protocol\.init_args\.validation\.scenes: 'shadw'"),
        (SceneWise(validation=HoldOut(scenes=5)), 1, r"validation\.scenes: .* below 5\b.*got 5\b"),
        (Subset(["basline"], ["mine"]), 1, r"protocol\.init_args\.train: 'basline' .*Did you mean baseline"),
        (Subset(["baseline"], ["mine/z*"]), 1, r"protocol\.init_args\.test: 'mine/z\*' is no video"),
        (Subset(["baseline"], ["*/highway"]), 1, r"protocol\.init_args\.test: baseline/highway\b"),
        (Subset(["mine", "baseline"], [], HoldOut(["mine/a"])), 1, r"init_args\.validation\.scenes: mine/a\b"),
        (Subset(["baseline"], ["mine/a"], HoldOut(["mine/[ab]"])), 1, r"protocol\.init_args\.test: mine/a\b"),
        (Subset(["baseline"], [], HoldOut(["mnie"])), 1, r"init_args\.validation\.scenes: 'mnie'.*\bmine\b"),
        (Subset(["mine"], ["baseline"], validation=HoldOut(scenes=3)), 1, r"validation\.scenes: .* below 3\b.*got 3\b"),
    ],
)
def test_what_cannot_be_split_says_why(scenes: list[Scene], protocol: Protocol, fold: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        protocol.split(scenes, fold, 0)
