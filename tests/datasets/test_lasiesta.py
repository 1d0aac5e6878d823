from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import LASIESTA, Scene, raise_for_errors
from bgsub_lightning.datasets.labels import LASIESTA_COLOURS, MOVING, STATIC, UNKNOWN, LabelRule, MaskCode
from bgsub_lightning.frames import FrameStore, SceneFrames, read_mask
from bgsub_lightning.synthetic import lasiesta, render_all

COLOURS = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (255, 255, 0), (255, 255, 255), (128, 128, 128)]
LEVELS = [0, 255, 255, 255, 255, 170]
SIZE = (12, 8)


def coloured() -> NDArray[np.uint8]:
    """An RGB mask of two columns of each colour."""
    return np.repeat(np.array(COLOURS, np.uint8)[None].repeat(2, 1), SIZE[1], 0)


def save(path: Path, rgb: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]))
    return path


def palette_png(path: Path, indices: NDArray[np.uint8]) -> Path:
    """Write a PNG of one byte per pixel and a palette of the colours, by hand."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = indices.shape
    rows = b"".join(b"\0" + row.tobytes() for row in indices)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", bytes(value for colour in COLOURS for value in colour))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return path


def make_sequence(frames: Path, masks: Path, name: str, count: int = 4) -> None:
    for number in range(1, count + 1):
        save(frames / f"{name}-{number:06d}.bmp", np.full((*SIZE[::-1], 3), number, np.uint8))
        save(masks / f"{name}-GT_{number:06d}.png", coloured())


# --- masks -----------------------------------------------------------------------------------------------------------


def test_colours_are_moving_static_and_unknown(tmp_path: Path) -> None:
    assert list(LASIESTA_COLOURS) == COLOURS
    mask = read_mask(save(tmp_path / "gt.png", coloured()), SIZE, code=MaskCode.LASIESTA)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, np.array(LEVELS)[None].repeat(2, 1).repeat(SIZE[1], 0))
    assert LabelRule.TRAINING.table[mask[0, ::2]].tolist() == [0, 1, 1, 1, 1, 255]


def test_a_palette_is_read_like_rgb(tmp_path: Path) -> None:
    indices = np.random.default_rng(0).integers(0, 6, SIZE[::-1]).astype(np.uint8)
    mask = read_mask(palette_png(tmp_path / "gt.png", indices), SIZE, code=MaskCode.LASIESTA)
    np.testing.assert_array_equal(mask, np.array(LEVELS)[indices])


def test_a_grey_file_knows_black_white_and_grey(tmp_path: Path) -> None:
    grey = np.array([[0, 128, 255]] * 2, np.uint8)
    cv2.imwrite(str(tmp_path / "gt.png"), grey)
    assert read_mask(tmp_path / "gt.png", (3, 2), code=MaskCode.LASIESTA)[0].tolist() == [STATIC, UNKNOWN, MOVING]


def test_unknown_colours_are_named_with_their_file(tmp_path: Path) -> None:
    mask = coloured()
    mask[0, 0], mask[1, 1] = (255, 0, 255), (127, 128, 128)
    path = save(tmp_path / "gt.png", mask)
    message = rf"{path}: the mask holds colours that do not exist \(\(127, 128, 128\), \(255, 0, 255\)\); .* black, red"
    with pytest.raises(UserError, match=message):
        read_mask(path, SIZE, code=MaskCode.LASIESTA)
    with pytest.raises(UserError, match=r"12×8.*9×8"):
        read_mask(path, (9, 8), code=MaskCode.LASIESTA)


def test_resized_masks_hold_levels_alone(tmp_path: Path) -> None:
    mask = read_mask(save(tmp_path / "gt.png", coloured()), SIZE, (31, 5), MaskCode.LASIESTA)
    assert mask.shape == (5, 31)
    assert set(np.unique(mask)) == {STATIC, UNKNOWN, MOVING}


# --- layouts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "masks"),
    [
        ("I_SI_01", "I_SI_01-GT"),
        ("I_SI_01/I_SI_01", "I_SI_01/I_SI_01-GT"),
        ("I_SI/I_SI_01", "I_SI/I_SI_01-GT"),
        ("I_SI_01/I_SI_01", "I_SI_01-GT/I_SI_01-GT"),
        ("I_SI_01", "I_SI_01/I_SI_01-GT"),
        ("Indoor Sequences/simple/I_SI_01/I_SI_01", "Indoor Sequences/simple/I_SI_01/I_SI_01-GT"),
    ],
)
def test_folders_beside_each_other_wherever_they_are(tmp_path: Path, frames: str, masks: str) -> None:
    make_sequence(tmp_path / frames, tmp_path / masks, "I_SI_01")
    (scene,) = LASIESTA().scenes(tmp_path)
    assert (scene.key, scene.size, scene.problems) == ("I_SI/I_SI_01", SIZE, ())
    assert dict(scene.frames) == {n: tmp_path / frames / f"I_SI_01-{n:06d}.bmp" for n in range(1, 5)}
    assert dict(scene.masks) == {n: tmp_path / masks / f"I_SI_01-GT_{n:06d}.png" for n in range(1, 5)}
    assert (scene.evaluated, scene.references) == ((1, 4), (1, 2, 3, 4))
    assert scene.mask_code is MaskCode.LASIESTA


@pytest.mark.parametrize("mark", ["-", "_"])
def test_numbers_are_not_padded_and_masks_may_have_either_name(mark: str, tmp_path: Path) -> None:
    """As the published archives are named, and as the official page writes it."""
    frames, masks = tmp_path / "I_MB_02", tmp_path / f"I_MB_02{mark}GT"
    for number in range(1, 13):
        save(frames / f"I_MB_02-{number}.bmp", np.full((*SIZE[::-1], 3), number, np.uint8))
        save(masks / f"I_MB_02{mark}GT_{number}.png", coloured())
    (scene,) = LASIESTA().scenes(tmp_path)
    assert (scene.key, scene.problems) == ("I_MB/I_MB_02", ())
    assert [path.name for path in scene.frames.values()] == [f"I_MB_02-{number}.bmp" for number in range(1, 13)]
    assert dict(scene.masks) == {n: masks / f"I_MB_02{mark}GT_{n}.png" for n in range(1, 13)}


def test_categories_and_names_without_a_number(tmp_path: Path) -> None:
    for name in ("O_RA_02", "I_SM_12", "MyYard", "I_SI_01"):
        make_sequence(tmp_path / name, tmp_path / f"{name}-GT", name)
    scenes = LASIESTA(opening=2).scenes(tmp_path)
    assert [scene.key for scene in scenes] == ["I_SI/I_SI_01", "I_SM/I_SM_12", "MyYard/MyYard", "O_RA/O_RA_02"]
    assert {scene.references for scene in scenes} == {(1, 2)}
    assert [scene.key for scene in LASIESTA().scenes(tmp_path, ["O_RA", "I_S*_01"])] == ["I_SI/I_SI_01", "O_RA/O_RA_02"]


def test_the_published_names() -> None:
    assert len(LASIESTA.categories) == 14
    assert len(LASIESTA.sequences) == len(set(LASIESTA.sequences)) == 48
    assert {LASIESTA().category(name) for name in LASIESTA.sequences} == set(LASIESTA.categories)


def test_a_sequence_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "copy"):
        make_sequence(folder / "I_SI_01", folder / "I_SI_01-GT", "I_SI_01")
    with pytest.raises(UserError, match=r"number .*I_SI_01, .*copy"):
        raise_for_errors(LASIESTA().scenes(tmp_path))


def test_an_empty_folder_of_a_published_sequence_is_an_error(tmp_path: Path) -> None:
    make_sequence(tmp_path / "I_SI_01", tmp_path / "I_SI_01-GT", "I_SI_01")
    (tmp_path / "O_SU_02").mkdir()
    (tmp_path / "papers").mkdir()
    with pytest.raises(UserError, match=rf"{tmp_path}/O_SU_02: .*no frame"):
        raise_for_errors(LASIESTA().scenes(tmp_path))
    with pytest.raises(UserError, match=r"no sequence of LASIESTA"):
        LASIESTA().scenes(tmp_path / "papers")


def test_no_folder_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LASIESTA_ROOT", raising=False)
    with pytest.raises(UserError, match=r"LASIESTA is needed(.|\n)*LASIESTA_ROOT(.|\n)*--layout LASIESTA"):
        LASIESTA().locate(None)
    monkeypatch.setenv("LASIESTA_ROOT", str(tmp_path))
    assert LASIESTA().locate(None) == tmp_path


def test_prepare_names_the_colour(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_sequence(tmp_path / "I_SI_01", tmp_path / "I_SI_01-GT", "I_SI_01")
    path = save(tmp_path / "I_SI_01-GT/I_SI_01-GT_000003.png", np.full((*SIZE[::-1], 3), (0, 0, 255), np.uint8))
    assert main(["prepare", str(tmp_path), "--dataset=LASIESTA"]) == 2
    output = capfd.readouterr().out
    assert re.search(rf"error {path}: .*\(0, 0, 255\)", output)


# --- the synthetic twin ----------------------------------------------------------------------------------------------

TWIN_SIZE, FRAMES = (80, 60), 40


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lasiesta")
    plan = lasiesta.plan(1, ["I_MB", "O_SU"])
    assert list(render_all(root, plan, TWIN_SIZE, FRAMES // 2, FRAMES // 2, 1)) == [root / "I_MB_01", root / "O_SU_01"]
    return root


@pytest.fixture(scope="module")
def scenes(twin: Path) -> dict[str, Scene]:
    return {scene.name: scene for scene in LASIESTA().scenes(twin)}


def test_twin_is_read_without_a_problem(scenes: dict[str, Scene], twin: Path) -> None:
    assert sorted(path.name for path in (twin / "I_MB_01").iterdir()) == ["I_MB_01", "I_MB_01-GT"]
    for name, scene in scenes.items():
        assert (scene.key, scene.size, scene.problems) == (f"{name[:4]}/{name}", TWIN_SIZE, ())
        assert list(scene.frames) == list(scene.masks) == list(range(1, FRAMES + 1))


def test_twin_has_moving_and_static_objects_with_uncertain_borders(scenes: dict[str, Scene]) -> None:
    seen = {}
    for name, scene in scenes.items():
        files = [cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in scene.masks.values()]
        seen[name] = {tuple(colour) for file in files for colour in np.unique(file.reshape(-1, 3), axis=0).tolist()}
        for number in scene.masks:
            mask = SceneFrames(scene, None).mask(number)
            around = cv2.dilate((mask == MOVING).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            assert set(np.unique(mask[around])) <= {MOVING, UNKNOWN}
    assert seen["I_MB_01"] == set(COLOURS)
    assert (255, 255, 255) not in seen["O_SU_01"]  # nobody stops


def test_what_is_white_stands_still(scenes: dict[str, Scene]) -> None:
    scene = scenes["I_MB_01"]
    changes = []
    for number in range(2, FRAMES + 1):
        file = cv2.imread(str(scene.masks[number]), cv2.IMREAD_COLOR_RGB)
        white = cv2.erode((file == 255).all(-1).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        before, now = (cv2.blur(cv2.imread(str(scene.frames[n])), (3, 3)).astype(float) for n in (number - 1, number))
        changes += np.abs(before - now).mean(2)[white].tolist()
    assert len(changes) > 50
    assert np.median(changes) < 3


def test_twin_in_the_store(scenes: dict[str, Scene], tmp_path: Path) -> None:
    frames = SceneFrames(scenes["O_SU_01"], (40, 30), FrameStore(tmp_path))
    assert len(list(frames.fill())) == 2 * FRAMES
    assert set(np.unique(np.stack([frames.mask(number) for number in range(1, FRAMES + 1)]))) <= {0, 170, 255}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--unlabelled=3"], "--layout LASIESTA: each of its frames has a mask. Leave --unlabelled out"),
        (["--labelled=1"], "--labelled must be 2 or more frames for the layout LASIESTA, not 1"),
        (["--categories=[I_SI, baseline]"], "--categories: unknown baseline; choose among I_SI"),
        (["--videos_per_category=0"], "--videos_per_category: must be from 1 to 10,000; got 0"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["synthesize", str(tmp_path / "twin"), "--layout=LASIESTA", *options]) == 2
    assert message in capfd.readouterr().err
    assert not (tmp_path / "twin").exists()


def test_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--categories=[O_CL]", "--labelled=3", "--workers=1", "--width=64", "--height=48"]
    assert main(["synthesize", str(tmp_path / "twin"), "--layout=LASIESTA", *options]) == 0
    output = capfd.readouterr().out
    assert re.search(rf"2 videos .*6 frames .*{tmp_path / 'twin'}", output)
    assert f"prepare --dataset LASIESTA --root {tmp_path / 'twin'}" in output
    assert main(["prepare", "--dataset", "LASIESTA", "--root", str(tmp_path / "twin")]) == 0
    assert "2 videos, 0 errors, 0 warnings." in capfd.readouterr().out
