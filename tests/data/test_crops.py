"""Windows of frames: the same for all frames of a sample, and more often where something moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Crop, Hop, Image, References
from bgsub_lightning.data.batches import Draw
from bgsub_lightning.data.crops import Window
from bgsub_lightning.data.dataset import TrainingDataset
from bgsub_lightning.datasets import CDnet2014
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
    window = Window(frames, (7, 3, side), 20)
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
        window = crop.of(frames, draw.number, draw.seed)
        assert isinstance(window, Window)
        boxes.add(str(window._box))
        np.testing.assert_array_equal(batch["image"][row], window.image(draw.number))
        np.testing.assert_array_equal(batch["mask"][row], window.mask(draw.number))
        np.testing.assert_array_equal(batch["hop"][row], window.hop(draw.number, (1,)))
        chosen = References(3).frames(frames.scene, draw.number, draw.seed)
        np.testing.assert_array_equal(batch["references"][row], window.window(chosen))
    assert len(boxes) > 4


def sides(frames: SceneFrames, crop: Crop, count: int = 200) -> list[int]:
    windows = [crop.of(frames, 12, seed) for seed in range(count)]
    return [window._box[0].stop - window._box[0].start for window in windows if isinstance(window, Window)]


def test_scales_are_those_that_are_told_and_windows_fit_into_the_frame(frames: SceneFrames) -> None:
    assert {*sides(frames, Crop(24))} == {24}
    found = sides(frames, Crop(24, (0.5, 1.5)))
    assert min(found) in range(16, 18)
    assert max(found) in range(47, 49)
    assert 0.4 < np.mean(np.array(found) < 24 / np.sqrt(0.75)) < 0.6  # on a logarithmic scale
    assert {*sides(frames, Crop(64))} == {48}  # not larger than the frame


def share_with_foreground(frames: SceneFrames, crop: Crop, count: int = 150) -> float:
    windows = [crop.of(frames, 12, seed) for seed in range(count)]
    return float(np.mean([np.count_nonzero(each.mask(12) == MOVING) > 1 for each in windows]))


def test_windows_with_foreground_are_preferred(frames: SceneFrames) -> None:
    anywhere = share_with_foreground(frames, Crop(16, anywhere=1.0))
    some, most = (share_with_foreground(frames, Crop(16, tries=tries, anywhere=0.0)) for tries in (3, 30))
    assert anywhere + 0.1 < some < most
    assert most > 0.95


def test_the_same_seed_is_the_same_window(frames: SceneFrames) -> None:
    crop = Crop(16, (0.5, 1.5))
    one, other, third = (crop.of(frames, 12, seed).image(3) for seed in (1, 1, 2))
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
