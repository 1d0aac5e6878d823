"""The command that computes optical flow ahead."""

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
import pytest
import yaml

from bgsub_lightning.cli import main
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.frames import FarnebackFlow, FrameStore, SceneFrames

Fails = Callable[[int], str]


def call(root: Path, store: Path, *options: str) -> int:
    return main(["flow", f"--root={root}", f"--store={store}", "--width=32", "--height=24", "--workers=1", *options])


def test_flow_is_computed_once(cdnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    options = ("--scene=[highway, park]", "--method=farneback")
    assert call(cdnet, store, *options, "--taus=[5]") == 0
    assert re.search(r"2 videos × 1 .*τ = 5.* 32×24", capsys.readouterr().out)
    assert call(cdnet, store, *options, "--taus=[1,5]", f"--pictures={tmp_path / 'pictures'}") == 0
    assert "2 computed, 2 there already." in capsys.readouterr().out
    times = {path: path.stat().st_mtime_ns for path in store.rglob("*.npy")}
    assert call(cdnet, store, *options, "--taus=[1,5]") == 0
    assert "0 computed, 4 there already." in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.npy")} == times
    scene = CDnet2014().scenes(cdnet, ["highway"])[0]
    stored = SceneFrames(scene, (32, 24), FrameStore(store), FarnebackFlow())
    assert stored.missing_motion((1, 5)) == []
    decoded = SceneFrames(scene, (32, 24), flow=FarnebackFlow())
    for number in (1, 3, 26):
        np.testing.assert_array_equal(stored.hop(number, (1, 5)), decoded.hop(number, (1, 5)))
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"baseline_highway.png", "thermal_park.png"}
    picture = cv2.imread(str(tmp_path / "pictures/thermal_park.png"))
    assert picture is not None
    assert picture.shape == (22 + 240 + 22, 3 * 324, 3)


def test_a_method_with_settings_of_its_own(cdnet: Path, tmp_path: Path) -> None:
    options = ("--scene=[highway]", "--settings=DisFlow", "--settings.preset=fast", "--taus=[1]")
    assert call(cdnet, tmp_path / "store", *options) == 0
    assert {path.name for path in (tmp_path / "store").rglob("*.npy")} == {"flow_dis_fast_tau1_32x24.npy"}


def test_flow_files(cdnet: Path, tmp_path: Path, fails: Fails) -> None:
    folder = tmp_path / "selflow"
    options = ("--scene=[highway]", "--method=files", f"--files={folder}", "--taus=[1]")
    assert "flow.init_args.folder" in fails(call(cdnet, tmp_path / "store", *options))
    for number in range(2, 27):
        path = folder / f"highway/{number}_1.flo"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.writeOpticalFlow(str(path), np.full((48, 64, 2), (0, number / 8), np.float32))
    message = fails(call(cdnet, tmp_path / "store", *options))
    assert f"{folder}/baseline/highway/tau1/000002.flo: " in message
    assert call(cdnet, tmp_path / "store", *options, "--pattern={video}/{number}_{tau}.flo") == 0
    stored = np.load(next((tmp_path / "store").rglob("flow_files_selflow_tau1_32x24.npy")))
    np.testing.assert_array_equal(stored, np.broadcast_to(np.array([0, *range(2, 27)])[:, None, None], (26, 24, 32)))


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--store=null"], ["--store: name the folder"]),
        (["--dataset=CDnet2013"], ["--dataset", "'CDnet2013'", "Did you mean CDnet2014"]),
        (["--scene=[higway]"], ["'higway'", "highway"]),
        (["--taus=[]"], ["--taus"]),
        (["--taus=[0,1]"], ["--taus", "[0, 1]"]),
        (["--taus=[1,1]"], ["--taus", "[1, 1]"]),
        (["--width=8"], ["--width", "8"]),
        (["--workers=0"], ["--workers", "0"]),
        (["--method=files"], ["--files FOLDER"]),
        (["--files=x"], ["--method files"]),
        (["--pattern=x"], ["--method files"]),
        (["--method=selflow"], ["selflow", "dis"]),
        (["--settings=DisFlow", "--settings.preset=best"], ["best", "medium"]),
    ],
)
def test_options_that_make_no_sense(
    cdnet: Path, tmp_path: Path, fails: Fails, options: list[str], parts: list[str]
) -> None:
    message = fails(call(cdnet, tmp_path / "store", *options))
    for part in parts:
        assert part in message
    assert not (tmp_path / "store").exists()


def test_an_experiment_names_its_method(run: Callable[..., int], tmp_path: Path) -> None:
    part = "data: {init_args: {flow: {class_path: bgsub_lightning.frames.LucasKanadeFlow, init_args: {spacing: 8}}}}"
    (tmp_path / "flow.yaml").write_text(part)
    assert run("fit", "--trainer.max_steps=1", f"--config={tmp_path / 'flow.yaml'}") == 0
    chosen = yaml.safe_load((tmp_path / "run/config.yaml").read_text())["data"]["init_args"]["flow"]
    assert chosen["class_path"] == "bgsub_lightning.frames.LucasKanadeFlow"
    assert chosen["init_args"] == {"spacing": 8, "winsize": 21, "levels": 3}


def test_an_experiment_whose_flow_cannot_be_used(run: Callable[..., int], fails: Fails) -> None:
    options = ("--data.init_args.flow=FlowFiles", "--data.init_args.flow.init_args.folder=/no/such/folder")
    assert "/no/such/folder: " in fails(run("fit", *options))


def start(root: Path, store: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bgsub_lightning", "flow", f"--root={root}", f"--store={store}", "--workers=2"]
    options = ["--scene=[highway]", "--width=64", "--height=48", "--taus=[1,2]"]
    return subprocess.Popen(
        [*command, *options], start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(store: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    while not list(store.rglob(pattern)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.fixture
def long_video(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    make_video(tmp_path / "data", "baseline", "highway", size=(320, 240), unlabelled=100, labelled=20)
    return tmp_path / "data"


def alive(group: int) -> bool:
    states = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        states += [fields[0]] if int(fields[2]) == group else []
    return bool(set(states) - {"Z"})


def wait_for_the_end_of(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while alive(process.pid):
        assert time.monotonic() < deadline, "the processes outlive the first one"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["group", "parent"])
def test_killed_and_started_again(long_video: Path, tmp_path: Path, whom: str) -> None:
    store = tmp_path / "store"
    process = start(long_video, store)
    wait_for(store, "*tau2*.partial-*", process)  # the first interval is written, the second begun
    if whom == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()
    wait_for_the_end_of(process)
    assert {path.name for path in store.rglob("*.npy")} == {"flow_dis_medium_tau1_64x48.npy"}
    again = start(long_video, store)
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert "1 computed, 1 there already." in out
    never = start(long_video, tmp_path / "never")
    never.communicate()
    assert never.returncode == 0
    for name in ("flow_dis_medium_tau1_64x48", "flow_dis_medium_tau2_64x48"):
        for end in ("npy", "json"):
            found = [next(folder.rglob(f"{name}.{end}")).read_bytes() for folder in (store, tmp_path / "never")]
            assert found[0] == found[1]


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly(long_video: Path, tmp_path: Path) -> None:
    process = start(long_video, tmp_path / "store")
    wait_for(tmp_path / "store", "*.partial-*", process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert not list((tmp_path / "store").rglob("*.partial-*"))
    wait_for_the_end_of(process)
