"""Frames of 16 bits: one rule for their grey levels, the same wherever frames are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.datasets.depth import range_of
from bgsub_lightning.frames import FarnebackFlow, SceneFrames, read_image
from bgsub_lightning.frames.flow import seen
from bgsub_lightning.inference import open_source

SIZE = (64, 48)


def thermal(count: int = 26) -> list[NDArray[np.uint16]]:
    """A background of 51600 to 51640, and a warm square of 51760 from the sixteenth frame on."""
    still = np.random.default_rng(3).integers(51600, 51641, SIZE[::-1]).astype(np.uint16)
    frames = [still.copy() for _ in range(count)]
    for number, frame in enumerate(frames):
        if number >= 15:
            left = 13 * (number - 15) % 52  # where it has not been lately
            frame[10:25, left : left + 12] = 51760
    return frames


def by_hand(frame: NDArray[np.uint16], low: float, high: float) -> NDArray[np.uint8]:
    """The grey levels, rounded one by one."""
    scaled = [[min(max(round((level - low) / (high - low) * 255), 0), 255) for level in row] for row in frame.tolist()]
    return np.repeat(np.array(scaled, np.uint8)[..., None], 3, 2)


LOW, HIGH = 51620 - 127.5, 51620 + 127.5  # 41 levels at the middle of 256: noise is not magnified


@pytest.fixture
def deep(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """A dataset of one video of 16 bits, as CDnet2014 lies on disk."""
    folder = make_video(tmp_path / "deep", "thermal", "park", size=SIZE)
    for file in (folder / "input").iterdir():
        file.unlink()
    for number, frame in enumerate(thermal(), 1):
        cv2.imwrite(str(folder / f"input/in{number:06d}.png"), frame)
    return tmp_path / "deep"


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_images_have_one_range(ending: str, tmp_path: Path) -> None:
    for number, frame in enumerate(thermal()):
        cv2.imwrite(str(tmp_path / f"t{number:03d}.{ending}"), frame)
    source = open_source(str(tmp_path))
    frames = list(source)
    assert source.range == (LOW, HIGH)
    for frame, expected in zip(frames, thermal(), strict=True):
        np.testing.assert_array_equal(frame.image, by_hand(expected, LOW, HIGH))
    chosen = next(iter(open_source(str(tmp_path), levels=(51000, 52000)))).image
    np.testing.assert_array_equal(chosen, by_hand(thermal()[0], 51000, 52000))


def test_a_video_of_16_bits_has_it_too(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "t.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25, width=SIZE[0], height=SIZE[1], pix_fmt="gray16le")
        for frame in thermal(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray16le")))
        container.mux(stream.encode())
    for frame, expected in zip(open_source(str(tmp_path / "t.mkv")), thermal(8), strict=True):
        np.testing.assert_array_equal(frame.image, by_hand(expected, LOW, HIGH))


def spoiled(kind: str, frames: list[NDArray[np.uint16]]) -> list[NDArray[np.uint16]]:
    """Frames of which the first, or some, say nothing of the scene."""
    if kind == "border":
        frames[0][:, :3] = 65_535
    elif kind == "bright border":
        frames[0][:, :3] = 60_000
    elif kind == "hot":
        frames[0][:] = 0
        frames[0][3, 3] = 1000
    else:
        for frame in frames[: {"shutter": 1, "long shutter": 10}[kind]]:
            frame[:] = 0 if kind == "shutter" else 8192
    return frames


@pytest.mark.parametrize("kind", ["shutter", "long shutter", "border", "bright border", "hot"])
def test_spoiled_first_frames_do_not_set_the_range(
    kind: str, deep: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not by `segment`, whatever it reads first, nor by the readers; and what is warm is found."""
    folder = deep / "thermal/park/input"
    for number, frame in enumerate(spoiled(kind, thermal()), 1):
        cv2.imwrite(str(folder / f"in{number:06d}.png"), frame)
    with av.open(str(tmp_path / "t.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25, width=SIZE[0], height=SIZE[1], pix_fmt="gray16le")
        for frame in spoiled(kind, thermal()):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray16le")))
        container.mux(stream.encode())
    for path in (folder, tmp_path / "t.mkv"):
        spread, read = open_source(str(path)), open_source(str(path))
        spread.spread(4)
        assert [frame.number for frame in read] == list(range(1, 27))
        assert spread.range == read.range == (LOW, HIGH)
    (scene,) = CDnet2014().scenes(deep)
    assert scene.range == (LOW, HIGH)
    options = ["--checkpoint", "MOG2", "--device", "cpu", "--write", "masks"]
    assert main(["segment", "--source", str(folder), "--out", str(tmp_path / "out"), *options, "--clean=false"]) == 0
    assert "--range" not in capfd.readouterr().out
    mask = cv2.imread(str(tmp_path / "out/masks/bin000016.png"), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    warm = thermal()[15] == 51760
    warm[:, :3] = False  # the border, which MOG2 has learnt
    assert (mask[warm] == 255).mean() > 0.9
    assert not mask[~(thermal()[15] == 51760)].all()


def test_frames_outside_of_the_range_are_reported(
    deep: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = deep / "thermal/park/input"
    for number in (25, 26):
        cv2.imwrite(str(folder / f"in{number:06d}.png"), thermal()[0] - 5000)
    options = ["--checkpoint", "MOG2", "--device", "cpu", "--write", "masks"]
    assert main(["segment", "--source", str(folder), "--out", str(tmp_path / "out"), *options, "--clean=false"]) == 0
    output = [line for line in capfd.readouterr().out.splitlines() if "--range" in line]
    assert len(output) == 1
    assert "in000025.png" in output[0]
    assert "100 %" in output[0]
    assert main(["prepare", "--root", str(deep)]) == 0
    output = [line for line in capfd.readouterr().out.splitlines() if "--range" in line]
    assert len(output) == 1
    assert "in000026.png" in output[0]
    assert main(["prepare", "--root", str(deep), "--range", "40000,60000"]) == 0
    assert "--range" not in capfd.readouterr().out


def test_frames_of_a_source_have_one_depth(tmp_path: Path, fails: Callable[..., str]) -> None:
    options = ["--checkpoint", "MOG2", "--device", "cpu", "--write", "masks", "--out"]
    grey = np.zeros(SIZE[::-1], np.uint8)
    for first, then, bits in ((grey, thermal(1)[0], "8 bits"), (thermal(1)[0], grey, "16 bits")):
        folder = tmp_path / bits
        folder.mkdir()
        for number in range(6):
            cv2.imwrite(str(folder / f"a{number}.png"), first if number < 3 else then)
        cv2.imwrite(str(tmp_path / "clean.png"), then)
        message = fails(main(["segment", "--source", str(folder), *options, str(tmp_path / "out")]))
        assert "a3.png" in message
        assert f"must have {bits}" in message
        for number in range(3, 6):
            (folder / f"a{number}.png").unlink()
        background = ["--background", str(tmp_path / "clean.png")]
        message = fails(main(["segment", "--source", str(folder), *options, str(tmp_path / "out2"), *background]))
        assert "clean.png" in message
        assert f"must have {bits}" in message
        with pytest.raises(UserError, match=rf"clean\.png: must have {bits}"):
            read_image(tmp_path / "clean.png", levels=None if bits == "8 bits" else (LOW, HIGH))
    message = fails(
        main(["segment", "--source", str(tmp_path / "8 bits"), *options, str(tmp_path / "o"), "--range", "1,9"])
    )
    assert "--range" in message


def test_a_wide_range_keeps_half_of_it_for_what_comes() -> None:
    frame = np.arange(20_000, 30_001, dtype=np.uint16)  # its percentiles are 20010 and 29990
    assert range_of([frame]) == (20_010 - 4990, 29_990 + 4990)
    with pytest.raises(UserError, match="float64"):
        range_of([np.zeros(3)])


def test_a_dataset_has_the_range_of_each_scene_everywhere(deep: Path, tmp_path: Path) -> None:
    (scene,) = CDnet2014().scenes(deep)
    assert scene.range == (LOW, HIGH)
    expected = by_hand(thermal()[20], LOW, HIGH)
    np.testing.assert_array_equal(SceneFrames(scene, None).image(21), expected)
    store = tmp_path / "store"
    size = ["--width", "64", "--height", "48"]
    assert main(["prepare", "--root", str(deep), "--store", str(store), *size]) == 0
    stored = np.load(next(store.rglob("frames_64x48.npy")))
    np.testing.assert_array_equal(stored[20], expected)
    moved = FarnebackFlow().magnitude(scene, 21, 1)
    grey = [seen(by_hand(thermal()[place], LOW, HIGH), colour=False) for place in (20, 19)]
    np.testing.assert_array_equal(moved, FarnebackFlow().length(*grey))


def test_a_range_that_is_given_replaces_it_and_what_was_stored(
    deep: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store, size = tmp_path / "store", ["--width", "64", "--height", "48"]
    assert main(["prepare", "--root", str(deep), "--store", str(store), *size]) == 0
    assert main(["prepare", "--root", str(deep), "--store", str(store), *size, "--range", "51000,52000"]) == 0
    assert "51000 to 52000" in capfd.readouterr().out
    stored = np.load(next(store.rglob("frames_64x48.npy")))
    np.testing.assert_array_equal(stored[20], by_hand(thermal()[20], 51000, 52000))


@pytest.mark.parametrize("given", ["52000,51000", "5", "a,b", "nan,3"])
def test_a_range_that_is_none(given: str, deep: Path, fails: Callable[..., str]) -> None:
    assert given in fails(main(["prepare", "--root", str(deep), "--range", given]))


def test_frames_of_8_bits_take_no_range(cdnet: Path, fails: Callable[..., str]) -> None:
    assert "--range" in fails(main(["prepare", "--root", str(cdnet), "--range", "1,2"]))


def test_a_deep_frame_among_others_is_named(cdnet: Path) -> None:
    file = cdnet / "baseline/highway/input/in000005.png"
    cv2.imwrite(str(file), thermal(1)[0])
    with pytest.raises(UserError, match=r"in000005\.png.*uint16"):
        read_image(file)


def test_mog2_finds_what_is_warm(deep: Path, tmp_path: Path) -> None:
    """By `segment` and by `test`, and the same masks."""
    source = deep / "thermal/park/input"
    options = ["--checkpoint", "MOG2", "--device", "cpu", "--write", "masks"]
    assert main(["segment", "--source", str(source), "--out", str(tmp_path / "out"), *options, "--clean=false"]) == 0
    masks = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in sorted((tmp_path / "out/masks").iterdir())]
    warm = [frame == 51760 for frame in thermal()]
    for mask, expected in zip(masks[15:19], warm[15:19], strict=True):
        assert (mask[expected] == 255).mean() > 0.9
    assert not masks[14].any()
    config = tmp_path / "mog2.yaml"
    content = {
        "model": {"class_path": "bgsub_lightning.systems.ClassicalSubtractor"},
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False},
        "data": {
            "class_path": "bgsub_lightning.data.ScenesDataModule",
            "init_args": {
                "root": str(deep),
                "size": None,
                "num_workers": 0,
                "protocol": {"class_path": "bgsub_lightning.splits.Subset", "init_args": {"test": ["thermal"]}},
            },
        },
    }
    config.write_text(yaml.safe_dump(content))
    assert main(["predict", "--config", str(config), f"--run_dir={tmp_path / 'run'}"]) == 0
    for number in range(21, 27):
        found = cv2.imread(str(tmp_path / f"run/results/thermal/park/bin{number:06d}.png"), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(found, masks[number - 1])
    assert json.loads((tmp_path / "run/run.json").read_text())["starts"]
