"""The command `segment`, as a user calls it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_systems import moving_square, save, tiny_system, write_video

from bgsub_lightning.cli import main
from bgsub_lightning.commands.segment import default_folder
from bgsub_lightning.inference import open_source, subtractor
from bgsub_lightning.synthetic import plan, render_all


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "street.mkv", moving_square(30))


def test_a_video_and_a_checkpoint_are_all_it_takes(
    video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = save(tiny_system("Siamese"), tmp_path / "run/checkpoints/last.ckpt")
    out = tmp_path / "out"
    assert main(["segment", f"--source={video}", f"--checkpoint={checkpoint}", f"--out={out}", "--device=cpu"]) == 0
    printed = " ".join(capfd.readouterr().out.split())
    assert "Siamese (run) on cpu, at the size of its frames" in printed
    assert "30 frames, 25 a second" in printed
    assert re.search(r"background .*25 frames", printed)
    assert "of the pixels foreground" in printed
    source = open_source(str(out / "overlay.mp4"))
    assert (source.count, source.rate) == (30, 25)
    assert sorted(each.name for each in out.iterdir()) == ["boxes.csv", "overlay.mp4"]


def test_a_video_has_its_own_times(video: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(video), "--rate=5"]) == 2
    error = capfd.readouterr().err
    assert "--rate: " in error
    assert "got 5" in error


def test_a_zone_may_begin_with_a_minus(video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(video), "--zone", "-10,0,20,0,20,20", "--out", str(tmp_path / "out")]) == 2
    assert "(-10, 0)" in capfd.readouterr().err


def test_one_word_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film").mkdir()
    write_video(tmp_path / "film/street 1.mkv", moving_square(30, (96, 48)))
    for folder in ("street_1_segmented", "street_1_segmented_2"):
        assert main(["segment", "film/street 1.mkv"]) == 0
        printed = capfd.readouterr().out
        assert f"film/{folder}/overlay.mp4" in printed.splitlines()[-1]
        assert sorted(each.name for each in (tmp_path / "film" / folder).iterdir()) == ["boxes.csv", "overlay.mp4"]
    assert "AnyScene" in printed


def test_lines_zones_and_a_report(video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    write_video(video, moving_square(40, (96, 48)))
    options = ["--checkpoint=MOG2", "--least_area=10", f"--out={out}", "--report", "--still=1"]
    assert main(["segment", str(video), *options, "--count_line=40,0,40,48", "--zone=50,0,70,0,70,48,50,48"]) == 0
    printed = capfd.readouterr().out
    assert "line 1: 0 in, 1 out." in printed
    assert "zone 1: 1 in, 1 out, 0 inside" in printed
    names = ["boxes.csv", "events.jsonl", "overlay.mp4", "report.html", "tracks.csv"]
    assert sorted(each.name for each in out.iterdir()) == names
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert [each["event"] for each in events if each.get("place") == "line 1"] == ["cross"]
    assert [each["event"] for each in events if each.get("place") == "zone 1"] == ["enter", "leave"]


def test_a_smaller_size_gives_masks_of_the_frames_size(tmp_path: Path) -> None:
    video = write_video(tmp_path / "street.mkv", moving_square(20, (192, 96)))
    for checkpoint in ("MOG2", "AnyScene"):
        out = tmp_path / checkpoint
        options = [f"--checkpoint={checkpoint}", f"--out={out}", "--write=masks", "--work_size=96"]
        assert main(["segment", str(video), *options]) == 0
        masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted((out / "masks").iterdir())]
        assert {mask.shape for mask in masks} == {(96, 192)}
        assert set(np.unique(masks).tolist()) <= {0, 255}


def test_the_overlay_is_served(tmp_path: Path) -> None:
    video = write_video(tmp_path / "street.mkv", moving_square(2000, (96, 48)))
    command = [sys.executable, "-m", "bgsub_lightning", "segment", str(video), "--checkpoint=MOG2", "--serve=0"]
    with subprocess.Popen([*command, f"--out={tmp_path / 'out'}"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = next(line.split()[-1] for line in process.stdout if line.startswith("Watch at"))
        with urllib.request.urlopen(url + "stream", timeout=30) as answer:
            assert answer.readline() == b"--frame\r\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--serve", "x"),
        ("--serve", "99999"),
        ("--serve", ""),
        ("--serve", "::1:8080"),
        ("--count_line", "1,1,1,1"),
        ("--zone", "0,0,10,0"),
        ("--roi", "0,0,1000,0,0,10"),
        ("--still", "-1"),
        ("--zone", "0,0,20,20,20,0,0,20"),
        ("--zone", "zones.json"),
        ("--work_size", "3"),
        ("--ignore", "absent.json"),
    ],
)
def test_bad_options_are_refused(option: str, value: str, video: Path, capfd: pytest.CaptureFixture[str]) -> None:
    video.with_name("zones.json").write_text('{"": [[0, 0], [9, 0], [9, 9]]}')
    value = value.replace("zones.json", str(video.with_name("zones.json")))
    assert main(["segment", str(video), "--checkpoint=MOG2", f"{option}={value}"]) == 2
    printed = capfd.readouterr().err
    assert option.strip("-") in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("option", ["--count_line=1,1,9,9", "--zone=0,0,9,0,9,9", "--still=5"])
def test_what_nothing_shows_is_refused(option: str, video: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", str(video), "--checkpoint=MOG2", option, "--write=masks,boxes_csv"]) == 2
    assert "--write" in capfd.readouterr().err
    assert not list(video.parent.glob("*_segmented"))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("rtsp://user:secret@cam.example:554/live?pw=secret", "cam.example_segmented"),
        ("0", "camera_0_segmented"),
        ("film/street 1.mp4", "film/street_1_segmented"),
        ("frames", "frames_segmented"),
    ],
)
def test_default_folders_hold_no_passwords(
    source: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_folder(source) == Path(name)


def test_a_synthetic_source_is_called_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    list(render_all(tmp_path / "twin", plan(1, ["baseline"], 3), (64, 48), 4, 4, 1))
    (frames,) = (tmp_path / "twin").glob("baseline/*/input")
    assert main(["segment", f"--source={frames}", "--checkpoint=MOG2", f"--out={tmp_path / 'out'}"]) == 0
    assert "synthetic scenes, rendered by bgsub_lightning" in " ".join(capfd.readouterr().out.split())


@pytest.mark.parametrize("background", ["first", "spread", "stream", "clean.png", "clean"])
def test_backgrounds_come_from_the_given_source(
    background: str, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    frames = moving_square(30)
    (tmp_path / "clean").mkdir()
    for path in ("clean.png", "clean/1.png"):
        cv2.imwrite(path, frames[4][..., ::-1])
    cv2.imwrite("clean/2.png", frames[5][..., ::-1])
    checkpoint = save(tiny_system("Siamese"), tmp_path / "x.ckpt")
    options = [f"--source={video}", f"--checkpoint={checkpoint}", "--out=out", f"--background={background}"]
    seen = []
    original = subtractor.Subtractor

    class Watched(original):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: object, **settings: object) -> None:
            super().__init__(*arguments, **settings)
            seen.append(list(self._given))

    monkeypatch.setattr(subtractor, "Subtractor", Watched)
    assert main(["segment", *options, "--pool=3", "--write=boxes_csv", "--device=cpu"]) == 0
    expected = {
        "first": frames[:3],
        "spread": [frames[0], frames[10], frames[20]],
        "stream": [],
        "clean.png": [frames[4]],
        "clean": frames[4:6],
    }[background]
    assert len(seen[-1]) == len(expected)
    assert all(np.array_equal(one, other) for one, other in zip(seen[-1], expected, strict=True))
    assert ("Warming up" in capfd.readouterr().out) == (background == "stream")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source=absent.mp4"], "absent.mp4: there is no such file or folder"),
        (["--checkpoint=absent.ckpt"], "absent.ckpt: there is no such checkpoint"),
        (["--background=absent.png"], "--background: absent.png: there is no such image or folder"),
        (["--refresh=-5"], "--refresh: must be above 0 and at most 1,000,000.0; got -5"),
        (["--write=[]"], "--write: name what is to be written"),
        (["--out=street.mkv/x"], "street.mkv/x: cannot be written"),
        (["--pool=0"], "--pool: must be from 1 to 10,000; got 0"),
        (["--out=street.mkv"], "--out: street.mkv: is a file; a folder is needed"),
        (["--write=film"], "--write: there is no 'film'. Name some of mask_video,masks,overlay,"),
        (["--least_area=-1"], "--least_area: must be from 0"),
        (["--refresh=5"], "--refresh: MOG2 learns of every frame, and follows by itself"),
        (["--compile=true"], "--compile: MOG2 has no networks of PyTorch"),
        (["--compile=true", "--checkpoint=mog2.yaml"], "--compile: mog2 has no networks"),
        (["--device=cuda:77"], "device: MOG2 computes on the CPU; got cuda:77"),
        (["--threshold=2"], "--threshold: "),
        (["--threshold=.nan"], "--threshold: "),
        (["--every=1e308"], "--every: must be above 0 and at most 1,000,000.0; got 1e+308"),
        (["--every=.inf"], "--every: "),
        (["--rate=1e-30"], "--rate: "),
        (["--rate=1e9"], "--rate: "),
        (["--frames=99999999999999999999"], "--frames: "),
        (["--pool=1000000000000"], "--pool: "),
        (["--batch_size=1000000000000"], "--batch_size: "),
        (["--reconnect=1e300"], "--reconnect: "),
        (["--out=" + "x" * 300], "x: cannot be used; got 'File name too long'"),
        (["--source=pipe.mp4"], "--source: pipe.mp4: "),
        (["--source=pipe.png"], "--source: pipe.png: "),
        (["--background=empty"], "--background: empty: "),
        (["--background=pipe.png"], "--background: pipe.png: "),
    ],
)
def test_bad_options_are_reported(
    options: list[str], message: str, video: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(video.parent)
    for name in ("pipe.mp4", "pipe.png"):
        os.mkfifo(name)
    Path("empty").mkdir()
    given = {"--source": str(video), "--checkpoint": "MOG2", "--out": "out"}
    given |= dict(option.split("=", 1) for option in options)
    assert message in fails(main(["segment", *(f"{name}={value}" for name, value in given.items())]))


def test_masks_of_two_videos_are_not_mixed(video: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    options = [f"--source={video}", "--checkpoint=MOG2", f"--out={tmp_path / 'out'}", "--write=masks"]
    assert main(["segment", *options]) == 0
    assert "holds masks already" in fails(main(["segment", *options]))


def test_clean_images_that_cannot_be_decoded_are_reported(
    video: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean/1.png").write_text("no image")
    options = [f"--source={video}", "--checkpoint=MOG2", f"--out={tmp_path / 'out'}"]
    assert "is no image that can be decoded, and no folder of some" in fails(
        main(["segment", *options, f"--background={tmp_path / 'clean'}"])
    )


def test_a_source_without_a_whole_frame_is_reported(tmp_path: Path, fails: Callable[..., str]) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/1.png").write_bytes(b"no image")
    status = main(["segment", f"--source={tmp_path / 'images'}", "--checkpoint=MOG2", f"--out={tmp_path / 'out'}"])
    assert "has no frame that can be decoded" in fails(status)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_playable_file_and_says_how_far_it_came(sent: signal.Signals, tmp_path: Path) -> None:
    video = write_video(tmp_path / "long.mkv", moving_square(400, (320, 240)))
    command = [sys.executable, "-m", "bgsub_lightning", "segment", f"--source={video}", "--checkpoint=KNN"]
    process = subprocess.Popen(
        [*command, f"--out={tmp_path / 'out'}", "--write=mask_video,masks,report"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    while not (tmp_path / "out/masks/bin000020.png").exists():  # the video itself is written in large pieces
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(sent)
    time.sleep(0.3)
    process.send_signal(sent)  # by an impatient user, while files become whole
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped after" in output
    assert (tmp_path / "out/report.html").exists()
    frames = len(list(open_source(str(tmp_path / "out/mask_video.mp4"))))
    assert 0 < frames < 400
    assert f"Stopped after {frames} frames" in output


@pytest.mark.parametrize("checkpoint", ["MOG2", "TemporalMedian"])
def test_frames_that_a_light_jump_floods_are_counted(
    checkpoint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    still = np.random.default_rng(0).integers(60, 90, (48, 64, 3), np.uint8)
    for number in range(60):
        cv2.imwrite(str(tmp_path / f"f{number:03d}.png"), still + np.uint8(60 if number >= 40 else 0))
    options = [f"--source={tmp_path}", f"--checkpoint={checkpoint}", "--device=cpu", "--write=masks", "--rate=10"]
    options += ["--background=first"] if checkpoint == "TemporalMedian" else []
    assert main(["segment", *options, f"--out={tmp_path / 'out'}"]) == 0
    masks = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in sorted((tmp_path / "out/masks").iterdir())]
    flooded = [number for number, mask in enumerate(masks) if (mask == 255).mean() > 0.7]
    assert flooded[0] == 40
    printed = " ".join(capfd.readouterr().out.split())
    assert f"in {len(flooded)} frame" in printed
    assert "at 4.0 s" in printed
    assert main(["segment", *options, f"--out={tmp_path / 'calm'}", "--frames=40"]) == 0
    assert "at 4.0 s" not in capfd.readouterr().out
