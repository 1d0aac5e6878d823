"""The first half trains, the second is tested."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import Scene
from bgsub_lightning.splits import FirstHalf, FrameSet, HoldOut, LabelBudget, Protocol, SceneWise, Subset

MakeScene = Callable[..., Scene]


def numbers(frames: FrameSet) -> dict[str, tuple[int, ...]]:
    return {scene.key: chosen for scene, chosen in frames}


@pytest.mark.parametrize("labelled", [2, 3, 6, 7, 40])
def test_half_of_the_labelled_frames_rounded_down_train(make_scene: MakeScene, labelled: int) -> None:
    scene = make_scene("a/x", labelled)
    split = FirstHalf().split([scene], 1, 0)
    all_of_them = tuple(scene.masks)
    assert split.train.numbers == (all_of_them[: labelled // 2],)
    assert split.test.numbers == (all_of_them[labelled // 2 :],)
    assert split.validation_kind == "training frames"
    assert not len(split.train_frames_scored)


def test_gaps_between_labelled_frames_do_not_count(make_scene: MakeScene) -> None:
    split = FirstHalf().split([make_scene("a/x", [30, 31, 90, 500, 501])], 1, 0)
    assert (split.train.numbers, split.test.numbers) == (((30, 31),), ((90, 500, 501),))


def test_each_scene_is_halved_whatever_fold_and_seed(make_scene: MakeScene) -> None:
    scenes = [make_scene("b/y", 5), make_scene("a/x", 8), make_scene("PTZ/z", 9)]
    split = FirstHalf(exclude=["PTZ"]).split(scenes, 1, 0)
    assert numbers(split.train) == {"a/x": (21, 22, 23, 24), "b/y": (21, 22)}
    assert numbers(split.test) == {"a/x": (25, 26, 27, 28), "b/y": (23, 24, 25)}
    assert [scene.key for scene in split.test_scenes] == ["a/x", "b/y"]
    other = FirstHalf(exclude=["PTZ"]).split(scenes[::-1], 4, 7)
    assert (numbers(other.train), numbers(other.test)) == (numbers(split.train), numbers(split.test))


@pytest.mark.parametrize("seed", range(3))
def test_held_out_frames_come_out_of_the_first_half(make_scene: MakeScene, seed: int) -> None:
    scenes = [make_scene("a/x", 40), make_scene("b/y", 21)]
    plain, split = (FirstHalf(validation=HoldOut(fraction=part, frames=0)).split(scenes, 1, seed) for part in (0, 0.2))
    assert split.validation_kind == "held-out frames"
    assert numbers(split.test) == numbers(plain.test)
    for key, before in numbers(plain.train).items():
        train, validation = numbers(split.train)[key], numbers(split.validation)[key]
        assert sorted(train + validation) == list(before)
        assert len(validation) == round(0.2 * len(before))


def test_held_out_scenes(make_scene: MakeScene) -> None:
    split = FirstHalf(validation=HoldOut(scenes=1, frames=3)).split(
        [make_scene("a/x", 40), make_scene("b/y", 21)], 1, 0
    )
    assert (len(split.train.scenes), len(split.validation.scenes), len(split.test.scenes)) == (1, 1, 2)
    assert split.train.isdisjoint(split.validation)
    assert len(split.validation) == 3


@pytest.mark.parametrize("labelled", [0, 1])
def test_a_scene_that_has_no_halves_says_so(make_scene: MakeScene, labelled: int) -> None:
    scenes = [make_scene("a/x"), make_scene("b/few", labelled)]
    with pytest.raises(UserError, match=rf"protocol\.init_args: half of .* b/few has {labelled}\. Leave .*\.exclude"):
        FirstHalf().split(scenes, 1, 0)
    assert len(FirstHalf(exclude=["few"]).split(scenes, 1, 0).train) == 3


def test_an_unknown_exclusion_says_so(make_scene: MakeScene) -> None:
    with pytest.raises(UserError, match=r"protocol\.init_args\.exclude: 'z' is no video"):
        FirstHalf(exclude=["z"]).split([make_scene("a/x")], 1, 0)


@pytest.mark.parametrize(("exclude", "expected"), [((), "for test"), (("PTZ", "a/x"), "for test, without PTZ, a/x")])
def test_description(exclude: tuple[str, ...], expected: str) -> None:
    half = "the first half of each scene's labelled frames for training, the second "
    assert FirstHalf(exclude).describe(1) == half + expected


@pytest.mark.parametrize(
    ("protocol", "expected"), [(FirstHalf, True), (SceneWise, False), (Subset, False), (LabelBudget, False)]
)
def test_which_protocols_paste_objects(protocol: type[Protocol], expected: bool) -> None:
    assert protocol.pastes_objects is expected
