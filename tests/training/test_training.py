"""fit, test and predict through the real command line."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.loggers import WandbLogger

from bgsub_lightning.cli import main
from bgsub_lightning.training.cli import TrainingCLI, run_trainer

Run = Callable[..., int]


def official_counts(results: Path, dataset: Path, key: str) -> list[int]:
    """Score mask files pixel class by pixel class, in numpy and from the files alone."""
    roi = cv2.imread(str(dataset / key / "ROI.bmp"), cv2.IMREAD_GRAYSCALE) > 0
    tp = fp = fn = tn = se = 0
    for number in range(21, 27):
        truth = cv2.imread(str(dataset / key / f"groundtruth/gt{number:06d}.png"), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(results / key / f"bin{number:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(mask)) <= {0, 255}
        assert mask.shape == truth.shape
        for level, said in zip(truth[roi].tolist(), (mask[roi] == 255).tolist(), strict=True):
            tp += level == 255 and said
            fn += level == 255 and not said
            fp += level in {0, 50, 85} and said
            tn += level in {0, 50, 85} and not said
            se += level == 50 and said
    return [tp, fp, fn, tn, se]


def scores(folder: Path) -> dict[str, dict[str, object]]:
    return json.loads((folder / "scores.json").read_text())


@pytest.fixture
def trained(run: Run, tmp_path: Path) -> Path:
    assert run("fit") == 0
    return tmp_path / "run"


def test_fit_leaves_a_whole_run_directory(trained: Path) -> None:
    made = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    assert {"config.yaml", "finished.json", "checkpoints/last.ckpt", "checkpoints/best.ckpt"} <= made
    assert {"pictures/validation_step0000018.png", "pictures/validation_background_step0000018.png"} <= made
    assert not [name for name in made if "partial" in name]
    with (trained / "csv/version_0/metrics.csv").open() as file:
        logged = list(csv.DictReader(file))
    columns = {name for row in logged for name, value in row.items() if value}
    assert {"train/loss/segmentation", "train/loss/total", "val/f_measure", "val/pwc", "val/loss"} <= columns
    validated = [row for row in logged if row["val/f_measure"]]
    assert len(validated) == 2
    for row in validated:
        assert float(row["val/best_f_measure"]) >= float(row["val/f_measure"])
        assert 0 <= float(row["val/best_threshold"]) <= 1
        assert 0 <= float(row["val/mean_dice"]) <= 1
    assert yaml.safe_load((trained / "config.yaml").read_text())["model"]["init_args"]["channels"] == 4
    checkpoint = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["trained_on"] == {
        f"CDnet2014:{key}": [[21, 26]] for key in ("baseline/PETS2006", "baseline/office", "thermal/park")
    }


def test_each_validation_is_of_its_own_frames_alone(run: Run, trained: Path) -> None:
    assert run("validate", "--ckpt_path=last") == 0
    names = ("val/f_measure", "val/mean_dice", "val/best_threshold", "val/best_f_measure")
    last = []
    for version in (0, 1):
        with (trained / f"csv/version_{version}/metrics.csv").open() as file:
            (*_, row) = (row for row in csv.DictReader(file) if row["val/f_measure"])
        last.append([float(row[name]) for name in names])
    assert last[0] == pytest.approx(last[1], abs=1e-6)  # nothing of the epoch before is in the second's


def test_scores_are_those_of_the_predicted_masks(run: Run, trained: Path, cdnet: Path) -> None:
    assert run("test") == 0
    assert run("predict") == 0
    assert {path.name for path in trained.glob("*.yaml")} == {"config.yaml", "test.yaml", "predict.yaml"}
    found = scores(trained)
    assert found["leakage"] == "unseen scenes"
    assert set(found["videos"]) == {"baseline/highway", "shadow/bungalows"}
    for key, video in found["videos"].items():
        assert video["counts"] == official_counts(trained / "results", cdnet, key)
        assert video["frames"] == 6
    with (trained / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["video"], int(row["frame"])) for row in rows] == [
        (key, number) for key in ("baseline/highway", "shadow/bungalows") for number in range(21, 27)
    ]
    for key, video in found["videos"].items():
        columns = [[int(row[name]) for row in rows if row["video"] == key] for name in found["counts"]]
        assert [sum(column) for column in columns] == video["counts"]
    assert {row["trained_on"] for row in rows} == {"0"}


def test_prediction_covers_the_temporal_roi_and_nothing_else(
    run: Run, trained: Path, cdnet: Path, make_video: Callable[..., Path]
) -> None:
    make_video(cdnet, "shadow", "withheld", withheld=2)  # unlisted: dealt to fold 1
    assert run("predict") == 0
    made = sorted(path.name for path in (trained / "results/shadow/withheld").iterdir())
    assert made == [f"bin{number:06d}.png" for number in range(21, 29)]


@pytest.mark.parametrize("options", [["--data.init_args.eval_batch_size=1"], ["--data.init_args.num_workers=2"]])
def test_scores_do_not_depend_on_batches_or_workers(run: Run, trained: Path, options: list[str]) -> None:
    assert run("test", "--data.init_args.eval_batch_size=4") == 0
    first = scores(trained)["videos"]
    assert run("test", *options) == 0
    assert scores(trained)["videos"] == first


def test_scores_do_not_depend_on_the_store(run: Run, trained: Path, tmp_path: Path) -> None:
    assert run("test") == 0
    first = scores(trained)["videos"]
    assert run("test", f"--data.init_args.store={tmp_path / 'store'}") == 0
    assert list((tmp_path / "store").rglob("frames_32x24.npy"))
    assert scores(trained)["videos"] == first


def test_draws_are_averaged_and_their_spread_is_printed(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", "--trainer.max_steps=1") == 0  # undecided weights, so that the draws make a difference
    trained = tmp_path / "run"
    assert run("test", "--model.init_args.reference_draws=3") == 0
    draws = [video["draws"] for video in scores(trained)["videos"].values()]
    assert [len(of_video) for of_video in draws] == [3, 3]
    assert len({tuple(draw) for draw in draws[0]}) > 1
    assert "3 draws of references averaged" in capfd.readouterr().out
    assert run("test") == 0
    assert [video["counts"] for video in scores(trained)["videos"].values()] == [of_video[0] for of_video in draws]


def test_other_seed_draws_other_references(run: Run, tmp_path: Path) -> None:
    assert run("fit", "--trainer.max_steps=1") == 0  # undecided weights, as above
    assert run("test") == 0
    first = scores(tmp_path / "run")["videos"]
    assert run("test", "--data.init_args.seed=1") == 0
    assert scores(tmp_path / "run")["videos"] != first


def test_finished_run_started_again_does_nothing(run: Run, trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = (trained / "checkpoints/last.ckpt").read_bytes()
    with pytest.raises(SystemExit) as exit_:
        run("fit", "--ckpt_path=last")
    assert exit_.value.code == 0
    assert "finished" in capfd.readouterr().out
    assert (trained / "checkpoints/last.ckpt").read_bytes() == before


def test_finished_run_goes_on_when_more_is_asked(run: Run, trained: Path) -> None:
    assert run("fit", "--ckpt_path=last", "--trainer.max_epochs=3") == 0
    assert json.loads((trained / "finished.json").read_text()) == {"steps": 27, "epochs": 3}
    assert yaml.safe_load((trained / "config.yaml").read_text())["ckpt_path"] is None
    assert torch.load(trained / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 27


def test_dry_run_leaves_the_directory_free(run: Run, tmp_path: Path) -> None:
    assert run("fit", "--trainer.fast_dev_run=true") == 0
    assert not list(tmp_path.rglob("*.ckpt"))
    assert run("fit", "--trainer.max_steps=1") == 0


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_lower_precision(run: Run, tmp_path: Path, precision: str) -> None:
    assert run("fit", f"--trainer.precision={precision}") == 0
    assert run("test", f"--trainer.precision={precision}") == 0
    assert set(scores(tmp_path / "run")["videos"]) == {"baseline/highway", "shadow/bungalows"}


def test_same_seed_same_weights_other_seed_others(run: Run, tmp_path: Path) -> None:
    def weights(name: str, *options: str) -> dict[str, torch.Tensor]:
        assert run("fit", *options, run_dir=tmp_path / name) == 0
        return torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]

    first, same = weights("a"), weights("b", "--data.init_args.num_workers=2")
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    other = weights("c", "--data.init_args.seed=1")
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_wandb_offline_needs_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert run("fit", "--wandb=offline", "--trainer.max_steps=2") == 0
    assert list((tmp_path / "run/wandb").rglob("*.wandb"))
    assert "wandb_id" in (tmp_path / "run/run.json").read_text()


class AtTheEnd(TrainingCLI):
    """Reads what the run at W&B has kept, before the command ends it."""

    def after_fit(self) -> None:
        wandb = next(logger for logger in self.trainer.loggers if isinstance(logger, WandbLogger))
        self.kept = {key: wandb.experiment.summary[key] for key in ("val/f_measure", "val/loss")}


def test_wandb_keeps_the_best_validation(tiny: Path, tmp_path: Path) -> None:
    options = ["--config", str(tiny), f"--run_dir={tmp_path / 'run'}", "--wandb=offline", "--trainer.max_epochs=3"]
    kept, last = run_trainer("fit", options, AtTheEnd).kept.values()
    with next((tmp_path / "run/csv").rglob("metrics.csv")).open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/f_measure"]]
    assert len(rows) == 3
    assert dict(kept) == {"max": pytest.approx(max(float(row["val/f_measure"]) for row in rows))}
    assert last == pytest.approx(float(rows[-1]["val/loss"]))


def test_runs_of_an_agent_have_directories_of_their_own(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SWEEP_ID", "s1w2")
    monkeypatch.setenv("WANDB_RUN_ID", "r3")
    options = ["fit", "--config", str(tiny), "--trainer.max_steps=1"]
    assert main([*options, "--ckpt_path=last"]) == 0
    assert (tmp_path / "runs/s1w2/r3/finished.json").is_file()
    monkeypatch.setenv("WANDB_RUN_ID", "r4")
    assert main([*options, f"--run_dir={tmp_path / 'elsewhere'}", "--wandb=offline"]) == 0
    assert json.loads((tmp_path / "elsewhere/run.json").read_text())["wandb_id"] == "r4"
    assert {path.name for path in (tmp_path / "runs/s1w2").iterdir()} == {"r3"}


def test_subtractors_see_the_frames_before(run: Run, tmp_path: Path, cdnet: Path) -> None:
    """MOG2 by the harness is MOG2 by hand: every frame from the first, at the frames' own size."""
    config = tmp_path / "mog2.yaml"
    config.write_text((Path(__file__).parents[2] / "experiments/mog2.yaml").read_text().replace("parts/", "none/"))
    content = yaml.safe_load(config.read_text())
    content["trainer"] = {"accelerator": "cpu", "enable_progress_bar": False, "use_distributed_sampler": False}
    content["data"]["init_args"] |= {"root": str(cdnet), "num_workers": 0, "eval_batch_size": 5}
    config.write_text(yaml.safe_dump(content))
    assert main(["test", "--config", str(config), f"--run_dir={tmp_path / 'mog2'}"]) == 0
    for key, video in scores(tmp_path / "mog2")["videos"].items():
        subtractor = cv2.createBackgroundSubtractorMOG2()
        results = tmp_path / "by_hand" / key
        results.mkdir(parents=True)
        for number in range(1, 27):
            mask = subtractor.apply(cv2.imread(str(cdnet / key / f"input/in{number:06d}.jpg")))
            cv2.imwrite(str(results / f"bin{number:06d}.png"), np.where(mask == 255, np.uint8(255), np.uint8(0)))
        assert video["counts"] == official_counts(tmp_path / "by_hand", cdnet, key)


def test_report_compares_runs_on_the_same_frames(
    run: Run, trained: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("test") == 0
    assert run("test", "--ckpt_path=best", f"--run_dir={tmp_path / 'run'}", "--data.init_args.seed=0") == 0
    capfd.readouterr()
    assert main(["report", str(trained), str(trained / "scores.json"), "--by_video=true"]) == 0
    output = capfd.readouterr().out
    assert "F of run" in output
    assert "highway" in output
    assert f"{scores(trained)['metrics']['overall']['f_measure']:.4f}" in output


@pytest.mark.slow
def test_two_processes_score_and_train_as_one(run: Run, tiny: Path, trained: Path, tmp_path: Path) -> None:
    assert run("test") == 0
    alone = scores(trained)["videos"]
    command = [sys.executable, "-m", "bgsub_lightning", "test", "--config", str(tiny), f"--run_dir={trained}"]
    two = ["--trainer.devices=2", "--trainer.strategy=ddp", "--data.init_args.eval_batch_size=5"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *two], check=True, env=environment, timeout=300)
    assert scores(trained)["videos"] == alone
    with (trained / "frames.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 12

    command[3:] = ["fit", "--config", str(tiny), f"--run_dir={tmp_path / 'two'}", "--data.init_args.batch_size=1"]
    subprocess.run([*command, *two[:2]], check=True, env=environment, timeout=300)
    one = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    both = torch.load(tmp_path / "two/checkpoints/last.ckpt", weights_only=True)
    assert both["global_step"] == one["global_step"]
