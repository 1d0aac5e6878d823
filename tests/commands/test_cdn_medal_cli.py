"""The shipped experiment of CDN-MEDAL-net through the real command line, on tiny videos and for a few steps."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from bgsub_lightning.cli import main

SMALL = Path(__file__).parents[2] / "experiments/cdn_medal_small.yaml"
Medal = Callable[..., int]
Fails = Callable[[int], str]


@pytest.fixture
def options(cdnet: Path, tmp_path: Path) -> list[str]:
    """The small experiment with few steps and frames; the frames of ``cdnet`` are not those of the published list."""
    given = {
        "data.init_args.root": cdnet,
        "data.init_args.store": tmp_path / "store",
        "data.init_args.num_workers": 0,
        "data.init_args.protocol.init_args.drawn": "random",
        "data.init_args.protocol.init_args.frames": 3,
        "model.init_args.density.steps": 4,
        "model.init_args.density.batch_size": 32,
        "model.init_args.difference.steps": 8,
        "trainer.accelerator": "cpu",
        "trainer.enable_progress_bar": "false",
        "trainer.log_every_n_steps": 1,
        "wandb": "disabled",
    }
    return ["--config", str(SMALL), *(f"--{key}={value}" for key, value in given.items())]


@pytest.fixture
def medal(options: list[str], tmp_path: Path) -> Medal:
    """Runs a command for one scene, in ``tmp_path/run``."""

    def call(command: str, *more: str, scene: str = "baseline/highway") -> int:
        return main([command, *options, f"--data.init_args.scene={scene}", f"--run_dir={tmp_path / 'run'}", *more])

    return call


def test_fit_test_predict(medal: Medal, cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    assert medal("fit") == 0
    output = capfd.readouterr().out
    assert "CdnMedal, 3,500 parameters" in output
    assert re.search(r"density 4 .*32.*difference 8 .*1\b", output)
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    checkpoints = {f"checkpoints/{name}.ckpt" for name in ("last", "best", "after_density")}
    assert {"config.yaml", "finished.json", *checkpoints} <= made
    for step in (3, 6, 9, 12):
        assert f"pictures/validation_background_step{step:07d}.png" in made
    assert any(name.startswith("store/CDnet2014/baseline/highway/background_") for name in made)
    saved = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    assert saved["global_step"] > 4
    assert set(saved["trained_on"]) == {"CDnet2014:baseline/highway"}
    assert yaml.safe_load((folder / "config.yaml").read_text())["data"]["init_args"]["scene"] == "baseline/highway"

    assert medal("test") == 0
    assert "seen scenes, unseen frames" in " ".join(capfd.readouterr().out.split())
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["system"] == "CdnMedal"
    assert list(scores["videos"]) == ["baseline/highway"]
    video = scores["videos"]["baseline/highway"]
    assert (video["frames"], video["frames_with_training"]) == (3, 6)
    assert {"test.png", "test_background.png"} <= {path.name for path in (folder / "pictures").iterdir()}

    assert medal("predict", "--backgrounds.every=1", "--data.init_args.eval_batch_size=1") == 0
    masks = sorted(path.name for path in (folder / "results/baseline/highway").iterdir())
    assert masks == [f"bin{number:06d}.png" for number in range(21, 27)]
    pictures = {path.name for path in (folder / "backgrounds/baseline/highway").iterdir()}
    kinds = ["background", *(f"{what}_of_component_{k}" for what in ("weight", "spread") for k in (1, 2, 3))]
    assert pictures == {f"{number:06d}_{kind}.png" for number in range(21, 27) for kind in kinds}
    with (folder / "frames.csv").open() as file:
        rows = {int(row["frame"]): row for row in csv.DictReader(file)}
    roi = cv2.imread(str(cdnet / "baseline/highway/ROI.bmp"), cv2.IMREAD_GRAYSCALE) > 0
    for number, row in rows.items():  # predicted and tested by the same stream
        mask = cv2.imread(str(folder / f"results/baseline/highway/bin{number:06d}.png"), cv2.IMREAD_GRAYSCALE)
        truth = cv2.imread(str(cdnet / f"baseline/highway/groundtruth/gt{number:06d}.png"), cv2.IMREAD_GRAYSCALE)
        said, moving, still = mask[roi] == 255, truth[roi] == 255, np.isin(truth[roi], (0, 50, 85))
        counts = {"TP": said & moving, "FP": said & still, "FN": ~said & moving, "TN": ~said & still}
        assert {name: int(row[name]) for name in counts} == {name: int(found.sum()) for name, found in counts.items()}


def test_scene_names_the_directory(options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fit", *options, "--data.init_args.scene=shadow/bungalows", "--trainer.max_steps=2"]) == 0
    assert (tmp_path / "runs/cdn_medal_small/shadow_bungalows/config.yaml").is_file()


@pytest.mark.parametrize(
    ("scene", "near"), [("baseline/higway", "baseline/highway"), ("bungalow", "bungalows"), ("[shaddow]", "shadow")]
)
def test_near_names_of_a_scene_that_is_not_there(medal: Medal, fails: Fails, scene: str, near: str) -> None:
    message = fails(medal("fit", scene=scene))
    assert f"data.init_args.scene: '{scene.strip('[]')}' is no video and no category" in message
    assert "Did you mean" in message
    assert near in message


@pytest.mark.parametrize(
    ("option", "parts"),
    [
        ("--trainer.max_epochs=3", ["trainer.max_epochs", "12 steps", "got 3", "--model.init_args.difference.steps"]),
        ("--trainer.accumulate_grad_batches=2", ["trainer.accumulate_grad_batches", "got 2"]),
        ("--model.init_args.density.steps=0", ["model.init_args", "steps: ", "got 0"]),
        ("--model.init_args.difference.lr=-1", ["model.init_args", "lr: ", "got -1"]),
        ("--model.init_args.threshold=1", ["model.init_args.threshold", "1"]),
        ("--model.init_args.background.init_args.components=0", ["components: ", "got 0"]),
        ("--model.init_args.background.init_args.history=100", ["history", "100"]),
        ("--model.init_args.sigmoid=soft", ["sigmoid", "soft"]),
        ("--data.init_args.protocol.init_args.frames=6", ["protocol.init_args.frames", "to test; got all 6"]),
        ("--data.init_args.protocol.init_args.drawn=fgsegnet", ["fgsegnet", "drawn"]),
        ("--backgrounds.every=-1", ["backgrounds.every", "-1"]),
    ],
)
def test_mistakes(medal: Medal, fails: Fails, tmp_path: Path, option: str, parts: list[str]) -> None:
    if "fgsegnet" in option:
        option = f"{option} --data.init_args.protocol.init_args.frames=200"
    message = fails(medal("fit", *option.split()))
    for part in parts if "fgsegnet" not in option else ["200 frames"]:
        assert part in message
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize("source", ["TemporalMedian", "Mog2Background"])
def test_backgrounds_without_learning(medal: Medal, tmp_path: Path, source: str) -> None:
    chosen = [f"--model.init_args.background={source}"]
    assert medal("fit", *chosen) == 0
    assert not (tmp_path / "run/checkpoints/after_density.ckpt").exists()
    assert medal("test", *chosen) == 0
    assert json.loads((tmp_path / "run/scores.json").read_text())["videos"]["baseline/highway"]["frames"] == 3


def test_a_checkpoint_of_other_backgrounds_is_refused(
    medal: Medal, fails: Fails, capfd: pytest.CaptureFixture[str]
) -> None:
    assert medal("fit", "--trainer.max_steps=2") == 0
    capfd.readouterr()
    message = fails(medal("test", "--model.init_args.background.init_args.components=2"))
    assert "another CdnMedal" in message


def test_a_finished_run_does_nothing_more(medal: Medal, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert medal("fit") == 0
    before = (tmp_path / "run/checkpoints/last.ckpt").read_bytes()
    capfd.readouterr()
    with pytest.raises(SystemExit) as exit_:
        medal("fit", "--ckpt_path=last")
    assert exit_.value.code == 0
    assert "finished" in capfd.readouterr().out
    assert (tmp_path / "run/checkpoints/last.ckpt").read_bytes() == before


@pytest.mark.slow
def test_two_processes(options: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two scenes are shared; one is refused, instead of waiting for a process that has nothing to do."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    two = ["--trainer.devices=2"]
    scenes = "--data.init_args.scene=[baseline/highway,shadow/bungalows]"

    def start(command: str, folder: str, *more: str) -> int:
        call = [sys.executable, "-m", "bgsub_lightning", command, *options, f"--run_dir={tmp_path / folder}", *more]
        return subprocess.run(call, env=environment, timeout=300, check=False).returncode

    assert start("fit", "two", scenes, *two) == 0
    after = torch.load(tmp_path / "two/checkpoints/after_density.ckpt", weights_only=True)["state_dict"]
    last = torch.load(tmp_path / "two/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 12
    for name, value in last["state_dict"].items():
        assert torch.equal(value, after[name]) == name.startswith("background"), name

    found = []
    for more in ([], two, [*two, "--data.init_args.eval_batch_size=5"]):
        assert start("test", "two", scenes, *more) == 0
        with (tmp_path / "two/frames.csv").open() as file:
            found.append((json.loads((tmp_path / "two/scores.json").read_text())["videos"], list(csv.DictReader(file))))
    assert found[0] == found[1] == found[2]
    assert list(found[0][0]) == ["baseline/highway", "shadow/bungalows"]

    capfd.readouterr()
    assert start("fit", "one", "--data.init_args.scene=baseline/highway", *two) != 0
    assert re.search(r"trainer\.devices: .*at most 1\b.*got 2\b", capfd.readouterr().err)
