"""Windows of frames: the same for all frames of a sample, and more often where something moves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, product
from pathlib import Path

import cv2
import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Crop, Hop, Image, References, SpatioTemporalCrop
from bgsub_lightning.data.batches import Draw
from bgsub_lightning.data.crops import Box, Window
from bgsub_lightning.data.dataset import TrainingDataset
from bgsub_lightning.datasets import CDnet2014, Scene
from bgsub_lightning.datasets.labels import MOVING
from bgsub_lightning.frames import DisFlow, SceneFrames
from bgsub_lightning.frames.images import resized

LABELLED = range(9, 18)


@pytest.fixture
def frames(tmp_path: Path, make_video: Callable[..., Path]) -> SceneFrames:
    make_video(tmp_path, "baseline", "highway", unlabelled=8, labelled=9)
    (scene,) = CDnet2014().scenes(tmp_path)
    return SceneFrames(scene, None, flow=DisFlow())


@pytest.mark.parametrize("side", [16, 20, 40])
def test_a_window_is_cut_and_resized(frames: SceneFrames, side: int) -> None:
    window = Window(frames, [(7, 3, side)], 20)
    box = np.s_[3 : 3 + side, 7 : 7 + side]
    image = resized(frames.image(12)[box], (20, 20))
    assert image.shape == (20, 20, 3)
    np.testing.assert_array_equal(window.image(12), image)
    mask = cv2.resize(frames.mask(12)[box], (20, 20), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(window.mask(12), mask)
    np.testing.assert_array_equal(window.window([11, 12]), [window.image(11), image])
    np.testing.assert_array_equal(window.hop(12, [1])[..., 0], resized(frames.motion(12, 1)[box], (20, 20)))
    for expected, load in ((image, window.image), (mask, window.mask)):
        out = np.zeros_like(expected)
        assert load(12, out) is out
        np.testing.assert_array_equal(out, expected)


def test_all_frames_of_a_sample_show_one_window(frames: SceneFrames) -> None:
    crop, inputs = Crop(16, (0.5, 1.5)), (Image(), References(3), Hop((1,)))
    dataset = TrainingDataset([frames], inputs, None, 0.0, crop=crop)
    draws = [Draw(0, number, seed) for number, seed in zip(LABELLED, range(40, 49), strict=True)]
    batch = dataset[draws]
    assert batch["image"].shape == (9, 16, 16, 3)
    assert batch["references"].shape == (9, 3, 16, 16, 3)
    boxes = set()
    for row, draw in enumerate(draws):
        window = one_window(crop, frames, draw.number, draw.seed)
        boxes.add(window.boxes)
        np.testing.assert_array_equal(batch["image"][row], window.image(draw.number))
        np.testing.assert_array_equal(batch["mask"][row], window.mask(draw.number))
        np.testing.assert_array_equal(batch["hop"][row], window.hop(draw.number, (1,)))
        chosen = References(3).frames(frames.scene, draw.number, draw.seed)
        np.testing.assert_array_equal(batch["references"][row], window.window(chosen))
    assert len(boxes) > 4


def one_window(crop: Crop, frames: SceneFrames, number: int, seed: int) -> Window:
    """The window of all frames of a sample."""
    views = crop.of(frames, number, seed)
    assert isinstance(views.now, Window)
    assert views.now is views.past is views.long_past
    return views.now


def sides(frames: SceneFrames, crop: Crop, count: int = 200) -> list[int]:
    return [one_window(crop, frames, 12, seed).boxes[0][2] for seed in range(count)]


def test_scales_are_the_given_ones_and_windows_fit_into_the_frame(frames: SceneFrames) -> None:
    assert {*sides(frames, Crop(24))} == {24}
    found = sides(frames, Crop(24, (0.5, 1.5)))
    assert min(found) in range(16, 18)
    assert max(found) in range(47, 49)
    assert 0.4 < np.mean(np.array(found) < 24 / np.sqrt(0.75)) < 0.6  # on a logarithmic scale
    assert {*sides(frames, Crop(64))} == {48}  # not larger than the frame


def share_with_foreground(frames: SceneFrames, crop: Crop, count: int = 150) -> float:
    windows = [one_window(crop, frames, 12, seed) for seed in range(count)]
    return float(np.mean([np.count_nonzero(each.mask(12) == MOVING) > 1 for each in windows]))


def test_windows_with_foreground_are_preferred(frames: SceneFrames) -> None:
    anywhere = share_with_foreground(frames, Crop(16, anywhere=1.0))
    some, most = (share_with_foreground(frames, Crop(16, tries=tries, anywhere=0.0)) for tries in (3, 30))
    assert anywhere + 0.1 < some < most
    assert most > 0.95


def test_the_same_seed_is_the_same_window(frames: SceneFrames) -> None:
    crop = Crop(16, (0.5, 1.5))
    one, other, third = (crop.of(frames, 12, seed).now.image(3) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, third)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"size": 8}, "size: .*got 8"),
        ({"scale": (0.0, 1.0)}, r"scale: .*got 0\.0"),
        ({"scale": (1.5, 1.0)}, r"scale: .*got \[1\.5, 1\.0\]"),
        ({"tries": 0}, "tries: .*got 0"),
        ({"anywhere": 1.1}, r"anywhere: .*got 1\.1"),
    ],
)
def test_impossible_windows_are_refused(settings: dict[str, object], key: str) -> None:
    with pytest.raises(UserError, match=rf"data\.init_args\.crop.*{key}"):
        Crop(**settings)  # type: ignore[arg-type]


# --- windows that are not aligned -------------------------------------------------------------------------------------


@pytest.fixture
def wide(tmp_path: Path) -> SceneFrames:
    """A still scene of 240×100 pixels, a ramp from the left to the right in red and from the top down in green."""
    y, x = np.mgrid[:100, :240]
    image = np.stack([x, 2 * y, 0 * x], -1).astype(np.uint8)
    mask = np.where(x % 40 < 20, 0, 255).astype(np.uint8)
    for name, pixels in (("image.png", image[..., ::-1]), ("mask.png", mask)):
        cv2.imwrite(str(tmp_path / name), pixels)
    files = dict.fromkeys((1, 2), tmp_path / "image.png")
    scene = Scene("made", "a", "a", (240, 100), files, {2: tmp_path / "mask.png"}, (2, 2), (1,))
    return SceneFrames(scene, None)


@pytest.fixture
def make_frames(tmp_path: Path) -> Callable[..., SceneFrames]:
    """Makes frames of a width and height."""

    def make(width: int, height: int) -> SceneFrames:
        for name in ("i.png", "m.png"):
            cv2.imwrite(str(tmp_path / name), np.zeros((height, width), np.uint8))
        scene = Scene("made", "a", "a", (width, height), {2: tmp_path / "i.png"}, {2: tmp_path / "m.png"}, (2, 2), ())
        return SceneFrames(scene, None)

    return make


def boxes(crop: SpatioTemporalCrop, frames: SceneFrames, count: int = 150) -> list[tuple[tuple[Box, ...], ...]]:
    """The windows of now, of the past and of the long past, of many samples."""
    found = []
    for seed in range(count):
        views = crop.of(frames, 2, seed)
        shown = (views.now, views.past, views.long_past)
        found.append(tuple(each.boxes for each in shown if isinstance(each, Window)))
    for left, top, side in chain(*chain(*found)):
        assert 0 <= left <= left + side <= frames.size[0]
        assert 0 <= top <= top + side <= frames.size[1]
    return found


def only(**of: float) -> SpatioTemporalCrop:
    return SpatioTemporalCrop(64, **{"shift": 0.0, "zoom": 0.0, "pan": 0.0} | of)  # type: ignore[arg-type]


def test_shifts_move_the_past_by_whole_pixels_and_reach_all_of_them(wide: SceneFrames) -> None:
    """[-5, 5) in both axes, each of the two by itself; the corners are uniform over what is left."""
    found = boxes(only(shift=1), wide, 1000)
    moves = np.array([[np.subtract(each[0], now[0]) for each in others] for now, *others in found])
    assert moves.shape == (1000, 2, 3)
    for which, axis in product(range(2), range(2)):
        levels, counts = np.unique(moves[:, which, axis], return_counts=True)
        assert levels.tolist() == list(range(-5, 5))
        assert counts.min() > 60
    assert not moves[..., 2].any()
    assert 0.02 < np.mean((moves[:, 0] == moves[:, 1]).all(-1)) * 10 < 0.25
    lefts, tops, _ = np.array([now[0] for now, *_ in found]).T
    assert (lefts.min(), lefts.max()) == (5, 240 - 64 - 5)
    assert (tops.min(), tops.max()) == (5, 100 - 64 - 5)


def test_little_room_leaves_smaller_shifts(make_frames: Callable[..., SceneFrames]) -> None:
    found = boxes(only(shift=1), make_frames(240, 70))
    vertical = {each[0][1] - now[0][1] for now, *others in found for each in others}
    assert vertical == {-2, -1, 0, 1}  # half of 6 pixels, less 1
    boxes(only(shift=1), make_frames(64, 64))


def test_a_pan_shows_its_way(wide: SceneFrames) -> None:
    """20 windows in a line at one speed; the recent half is the past, its end is now; both directions."""
    to_right, speeds = [], []
    for now, past, long_past in boxes(only(pan=1), wide):
        lefts, tops, sides = np.array(long_past).T
        assert len(long_past) == 20
        assert past == long_past[10:]
        assert now == long_past[-1:]
        assert len({*tops}) == len({*sides}) == 1
        steps = np.abs(np.diff(lefts))
        assert steps.max() - steps.min() <= 1
        to_right.append(lefts[-1] > lefts[0])
        speeds.append(steps.sum() / 19)
    assert 0.4 < np.mean(to_right) < 0.6
    assert max(speeds) <= 5
    assert 0.3 < np.mean(np.array(speeds) < 2.5) < 0.7


def test_a_pan_in_a_narrow_frame_stands_still(make_frames: Callable[..., SceneFrames]) -> None:
    for now, past, long_past in boxes(only(pan=1), make_frames(80, 70), 50):
        assert {*past, *long_past} == {*now}


def test_a_zoom_is_centred_and_ends_at_now(wide: SceneFrames) -> None:
    """Nearer: now is the smallest window, and the past is what led there; farther: now is the largest."""
    nearer = []
    for now, past, long_past in boxes(only(zoom=1), wide):
        (side,), way, long_way = ([box[2] for box in each] for each in (now, past, long_past))
        assert len(past) == len(long_past) == 10
        assert way[0] == long_way[0] == side
        for each in (way, long_way):
            assert each in (sorted(each), sorted(each, reverse=True))
        for left, top, wide_side in (*now, *past, *long_past):
            assert abs(2 * left + wide_side - 240) <= 1
            assert abs(2 * top + wide_side - 100) <= 1
        nearer.append(side < 64 or long_way[-1] > side)
        change = abs(long_way[-1] - side)
        assert abs(way[-1] - side) <= change <= 9 * 0.04 * 64 + 1
        assert side >= 64 / 1.4 - 1
    assert 0.4 < np.mean(nearer) < 0.6


@pytest.mark.parametrize("of", [{"zoom": 1, "past_zoom": 0.0, "long_zoom": 0.0}, {"pan": 1, "most_pan": 0.0}, {}])
def test_without_movement_all_is_aligned(wide: SceneFrames, of: dict[str, float]) -> None:
    for seed in range(20):
        views = only(**of).of(wide, 2, seed)
        for each in (views.past, views.long_past):
            np.testing.assert_array_equal(each.image(1), views.now.image(1))


def test_what_a_camera_saw_on_its_way_is_averaged(wide: SceneFrames) -> None:
    window = Window(wide, [(10, 5, 64), (20, 5, 64), (33, 5, 64)], 64)
    expected = np.full(64, 10 + 20 + 33) / 3 + np.arange(64)
    np.testing.assert_array_equal(window.image(1)[0, :, 0], np.floor(expected + 0.5))
    np.testing.assert_array_equal(window.mask(2), wide.mask(2)[5:69, 33:97])  # of the newest


def test_many_windows_do_not_overflow(wide: SceneFrames) -> None:
    window = Window(wide, [(170, 5, 64)] * 700, 64)
    np.testing.assert_array_equal(window.image(1), Window(wide, [(170, 5, 64)], 64).image(1))


def test_windows_of_several_scales_are_shifted_within_the_frame(wide: SceneFrames) -> None:
    found = boxes(SpatioTemporalCrop(64, scale=(0.6, 2.0), shift=1, zoom=0, pan=0), wide)
    assert len({now[0][2] for now, *_ in found}) > 20


def test_masks_keep_their_levels(wide: SceneFrames) -> None:
    for seed in range(60):
        assert {*SpatioTemporalCrop(64).of(wide, 2, seed).now.mask(2).flat} <= {0, 255}


def test_kinds_come_as_often_as_they_are_asked_for(wide: SceneFrames) -> None:
    kinds = []
    for now, past, long_past in boxes(SpatioTemporalCrop(64), wide, 700):
        counts = len(past), len(long_past)
        kinds.append(
            {(10, 20): "pan", (10, 10): "zoom"}.get(counts, "aligned" if now == past == long_past else "shift")
        )
    shares = {kind: kinds.count(kind) / len(kinds) for kind in ("aligned", "shift", "zoom", "pan")}
    for kind, share in (("aligned", 1 / 3), ("shift", 1 / 3), ("zoom", 1 / 6), ("pan", 1 / 6)):
        assert shares[kind] == pytest.approx(share, abs=0.06)


def test_frames_smaller_than_the_window_are_refused(make_frames: Callable[..., SceneFrames]) -> None:
    frames = make_frames(80, 60)
    Crop(64).require(frames)
    with pytest.raises(UserError, match=r"crop\.size.*60 .*a/a.*80×60; got 64"):
        SpatioTemporalCrop(64).require(frames)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"shift": 0.5, "zoom": 0.4, "pan": 0.2}, r"crop: .*got 1\.1"),
        ({"pan": -0.1}, r"pan: .*got -0\.1"),
        ({"past_zoom": 0.05}, r"past_zoom: .*0\.04; got 0\.05"),
        ({"past_zoom": 0.0, "long_zoom": 0.5}, r"long_zoom: .*0\.100.*got 0\.5"),
        ({"most_shift": -1}, "most_shift: .*got -1"),
        ({"frames": 0}, "frames: .*got 0"),
    ],
)
def test_impossible_movements_are_refused(settings: dict[str, float], key: str) -> None:
    with pytest.raises(UserError, match=rf"data\.init_args\.{key}" if key.startswith("crop") else rf"crop\.{key}"):
        SpatioTemporalCrop(**settings)  # type: ignore[arg-type]
