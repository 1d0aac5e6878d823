from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Image, Input, References, Stream
from bgsub_lightning.datasets import CDnet2014, Scene
from bgsub_lightning.frames import SceneFrames


@pytest.fixture
def pixels(tmp_path: Path, make_video: Callable[..., Path]) -> list[SceneFrames]:
    """Two scenes of 20 reference frames each, all of them different."""
    for video in ("highway", "office"):
        make_video(tmp_path, "baseline", video, unlabelled=20, labelled=2)
    return [SceneFrames(scene, None) for scene in CDnet2014().scenes(tmp_path)]


def which(pixels: SceneFrames, images: NDArray[np.uint8]) -> list[int]:
    """The numbers of the frames that these images are."""
    known = {pixels.image(number).tobytes(): number for number in pixels.scene.frames}
    assert len(known) == len(pixels.scene.frames)
    return [known[image.tobytes()] for image in images]


def draws_of(entry: References, pixels: SceneFrames, seed: int) -> list[list[int]]:
    return [which(pixels, draw) for draw in entry.scene(pixels, seed)]


@pytest.mark.parametrize("count", [1, 5, 20])
def test_references_are_different_frames_of_the_unlabelled_part(make_scene: Callable[..., Scene], count: int) -> None:
    scene = make_scene("a/x", labelled=30, references=20)
    for seed in range(50):
        chosen = References(count).frames(scene, 25, seed)
        assert len(chosen) == len(set(chosen)) == count
        assert set(chosen) <= set(scene.references)


def test_references_may_have_gaps(make_scene: Callable[..., Scene]) -> None:
    whole = make_scene("a/x")
    scene = Scene("d", "a", "x", (64, 48), whole.frames, whole.masks, (21, 26), references=(2, 3, 11))
    assert sorted(References(3).frames(scene, 21, 0)) == [2, 3, 11]


def test_references_are_drawn_by_the_seed_alone(make_scene: Callable[..., Scene]) -> None:
    scene, entry = make_scene("a/x"), References(5)
    draws = [entry.frames(scene, 21, seed) for seed in range(200)]
    assert draws == [entry.frames(scene, number, seed) for seed in range(200) for number in [25]]
    assert len({tuple(draw) for draw in draws}) == 200
    times = np.bincount([number for draw in draws for number in draw], minlength=21)[1:]
    assert times.min() > 25  # 50 are expected of each
    assert any(draw != sorted(draw) for draw in draws)


def test_evaluation_draws_are_fixed_by_seed_and_scene(pixels: list[SceneFrames]) -> None:
    entry = References(6, draws=3)
    draws = draws_of(entry, pixels[0], 0)
    assert [len(set(draw)) for draw in draws] == [6, 6, 6]
    assert all(set(draw) <= set(pixels[0].scene.references) for draw in draws)
    assert draws_of(entry, pixels[0], 0) == draws
    assert draws_of(entry, SceneFrames(pixels[0].scene, None), 0) == draws


def test_evaluation_draws_differ_between_draws_seeds_and_scenes(pixels: list[SceneFrames]) -> None:
    entry = References(6, draws=3)
    draws = [draws_of(entry, scene, seed) for scene in pixels for seed in (0, 1)]
    assert len({tuple(draw) for some in draws for draw in some}) == 12


def test_more_draws_begin_with_the_same(pixels: list[SceneFrames]) -> None:
    assert draws_of(References(6), pixels[0], 7) == draws_of(References(6, draws=3), pixels[0], 7)[:1]


def test_evaluation_draws_do_not_depend_on_the_size(pixels: list[SceneFrames]) -> None:
    small = SceneFrames(pixels[0].scene, (32, 24))
    assert draws_of(References(6, 2), small, 3) == draws_of(References(6, 2), pixels[0], 3)
    assert References(6, 2).scene(small, 3).shape == (2, 6, 24, 32, 3)


@pytest.mark.parametrize(("count", "enough"), [(19, True), (20, True), (21, False)])
def test_too_few_references_name_the_option(make_scene: Callable[..., Scene], count: int, enough: bool) -> None:
    scene = make_scene("baseline/office", references=20)
    if enough:
        References(count).validate(scene)
        return
    with pytest.raises(UserError, match=r"init_args\.references: .* 20, .*CDnet2014 baseline/office; got 21\."):
        References(count).validate(scene)


@pytest.mark.parametrize("entry", [Image(), Stream()])
def test_the_target_frame(make_scene: Callable[..., Scene], pixels: list[SceneFrames], entry: Input) -> None:
    scene = make_scene("a/x", references=0)
    entry.validate(scene)
    assert entry.key == "image"
    number = max(pixels[0].scene.frames)
    loaded = np.zeros((*pixels[0].size[::-1], 3), np.uint8)
    entry.load(pixels[0], number, 5, loaded)
    np.testing.assert_array_equal(loaded, pixels[0].image(number))
    assert entry.shape((64, 48)) == (48, 64, 3)
    assert entry.scene(pixels[0], 0) is None


def test_shape_of_references() -> None:
    assert References(7).shape((64, 48)) == (7, 48, 64, 3)


def test_inputs_are_values() -> None:
    assert (Image(), References(3)) == (Image(), References(3))
    assert References(3) != References(4)
    assert Image() != Stream()
