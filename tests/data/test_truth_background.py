"""Ground-truth backgrounds, against a slow reference."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Image, ScenesDataModule, Span, Stage, StagePlan, TruthBackground
from bgsub_lightning.data.truth_background import around, sorting_network
from bgsub_lightning.datasets import Scene
from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.frames import FrameStore, SceneFrames
from bgsub_lightning.splits import FirstHalf, FrameSet

CPU = torch.device("cpu")
SIZE = (13, 11)  # width and height
LEVELS = np.array([0, 50, 85, 170, 255], np.uint8)


def make(folder: Path, frames: int, gaps: bool = False, often: float = 0.5, seed: int = 0) -> Scene:
    """A scene of noise whose masks hold all levels.

    The first row is never background, of the second each pixel is static in one frame alone; the third is never static,
    and a shadow now and then.
    """
    generator = np.random.default_rng(seed)
    numbers = sorted(
        generator.choice(np.arange(1, 4 * frames), frames, replace=False).tolist() if gaps else range(frames)
    )
    width, height = SIZE
    images, masks = {}, {}
    (folder / "clip").mkdir(parents=True)
    once = generator.integers(frames, size=width)
    for i, number in enumerate(numbers):
        image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        image[-3:] = generator.choice(
            np.array([0, 255], np.uint8), (3, width, 3)
        )  # levels at the ends are no sentinels
        chances = [often * 0.7, often * 0.3, *[(1 - often) / 3] * 3]
        mask = generator.choice(LEVELS, (height, width), p=chances)
        mask[0] = generator.choice(LEVELS[2:], width)
        mask[1] = np.where(once == i, 0, generator.choice(LEVELS[1:], width))
        mask[2] = generator.choice(LEVELS[1:], width)
        images[number], masks[number] = folder / f"clip/{number}.png", folder / f"clip/{number}_mask.png"
        assert cv2.imwrite(str(images[number]), image[..., ::-1])
        assert cv2.imwrite(str(masks[number]), mask)
    return Scene("made", "a", folder.name, SIZE, images, masks, (numbers[0], numbers[-1]), ())


def reference(
    scene: Scene, numbers: Sequence[int], target: int, neighbours: int = 31, enough: int = 8
) -> NDArray[np.uint8]:
    """The rule of the text, pixel by pixel."""
    pixels = SceneFrames(scene, None)
    images, masks = ({n: read(n).astype(int) for n in numbers} for read in (pixels.image, pixels.mask))
    nearest = sorted(numbers, key=lambda n: (abs(n - target), n))[:neighbours]
    background = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for y, x in product(range(SIZE[1]), range(SIZE[0])):
        usable = [n for n in nearest if masks[n][y, x] == 0]
        if len(usable) < enough:
            usable = [n for n in numbers if masks[n][y, x] == 0]
        usable = usable or [n for n in numbers if masks[n][y, x] == 50] or nearest
        for channel in range(3):
            levels = sorted(images[n][y, x, channel] for n in usable)
            background[y, x, channel] = levels[(len(levels) - 1) // 2]
    return background


def prepared(
    scene: Scene, numbers: Sequence[int], store: Path, neighbours: int = 31, enough: int = 8
) -> TruthBackground:
    entry = TruthBackground(neighbours, enough)
    entry.prepare([SceneFrames(scene, None)], FrameSet.of([(scene, numbers)]), FrameStore(store))
    return entry


def row(entry: TruthBackground, scene: Scene, number: int) -> NDArray[np.uint8]:
    out = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    entry.load(SceneFrames(scene, None), number, 0, out)
    return out


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [*range(1, 13), 31, 32, 33, 50])
def test_the_network_sorts(count: int) -> None:
    """A network that sorts all rows of zeros and ones sorts everything (the 0-1 principle)."""
    if count <= 12:
        columns = np.array(list(product((0, 1), repeat=count))).T
    else:
        columns = np.random.default_rng(count).integers(0, 256, (count, 5000))
    rows = list(columns)
    for low, high in sorting_network(count):
        rows[low], rows[high] = np.minimum(rows[low], rows[high]), np.maximum(rows[low], rows[high])
    np.testing.assert_array_equal(np.stack(rows), np.sort(columns, axis=0))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("count", [1, 2, 5, 6, 12])
def test_windows_hold_the_nearest(seed: int, count: int) -> None:
    numbers = sorted(np.random.default_rng(seed).choice(40, 12, replace=False).tolist())
    loaded: list[int] = []

    def load(number: int) -> int:
        loaded.append(number)
        return number

    for target, window in zip(numbers, around(numbers, count, load), strict=True):
        assert list(window) == sorted(sorted(numbers, key=lambda n: (abs(n - target), n))[:count])
        assert target in window
    assert loaded == numbers


# --- backgrounds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("band", [1, 100, 65_536])
@pytest.mark.parametrize(
    ("frames", "neighbours", "enough", "gaps", "often"),
    [
        (40, 31, 8, False, 0.6),
        (30, 31, 8, False, 0.4),
        (14, 5, 2, True, 0.5),
        (14, 4, 1, True, 0.1),
        (9, 3, 3, False, 0.8),
        (9, 1, 1, False, 0.5),
        (1, 31, 8, True, 0.5),
    ],
)
def test_backgrounds_are_those_of_the_reference(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    band: int,
    frames: int,
    neighbours: int,
    enough: int,
    gaps: bool,
    often: float,
) -> None:
    monkeypatch.setattr("bgsub_lightning.data.truth_background._BAND", band)
    monkeypatch.setattr("bgsub_lightning.data.truth_background._GATHERED", 30 * band)
    scene = make(tmp_path / "scene", frames, gaps, often)
    numbers = list(scene.masks)
    entry = prepared(scene, numbers, tmp_path / "store", neighbours, enough)
    for number in numbers[:: max(1, frames // 7)]:
        expected = reference(scene, numbers, number, neighbours, enough)
        np.testing.assert_array_equal(row(entry, scene, number), expected)


def test_a_few_frames_beside_a_car_are_not_enough(tmp_path: Path) -> None:
    """Road that a car hides for 40 frames is not what its shadow leaves of it, nor 7 dark frames labelled static."""
    (tmp_path / "clip").mkdir()
    images, masks = {}, {}
    for number in range(80):
        dark, hidden = number in range(23, 30), number in range(30, 70)
        shadow = number in range(70, 76)
        level = 30 if hidden else 60 if dark or shadow else 150 + number % 3
        images[number], masks[number] = tmp_path / f"clip/{number}.png", tmp_path / f"clip/{number}_mask.png"
        cv2.imwrite(str(images[number]), np.full((SIZE[1], SIZE[0], 3), level, np.uint8))
        cv2.imwrite(str(masks[number]), np.full(SIZE[::-1], 255 if hidden else 50 if shadow else 0, np.uint8))
    scene = Scene("made", "a", "scene", SIZE, images, masks, (0, 79), ())
    entry = prepared(scene, range(80), tmp_path / "store")
    # around frame 44 the 7 dark frames and the hidden ones are nearest, around 70 six frames of shadow and four of road
    for number in (0, 44, 50, 60, 79):
        assert 150 <= row(entry, scene, number).min() <= row(entry, scene, number).max() <= 152, number


def test_frames_that_are_not_trained_on_have_no_part(tmp_path: Path) -> None:
    scene = make(tmp_path / "scene", 12)
    numbers = [1, 2, 5, 6, 7]
    entry = prepared(scene, numbers, tmp_path / "store", 3, 2)
    for number in numbers:
        np.testing.assert_array_equal(row(entry, scene, number), reference(scene, numbers, number, 3, 2))


def test_pixels_that_are_never_background_are_counted_and_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = make(tmp_path / "scene", 30, often=0.8)
    never = np.all([~np.isin(SceneFrames(scene, None).mask(n), (0, 50)) for n in range(30)], axis=0).sum()
    assert never >= 13
    prepared(scene, range(30), tmp_path / "store")
    output = capsys.readouterr().out
    assert f"a/scene: {never} of 143 pixels are background in none of the 30 training frames" in output
    prepared(scene, range(30), tmp_path / "store")
    assert capsys.readouterr().out == ""


def test_nothing_is_reported_where_all_is_background(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = make(tmp_path / "scene", 3)
    for path in scene.masks.values():
        cv2.imwrite(str(path), np.zeros(SIZE[::-1], np.uint8))
    prepared(scene, range(3), tmp_path / "store")
    assert "pixels" not in capsys.readouterr().out  # but how far it is


def test_masks_are_those_of_the_dataset(tmp_path: Path) -> None:
    """A binary mask's grey is background below 128, whatever it would mean in CDnet2014."""
    scene = make(tmp_path / "scene", 5)
    for path in scene.masks.values():
        cv2.imwrite(str(path), np.full(SIZE[::-1], 85, np.uint8))
    binary = replace(scene, mask_code=MaskCode.BINARY)
    entry = prepared(binary, range(5), tmp_path / "store")
    np.testing.assert_array_equal(row(entry, binary, 2), reference(binary, range(5), 2))


@pytest.mark.parametrize(("neighbours", "enough"), [(0, 1), (31, 0), (31, -3), (5, 6), (7, 8)])
def test_numbers_that_cannot_be_met_are_refused(neighbours: int, enough: int) -> None:
    with pytest.raises(UserError, match=rf"TruthBackground\.enough: .* {neighbours}, .* got {enough}"):
        TruthBackground(neighbours, enough)


# --- in the store ----------------------------------------------------------------------------------------------------


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[int]]:
    """The frames of each computation."""
    calls: list[Sequence[int]] = []
    plain = TruthBackground.backgrounds

    def noting(self: TruthBackground, pixels: SceneFrames, numbers: Sequence[int]) -> Any:
        calls.append(list(numbers))
        return plain(self, pixels, numbers)

    monkeypatch.setattr(TruthBackground, "backgrounds", noting)
    return calls


def test_they_are_computed_once(tmp_path: Path, computed: list[Sequence[int]]) -> None:
    scene = make(tmp_path / "scene", 9)
    first = prepared(scene, range(6), tmp_path / "store")
    again = prepared(scene, range(6), tmp_path / "store")
    assert computed == [[0, 1, 2, 3, 4, 5]]
    np.testing.assert_array_equal(row(first, scene, 4), row(again, scene, 4))
    assert list((tmp_path / "store/made/a/scene").glob("truth_background_13x11_*.npy"))


def test_other_frames_parameters_or_files_are_computed_again(tmp_path: Path, computed: list[Sequence[int]]) -> None:
    scene = make(tmp_path / "scene", 9)
    prepared(scene, range(6), tmp_path / "store")
    prepared(scene, range(5), tmp_path / "store")  # fewer: other medians, although each has a row
    prepared(scene, range(5), tmp_path / "store", 3, 3)
    prepared(scene, range(5), tmp_path / "store", 3, 2)
    prepared(replace(scene, mask_code=MaskCode.BINARY), range(5), tmp_path / "store", 3, 2)
    assert len(computed) == 5
    for path in (scene.masks[2], scene.frames[4]):
        os.utime(path, (1, 1))
        prepared(scene, range(5), tmp_path / "store", 3, 2)
    assert len(computed) == 7
    os.utime(scene.frames[8], (1, 1))
    prepared(scene, range(5), tmp_path / "store", 3, 2)
    assert len(computed) == 7  # it has no part in them


def test_another_version_is_computed_again(
    tmp_path: Path, computed: list[Sequence[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make(tmp_path / "scene", 4)
    prepared(scene, range(4), tmp_path / "store")
    monkeypatch.setattr("bgsub_lightning.data.truth_background._VERSION", -1)
    prepared(scene, range(4), tmp_path / "store")
    assert len(computed) == 2


def test_backgrounds_that_were_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the backgrounds of a/scene have not been prepared"):
        row(TruthBackground(), make(tmp_path / "scene", 2), 0)


def test_backgrounds_of_a_size(tmp_path: Path) -> None:
    scene, entry = make(tmp_path / "scene", 3, often=0.9), TruthBackground()
    pixels = SceneFrames(scene, (26, 22))
    entry.prepare([pixels], FrameSet.of([(scene, range(3))]), FrameStore(tmp_path / "store"))
    out = np.zeros((22, 26, 3), np.uint8)
    entry.load(pixels, 1, 0, out)
    assert entry.shape((26, 22)) == out.shape
    everywhere = np.all([pixels.mask(n) == 0 for n in range(3)], axis=0)
    expected = np.sort([pixels.image(n) for n in range(3)], axis=0)[1]
    np.testing.assert_array_equal(out[everywhere], expected[everywhere])


# --- through the datamodule ------------------------------------------------------------------------------------------


class Trainer:
    """As much of a trainer as the datamodule looks at."""

    class strategy:  # noqa: N801
        root_device = CPU

        @staticmethod
        def barrier() -> None:
            pass

    is_global_zero = True
    global_rank, world_size = 0, 1

    class lightning_module:  # noqa: N801
        begin_stage = staticmethod(lambda *_: None)
        dtype = torch.float32

    class fit_loop:  # noqa: N801
        class epoch_loop:  # noqa: N801
            class batch_progress:  # noqa: N801
                class current:  # noqa: N801
                    ready = 0

                total = current

    def __init__(self, folder: Path) -> None:
        self.default_root_dir = str(folder)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_a_stage_hold_them(cdnet: Path, tmp_path: Path, workers: int) -> None:
    plan = StagePlan(Span("reconstruction", ("a",), Stage(4, 2, 1.0), (Image(), TruthBackground(3, 3)), 2))
    data = ScenesDataModule(
        (Image(),), FirstHalf(), cdnet, scene="baseline", size=None, num_workers=workers, plan=plan, seed=3
    )
    data.trainer = Trainer(tmp_path / "run")  # type: ignore[assignment]
    batches = list(data.train_dataloader())
    assert len(batches) == 4
    for batch in batches:
        assert batch["truth_background"].shape == (2, 48, 64, 3)
        for place in range(2):
            scene, numbers = data.split.train.scenes[batch["scene"][place]], (21, 22, 23)
            pixels = SceneFrames(scene, None)
            levels = np.stack([pixels.image(n) for n in numbers])
            known = np.all([np.isin(pixels.mask(n), (0, 50)) for n in numbers], axis=0)
            assert known.mean() > 0.5
            found = batch["truth_background"][place].numpy()
            np.testing.assert_array_equal(found[known], np.median(levels, axis=0)[known])
    ready = data.on_after_batch_transfer({**batches[0], "flip": torch.tensor([True, False])}, 0)["truth_background"]
    plain = batches[0]["truth_background"].movedim(-1, 1).float() / 255
    assert torch.equal(ready, torch.stack([plain[0].flip(-1), plain[1]]))
