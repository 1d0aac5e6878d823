"""Validation that ends a fit, and chooses the threshold of a test, for a system that learns in epochs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer, seed_everything
from tiny_training import assert_alike, content, quiet, trainer

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import ScenesDataModule, Stage
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.splits import HoldOut, LabelBudget
from bgsub_lightning.systems.siamese import Siamese
from bgsub_lightning.training.callbacks import BestCheckpoint, EarlyStopping, LastCheckpoint

Run = Callable[..., int]
NEVER_BETTER = "--early_stopping.min_delta=2"  # than the first: F-measure lies in [0, 1]

pytestmark = quiet


def finished(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "finished.json").read_text())


def test_a_run_that_was_stopped_early_is_finished_until_it_is_given_more_patience(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    early = [NEVER_BETTER, "--trainer.max_epochs=4", "--pictures.scenes=0"]
    assert run("fit", *early, "--early_stopping.patience=1") == 0
    steps = finished(folder)["steps"]
    assert finished(folder) == {"steps": steps, "epochs": 2, "patience": 1}
    for more in ([], ["--trainer.max_epochs=9"]):
        with pytest.raises(SystemExit, match="0"):
            run("fit", *early, *more, "--early_stopping.patience=1", "--ckpt_path=last")
    assert run("fit", *early, "--early_stopping.patience=2", "--ckpt_path=last") == 0
    assert finished(folder) == {"steps": steps * 3 // 2, "epochs": 3, "patience": 2}
    assert run("fit", *early, "--ckpt_path=last") == 0  # without early stopping
    assert finished(folder) == {"steps": steps * 2, "epochs": 4}


def test_without_patience_nothing_changes(run: Run, tmp_path: Path) -> None:
    assert run("fit", NEVER_BETTER, "--pictures.scenes=0") == 0
    assert finished(tmp_path / "run")["epochs"] == 2
    assert "patience" not in finished(tmp_path / "run")


def test_the_threshold_of_validation_on_training_frames(run: Run, tmp_path: Path) -> None:
    """The frames that have chosen it are named; a number stays a number."""
    folder = tmp_path / "run"
    assert run("fit", "--trainer.max_epochs=1", "--pictures.scenes=0") == 0
    validated = content(folder / "checkpoints/last.ckpt")["validated"]
    assert validated["kind"] == "training frames"
    for given, threshold, by in (
        ("validation", validated["threshold"], "validation on training frames"),
        ("0.25", 0.25, ""),
        ("0", 0.0, ""),
    ):
        assert run("test", f"--model.init_args.threshold={given}") == 0
        result = TestResult.load(folder)
        assert (result.threshold, result.threshold_from) == (threshold, by)
        for video in result.videos.values():
            assert video.counts[:4] == video.threshold_counts[round(100 * threshold)]
    assert run("validate", "--model.init_args.threshold=validation") == 0


def test_no_patience_at_all() -> None:
    with pytest.raises(UserError, match=r"early_stopping\.patience: .*got 0\."):
        EarlyStopping(0)


# --- in stages, and continued ----------------------------------------------------------------------------------------


@pytest.fixture
def fit(tmp_path: Path, make_video: Callable[..., Path]) -> Callable[..., Trainer]:
    """Fits a tiny staged system: 3 steps of its first stage and 6 of its last, each followed by a validation."""
    make_video(tmp_path / "data", "baseline", "highway", size=(32, 24), unlabelled=2, labelled=10)

    def call(folder: Path, max_steps: int = -1, ckpt_path: Path | None = None, patience: int | None = 3) -> Trainer:
        stages = Stage(3, 2, 1e-3), Stage(6, 2, 1e-2)
        seed_everything(0 if ckpt_path is None else 7, verbose=False)  # what a resumed run begins with does not matter
        system = Siamese(2, 2, 2, metric=stages[0], segment=stages[1], threshold="validation")
        callbacks: Sequence[Any] = (EarlyStopping(patience, min_delta=2), BestCheckpoint(), LastCheckpoint(1))
        fitted = trainer(folder, callbacks, max_steps=max_steps, limit_val_batches=1.0, val_check_interval=1)
        protocol = LabelBudget(0.4, "random", validation=HoldOut(frames=4, fraction=0.3))
        data = ScenesDataModule(
            system.inputs, protocol, tmp_path / "data", plan=system.plan, size=None, num_workers=0, eval_batch_size=2
        )
        fitted.fit(system, data, ckpt_path=ckpt_path, weights_only=True)
        return fitted

    return call


def test_the_final_stage_alone_is_watched(fit: Callable[..., Trainer], tmp_path: Path) -> None:
    assert fit(tmp_path / "a").global_step == 7  # the first of the final stage is the best, and three are no better
    assert fit(tmp_path / "b", patience=None).global_step == 9


@pytest.mark.parametrize("steps", [2, 4, 6, 7])
def test_resume_stops_where_it_would_have_stopped(fit: Callable[..., Trainer], tmp_path: Path, steps: int) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fit(whole)
    fit(cut, max_steps=steps)
    last = cut / "checkpoints/last.ckpt"
    assert fit(tmp_path / "resumed", ckpt_path=last).global_step == 7
    resumed = last if steps == 7 else tmp_path / "resumed/checkpoints/last.ckpt"
    assert_alike(whole / "checkpoints/last.ckpt", resumed)
    assert content(whole / "checkpoints/last.ckpt")["validated"] == content(resumed)["validated"]
