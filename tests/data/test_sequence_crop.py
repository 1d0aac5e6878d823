"""Windows of groups of frames: how often each kind comes, what a moving camera sees, and objects in the scene."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import FrameGroup, GroupMasks, SceneObjects, SequenceCrop
from bgsub_lightning.data.crops import Views, Window
from bgsub_lightning.data.scene_objects import Cut, Placed, WithObjects, cut_out
from bgsub_lightning.data.sequence_crop import Way, Windows, resized_box
from bgsub_lightning.datasets import Scene
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits import FrameSet

Bytes = NDArray[np.uint8]
SIZE = (120, 90)
GROUP = [1, 3, 5, 7]


def scene_of(folder: Path, category: str = "baseline", name: str = "a", ramp: bool = False) -> Scene:
    """Twelve labelled frames: noise, or a ramp to the right; an object moves in them."""
    folder = folder / f"{category}_{name}"
    folder.mkdir()
    generator, images, masks = np.random.default_rng(len(name)), {}, {}
    for number in range(1, 13):
        image = generator.integers(0, 200, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        mask = np.zeros(SIZE[::-1], np.uint8)
        if ramp:
            image[...] = (2 * np.arange(SIZE[0], dtype=np.uint8))[None, :, None]
        else:
            left = 5 * number
            image[20:45, left : left + 40], mask[20:45, left : left + 40] = 250, 255
            mask[18:20, left : left + 40] = 170
        images[number], masks[number] = folder / f"in{number:06d}.png", folder / f"gt{number:06d}.png"
        cv2.imwrite(str(images[number]), image)
        cv2.imwrite(str(masks[number]), mask)
    return Scene("made", category, name, SIZE, images, masks, (1, 12), ())


@pytest.fixture
def frames(tmp_path: Path) -> SceneFrames:
    return SceneFrames(scene_of(tmp_path), None)


@pytest.fixture
def ramp(tmp_path: Path) -> SceneFrames:
    return SceneFrames(scene_of(tmp_path, ramp=True), None)


def crop_of(**settings: Any) -> SequenceCrop:
    return SequenceCrop(**{"size": 48, "objects": None, "shift": 0, "resize": 0, "zoom": 0, "pan": 0} | settings)


def boxes(views: Views) -> tuple[Any, Any, Any]:
    return tuple(each.boxes for each in (views.now, views.past, views.long_past))  # type: ignore[return-value, attr-defined]


# --- how often each comes ---------------------------------------------------------------------------------------------


def test_each_kind_comes_as_often_as_its_probability_says(frames: SceneFrames) -> None:
    """By the shares of the authors: a moving camera stands still where neither its backgrounds nor its frames move."""
    crop = SequenceCrop(size=32, objects=None, moving_past=1.0)
    found = Counter()
    for seed in range(1500):
        views = crop.of(frames, 5, seed, GROUP)
        now, past, long_past = boxes(views)
        if isinstance(views.now, Windows):
            found["zoom" if long_past[0][2] != long_past[-1][2] else "pan"] += 1
        elif len(now[0]) == 4:
            found["resize"] += 1
        else:
            found["aligned" if now == past == long_past else "shift"] += 1
    shares = {kind: count / 1500 for kind, count in found.items()}
    assert shares == pytest.approx(
        {"aligned": 0.3, "shift": 0.175, "resize": 0.175, "zoom": 0.14, "pan": 0.21}, abs=0.04
    )


def test_shifts_reach_five_pixels_both_ways_and_stay_inside(frames: SceneFrames) -> None:
    crop, distances = crop_of(shift=1.0), set()
    for seed in range(300):
        ((left, top, side),), *others = boxes(crop.of(frames, 5, seed, GROUP))
        assert side == 48
        for ((x, y, _),) in others:
            distances |= {x - left, y - top}
            assert 0 <= x <= SIZE[0] - 48
            assert 0 <= y <= SIZE[1] - 48
    assert distances == set(range(-5, 6))


def test_windows_of_any_proportions_fit_and_are_resized(frames: SceneFrames) -> None:
    crop, ratios = crop_of(resize=1.0), []
    whole = 0
    for seed in range(300):
        (box,), past, long_past = boxes(crop.of(frames, 5, seed, GROUP))
        assert (box,) == past == long_past
        left, top, width, height = box
        assert 0 <= left <= left + width <= SIZE[0]
        assert 0 <= top <= top + height <= SIZE[1]
        whole += box == (0, 0, *SIZE)
        ratios.append(width / height)
    assert 30 < whole < 150  # a tenth, and where ten draws do not fit
    assert 0.6 - 0.05 < min(ratios) < max(ratios) < 2.05
    image = crop.of(frames, 5, 0, GROUP).now.image(5)
    assert image.shape == (48, 48, 3)


def test_a_window_that_never_fits_is_the_largest_in_the_middle() -> None:
    rng = np.random.default_rng(0)
    found = {resized_box((300, 60), rng) for _ in range(20)}  # five times as wide as high
    assert found == {(90, 0, 120, 60)}


def test_a_window_holds_some_of_the_region_of_interest(tmp_path: Path) -> None:
    scene = scene_of(tmp_path)
    mask = np.full(SIZE[::-1], 85, np.uint8)
    mask[:90, :15] = 0
    cv2.imwrite(str(scene.masks[5]), mask)
    frames = SceneFrames(scene, None)
    enough = sum(
        np.count_nonzero(crop_of(tries=80).of(frames, 5, seed, GROUP).now.mask(5) != 85) >= 125 for seed in range(40)
    )
    assert enough == 40


# --- a moving camera --------------------------------------------------------------------------------------------------


def test_a_pan_shows_backgrounds_and_frames_on_their_way(ramp: SceneFrames) -> None:
    """On a ramp the mean of windows is that at their mean place; each frame of a group is a step further on."""
    crop, seen = crop_of(pan=1.0, moving_past=1.0, moving_now=1.0, size=32), 0
    group = FrameGroup(4, (2, 2))
    for seed in range(60):
        views = crop.of(ramp, 5, seed, GROUP)
        if not isinstance(views.now, Windows):
            continue
        now, past, long_past = boxes(views)
        assert (len(now), len(past), len(long_past)) == (4, 5, 10)
        assert past == long_past[5:]
        steps = np.diff([*long_past, *now], axis=0)
        assert len({tuple(step) for step in steps.tolist()}) == 1
        for window, each in ((views.past, past), (views.long_past, long_past)):
            shown = window.shown(ramp.image(1)).astype(float)
            lefts = np.mean([box[0] for box in each])
            middle = 2 * (lefts + np.arange(32))[8:-8]
            np.testing.assert_allclose(shown[16, 8:-8, 0], middle, atol=1.1)
        out = np.zeros(group.shape((32, 32)), np.uint8)
        group.load(views.now, 5, seed, out)
        for place, box in enumerate(now):
            np.testing.assert_array_equal(out[place, 0, :, 0], 2 * (box[0] + np.arange(32)))
        seen += 1
    assert seen > 20


def test_a_zoom_grows_evenly_about_one_point(frames: SceneFrames) -> None:
    crop, both = crop_of(zoom=1.0, moving_past=1.0, moving_now=1.0, size=24), set()
    for seed in range(60):
        views = crop.of(frames, 5, seed, GROUP)
        if not isinstance(views.now, Windows):
            continue
        now, _, long_past = boxes(views)
        way = [*long_past, *now]
        (step,) = set(np.diff([box[2] for box in way]).tolist())
        assert step % 2 == 0
        assert len({(2 * left + side, 2 * top + side) for left, top, side in way}) == 1
        assert min(side for *_, side in way) >= 12
        assert all(0 <= left <= left + side <= SIZE[0] and 0 <= top <= top + side <= SIZE[1] for left, top, side in way)
        both.add(step > 0)
    assert both == {True, False}


@pytest.mark.parametrize(("past", "now", "counts"), [(True, False, (1, 5, 10)), (False, True, (4, 1, 1))])
def test_backgrounds_or_frames_alone_may_move(
    frames: SceneFrames, past: bool, now: bool, counts: tuple[int, ...]
) -> None:
    """The others stand at the end of the way, or at its beginning."""
    crop = crop_of(pan=1.0, moving_past=float(past), moving_now=float(now), size=32)
    found = [boxes(crop.of(frames, 5, seed, GROUP)) for seed in range(20)]
    moved = [each for each in found if len({len(boxes) for boxes in each}) > 1]
    assert moved
    for each in moved:
        assert tuple(len(boxes) for boxes in each) == counts
        if past:
            assert each[0][-1] == each[2][-1]
        else:
            assert each[2][0] == each[0][0]


def test_backgrounds_that_move_are_blurred_and_frames_are_not(frames: SceneFrames) -> None:
    way = Way([(0, 0, 32), (3, 1, 32)], past=True, now=False)
    views = way.views(frames, 32, np.random.default_rng(0))
    side, deviation = views.long_past.blur  # type: ignore[attr-defined]
    assert side == 2 * 2 + 5
    assert 0.1 <= deviation <= 3
    assert views.past.blur == views.long_past.blur  # type: ignore[attr-defined]
    np.testing.assert_array_equal(views.now.at(2).image(5), frames.image(5)[1:33, 3:35])


def test_a_camera_that_moves_by_itself_is_not_moved(tmp_path: Path) -> None:
    crop = crop_of(pan=0.5, zoom=0.5, size=24, moving_past=1.0)
    for category, least, most in (("PTZ", 0, 0), ("cameraJitter", 60, 140), ("baseline", 150, 200)):
        frames = SceneFrames(scene_of(tmp_path, category), None)
        moved = sum(isinstance(crop.of(frames, 5, seed, GROUP).now, Windows) for seed in range(200))
        assert least <= moved <= most, category


def test_shares_beyond_one_are_refused(frames: SceneFrames) -> None:
    with pytest.raises(UserError, match=r"crop: .*1\.200"):
        SequenceCrop(shift=0.4, resize=0.4, zoom=0.2, pan=0.2)
    with pytest.raises(UserError, match=r"crop\.size: .*90.*got 224"):
        SequenceCrop().require(frames)


# --- objects ----------------------------------------------------------------------------------------------------------


def test_cuts_are_wide_large_and_mostly_sure() -> None:
    image = np.random.default_rng(0).integers(0, 255, (100, 200, 3), dtype=np.uint8)
    mask = np.zeros((100, 200), np.uint8)
    mask[5:35, 5:55] = 255  # wide
    mask[5:8, 5:55] = 170  # its border
    mask[35, 5:55] = 50  # outside of its box: a shadow
    mask[20, 30] = 50  # inside
    mask[5:65, 70:95] = 255  # high
    mask[70:90, 5:45] = 255  # small
    mask[70:100, 100:150] = 170  # unsure
    np.fill_diagonal(mask[5:55, 140:190], 255)  # thin
    (cut,) = cut_out(image, mask)
    np.testing.assert_array_equal(cut.image, image[5:35, 5:55])
    assert cut.cover.all()
    assert len(cut_out(image, mask, any_shape=True)) == 2
    assert len(cut_out(image, mask, least=700)) == 2


def placed(frames: SceneFrames, left: int, top: int, **settings: Any) -> tuple[WithObjects, tuple[slice, slice]]:
    cut = Cut(np.full((20, 30, 3), 77, np.uint8), np.ones((20, 30), np.bool_))
    known = frozenset(frames.scene.masks)
    return WithObjects(frames, [Placed(cut, left, top, **settings)], known), np.s_[top : top + 20, left : left + 30]


def test_a_static_object_is_in_the_backgrounds_and_no_foreground(frames: SceneFrames) -> None:
    """Frames and backgrounds show the same there, and masks say background."""
    view, box = placed(frames, 40, 30)
    for number in (5, 9):
        background = view.shown(frames.image(1))
        np.testing.assert_array_equal(view.image(number)[box], background[box])
        expected = frames.mask(number).copy()
        assert (expected[box] == 255).any()
        expected[box] = 0
        np.testing.assert_array_equal(view.mask(number), expected)
        outside = np.ones(SIZE[::-1], np.bool_)
        outside[box] = False
        np.testing.assert_array_equal(view.image(number)[outside], frames.image(number)[outside])


def test_what_is_unknown_stays_unknown_under_it(frames: SceneFrames) -> None:
    view, box = placed(frames, 40, 10)
    assert (frames.mask(5)[box] == 170).any()
    np.testing.assert_array_equal(view.mask(5) == 170, frames.mask(5) == 170)


def test_what_moves_may_pass_in_front_of_it(frames: SceneFrames) -> None:
    view, box = placed(frames, 40, 30, is_behind=True)
    np.testing.assert_array_equal(view.mask(5), frames.mask(5))
    moving = frames.mask(5) == 255
    np.testing.assert_array_equal(view.image(5)[moving], frames.image(5)[moving])
    assert (view.image(5)[box][~moving[box]] == 77).all()


def test_an_intermittent_object_is_foreground_and_in_no_background(frames: SceneFrames) -> None:
    view, box = placed(frames, 40, 30, is_static=False)
    np.testing.assert_array_equal(view.shown(frames.image(1)), frames.image(1))
    assert (view.image(5)[box] == 77).all()
    assert (view.mask(5)[box] == 255).all()


def test_windows_show_the_objects_of_the_scene(frames: SceneFrames) -> None:
    view, _ = placed(frames, 40, 30)
    window = Window(view, [(30, 20, 48)], 48)
    np.testing.assert_array_equal(window.image(5), view.image(5)[20:68, 30:78])
    np.testing.assert_array_equal(window.mask(5), view.mask(5)[20:68, 30:78])
    np.testing.assert_array_equal(window.shown(frames.image(1)), view.shown(frames.image(1))[20:68, 30:78])


def test_objects_are_cut_out_of_training_videos_and_put_into_their_own_category(tmp_path: Path) -> None:
    """Of the same video, else of another one of its category; of none, where there is none."""
    own, other, bare, foreign = (
        SceneFrames(scene_of(tmp_path, *key), None)
        for key in (("baseline", "a"), ("baseline", "bb"), ("baseline", "ccc"), ("shadow", "d"))
    )
    for path in bare.scene.masks.values():
        cv2.imwrite(str(path), np.zeros(SIZE[::-1], np.uint8))
    objects = SceneObjects(p=1.0, scaled=0.0)
    trained = [own, other, bare]
    objects.prepare(trained, FrameSet.of((each.scene, [3, 6, 9]) for each in trained), 0)
    cuts = {number: own.image(number)[18:45, 5 * number : 5 * number + 40] for number in (3, 6, 9)}
    largest = 0.35 * SIZE[0] / 40, 0.35 * SIZE[1] / 27
    assert min(largest) >= 1  # so that none is resized
    rng = np.random.default_rng(0)
    view = objects.put_into(own, rng)
    assert isinstance(view, WithObjects)
    for each in view.objects:
        assert any(np.array_equal(each.cut.image, cut) for cut in cuts.values())
    assert isinstance(objects.put_into(bare, rng), WithObjects)
    objects.prepare([own, foreign], FrameSet.of((each.scene, [3]) for each in (own, foreign)), 0)
    assert isinstance(objects.put_into(foreign, rng), WithObjects)
    objects.prepare([own], FrameSet.of([(own.scene, [3])]), 0)
    assert objects.put_into(foreign, rng) is foreign


def test_objects_are_few_small_and_inside(frames: SceneFrames) -> None:
    objects = SceneObjects(p=1.0)
    objects.prepare([frames], FrameSet.labelled([frames.scene]), 0)
    counts, kinds = Counter(), Counter()
    for seed in range(300):
        view = objects.put_into(frames, np.random.default_rng(seed))
        assert isinstance(view, WithObjects)
        counts[len(view.objects)] += 1
        for each in view.objects:
            height, width = each.cut.cover.shape
            assert width <= 0.35 * SIZE[0]
            assert height <= 0.35 * SIZE[1]
            assert 0 <= each.left <= SIZE[0] - width
            assert 0 <= each.top <= SIZE[1] - height
            assert each.is_static or len(view.objects) < 3
            kinds[each.is_static, each.is_behind] += 1
    assert {*counts} == set(range(1, 8))
    assert min(counts.values()) > 20
    assert {*kinds} == {(True, True), (True, False), (False, False)}
    moving = SceneObjects(moving=1.0)
    moving.prepare([frames], FrameSet.labelled([frames.scene]), 0)
    views = [moving.put_into(frames, np.random.default_rng(seed), 2) for seed in range(50)]
    assert {len(each.objects) for each in views if isinstance(each, WithObjects)} == {1, 2}
    assert all(one.is_static for each in views if isinstance(each, WithObjects) for one in each.objects)


def test_a_group_is_loaded_with_its_objects(frames: SceneFrames) -> None:
    """The same object at the same place of all frames; masks that are not known stay so, and put nothing back."""
    crop = SequenceCrop(size=60, shift=0, resize=0, zoom=0, pan=0, objects=SceneObjects(p=1.0, intermittent=0.0))
    crop.prepare([frames], FrameSet.of([(frames.scene, [3, 5, 7])]), 0)
    group = FrameGroup(3, (2, 2))
    masks = GroupMasks(group, {frames.scene.key: frozenset([3, 5, 7])})
    changed = 0
    for seed in range(10):
        views = crop.of(frames, 5, seed, group.frames(frames.scene, 5, seed))
        view = views.now.whole
        images, levels = np.zeros((3, 60, 60, 3), np.uint8), np.zeros((3, 60, 60), np.uint8)
        group.load(views.now, 5, seed, images)
        masks.load(views.now, 5, seed, levels)
        (box,) = views.now.boxes  # type: ignore[attr-defined]
        left, top, side = box
        for place, number in enumerate(group.frames(frames.scene, 5, seed)):
            np.testing.assert_array_equal(images[place], view.image(number)[top : top + side, left : left + side])
            if number in (3, 5, 7):
                np.testing.assert_array_equal(levels[place], view.mask(number)[top : top + side, left : left + side])
            else:
                assert (levels[place] == 170).all()
            changed += not np.array_equal(view.image(number), frames.image(number))
    assert changed > 25
