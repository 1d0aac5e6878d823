"""Groups of frames at a constant gap, their masks, and what the camera showed before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import (
    FrameGroup,
    GroupBackground,
    GroupMasks,
    PastedObjects,
    ScenesDataModule,
    SensorNoise,
)
from bgsub_lightning.data.batches import TrainingBatches
from bgsub_lightning.datasets import CDnet2014, Scene
from bgsub_lightning.frames import FrameStore, SceneFrames, median
from bgsub_lightning.splits import FrameSet, HoldOut, LabelBudget, SceneWise, Split, Subset

MakeScene = Callable[..., Scene]


def gaps(group: FrameGroup, scene: Scene, number: int = 400) -> Counter[int]:
    found = Counter()
    for seed in range(400):
        numbers = group.frames(scene, number, seed)
        (gap,) = set(np.diff(numbers).tolist())
        found[gap] += 1
    return found


@pytest.mark.parametrize("number", [21, 22, 300, 720])
def test_a_group_holds_its_target_at_any_place_inside_the_labelled_part(make_scene: MakeScene, number: int) -> None:
    """At one gap; every place that fits comes, and no frame is outside."""
    scene, group = make_scene("baseline/x", labelled=700), FrameGroup(7, (3, 20))
    places = Counter()
    for seed in range(300):
        numbers = group.frames(scene, number, seed)
        assert len(numbers) == 7
        assert len(set(np.diff(numbers))) == 1
        assert 21 <= numbers[0] <= numbers[-1] <= 720
        places[numbers.index(number)] += 1
        assert numbers == group.frames(scene, number, seed)
    assert {*places} == {21: {0}, 22: {0, 1}, 300: set(range(7)), 720: {6}}[number]


def test_the_largest_gap_grows_with_the_run(make_scene: MakeScene) -> None:
    scene, group = make_scene("baseline/x", labelled=5000), FrameGroup(7, (3, 200))
    assert {*gaps(group.at(0.0), scene)} == {1, 2, 3}
    late = gaps(group.at(1.0), scene)
    assert 190 < max(late) <= 200
    assert 85 < np.mean(list(late.elements())) < 115
    assert 90 < max(gaps(group.at(0.5), scene)) <= 102


def test_cameras_that_move_and_slow_ones_have_small_gaps(make_scene: MakeScene) -> None:
    group = FrameGroup(7, (3, 200))
    assert {*gaps(group.at(0.0), make_scene("PTZ/x", labelled=5000))} == {1, 2, 3, 4, 5}
    assert max(gaps(group.at(1.0), make_scene("PTZ/x", labelled=5000))) == 20
    assert {*gaps(group.at(1.0), make_scene("lowFramerate/x", labelled=5000))} == {1}


def test_a_short_labelled_part_has_the_gaps_that_fit(make_scene: MakeScene) -> None:
    group = FrameGroup(4, (200, 200))
    assert {*gaps(group, make_scene("baseline/x", labelled=13), 27)} == {1, 2, 3}
    assert group.frames(make_scene("baseline/x", labelled=4), 22, 0) == [21, 22, 23, 24]
    with pytest.raises(UserError, match=r"group: .*3 frames.*baseline/x; got 4"):
        group.require_training(FrameSet.labelled([make_scene("baseline/x", labelled=3)]))


def test_a_gap_that_falls_is_refused() -> None:
    with pytest.raises(UserError, match=r"gap: .*got \[5, 2\]"):
        FrameGroup(gap=(5, 2))


# --- masks ------------------------------------------------------------------------------------------------------------


def split_of(scenes: list[Scene], protocol: Any) -> Split:
    split = protocol.split(scenes, 1, 0)
    assert isinstance(split, Split)
    return split


def test_training_sees_no_mask_of_a_scene_that_is_tested_but_those_of_its_training_frames(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    """Nor those that are held out of it for validation."""
    for name in "abcd":
        make_video(tmp_path, "baseline", name, unlabelled=4, labelled=12)
    scenes = list(CDnet2014().scenes(tmp_path, None))
    masks = GroupMasks(FrameGroup(3))
    within = split_of(scenes, LabelBudget(frames=5, drawn="random"))
    assert masks.masks_seen(within) == within.train
    unseen = split_of(scenes, SceneWise(folds=2, exclude=[], frames=5, drawn="random"))
    assert dict(masks.masks_seen(unseen)) == {scene: tuple(scene.masks) for scene in unseen.train.scenes}
    held_out = split_of(
        scenes, SceneWise(folds=2, exclude=[], frames=8, drawn="random", validation=HoldOut(fraction=0.25))
    )
    assert masks.masks_seen(held_out) == held_out.train
    assert masks.masks_seen(held_out).isdisjoint(held_out.validation)


@pytest.fixture
def video(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    for name in ("highway", "office"):
        make_video(tmp_path / "data", "baseline", name, unlabelled=6, labelled=14)
    return tmp_path / "data"


def data_of(root: Path, *inputs: Any, protocol: Any = None, **settings: Any) -> ScenesDataModule:
    chosen = protocol or Subset(["*/highway"], ["*/office"])
    return ScenesDataModule(inputs, chosen, root, **{"size": None, "num_workers": 0, "batch_size": 4, **settings})


def test_a_batch_holds_the_frames_of_groups_and_their_masks(video: Path) -> None:
    group = FrameGroup(3, (2, 2))
    data = data_of(video, group, GroupMasks(group), protocol=LabelBudget(frames=4, drawn="random"))
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch["frames"].shape == (4, 3, 3, 48, 64)
    assert batch["masks"].shape == (4, 3, 48, 64)
    trained = {scene.key: numbers for scene, numbers in data.split.train}
    draws = TrainingBatches(data.frames_of("fit"), 4).batch(0)
    known = 0
    for row, draw in enumerate(draws):
        scene = data.split.train.scenes[draw.scene]
        pixels = SceneFrames(scene, None)
        for place, number in enumerate(group.frames(scene, draw.number, draw.seed)):
            np.testing.assert_allclose(
                batch["frames"][row, place].permute(1, 2, 0) * 255, pixels.image(number), atol=1e-4
            )
            is_known = number in trained[scene.key]
            known += is_known
            expected = pixels.mask(number) if is_known else np.full((48, 64), 170)
            np.testing.assert_array_equal(batch["masks"][row, place], expected)
    assert 4 <= known < 12


def test_a_mirrored_sample_is_mirrored_as_a_whole(video: Path) -> None:
    group = FrameGroup(3, (2, 2))
    plain, mirrored = (data_of(video, group, GroupMasks(group), flip=flip) for flip in (0.0, 1.0))
    one, two = (each.on_after_batch_transfer(next(iter(each.train_dataloader())), 0) for each in (plain, mirrored))
    for key in ("frames", "masks"):
        np.testing.assert_array_equal(one[key].flip(-1), two[key])


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_do_not_depend_on_workers(video: Path, workers: int) -> None:
    group = FrameGroup(3, (1, 4))
    data = data_of(video, group, GroupMasks(group), num_workers=workers, flip=0.5)
    alone = data_of(video, group, GroupMasks(group), flip=0.5)
    for found, expected in zip(data.train_dataloader(), alone.train_dataloader(), strict=True):
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value)


def test_how_much_of_the_run_is_done_follows_from_the_number_of_the_batch(make_scene: MakeScene) -> None:
    batches = TrainingBatches(FrameSet.labelled([make_scene("a/x", labelled=8)]), 2)
    assert {draw.progress for draw in batches.batch(3)} == {1.0}  # no end is set
    batches.length = 11
    assert [batches.batch(step)[0].progress for step in (0, 5, 10, 20)] == [0.0, 0.5, 1.0, 1.0]


def test_transforms_of_one_mask_are_refused_for_groups(video: Path) -> None:
    group = FrameGroup(3)
    data = data_of(video, group, GroupMasks(group), transforms=[SensorNoise(), PastedObjects()])
    with pytest.raises(UserError, match=r"transforms: PastedObjects .*SequenceCrop"):
        data.train_dataloader()


# --- backgrounds ------------------------------------------------------------------------------------------------------


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    generator = np.random.default_rng(3)
    images, masks = {}, {}
    for number in range(1, 21):
        images[number] = tmp_path / f"in{number:06d}.png"
        cv2.imwrite(str(images[number]), generator.integers(0, 256, (10, 14, 3), dtype=np.uint8))
        if number >= 9:
            masks[number] = tmp_path / f"gt{number:06d}.png"
            cv2.imwrite(str(masks[number]), np.zeros((10, 14), np.uint8))
    return Scene("made", "baseline", "a", (14, 10), images, masks, (9, 20), tuple(range(1, 9)))


def test_the_background_is_that_of_the_first_frame_of_a_group(scene: Scene, tmp_path: Path) -> None:
    """At every point of the run."""
    entry, frames = GroupBackground(FrameGroup(3, (1, 4)), history=3), SceneFrames(scene, None)
    entry.prepare([frames], FrameSet.of([(scene, [12, 18])]), FrameStore(tmp_path / "store"))
    firsts = set()
    for progress in (0.0, 1.0):
        for seed in range(12):
            group = FrameGroup(3, (1, 4)).at(progress)
            first = group.frames(scene, 12, seed)[0]
            out = np.zeros((10, 14, 3), np.uint8)
            entry.at(progress).load(frames, 12, seed, out)
            before = np.sort([frames.image(first - each) for each in (1, 2, 3)], 0)[1]
            np.testing.assert_array_equal(out, before)
            firsts.add(first)
    assert firsts == {10, 11, 12}


def test_a_scene_begins_with_what_was_before_its_labelled_part(scene: Scene) -> None:
    entry, frames = GroupBackground(FrameGroup(3), history=5), SceneFrames(scene, None)
    np.testing.assert_array_equal(entry.scene(frames, 0), median([frames.image(n) for n in range(4, 9)])[None])
    bare = SceneFrames(replace(scene, references=()), None)
    np.testing.assert_array_equal(entry.scene(bare, 0), median([frames.image(n) for n in range(1, 6)])[None])
    pool = [frames.image(number) for number in range(1, 9)]
    np.testing.assert_array_equal(entry.of_pool(pool), entry.scene(frames, 0))


def test_the_leak_guard_knows_all_frames_whose_masks_are_seen(video: Path) -> None:
    group = FrameGroup(3)
    protocol = Subset(["*/highway"], ["*/office"])
    plain, grouped = (
        data_of(video, group, protocol=protocol),
        data_of(video, group, GroupMasks(group), protocol=protocol),
    )
    (drawn,) = plain.split.train.scenes
    assert plain.masks_seen == plain.split.train
    assert dict(grouped.masks_seen)[grouped.split.train.scenes[0]] == tuple(drawn.masks)
