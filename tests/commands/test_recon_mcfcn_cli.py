"""The small experiment of reconstruction and MCFCN through the real command line, on tiny videos, for a few steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_training import assert_same_run, kill_within, start, weights

from bgsub_lightning.cli import main
from bgsub_lightning.evaluation import TestResult

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SCENE = "baseline/highway"
TINY = {
    "data.init_args.num_workers": 0,
    "model.init_args.bottleneck": 8,
    "model.init_args.width": 4,
    "model.init_args.mcfcn_width": 4,
    "model.init_args.size": 49,
    "model.init_args.reconstruct.steps": 4,
    "model.init_args.segment.steps": 3,
    "model.init_args.joint.steps": 3,
    "trainer.accelerator": "cpu",
    "trainer.enable_progress_bar": "false",
    "trainer.log_every_n_steps": 1,
    "wandb": "disabled",
}
Recon = Callable[..., int]
Fails = Callable[[int], str]


@pytest.fixture
def options(cdnet: Path, tmp_path: Path) -> list[str]:
    """The small experiment with tiny networks and few steps; of the 6 labelled frames of a scene 3 are trained on."""
    given = {"data.init_args.root": cdnet, "data.init_args.store": tmp_path / "store", **TINY}
    config = EXPERIMENTS / "recon_mcfcn_small.yaml"
    return ["--config", str(config), *(f"--{key}={value}" for key, value in given.items())]


@pytest.fixture
def recon(options: list[str], tmp_path: Path) -> Recon:
    """Runs a command for one scene, in ``tmp_path/run``."""

    def call(command: str, *more: str, scene: str = SCENE, run: str = "run") -> int:
        return main([command, *options, f"--data.init_args.scene={scene}", f"--run_dir={tmp_path / run}", *more])

    return call


def test_fit_test_and_the_background_alone(
    recon: Recon, fails: Fails, cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert recon("fit") == 0
    output = " ".join(capfd.readouterr().out.split())
    assert "in stages: reconstruct 4 steps of 4, then segment 3 steps of 2, then joint 3 steps of 1;" in output
    assert "No pretrained weights are given: VGG's layers start from He's initialisation." in output
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    checkpoints = {f"checkpoints/{name}.ckpt" for name in ("last", "best", "after_reconstruct", "after_segment")}
    assert {"config.yaml", "finished.json", *checkpoints} <= made
    assert "pictures/validation_background_step0000010.png" in made
    assert list((tmp_path / "store/CDnet2014" / SCENE).glob("truth_background*.npy"))  # for all runs of the store
    after, last = (
        weights(folder / "checkpoints/after_reconstruct.ckpt"),
        weights(folder / "checkpoints/after_segment.ckpt"),
    )
    for name, value in after.items():
        assert torch.equal(value, last[name]) or name.startswith("segmentation"), name

    assert recon("test") == 0
    assert "seen scenes, unseen frames" in " ".join(capfd.readouterr().out.split())
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["system"] == "ReconMcfcn"
    assert scores["leakage"] == "seen scenes, unseen frames"
    assert list(scores["videos"]) == [SCENE]
    assert scores["videos"][SCENE]["frames"] == 3
    assert {"test.png", "test_background.png"} <= {path.name for path in (folder / "pictures").iterdir()}
    assert recon("predict") == 0
    assert len(list((folder / f"results/{SCENE}").iterdir())) == 6  # the whole temporal ROI

    threshold = ["test", "--config", str(EXPERIMENTS / "threshold_reconstruction.yaml"), "--trainer.accelerator=cpu"]
    threshold += [f"--data.init_args.root={cdnet}", f"--data.init_args.scene={SCENE}", "--data.init_args.num_workers=0"]
    threshold += ["--model.init_args.background.init_args={bottleneck: 8, width: 4}"]
    threshold += ["--trainer.enable_progress_bar=false", f"--run_dir={tmp_path / 'baseline1'}"]
    capfd.readouterr()
    assert "ReconstructedBackground has weights, and none were given." in " ".join(fails(main(threshold)).split())
    assert main([*threshold, f"--ckpt_path={folder / 'checkpoints/after_reconstruct.ckpt'}"]) == 0
    assert "seen scenes, unseen frames" in " ".join(capfd.readouterr().out.split())
    result = TestResult.load(tmp_path / "baseline1")
    assert (result.system, result.leakage) == ("ThresholdedDifference", "seen scenes, unseen frames")
    assert result.videos[SCENE].frames == 3
    assert sum(result.videos[SCENE].counts[:4]) == sum(scores["videos"][SCENE]["counts"][:4])
    assert len(result.videos[SCENE].threshold_counts or ()) == 101


def test_a_later_stage_of_another_run(recon: Recon, fails: Fails, tmp_path: Path) -> None:
    assert recon("fit", "--trainer.max_steps=4") == 0
    initial = f"--initial_weights={tmp_path / 'run/checkpoints/after_reconstruct.ckpt'}"
    message = fails(recon("fit", "--model.init_args.begin=segment", run="later"))
    assert "model.init_args.begin: to begin with segment, name a checkpoint" in message
    assert recon("fit", "--model.init_args.begin=segment", initial, run="later") == 0
    folder = tmp_path / "later/checkpoints"
    names = {"after_segment", "best", "last", "previous", "weights"}
    assert {path.name for path in folder.iterdir()} == {f"{name}.ckpt" for name in names}
    before, after = weights(tmp_path / "run/checkpoints/after_reconstruct.ckpt"), weights(folder / "after_segment.ckpt")
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("reconstruction"))
    assert recon("test", "--model.init_args.begin=segment", initial, run="later") == 0
    assert recon("test", run="later") == 0  # what a run began with says nothing of its weights


@pytest.mark.parametrize(
    ("option", "parts"),
    [
        ("--model.init_args.size=240", ["model.init_args.size", "8k + 1", "240"]),
        ("--model.init_args.reconstruct.batch_size=1", ["reconstruct.batch_size", "2 frames", "got 1"]),
        ("--model.init_args.pretrained.weights=none.pth", ["none.pth", "no such file"]),
        ("--model.init_args.begin=middle", ["begin", "middle"]),
        ("--trainer.max_epochs=3", ["trainer.max_epochs", "10 steps", "--model.init_args.joint.steps"]),
    ],
)
def test_mistakes(recon: Recon, fails: Fails, tmp_path: Path, option: str, parts: list[str]) -> None:
    message = fails(recon("fit", option))
    for part in parts:
        assert part in message
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_training_half_without_foreground(
    recon: Recon, fails: Fails, cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in (21, 22, 23):
        path = cdnet / f"{SCENE}/groundtruth/gt{number:06d}.png"
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path), np.where(mask > 85, 0, mask))
    message = " ".join(fails(recon("fit")).split())
    assert f"{SCENE}: no foreground in its 3 training frames" in message
    assert "--data.init_args.paste=FOLDER" in message

    voc, image = tmp_path / "voc", np.full((60, 80, 3), 200, np.uint8)
    for part in ("JPEGImages", "SegmentationObject"):
        (voc / part).mkdir(parents=True)
    numbered = np.zeros((60, 80), np.uint8)
    numbered[10:50, 20:60] = 1
    cv2.imwrite(str(voc / "JPEGImages/a.jpg"), image)
    cv2.imwrite(str(voc / "SegmentationObject/a.png"), numbered)
    assert recon("fit", f"--data.init_args.paste={voc}") == 0
    assert f"No foreground in the training frames of {SCENE}" in " ".join(capfd.readouterr().out.split())
    assert recon("test", f"--data.init_args.paste={voc}") == 0


# --- killed and continued --------------------------------------------------------------------------------------------

LONGER = [
    "--model.init_args.reconstruct.steps=8",
    "--model.init_args.segment.steps=8",
    "--model.init_args.joint.steps=8",
    "--last.every_n_train_steps=1",
    "--data.init_args.num_workers=1",
    "--data.init_args.flip=0.5",
    "--trainer.val_check_interval=5",
    "--pictures.scenes=0",
]
END = 24
STAGES = ("reconstruct", "segment")


@pytest.mark.slow
def test_killed_in_each_stage_equals_uninterrupted(options: list[str], tmp_path: Path) -> None:
    one = [*options, f"--data.init_args.scene={SCENE}"]
    assert start(tmp_path / "whole", *one, *LONGER).wait() == 0
    killed = tmp_path / "killed"
    for steps in (range(1, 8), range(9, 16), range(17, 23)):
        kill_within(start(killed, *one, *LONGER, "--ckpt_path=last"), killed, steps)
    assert start(killed, *one, *LONGER, "--ckpt_path=last").wait() == 0
    assert_same_run(tmp_path / "whole", killed, END, STAGES)


@pytest.mark.slow
def test_two_processes_killed_in_the_second_stage(options: list[str], tmp_path: Path) -> None:
    two = [*options, "--data.init_args.scene=[baseline/highway,shadow/bungalows]"]
    two += ["--trainer.devices=2", "--trainer.strategy=ddp_find_unused_parameters_true"]
    assert start(tmp_path / "whole", *two, *LONGER).wait() == 0
    killed = tmp_path / "killed"
    kill_within(start(killed, *two, *LONGER), killed, range(9, 16))
    assert start(killed, *two, *LONGER, "--ckpt_path=last").wait() == 0
    assert_same_run(tmp_path / "whole", killed, END, STAGES)
    assert not list(killed.rglob("*.partial"))

    last = [weights(killed / f"checkpoints/{name}.ckpt") for name in ("after_reconstruct", "after_segment", "last")]
    for name in last[0]:
        assert torch.equal(last[0][name], last[1][name]) == name.startswith("reconstruction"), name
    statistics = [name for name in last[0] if name.endswith("running_mean")]
    assert statistics
    assert all(torch.equal(last[1][name], last[2][name]) for name in statistics)
