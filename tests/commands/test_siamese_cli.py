"""The small experiment of the siamese system through the real command line, on tiny videos, for a few steps."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tiny_training import assert_same_run, content, kill_within, moved, start, weights

from bgsub_lightning.cli import main
from bgsub_lightning.evaluation import TestResult

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SCENES = ("baseline/highway", "shadow/bungalows")
TINY = {
    "data.init_args.num_workers": 0,
    "data.init_args.size": "[32, 24]",
    "data.init_args.protocol.init_args.exclude": "[]",
    "data.init_args.protocol.init_args.train": 0.34,
    "data.init_args.protocol.init_args.val": 0.34,
    "data.init_args.eval_batch_size": 2,
    "model.init_args.width": 2,
    "model.init_args.channels": 2,
    "model.init_args.depth": 2,
    "model.init_args.metric.steps": 4,
    "model.init_args.segment.steps": 4,
    "trainer.accelerator": "cpu",
    "trainer.enable_progress_bar": "false",
    "trainer.log_every_n_steps": 1,
    "trainer.val_check_interval": 0.25,
    "wandb": "disabled",
}
Run = Callable[..., int]
Fails = Callable[[int], str]


@pytest.fixture
def options(cdnet: Path, tmp_path: Path) -> list[str]:
    """The small experiment with tiny networks and few steps; of 6 labelled frames of a scene 2 train, 2 validate."""
    given = {"data.init_args.root": cdnet, "data.init_args.store": tmp_path / "store", **TINY}
    given["data.init_args.scene"] = f"[{','.join(SCENES)}]"
    return ["--config", str(EXPERIMENTS / "siamese_small.yaml"), *(f"--{key}={value}" for key, value in given.items())]


@pytest.fixture
def run(options: list[str], tmp_path: Path) -> Run:
    """Runs a command in ``tmp_path/run``."""

    def call(command: str, *more: str, run: str = "run") -> int:
        return main([command, *options, f"--run_dir={tmp_path / run}", *more])

    return call


def scores(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "scores.json").read_text())


def frames_of(folder: Path, key: str) -> dict[int, dict[str, str]]:
    with (folder / "frames.csv").open() as file:
        return {int(row["frame"]): row for row in csv.DictReader(file) if row["video"] == key}


def test_fit_test_predict(run: Run, cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    assert run("fit") == 0
    output = " ".join(capfd.readouterr().out.split())
    assert "in stages: metric 4 steps of 4, then segment 4 steps of 4;" in output
    assert "No pretrained weights are given: VGG's layers start from He's initialisation." in output
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    checkpoints = {f"checkpoints/{name}.ckpt" for name in ("last", "best", "after_metric")}
    assert {"config.yaml", "finished.json", *checkpoints} <= made
    assert "pictures/validation_inner_step0000008.png" in made
    compared, last = (weights(folder / f"checkpoints/{name}.ckpt") for name in ("after_metric", "last"))
    assert {name.split(".")[0] for name in moved(compared, last, "")} == {"segmentation"}
    with next(iter((folder / "csv").rglob("metrics.csv"))).open() as file:
        rows = list(csv.DictReader(file))
    assert sum(bool(row["train/loss/contrast"]) for row in rows) == 4
    assert sum(bool(row["train/loss/segmentation"]) for row in rows) == 4

    assert run("test") == 0
    assert "seen scenes, unseen frames" in " ".join(capfd.readouterr().out.split())
    found = scores(folder)
    assert (found["system"], found["leakage"]) == ("Siamese", "seen scenes, unseen frames")
    assert list(found["videos"]) == list(SCENES)
    assert {"test.png", "test_background.png", "test_inner.png"} <= {
        path.name for path in (folder / "pictures").iterdir()
    }
    trained = {
        key.removeprefix("CDnet2014:"): {n for first, last in ranges for n in range(first, last + 1)}
        for key, ranges in content(folder / "checkpoints/last.ckpt")["trained_on"].items()
    }
    for key, video in found["videos"].items():
        base, rows_ = video["base"], frames_of(folder, key)
        assert base in range(21, 27)
        assert base not in trained[key]
        assert set(rows_) == set(range(21, 27)) - trained[key] - {base}
        assert video["frames"] == 1
        tested = [row for row in rows_.values() if row["is_test"] == "1"]
        assert video["counts"] == [sum(int(row[name]) for row in tested) for name in ("TP", "FP", "FN", "TN", "SE")]
        assert TestResult.load(folder).videos[key].base == base

    assert run("predict", "--backgrounds.every=1") == 0
    for key in SCENES:  # the base as well, and the others as in the test
        roi = cv2.imread(str(cdnet / key / "ROI.bmp"), cv2.IMREAD_GRAYSCALE) > 0
        assert {path.name for path in (folder / "results" / key).iterdir()} == {
            f"bin{n:06d}.png" for n in range(21, 27)
        }
        assert found["threshold"] == content(folder / "checkpoints/best.ckpt")["validated"]["threshold"]
        for number, row in frames_of(folder, key).items():
            said = cv2.imread(str(folder / f"results/{key}/bin{number:06d}.png"), cv2.IMREAD_GRAYSCALE)[roi] == 255
            truth = cv2.imread(str(cdnet / key / f"groundtruth/gt{number:06d}.png"), cv2.IMREAD_GRAYSCALE)[roi]
            moving, static = truth == 255, np.isin(truth, (0, 50, 85))
            counts = {
                "TP": said & moving,
                "FP": said & static,
                "FN": ~said & moving,
                "TN": ~said & static,
                "SE": said & (truth == 50),
            }
            assert {name: int(row[name]) for name in counts} == {name: int(each.sum()) for name, each in counts.items()}
        pictures = {path.name.split("_", 1)[1] for path in (folder / "backgrounds" / key).iterdir()}
        assert pictures == {"base_image.png", "distance_from_the_base.png", "rounded.png", "fused_image.png"}


def test_a_base_that_the_user_names(
    run: Run, fails: Fails, cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", "--trainer.max_steps=6") == 0
    assert run("test", "--model.init_args.base=7", "--trainer.devices=1") == 0
    assert {video["base"] for video in scores(tmp_path / "run")["videos"].values()} == {7}
    assert {video["frames"] for video in scores(tmp_path / "run")["videos"].values()} == {2}
    capfd.readouterr()

    picture = tmp_path / "clean.png"
    image = cv2.imread(str(cdnet / SCENES[0] / "input/in000003.jpg"))
    assert image is not None
    cv2.imwrite(str(picture), image)
    one = [f"--data.init_args.scene={SCENES[0]}", f"--model.init_args.base={picture}"]
    assert run("test", *one) == 0
    assert scores(tmp_path / "run")["videos"][SCENES[0]]["base"] == str(picture)
    capfd.readouterr()
    cv2.imwrite(str(picture), image[:-1])
    message = " ".join(fails(run("test", *one)).split())
    assert f"{picture}: the base image is 64×47, and the frames of {SCENES[0]} are 64×48" in message
    assert "there is no such base image" in fails(run("test", one[0], "--model.init_args.base=none.png"))
    assert "the base image of one scene, and 2 are evaluated" in " ".join(fails(run("test", one[1])).split())
    assert "has no frame 99" in fails(run("test", "--model.init_args.base=99"))


def test_scenes_without_masks_are_predicted(
    run: Run, cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", "--trainer.max_steps=6") == 0
    for path in (cdnet / "shadow/bungalows/groundtruth").iterdir():
        path.unlink()
    subset = "{class_path: bgsub_lightning.splits.Subset, init_args: {test: [shadow]}}"
    assert run("predict", f"--data.init_args.protocol={subset}") == 0
    assert "none of the 6 frames are labelled; the first, 21, is the base image" in " ".join(
        capfd.readouterr().out.split()
    )
    assert len(list((tmp_path / "run/results/shadow/bungalows").iterdir())) == 6


def test_bases_of_single_scenes_and_of_a_former_test(
    run: Run, fails: Fails, cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = cdnet / SCENES[0] / "input/in000003.jpg"
    own = f"--model.init_args.base={{{SCENES[0]}: {picture}, elsewhere/video: 7}}"
    assert run("fit", "--trainer.max_steps=6", own) == 0  # of two scenes, one of which has a file
    output = " ".join(capfd.readouterr().out.split())
    assert "model.init_args.base: elsewhere/video: not evaluated here" in output
    assert run("test", own) == 0
    first = scores(tmp_path / "run")["videos"]
    assert first[SCENES[0]]["base"] == str(picture)
    assert first[SCENES[1]]["base"] in range(21, 27)

    kept = tmp_path / "kept.json"
    (tmp_path / "run/scores.json").rename(kept)
    assert run("test", f"--model.init_args.base={{{SCENES[1]}: 7}}") == 0
    other = scores(tmp_path / "run")["videos"]
    assert other[SCENES[1]]["base"] == 7
    assert isinstance(other[SCENES[0]]["base"], int)
    assert run("test", f"--model.init_args.base={kept}") == 0
    assert scores(tmp_path / "run")["videos"] == first
    capfd.readouterr()

    kept.write_text("{}")
    assert f"{kept}: " in fails(run("test", f"--model.init_args.base={kept}"))


def test_validation_ends_the_training_and_chooses_weights_and_threshold(
    run: Run, fails: Fails, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    early = ["--trainer.val_check_interval=1", "--early_stopping.patience=2", "--early_stopping.min_delta=2"]
    assert run("fit", *early) == 0  # no F-measure is better by 2 than the first one of the final stage, at step 5
    assert "Stopped early, after 7 steps: 2 validations in a row" in " ".join(capfd.readouterr().out.split())
    assert json.loads((folder / "finished.json").read_text()) == {"steps": 7, "epochs": 1, "patience": 2}
    with next(iter((folder / "csv").rglob("metrics.csv"))).open() as file:
        logged = {int(row["step"]) + 1: row for row in csv.DictReader(file) if row["val/f_measure"]}
    assert list(logged) == list(range(1, 8))
    best, last = (content(folder / f"checkpoints/{name}.ckpt") for name in ("best", "last"))
    highest = max((5, 6, 7), key=lambda step: float(logged[step]["val/best_f_measure"]))
    assert best["global_step"] == highest
    for checkpoint in (best, last):
        row, validated = logged[checkpoint["global_step"]], checkpoint["validated"]
        assert validated["threshold"] == pytest.approx(float(row["val/best_threshold"]))
        assert validated["f_measure"] == pytest.approx(float(row["val/best_f_measure"]))
        assert validated["kind"] == "held-out frames"

    assert run("test") == 0
    output, threshold = " ".join(capfd.readouterr().out.split()), best["validated"]["threshold"]
    assert f"Threshold {threshold:.2f}, chosen by validation on held-out frames." in output
    chosen = TestResult.load(folder)
    assert (chosen.threshold, chosen.threshold_from) == (threshold, "validation on held-out frames")
    assert str(chosen.checkpoint).endswith("checkpoints/best.ckpt")
    assert run("test", "--checkpoint=last", f"--model.init_args.threshold={threshold}") == 0
    named = TestResult.load(folder)
    assert (named.threshold, named.threshold_from) == (threshold, "")
    assert str(named.checkpoint).endswith("checkpoints/last.ckpt")
    assert "chosen by" not in capfd.readouterr().out

    with pytest.raises(SystemExit, match="0"):
        run("fit", *early, "--ckpt_path=last")
    (folder / "finished.json").unlink()  # as if killed between the last validation and the end
    assert run("fit", *early, "--ckpt_path=last") == 0
    assert json.loads((folder / "finished.json").read_text())["steps"] == 7
    assert run("fit", early[0], early[2], "--early_stopping.patience=9", "--ckpt_path=last") == 0
    assert json.loads((folder / "finished.json").read_text()) == {"steps": 8, "epochs": 1}
    capfd.readouterr()
    before = f"--ckpt_path={folder / 'checkpoints/after_metric.ckpt'}"
    assert "model.init_args.threshold: " in " ".join(fails(run("test", before)).split())
    (folder / "checkpoints/best.ckpt").unlink()
    assert "No validation has been made in the final stage yet" in " ".join(fails(run("test")).split())


@pytest.mark.parametrize(
    ("mistake", "parts"),
    [
        ({"model.init_args.pretrained.weights": "none.pth"}, ["none.pth", "no such file"]),
        ({"model.init_args.tau": 2}, ["model.init_args.tau", "between 1 and 2"]),
        ({"model.init_args.base": 99}, ["model.init_args.base", "no frame 99"]),
        ({"model.init_args.base": "{shadow/bungalows: 99}"}, ["shadow/bungalows has no frame 99"]),
        ({"model.init_args.base": "{shadow/bungalows: none.png}"}, ["none.png: there is no such base image"]),
        ({"model.init_args.base": "none.json"}, ["none.json: there is no such file"]),
        ({"model.init_args.threshold": "test"}, ["threshold"]),
        ({"early_stopping.patience": 0}, ["early_stopping.patience: ", "0"]),
        (
            {"data.init_args.protocol.init_args.train": 0.17, "model.init_args.base": 3},
            ["baseline/highway", "2 training frames", "got 1"],
        ),
    ],
)
def test_mistakes(run: Run, fails: Fails, tmp_path: Path, mistake: dict[str, Any], parts: list[str]) -> None:
    message = " ".join(fails(run("fit", *(f"--{key}={value}" for key, value in mistake.items()))).split())
    for part in parts:
        assert part in message
    assert not list(tmp_path.rglob("*.ckpt"))
    assert "base" not in str(mistake) or not (tmp_path / "store").exists()  # before anything takes time


def test_weights_of_another_architecture(run: Run, fails: Fails, tmp_path: Path) -> None:
    torch.save({"layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "resnet.pth")
    message = fails(run("fit", f"--model.init_args.pretrained.weights={tmp_path / 'resnet.pth'}"))
    assert "resnet.pth: holds no layer of a VGG-16" in message
    assert run("fit", "--trainer.max_steps=6") == 0
    message = " ".join(fails(run("test", "--model.init_args.width=4")).split())
    assert "weights of another Siamese" in message
    assert "--model.init_args.width=2" in message


# --- killed and continued --------------------------------------------------------------------------------------------

LONGER = [
    "--model.init_args.metric.steps=8",
    "--model.init_args.segment.steps=8",
    "--last.every_n_train_steps=1",
    "--data.init_args.num_workers=1",
    "--trainer.val_check_interval=5",
    "--pictures.scenes=0",
]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_in_each_stage_equals_uninterrupted(options: list[str], tmp_path: Path, processes: int) -> None:
    given = [*options, *LONGER, f"--trainer.devices={processes}"]
    assert start(tmp_path / "whole", *given).wait() == 0
    killed = tmp_path / "killed"
    for steps in (range(1, 8), range(9, 15)):
        kill_within(start(killed, *given, "--ckpt_path=last"), killed, steps)
    assert start(killed, *given, "--ckpt_path=last").wait() == 0
    assert_same_run(tmp_path / "whole", killed, 16, ["metric"])
