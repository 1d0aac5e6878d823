from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.datasets import Problem, Scene, Wallflower, raise_for_errors
from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.datasets.scene import select
from bgsub_lightning.frames import FrameStore, SceneFrames, read_image, read_mask
from bgsub_lightning.synthetic import render_all, wallflower

Fails = Callable[[int], str]
SIZE, LAST = (20, 14), 5


def picture(path: Path, image: Any) -> Path:
    """Write a 24-bit BMP."""
    grey_or_bgr = np.asarray(image, np.uint8)
    bgr = grey_or_bgr if grey_or_bgr.ndim == 3 else np.repeat(grey_or_bgr[..., None], 3, 2)
    path.write_bytes(cv2.imencode(".bmp", bgr)[1].tobytes())
    return path


def soft_mask(size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A drawing with soft edges: 3 columns of foreground, one that counts as such, one that does not."""
    mask = np.zeros(size[::-1], np.uint8)
    mask[4:9, 6:11] = (127, 255, 255, 255, 128)
    return mask


def make_sequence(root: Path, name: str, last: int = LAST, mask: int | None = LAST) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    for number in range(last + 1):
        picture(folder / f"b{number:05d}.bmp", np.random.default_rng(number).integers(0, 256, (*SIZE[::-1], 3)))
    if mask is not None:
        picture(folder / f"hand_segmented_{mask:05d}.BMP", soft_mask())
    (folder / "script.txt").write_text("Moving tree in background\n")
    return folder


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    """A sound sequence: frames 0 to 5, of which the last has a mask."""
    return make_sequence(tmp_path / "wallflower", "WavingTrees")


@pytest.fixture
def root(trees: Path) -> Path:
    """A dataset of three sequences, one of them somebody's own."""
    for name in ("Bootstrap", "MyYard"):
        make_sequence(trees.parent, name)
    return trees.parent


def read(folder: Path) -> Scene:
    (scene,) = Wallflower().scenes(folder.parent, [folder.name])
    return scene


def the_problem(scene: Scene) -> Problem:
    (problem,) = scene.problems
    return problem


def keys(root: Path, patterns: list[str] | None = None) -> list[str]:
    return [scene.key for scene in Wallflower().scenes(root, patterns)]


def test_a_sound_sequence(trees: Path) -> None:
    scene = read(trees)
    assert (scene.dataset, scene.category, scene.name) == ("Wallflower", "Wallflower", "WavingTrees")
    assert scene.size == SIZE
    assert dict(scene.frames) == {number: trees / f"b{number:05d}.bmp" for number in range(6)}
    assert list(scene.frames) == sorted(scene.frames)
    assert dict(scene.masks) == {5: trees / "hand_segmented_00005.BMP"}
    assert scene.evaluated == (0, 5)
    assert scene.references == (0, 1, 2, 3, 4)
    assert scene.roi is None
    assert scene.mask_code is MaskCode.BINARY
    assert scene.problems == ()
    raise_for_errors([scene])


def test_frames_after_the_mask_are_evaluated_but_no_references(tmp_path: Path) -> None:
    scene = read(make_sequence(tmp_path, "WavingTrees", last=6, mask=3))
    assert scene.evaluated == (0, 6)
    assert scene.references == (0, 1, 2)
    assert list(scene.masks) == [3]


def test_a_mask_of_frame_0_leaves_no_references(tmp_path: Path) -> None:
    scene = read(make_sequence(tmp_path, "WavingTrees", mask=0))
    assert scene.references == ()
    assert list(scene.masks) == [0]
    assert scene.problems == ()


def test_extensions_in_any_case_other_files_and_hidden_folders(trees: Path) -> None:
    (trees / "b00002.bmp").rename(trees / "b00002.BMP")
    (trees / "hand_segmented_00005.BMP").rename(trees / "hand_segmented_00005.bmp")
    for name in ("b00007.png", "xb00007.bmp", "b7.txt", "hand_segmented.BMP", "Thumbs.db"):
        (trees / name).write_text("no frame")
    shutil.copytree(trees, trees.with_name(".backup"))
    (trees.parent / "papers").mkdir()
    assert keys(trees.parent) == ["Wallflower/WavingTrees"]
    scene = read(trees)
    assert (len(scene.frames), list(scene.masks), scene.problems) == (6, [5], ())


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (None, ["Bootstrap", "MyYard", "WavingTrees"]),
        (["Wallflower"], ["Bootstrap", "MyYard", "WavingTrees"]),
        (["Wallflower/WavingTrees"], ["WavingTrees"]),
        (["WavingTrees", "My*"], ["MyYard", "WavingTrees"]),
        (["*/Boot*"], ["Bootstrap"]),
    ],
)
def test_patterns_choose_sequences(root: Path, patterns: list[str] | None, expected: list[str]) -> None:
    assert keys(root, patterns) == [f"Wallflower/{name}" for name in expected]


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("WavingTree", r"'WavingTree' is no video .*Did you mean WavingTrees or Wallflower/WavingTrees"),
        ("Walflower", r"Did you mean Wallflower"),
        ("xyz", r"There are: Wallflower/Bootstrap, Wallflower/MyYard, Wallflower/WavingTrees\."),
    ],
)
def test_a_pattern_that_matches_nothing_lists_near_names(root: Path, pattern: str, hint: str) -> None:
    with pytest.raises(UserError, match=rf"data\.init_args\.scene: .*{hint}"):
        keys(root, ["Bootstrap", pattern])


def test_a_bare_category_wins_over_a_video_of_that_name() -> None:
    named = ["shadow/bungalows", "thermal/shadow"]
    assert select(named, ["shadow"], "scene") == ["shadow/bungalows"]
    assert select(named, ["bungalows"], "scene") == ["shadow/bungalows"]
    assert select(["thermal/PTZ"], ["PTZ"], "exclude", known=["PTZ"]) == []


# --- what keeps a sequence from being used ---------------------------------------------------------------------------


def spoilt(path: Path) -> Path:
    """Give a BMP a header that makes no sense, of the right length."""
    data = path.read_bytes()
    path.write_bytes(data[:10] + bytes(len(data) - 10))
    return path


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-100])
    return path


def test_first_frame_that_is_no_image_is_an_error(trees: Path) -> None:
    path = spoilt(trees / "b00000.bmp")
    with pytest.raises(UserError, match=rf"{path}: .*decoded"):
        raise_for_errors([read(trees)])


@pytest.mark.parametrize("spoil", [spoilt, cut])
def test_mask_that_cannot_be_read_is_an_error(trees: Path, spoil: Callable[[Path], Path]) -> None:
    path = spoil(trees / "hand_segmented_00005.BMP")
    with pytest.raises(UserError, match=rf"{path}: .*truncated.*mask"):
        raise_for_errors([read(trees)])


def test_mask_of_another_size_is_an_error(trees: Path) -> None:
    path = picture(trees / "hand_segmented_00005.BMP", np.zeros((10, 30)))
    with pytest.raises(UserError, match=rf"{path}: .*30×10.*20×14"):
        raise_for_errors([read(trees)])


def test_published_sequence_without_frames_is_an_error(root: Path) -> None:
    (root / "Camouflage").mkdir()
    scene = read(root / "Camouflage")
    assert scene.evaluated == (0, -1)
    assert the_problem(scene).what == "holds no frame"
    message = rf"{root}/Camouflage: holds no frame\. Its files must be named {{sequence}}/b{{number}}\.bmp"
    with pytest.raises(UserError, match=message):
        raise_for_errors([scene])
    raise_for_errors(Wallflower().scenes(root, ["WavingTrees"]))


# --- what can be lived with ------------------------------------------------------------------------------------------


def test_a_mask_whose_frame_is_missing_is_left_out(trees: Path) -> None:
    picture(trees / "hand_segmented_00009.BMP", soft_mask())
    scene = read(trees)
    problem = the_problem(scene)
    assert list(scene.masks) == [5]
    assert (problem.severity, problem.file) == ("warning", trees / "hand_segmented_00009.BMP")
    assert re.match(r"1 mask .*frame", problem.what)


def test_a_mask_whose_frame_is_truncated_is_left_out(trees: Path) -> None:
    cut(trees / "b00005.bmp")
    scene = read(trees)
    assert (scene.masks, scene.errors, scene.evaluated) == ({}, (), (0, 4))
    assert [problem.what for problem in scene.problems] == [
        "1 frame of this video is truncated",
        "1 mask of this video without a frame that is there and whole",
        "no mask",
    ]


def test_a_sequence_without_a_mask_can_be_predicted(trees: Path) -> None:
    (trees / "hand_segmented_00005.BMP").unlink()
    scene = read(trees)
    problem = the_problem(scene)
    assert (scene.masks, scene.references, scene.evaluated) == ({}, tuple(range(6)), (0, 5))
    assert (problem.severity, problem.file, problem.what) == ("warning", trees, "no mask")


def test_gaps_in_the_numbers(trees: Path) -> None:
    for number in (2, 3):
        (trees / f"b{number:05d}.bmp").unlink()
    scene = read(trees)
    problem = the_problem(scene)
    assert scene.references == (0, 1, 4)
    assert (problem.severity, problem.file) == ("warning", trees)
    assert re.match(r"2 frame numbers .*\b2\b", problem.what)


def test_numbers_that_begin_later_are_no_gap(trees: Path) -> None:
    for number in (0, 1):
        (trees / f"b{number:05d}.bmp").unlink()
    scene = read(trees)
    assert (scene.evaluated, scene.references, scene.problems) == ((2, 5), (2, 3, 4), ())


@pytest.mark.parametrize("kept", [0, 1, 13, 54, -1])
def test_truncated_frames_are_left_out(trees: Path, kept: int) -> None:
    for number in (0, 3):
        path = trees / f"b{number:05d}.bmp"
        path.write_bytes(path.read_bytes()[:kept])
    scene = read(trees)
    problem = the_problem(scene)
    assert list(scene.frames) == [1, 2, 4, 5]
    assert scene.references == (1, 2, 4)
    assert (problem.severity, problem.file) == ("warning", trees / "b00000.bmp")
    assert re.match(r"2 frames .*truncated", problem.what)


def test_bytes_after_the_end_are_no_damage(trees: Path) -> None:
    with (trees / "b00003.bmp").open("ab") as file:
        file.write(b"\0\0")
    assert read(trees).problems == ()


# --- folders that do not hold the dataset ----------------------------------------------------------------------------


def test_no_folder_given(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.delenv("WALLFLOWER_ROOT", raising=False)
    with pytest.raises(UserError, match=r"Wallflower is needed.*\n(.*\n)*.*Microsoft.*\n.*--layout Wallflower"):
        Wallflower().locate(None)
    monkeypatch.setenv("WALLFLOWER_ROOT", str(root))
    assert Wallflower().locate(None) == root


def test_a_folder_without_sequences(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match=rf"{tmp_path}: .*Wallflower .*FOLDER/Waving"):
        keys(tmp_path)


def test_the_folder_above_the_dataset_and_one_inside(tmp_path: Path) -> None:
    trees = make_sequence(tmp_path / "Wallflower", "WavingTrees")
    for wrong in (tmp_path, trees):
        with pytest.raises(UserError, match=rf"{wrong}: .*{trees.parent}\b"):
            keys(wrong)


# --- masks -----------------------------------------------------------------------------------------------------------


def test_soft_edges_are_thresholded_at_128(tmp_path: Path) -> None:
    path = picture(tmp_path / "mask.BMP", soft_mask())
    mask = read_mask(path, SIZE, code=MaskCode.BINARY)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, np.where(soft_mask() > 127, 255, 0))
    assert (mask == 255).sum() == 5 * 4
    with pytest.raises(UserError, match=r"grey levels .*\(127, 128\)"):
        read_mask(path, SIZE)


@pytest.mark.parametrize(("level", "expected"), [(0, 0), (85, 0), (127, 0), (128, 255), (255, 255)])
def test_uniform_masks_are_never_refused(tmp_path: Path, level: int, expected: int) -> None:
    path = picture(tmp_path / "mask.BMP", np.full(SIZE[::-1], level))
    assert (read_mask(path, SIZE, code=MaskCode.BINARY) == expected).all()


def test_resized_masks_have_two_levels(tmp_path: Path) -> None:
    path = picture(tmp_path / "mask.BMP", soft_mask())
    mask = read_mask(path, SIZE, (33, 9), MaskCode.BINARY)
    assert mask.shape == (9, 33)
    assert set(np.unique(mask)) == {0, 255}


def test_cdnets_levels_are_left_as_they_are() -> None:
    levels = np.array([0, 50, 85, 170, 255, 7], np.uint8)
    assert MaskCode.CDNET.levels(levels) is levels


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("size", [None, (10, 7)])
def test_frames_of_a_scene(tmp_path: Path, trees: Path, stored: bool, size: tuple[int, int] | None) -> None:
    frames = SceneFrames(read(trees), size, FrameStore(tmp_path / "store") if stored else None)
    assert len(list(frames.fill())) == (7 if stored else 0)
    np.testing.assert_array_equal(frames.image(0), read_image(trees / "b00000.bmp", size))
    expected = np.where(soft_mask() > 127, np.uint8(255), np.uint8(0))
    np.testing.assert_array_equal(frames.truth(5), expected)
    if size is None:
        np.testing.assert_array_equal(frames.mask(5), expected)
    assert set(np.unique(frames.mask(5))) == {0, 255}
    assert frames.roi.all()


# --- prepare ---------------------------------------------------------------------------------------------------------


def test_prepare_lists_and_stores(root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--dataset=Wallflower", f"--store={tmp_path / 'store'}", "--width=16", "--height=16"]
    assert main(["prepare", str(root), *options]) == 0
    output = capfd.readouterr().out
    (row,) = (line.split() for line in output.splitlines() if "Wallflower/WavingTrees" in line)
    assert row == ["Wallflower/WavingTrees", "20×14", "6", "5", "1", "0–5", "all"]
    assert "3 videos, 0 errors, 0 warnings." in output
    assert "is complete for 16×16" in output
    frames = SceneFrames(read(root / "WavingTrees"), (16, 16), FrameStore(tmp_path / "store"))
    assert frames.missing() == 0


def test_prepare_takes_the_folder_from_the_environment_and_patterns(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WALLFLOWER_ROOT", str(root))
    assert main(["prepare", "--dataset=Wallflower", "--scene=[WavingTrees]"]) == 0
    assert "1 videos, 0 errors" in capfd.readouterr().out


def test_prepare_lists_problems(root: Path, fails: Fails, capfd: pytest.CaptureFixture[str]) -> None:
    cut(root / "MyYard/b00002.bmp")
    assert main(["prepare", str(root), "--dataset=Wallflower"]) == 0
    assert re.search(rf"warning {root}/MyYard/b00002\.bmp: 1 frame .*truncated", capfd.readouterr().out)
    path = picture(root / "Bootstrap/hand_segmented_00005.BMP", np.zeros((10, 30)))
    status = main(["prepare", str(root), "--dataset=Wallflower"])
    output = capfd.readouterr()
    assert status == 2
    assert f"error {path}: is 30×10, the frames are 20×14" in output.out
    assert "1 errors" in output.err


def test_prepare_refuses_another_dataset(root: Path, fails: Fails) -> None:
    assert "Nowhere" in fails(main(["prepare", str(root), "--dataset=Nowhere"]))
    assert "holds no video of CDnet2014" in fails(main(["prepare", str(root)]))


@pytest.mark.parametrize("name", ["Wallflower", "bgsub_lightning.datasets.Wallflower"])
def test_reader_of_a_run(run: Callable[..., int], tiny: Path, root: Path, tmp_path: Path, name: str) -> None:
    reader = f"reader: {{class_path: {name}}}\n    root: {root}"
    protocol = "class_path: Subset\n      init_args: {train: [MyYard], test: [WavingTrees], validation: {frames: 1}}"
    text = re.sub(r"root: .*", reader, tiny.read_text())
    tiny.write_text(re.sub(r"class_path: \S*SceneWise\n.*", protocol, text))
    assert run("fit", "--trainer.max_steps=1") == 0
    assert run("predict") == 0
    found = sorted((tmp_path / "run/results/Wallflower/WavingTrees").iterdir())
    assert [path.name for path in found] == [f"bin{number:06d}.png" for number in range(6)]


# --- the synthetic twin ----------------------------------------------------------------------------------------------

TWIN_SIZE, UNLABELLED = (80, 60), 20


def render(root: Path, seed: int = 0, workers: int = 1) -> list[Path]:
    return list(render_all(root, wallflower.plan(seed), TWIN_SIZE, UNLABELLED, 1, workers))


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def brightness(scene: Scene, number: int) -> float:
    return float(read_image(scene.frames[number]).mean())


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("twin") / "out"
    assert render(root) == [root / name for name in Wallflower.sequences]
    return root


@pytest.fixture(scope="module")
def scenes(twin: Path) -> dict[str, Scene]:
    return {scene.name: scene for scene in Wallflower().scenes(twin)}


@pytest.mark.parametrize("name", Wallflower.sequences)
def test_twin_is_read_without_a_problem(scenes: dict[str, Scene], name: str) -> None:
    scene = scenes[name]
    assert scene.problems == ()
    assert scene.size == TWIN_SIZE
    assert list(scene.frames) == list(range(UNLABELLED + 1))
    assert list(scene.masks) == [UNLABELLED]
    assert scene.references == tuple(range(UNLABELLED))
    folder = scene.frames[0].parent
    frames = [f"b{number:05d}.bmp" for number in range(UNLABELLED + 1)]
    assert sorted(path.name for path in folder.iterdir()) == [
        *frames,
        f"hand_segmented_{UNLABELLED:05d}.BMP",
        "script.txt",
    ]
    assert f"{UNLABELLED:05d} Evaluate" in (folder / "script.txt").read_text()


@pytest.mark.parametrize("name", Wallflower.sequences)
def test_masks_of_the_twin_have_soft_edges(scenes: dict[str, Scene], name: str) -> None:
    file = cv2.imread(str(scenes[name].masks[UNLABELLED]), cv2.IMREAD_UNCHANGED)
    assert file is not None
    assert file.shape == (*TWIN_SIZE[::-1], 3)
    assert (file == file[..., :1]).all()
    soft = (file[..., 0] > 0) & (file[..., 0] < 255)
    mask = SceneFrames(scenes[name], None).mask(UNLABELLED)
    if name == "MovedObject":
        assert not file.any()
    else:
        assert soft.any()
        assert 0.01 < (mask == 255).mean() < 0.5


def test_sequences_of_the_twin_are_what_they_are_named_after(scenes: dict[str, Scene]) -> None:
    light = [brightness(scenes["LightSwitch"], number) for number in (2, 12, UNLABELLED)]
    assert light[1] < 0.4 * min(light[0], light[2])
    day = [brightness(scenes["TimeOfDay"], number) for number in (0, 7, 14)]
    assert 1.5 * day[0] < day[1]
    assert 1.2 * day[1] < day[2]

    def change(name: str, one: int, other: int) -> NDArray[np.float64]:
        """How much each pixel changes, beyond noise."""
        images = [cv2.blur(read_image(scenes[name].frames[n]), (3, 3)).astype(float) for n in (one, other)]
        return np.abs(images[0] - images[1]).mean(2)

    moving = {name: float((change(name, 0, 2) > 8).mean()) for name in scenes}
    assert moving["LightSwitch"] < 0.001  # nobody has entered yet
    assert min(moving["Bootstrap"], moving["WavingTrees"], moving["Camouflage"]) > 0.01
    assert (change("MovedObject", 0, UNLABELLED) > 25).sum() > 5  # something has come to stay
    assert change("MovedObject", UNLABELLED - 1, UNLABELLED).max() < 25  # and nobody is there


def test_same_seed_gives_same_bytes_whatever_the_workers(twin: Path, tmp_path: Path) -> None:
    render(tmp_path, workers=2)
    assert contents(tmp_path) == contents(twin)


def test_another_seed_gives_other_scenes(twin: Path, tmp_path: Path) -> None:
    render(tmp_path, seed=1)
    for name, data in contents(tmp_path).items():
        is_same = name.endswith(".txt") or "MovedObject/hand" in name
        assert is_same or data != (twin / name).read_bytes()
    assert not np.any(cv2.imread(str(tmp_path / f"MovedObject/hand_segmented_{UNLABELLED:05d}.BMP")))


def test_interrupted_rendering_goes_on(twin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, calls = cv2.imencode, iter(range(1000))

    def failing(*args: Any) -> Any:
        if next(calls) == UNLABELLED + 10:
            raise KeyboardInterrupt
        return encode(*args)

    with monkeypatch.context() as patch:
        patch.setattr(cv2, "imencode", failing)
        with pytest.raises(KeyboardInterrupt):
            render(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Bootstrap", "dataset.json"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "Bootstrap").iterdir()}
    render(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "Bootstrap").iterdir()} == before
    assert contents(tmp_path) == contents(twin)


def test_fewest_frames_and_smallest_size(tmp_path: Path) -> None:
    list(render_all(tmp_path, wallflower.plan(), (64, 48), 1, 1, 1))
    for scene in Wallflower().scenes(tmp_path):
        assert (scene.problems, scene.evaluated, scene.references) == ((), (0, 1), (0,))
        assert (SceneFrames(scene, None).mask(1).max() == 0) == (scene.name == "MovedObject")


def test_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "twin"
    assert main(["synthesize", str(out), "--layout=Wallflower", "--unlabelled=2", "--workers=1"]) == 0
    output = capfd.readouterr().out
    assert re.search(rf"7 videos .*21 frames .*{out}", output)
    assert f"Next: {PROGRAM} prepare --dataset Wallflower --root {out}" in output
    assert main(["prepare", "--dataset", "Wallflower", "--root", str(out)]) == 0
    output = capfd.readouterr().out
    assert "7 videos, 0 errors, 0 warnings." in output
    assert output.count("160×120") == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--videos_per_category=1"], "--layout Wallflower: .* Leave --videos_per_category out"),
        (["--categories=[baseline]", "--labelled=3"], "--layout Wallflower: .* Leave --categories and --labelled out"),
        (["--unlabelled=0"], "--unlabelled: .*got 0"),
        (["--width=63"], "--width: .*got 63"),
        (["--workers=0"], "--workers: .*got 0"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(
    tmp_path: Path, fails: Fails, options: list[str], message: str
) -> None:
    error = fails(main(["synthesize", str(tmp_path / "twin"), "--layout=Wallflower", *options]))
    assert re.search(message, error)
    assert not (tmp_path / "twin").exists()


# --- the real sequence -----------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_real_sequence(real_data: Path) -> None:
    (scene,) = Wallflower().scenes(real_data / "Wallflower", ["WavingTrees"])
    raise_for_errors([scene])
    assert scene.problems == ()
    assert (scene.size, list(scene.frames), list(scene.masks)) == ((160, 120), list(range(287)), [247])
    assert scene.references == tuple(range(247))
    file = scene.masks[247].read_bytes()
    pixels = np.frombuffer(file, np.uint8, 120 * 160 * 3, offset=54).reshape(120, 160, 3)[::-1, :, 0]
    assert ((pixels > 0) & (pixels < 255)).any()  # its edges are soft
    mask = SceneFrames(scene, None).mask(247)
    np.testing.assert_array_equal(mask == 255, pixels >= 128)
    assert (mask == 255).sum() == 5876
    assert set(np.unique(mask)) == {0, 255}
