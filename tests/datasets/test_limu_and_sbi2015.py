"""LIMU and SBI2015: their twins, backgrounds, masks, and the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import LIMU, SBI2015, Scene, raise_for_errors
from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.frames import SceneFrames, read_image, read_mask
from bgsub_lightning.synthetic import limu, render_all, sbi2015

Fails = Callable[[int], str]
SIZE = (64, 48)


@pytest.fixture(scope="module")
def limu_scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    root = tmp_path_factory.mktemp("limu")
    list(render_all(root, limu.plan(), SIZE, 8, 2 * limu.EVERY, 1))
    return LIMU().scenes(root)


@pytest.fixture
def sbi(tmp_path: Path) -> Path:
    """Two sequences of SBI2015's twin, six frames each."""
    plans = [plan for plan in sbi2015.plan() if plan.name in {"HighwayI", "Candela_m1.10"}]
    list(render_all(tmp_path / "sbi", plans, SIZE, 3, 3, 1))
    return tmp_path / "sbi"


def test_limus_twin(limu_scenes: list[Scene]) -> None:
    assert [scene.key for scene in limu_scenes] == [f"LIMU/{name}" for name in LIMU.sequences]
    assert tuple(limu.SEQUENCES) == LIMU.sequences
    for scene in limu_scenes:
        assert (scene.problems, scene.size, scene.mask_code) == ((), SIZE, MaskCode.BINARY)
        assert (list(scene.frames), list(scene.masks)) == (list(range(1, 19)), [13, 18])
        masks = [SceneFrames(scene, None).mask(number) for number in scene.masks]
        assert set(np.unique(masks)) <= {0, 255}
    assert any((SceneFrames(scene, None).mask(13) == 255).any() for scene in limu_scenes)


def test_sbis_twin(sbi: Path) -> None:
    scenes = {scene.name: scene for scene in SBI2015().scenes(sbi)}
    assert sorted(scenes) == ["Candela_m1.10", "HighwayI"]
    for name, scene in scenes.items():
        assert (scene.key, scene.problems, scene.size) == (f"SBI2015/{name}", (), SIZE)
        assert list(scene.frames) == list(scene.masks) == list(range(6))
        assert scene.references == tuple(range(6))
        assert (scene.roi, scene.evaluated) == (None, (0, 5))
        assert scene.background == sbi / name / f"GT_{name}.png"
    highway = scenes["HighwayI"]
    empty = read_image(highway.background).astype(float)
    for number in highway.frames:
        away = np.abs(read_image(highway.frames[number]) - empty).mean(2)
        moving = SceneFrames(highway, None).mask(number) == 255
        assert away[moving].mean() > 3 * away[~moving].mean()


def test_sbis_twin_has_the_published_sequences() -> None:
    assert sorted(sbi2015.SEQUENCES) == sorted(SBI2015.sequences)
    assert [plan.key for plan in sbi2015.plan(3)] == list(sbi2015.SEQUENCES)


def test_sbis_twin_is_named_as_the_public_copy(tmp_path: Path) -> None:
    plans = [plan for plan in sbi2015.plan() if plan.name in {"Board", "CaVignal", "Foliage"}]
    list(render_all(tmp_path, plans, SIZE, 1, 1, 1))
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/input/*")} == {
        *("Board/input/in000000.png", "Board/input/in000001.png"),
        *("CaVignal/input/CaVignal_000000.png", "CaVignal/input/CaVignal_000001.png"),
        *("Foliage/input/in000000.jpg", "Foliage/input/in000001.jpg"),
    }
    assert (tmp_path / "Board/temporalROI.txt").read_text() == "0 2"
    assert sorted(path.parent.name for path in tmp_path.glob("*/ROI.bmp")) == ["Board"]
    masks = {path: set(np.unique(cv2.imread(str(path), 0)).tolist()) for path in tmp_path.glob("*/groundtruth/*")}
    assert {path.name for path in masks} == {"gt000000.png", "gt000001.png"}
    for path, found in masks.items():
        assert found <= ({0, 170, 255} if path.parts[-3] == "Board" else {0, 255})
    assert all(not scene.errors for scene in SBI2015().scenes(tmp_path))


def test_a_region_and_a_part_of_sbi_are_followed(sbi: Path) -> None:
    folder = sbi / "HighwayI"
    region = np.full(SIZE[::-1], 255, np.uint8)
    region[:, :10] = 0
    cv2.imwrite(str(folder / "ROI.bmp"), region)
    (folder / "temporalROI.txt").write_text("\ufeff2 6")
    (scene,) = SBI2015().scenes(sbi, ["HighwayI"])
    assert (scene.roi, scene.evaluated, list(scene.masks)) == (folder / "ROI.bmp", (2, 5), [2, 3, 4, 5])
    assert scene.problems == ()
    (folder / "temporalROI.txt").write_text("two six")
    with pytest.raises(UserError, match=r"temporalROI\.txt.*two six"):
        raise_for_errors(SBI2015().scenes(sbi, ["HighwayI"]))


@pytest.mark.real_data
def test_real_sequences_of_sbi(real_data: Path) -> None:
    scenes = {scene.name: scene for scene in SBI2015().scenes(real_data / "SBI2015")}
    assert {name: len(scene.frames) for name, scene in scenes.items()} == {
        **{"Board": 228, "CaVignal": 258, "Foliage": 389, "HighwayI": 440, "IBMtest2": 90}
    }
    for name, scene in scenes.items():
        assert (scene.errors, scene.roi, min(scene.frames)) == ((), None, 0)
        assert list(scene.masks) == list(scene.frames)[name == "Board" :]  # its temporal ROI begins at 1
        assert scene.evaluated == (min(scene.masks), max(scene.frames))
        assert set(np.unique(SceneFrames(scene, None).mask(max(scene.masks)))) <= {0, 170, 255}


def test_backgrounds_lie_in_a_folder_of_their_own_or_nowhere(sbi: Path) -> None:
    (sbi / "GT").mkdir()
    (sbi / "HighwayI/GT_HighwayI.png").rename(sbi / "GT/GT_HighwayI.png")
    assert SBI2015().scenes(sbi, ["HighwayI"])[0].background == sbi / "GT/GT_HighwayI.png"
    assert SBI2015(background=None).scenes(sbi, ["HighwayI"])[0].background is None


def test_spoilt_backgrounds(sbi: Path) -> None:
    path = sbi / "HighwayI/GT_HighwayI.png"
    path.write_bytes(path.read_bytes()[:-30])
    (scene,) = SBI2015().scenes(sbi, ["HighwayI"])
    (problem,) = scene.problems
    assert (problem.severity, problem.file, scene.background) == ("warning", path, None)
    cv2.imwrite(str(path), np.zeros((9, 10), np.uint8))
    with pytest.raises(UserError, match=rf"{path}: .*10×9.*64×48.*background"):
        raise_for_errors(SBI2015().scenes(sbi, ["HighwayI"]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 1, 0], [0, 255, 255, 0]),
        ([0, 255, 128, 1], [0, 255, 170, 0]),
        ([0, 63, 64, 203, 204, 255], [0, 0, 170, 170, 255, 255]),
        ([0, 0], [0, 0]),
    ],
)
def test_masks_of_sbi(tmp_path: Path, values: list[int], expected: list[int]) -> None:
    """Some are written in 0 and 1, and middle grey is not scored."""
    cv2.imwrite(str(tmp_path / "gt.png"), np.array([values], np.uint8))
    mask = read_mask(tmp_path / "gt.png", (len(values), 1), code=MaskCode.SBI2015)
    assert (mask.dtype, mask.tolist()) == (np.uint8, [expected])


@pytest.mark.parametrize("name", ["LIMU", "SBI2015"])
def test_commands(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "twin"
    few = ["--labelled=2", "--workers=1", "--width=64", "--height=48", *(["--unlabelled=1"] if name == "LIMU" else [])]
    assert main(["synthesize", str(root), f"--layout={name}", *few]) == 0
    videos, frames = (3, 33) if name == "LIMU" else (14, 28)
    assert f"{videos} videos with {frames} frames are in {root}." in capfd.readouterr().out
    assert main(["prepare", str(root), f"--dataset={name}"]) == 0
    assert f"{videos} videos, 0 errors, 0 warnings." in capfd.readouterr().out
    patterns = ["--frames={sequence}/input/*{number}.*", "--masks={sequence}/groundtruth/*{number}.png"]
    assert main(["prepare", str(root), f"--dataset={name}", *patterns]) == 0
    assert f"{videos} videos, 0 errors, 0 warnings." in capfd.readouterr().out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("synthesize --layout=LIMU --categories=[a]", "its three sequences have no categories. Leave --categories out"),
        ("synthesize --layout=SBI2015 --unlabelled=3", "and each frame a mask. Leave --unlabelled out"),
        ("synthesize --layout=SBI2015 --labelled=1", "--labelled must be 2 or more frames for the layout SBI2015"),
        ("synthesize --layout=LIMU --labelled=0", "--labelled: must be from 1 to 100,000; got 0"),
        ("prepare --dataset=Wallflower --frames={number}", "--frames: the layout of Wallflower is fixed"),
        ("prepare --dataset=LIMU --masks=gt/{number}.png", "error: --masks: 'gt/{number}.png' must hold {sequence}"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, fails: Fails, command: str, message: str) -> None:
    name, *options = command.split()
    folder = tmp_path / "twin"
    if name == "prepare":
        folder.mkdir()
    assert message in fails(main([name, str(folder), *options]))
