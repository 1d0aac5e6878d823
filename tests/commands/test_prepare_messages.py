"""Messages of `prepare` on datasets in other layouts, and the files of an interrupted `synthesize`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from message_parts import in_order

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import CDnet2014, Wallflower
from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.frames.source import read_mask

Fails = Callable[[int], str]


def masks_of(folder: Path) -> list[Path]:
    return sorted((folder / "groundtruth").glob("gt00002[1-6].png"))


@pytest.mark.parametrize("inside", ["baseline", "baseline/highway", "baseline/highway/input"])
def test_a_root_that_is_too_deep(inside: str, cdnet: Path, fails: Fails) -> None:
    assert f"Did you mean {cdnet}?" in fails(main(["prepare", "--root", str(cdnet / inside)]))


@pytest.mark.parametrize("command", ["prepare", "flow --store=store", "evaluate . --out=out"])
def test_a_scene_that_is_not_there_is_named_with_the_option_of_the_command(
    command: str, cdnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails
) -> None:
    monkeypatch.chdir(tmp_path)
    said = fails(main([*command.split(), f"--root={cdnet}", "--scene=baseline,hihgway"]))
    assert "error: --scene: 'hihgway' " in said
    assert "highway?" in said


@pytest.mark.parametrize("levels", [1, 2])
def test_a_root_that_is_too_high(levels: int, cdnet: Path, tmp_path: Path, fails: Fails) -> None:
    outer = tmp_path / "downloads"
    (tmp_path / "other/clip/input").mkdir(parents=True)  # looks like a dataset above, and is not meant
    inner = outer / "cdnet" if levels == 1 else outer / "unpacked/cdnet"
    inner.parent.mkdir(parents=True)
    cdnet.rename(inner)
    said = " ".join(fails(main(["prepare", "--root", str(outer)])).split())
    assert f"Did you mean {inner}?" in said


def test_a_root_of_sequences_that_is_too_deep_or_too_high(tmp_path: Path) -> None:
    folder = tmp_path / "a/b/wallflower/WavingTrees"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "b00001.bmp"), np.zeros((24, 32, 3), np.uint8))
    for wrong in (folder, tmp_path / "a/b", tmp_path / "a"):
        with pytest.raises(UserError, match=rf"Did you mean {folder.parent}\?"):
            Wallflower().scenes(wrong)


def test_errors_of_one_cause_are_one_line(
    cdnet: Path, make_video: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_video(tmp_path / "data", "baseline", "highway", labelled=30)
    masks = sorted((folder / "groundtruth").glob("*.png"))[20:]
    for place, path in enumerate(masks):
        cv2.imwrite(str(path), np.full((48, 64), 100 + place, np.uint8))
    assert main(["prepare", "--root", str(tmp_path / "data")]) == 2
    output = capfd.readouterr()
    lines = [line for line in output.out.splitlines() if line.startswith("error")]
    assert len(lines) == 1
    assert f"{masks[0]}:" in lines[0]
    assert "29 files more" in lines[0]
    assert "30 errors" in output.err


def test_a_bom_in_the_temporal_roi(cdnet: Path) -> None:
    (cdnet / "baseline/highway/temporalROI.txt").write_bytes(b"\xef\xbb\xbf21 26\r\n")
    (scene,) = CDnet2014().scenes(cdnet, ["highway"])
    assert (scene.evaluated, scene.problems) == ((21, 26), ())


def test_masks_of_0_and_1_are_named_and_taken(cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    truth = {}
    for path in masks_of(cdnet / "baseline/highway"):
        truth[path] = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) == 255).astype(np.uint8)
        cv2.imwrite(str(path), truth[path])
    options = ["--root", str(cdnet), "--scene", "[baseline/highway]"]
    assert main(["prepare", *options]) == 2
    assert "--mask_code" in capfd.readouterr().out
    assert main(["prepare", *options, "--mask_code", "BINARY"]) == 0
    for path, mask in truth.items():
        np.testing.assert_array_equal(read_mask(path, (64, 48), code=MaskCode.BINARY), mask * 255)
    results = tmp_path / "results/baseline/highway"
    results.mkdir(parents=True)
    for number, mask in enumerate(truth.values(), 21):
        cv2.imwrite(str(results / f"bin{number:06d}.png"), mask * 255)
    evaluated = ["evaluate", str(tmp_path / "results"), f"--out={tmp_path / 'out'}", *options]
    assert main([*evaluated, "--mask_code=BINARY"]) == 0
    assert "1.0000" in capfd.readouterr().out


@pytest.mark.parametrize("ending", [".jpg", ".tif"])
def test_masks_of_another_format_are_named(ending: str, cdnet: Path, capfd: pytest.CaptureFixture[str]) -> None:
    masks = masks_of(cdnet / "baseline/highway")
    for path in masks:
        cv2.imwrite(str(path.with_suffix(ending)), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        path.unlink()
    assert main(["prepare", "--root", str(cdnet)]) == 0
    output = capfd.readouterr().out
    assert re.search(rf"6 masks .*gt%06d\.png.*gt000021{re.escape(ending)}", output)


def turn(path: Path, orientation: int) -> None:
    image = PIL.Image.open(path)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)


def test_turned_jpegs_are_named(cdnet: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = cdnet / "baseline/highway/input/in000001.jpg"
    turn(first, 3)  # upside down, so that sizes agree
    assert main(["prepare", "--root", str(cdnet)]) == 0
    output = capfd.readouterr().out
    assert f"{first}: " in output
    assert "EXIF orientation 3" in output


def test_frames_of_another_size_are_named(cdnet: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = cdnet / "baseline/highway/input"
    for number in (7, 9):
        cv2.imwrite(str(folder / f"in{number:06d}.jpg"), np.zeros((20, 30, 3), np.uint8))
    turn(folder / "in000012.jpg", 6)  # sideways
    for _ in range(2):  # the second time by what is remembered
        assert main(["prepare", "--root", str(cdnet)]) == 0
        lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("warning")]
        assert len(lines) == 1
        assert in_order(lines[0], folder / "in000007.jpg", "30×20", "64×48", "2 files more")


def test_frames_that_are_all_turned_have_one_size(cdnet: Path, capfd: pytest.CaptureFixture[str]) -> None:
    video = cdnet / "baseline/highway"
    for path in (video / "input").iterdir():
        turn(path, 6)
    for path in [video / "ROI.bmp", *(video / "groundtruth").iterdir()]:
        cv2.imwrite(str(path), np.rot90(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)))
    assert main(["prepare", "--root", str(cdnet), "--scene=highway"]) == 0
    assert "0 errors, 1 warnings" in capfd.readouterr().out


def test_a_frame_that_is_no_image_is_named(cdnet: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = cdnet / "baseline/highway/input/in000007.jpg"
    path.write_bytes(b"no image \xff\xd9")
    assert main(["prepare", "--root", str(cdnet), "--scene=highway"]) == 2
    assert f"error {path}: " in " ".join(capfd.readouterr().out.split())


def test_what_a_killed_synthesize_leaves_is_no_error(cdnet: Path) -> None:
    (cdnet / "nightVideos/.street_1_s0.0123456789abcdef.partial/input").mkdir(parents=True)
    assert len(CDnet2014().scenes(cdnet)) == 6


def test_a_terminated_synthesize_leaves_nothing_that_a_reader_trips_over(tmp_path: Path) -> None:
    out = tmp_path / "twin"
    options = ["--videos_per_category=1", "--workers=1", "--unlabelled=400", "--labelled=400"]
    command = [sys.executable, "-m", "bgsub_lightning", "synthesize", str(out), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ))
    try:
        until = time.monotonic() + 120
        while not list(out.glob("*/.*/input/*")) and time.monotonic() < until and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, error
    assert b"Traceback" not in error
    assert not list(out.glob("*/*"))
    assert not [path for path in out.iterdir() if path.is_dir() and path.name[0] != "."]
