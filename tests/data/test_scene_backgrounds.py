"""Recent and empty backgrounds of training samples and scenes, and maps of their foreground."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import EmptyBackground, ForegroundMaps, Input, RecentBackground
from bgsub_lightning.data.crops import Views, Window
from bgsub_lightning.data.dataset import frame_inputs
from bgsub_lightning.datasets import Scene
from bgsub_lightning.frames import FrameStore, SceneFrames
from bgsub_lightning.splits import FrameSet

Bytes = NDArray[np.uint8]
SIZE = (14, 10)
LABELLED = range(9, 15)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Noise: 14 frames with a gap, those from the ninth labelled, of which the last two are not."""
    generator = np.random.default_rng(3)
    images, masks = {}, {}
    for number in [*range(1, 5), *range(7, 17)]:
        images[number] = tmp_path / f"in{number:06d}.png"
        cv2.imwrite(str(images[number]), generator.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8))
        if number in LABELLED:
            masks[number] = tmp_path / f"gt{number:06d}.png"
            cv2.imwrite(str(masks[number]), np.zeros(SIZE[::-1], np.uint8))
    return Scene("made", "baseline", "a", SIZE, images, masks, (9, 15), (1, 2, 3, 4, 7, 8))


def loaded(entry: Input, scene: Scene, store: Path, number: int, seed: int = 0, view: Window | None = None) -> Bytes:
    frames = SceneFrames(scene, None)
    entry.prepare([frames], FrameSet.of([(scene, [10, 12, 14])]), FrameStore(store))
    shown = frames if view is None else view
    out = np.zeros(entry.shape(shown.size), np.uint8)
    entry.load(shown, number, seed, out)
    return out


def sorted_median(scene: Scene, numbers: list[int]) -> Bytes:
    frames = SceneFrames(scene, None)
    return np.asarray(np.sort([frames.image(number) for number in numbers], 0)[(len(numbers) - 1) // 2])


@pytest.mark.parametrize(
    ("history", "number", "window"),
    [(3, 12, [9, 10, 11]), (4, 10, [4, 7, 8, 9]), (100, 14, [1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13])],
)
def test_the_recent_background_is_the_median_of_the_frames_before(
    scene: Scene, tmp_path: Path, history: int, number: int, window: list[int]
) -> None:
    """Of the newest that there are, whatever their numbers; neither the frame nor what comes after has a part."""
    found = loaded(RecentBackground(history), scene, tmp_path / "store", number)
    np.testing.assert_array_equal(found, sorted_median(scene, window))


def test_the_first_frame_is_its_own_recent_background(scene: Scene) -> None:
    frames = SceneFrames(scene, None)
    (first,) = RecentBackground().backgrounds(frames, [1])
    np.testing.assert_array_equal(first, frames.image(1))


def test_a_store_serves_runs_of_other_frames_and_histories(scene: Scene, tmp_path: Path) -> None:
    frames, store = SceneFrames(scene, None), FrameStore(tmp_path / "store")
    entries = [RecentBackground(3), RecentBackground(5), RecentBackground(3)]
    for entry, numbers in zip(entries, ([10, 12], [10, 12], [9, 13]), strict=True):
        entry.prepare([frames], FrameSet.of([(scene, numbers)]), store)
    for entry, number, window in zip(
        entries, (12, 12, 13), ([9, 10, 11], [7, 8, 9, 10, 11], [10, 11, 12]), strict=True
    ):
        out = np.zeros((*SIZE[::-1], 3), np.uint8)
        entry.load(frames, number, 0, out)
        np.testing.assert_array_equal(out, sorted_median(scene, window))


@pytest.mark.parametrize(("rule", "among"), [("median", [1, 2, 3, 4, 7, 8]), ("automatic", None)])
def test_the_empty_background_is_one_median_for_the_scene(
    scene: Scene, tmp_path: Path, rule: str, among: list[int] | None
) -> None:
    frames = SceneFrames(scene, None)
    images = [frames.image(number) for number in among or scene.frames]
    entry = EmptyBackground(rule)  # type: ignore[arg-type]
    expected = np.asarray(np.median(images, 0).round(), np.uint8)
    if rule == "automatic":  # the lower of the two in the middle, of what is not black in all channels
        expected = sorted_median(scene, list(scene.frames))
    for number in (10, 14):
        np.testing.assert_array_equal(loaded(entry, scene, tmp_path / "store", number), expected)
    shown = entry.scene(frames, 0)
    assert shown is not None
    np.testing.assert_array_equal(shown, [expected])


def test_few_frames_at_equal_distances_are_enough(scene: Scene) -> None:
    frames = SceneFrames(scene, None)
    found = EmptyBackground(frames=3).scene(frames, 0)
    assert found is not None
    expected = np.median([frames.image(number) for number in (1, 3, 8)], 0)
    np.testing.assert_array_equal(found[0], expected)


def test_black_borders_do_not_count_where_the_camera_is_moved(scene: Scene) -> None:
    """Unless a pixel is black in all frames."""
    for place, path in enumerate(scene.frames.values()):
        image = np.full((*SIZE[::-1], 3), 40 + place, np.uint8)
        image[:, : 3 if place % 3 else 5] = 0
        cv2.imwrite(str(path), image)
    found = EmptyBackground("automatic").scene(SceneFrames(scene, None), 0)
    assert found is not None
    levels = [40 + place for place in range(14) if place % 3]
    assert np.all(found[0, :, :3] == 0)
    assert np.all(found[0, :, 3:5] == sorted(levels)[(len(levels) - 1) // 2])
    assert np.all(found[0, :, 5:] == 46)


def test_a_camera_that_moves_has_a_trailing_median(scene: Scene, tmp_path: Path) -> None:
    moving = replace(scene, category="PTZ")
    entry = EmptyBackground(history=4)
    assert entry.scene(SceneFrames(moving, None), 0) is None
    found = loaded(entry, moving, tmp_path / "store", 12)
    np.testing.assert_array_equal(found, sorted_median(moving, [8, 9, 10, 11]))
    assert EmptyBackground(moving=()).scene(SceneFrames(moving, None), 0) is not None


def folder(root: Path, names: list[str], size: tuple[int, int] = SIZE, grey: bool = False) -> Path:
    (root / "baseline/a").mkdir(parents=True)
    for level, name in enumerate(names, 1):
        shape = size[::-1] if grey else (*size[::-1], 3)
        cv2.imwrite(str(root / "baseline/a" / name), np.full(shape, 10 * level, np.uint8))
    return root


def test_images_that_were_chosen_by_hand(scene: Scene, tmp_path: Path) -> None:
    """That of the frame's number, else one that is drawn: for each sample; an evaluation has one draw for a scene."""
    entry = EmptyBackground(folder(tmp_path / "chosen", ["a_000010.png", "b_000099.png", "c_000098.png"]))
    entry.validate(scene)
    store = tmp_path / "store"
    assert {int(loaded(entry, scene, store, 10, seed).max()) for seed in range(20)} == {10}
    assert {int(loaded(entry, scene, store, 12, seed).max()) for seed in range(40)} == {10, 20, 30}
    assert entry.scene(SceneFrames(scene, None), 0) is None
    batch = frame_inputs([entry], SceneFrames(scene, None), [9, 10, 12])["empty"]
    levels = batch.amax((1, 2, 3)).tolist()
    assert levels[1] == 10
    assert levels[0] == levels[2] in {10, 20, 30}


def test_a_stream_has_the_median_of_its_pool_in_their_place(scene: Scene, tmp_path: Path) -> None:
    entry = EmptyBackground(tmp_path / "nowhere").of_stream()
    assert not entry.per_frame
    pool = [np.full((3, 4, 3), level, np.uint8) for level in (10, 30, 90)]
    np.testing.assert_array_equal(entry.of_pool(pool), np.full((1, 3, 4, 3), 30))
    own = EmptyBackground()
    assert own.of_stream() is own


def test_what_is_stored_is_seen_through_the_window_of_its_time(scene: Scene, tmp_path: Path) -> None:
    frames = SceneFrames(scene, None)
    window = Window(frames, [(3, 2, 6)], 6)
    views = Views(frames, window, frames)
    entry = RecentBackground(3)
    assert views.of(entry) is window
    assert views.of(EmptyBackground()) is frames
    found = loaded(entry, scene, tmp_path / "store", 12, view=window)
    np.testing.assert_array_equal(found, sorted_median(scene, [9, 10, 11])[2:8, 3:9])


def test_a_scene_that_cannot_have_one_is_refused(scene: Scene, tmp_path: Path) -> None:
    bare = replace(scene, references=())
    with pytest.raises(UserError, match=r"baseline/a.*got none.*automatic"):
        EmptyBackground().validate(bare)
    EmptyBackground("automatic").validate(bare)
    EmptyBackground(moving=("baseline",)).validate(bare)
    with pytest.raises(UserError, match=r"EmptyBackground\.rule.*got mean"):
        EmptyBackground("mean").validate(scene)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"baseline/a.*got none"):
        EmptyBackground(tmp_path).validate(scene)
    wide = EmptyBackground(folder(tmp_path / "wide", ["a_000010.png"], (15, 10)))
    with pytest.raises(UserError, match=r"a_000010\.png.*14×10; got 15×10"):
        loaded(wide, scene, tmp_path / "store", 10)


# --- maps of foreground -----------------------------------------------------------------------------------------------


def maps(tmp_path: Path, numbers: list[int], size: tuple[int, int] = SIZE) -> ForegroundMaps:
    places = [folder(tmp_path / name, [f"fpm{n:06d}.png" for n in numbers], size, grey=True) for name in "ab"]
    return ForegroundMaps(*places, folder(tmp_path / "c", ["empty.png"], size, grey=True))


def test_maps_belong_to_their_images(scene: Scene, tmp_path: Path) -> None:
    """Each is seen through its image's window; that of the scene's empty background serves all its frames."""
    empty, recent, frame = maps(tmp_path, [9, 10, 12, 14]).inputs(EmptyBackground())
    assert [entry.key for entry in (empty, recent, frame)] == ["empty_map", "recent_map", "map"]
    window = Window(SceneFrames(scene, None), [(3, 2, 6)], 6)
    views = Views(SceneFrames(scene, None), window, window)
    assert [views.of(entry) is window for entry in (empty, recent, frame)] == [True, True, False]
    store = tmp_path / "store"
    for entry, level in ((empty, 10), (recent, 30), (frame, 30)):
        found = loaded(entry, scene, store, 12)
        assert found.shape == (*SIZE[::-1], 1)
        assert {*found.flat} == {level}
    assert loaded(frame, scene, store, 12, view=window).shape == (6, 6, 1)
    assert {*loaded(frame, scene, store, 3).flat} == {0}  # before the temporal ROI: it only passes


def test_missing_and_unfit_maps_are_named(scene: Scene, tmp_path: Path) -> None:
    frames = FrameSet.of([(scene, [10, 12, 14])])
    _, recent, frame = maps(tmp_path, [10, 12]).inputs(EmptyBackground())
    for entry in (recent, frame):
        with pytest.raises(UserError, match=r"baseline/a.*frame 14.*got 2"):
            entry.require_training(frames)
    other = maps(tmp_path / "wide", [10, 12, 14], (15, 10)).inputs(EmptyBackground())[2]
    with pytest.raises(UserError, match=r"fpm000010\.png.*14×10; got 15×10"):
        other.require_evaluation(frames)
    gone = ForegroundMaps(tmp_path / "a", tmp_path / "nowhere", tmp_path / "c").inputs(EmptyBackground())[1]
    with pytest.raises(UserError, match=r"nowhere/baseline/a.*frame 10.*got 0"):
        gone.require_training(frames)


def test_the_map_of_a_chosen_background_has_its_name(scene: Scene, tmp_path: Path) -> None:
    """The same is drawn of both; a map that is missing is named."""
    names = ["a.png", "b.png", "c_000010.png"]
    images = EmptyBackground(folder(tmp_path / "images", names))
    made = maps(tmp_path, [10, 12, 14])
    for name in names:
        level = 10 * (names.index(name) + 1)
        cv2.imwrite(str(made.empty / "baseline/a" / name), np.full(SIZE[::-1], level, np.uint8))
    entry = made.inputs(images)[0]
    pairs = set()
    for number, seed in ((10, 0), *((12, seed) for seed in range(40))):
        shown = [loaded(each, scene, tmp_path / "store", number, seed).max() for each in (images, entry)]
        pairs.add(tuple(map(int, shown)))
    assert pairs == {(10, 10), (20, 20), (30, 30)}
    other = ForegroundMaps(made.frame, made.recent, made.recent).inputs(images)[0]
    with pytest.raises(UserError, match=r"baseline/a.*(a|b|c_000010)\.png.*got 3"):
        other.require_training(FrameSet.of([(scene, [12])]))
