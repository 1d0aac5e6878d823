"""A run that is stopped by a signal, at any moment, and continued ends as one that never was: bit for bit."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import wandb
from tiny_training import assert_alike, assert_same_run, content

Run = Callable[..., int]

EVERY = (  # 18 steps in two epochs; validations after 4, 8, 13 and 17; checkpoints after each third step, too
    "--trainer.val_check_interval=4",
    "--last.every_n_train_steps=3",
    "--data.init_args.eval_batch_size=1",
)
MOMENTS = [("step", 1), ("step", 4), ("step", 8), ("before_validation", 4), ("validation", 8), ("writing", 5)]


def interrupt(name: str, moment: str, step: int, **more: object) -> str:
    settings = {"name": name, "moment": moment, "step": step, **more}
    return "--trainer.callbacks=" + json.dumps([{"class_path": "signalling.Interrupt", "init_args": settings}])


def validated(folder: Path) -> dict[int, float]:
    """Step → the score that its validation has found, over all starts of a run."""
    found = {}
    for log in sorted(folder.glob("csv/version_*/metrics.csv")):
        with log.open() as file:
            rows = list(csv.DictReader(file))
        found |= {int(row["step"]): float(row["val/f_measure"]) for row in rows if row.get("val/f_measure")}
    return found


def fit(config: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bgsub_lightning", "fit", "--config", str(config), f"--run_dir={folder}"]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.run(
        [*command, *EVERY, *options],
        env=environment,
        start_new_session=True,
        timeout=300,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def whole(run: Run, tmp_path: Path) -> Path:
    """A run that nothing has stopped."""
    assert run("fit", *EVERY, run_dir=tmp_path / "whole") == 0
    return tmp_path / "whole"


def assert_continued(whole: Path, folder: Path) -> None:
    assert (folder / "finished.json").exists()
    assert_same_run(whole, folder, 18)
    assert validated(folder) == validated(whole)
    assert len(validated(whole)) == 4
    assert_alike(whole / "checkpoints/best.ckpt", folder / "checkpoints/best.ckpt")
    assert not list(folder.rglob("*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_stopped_by_a_signal_and_continued(
    run: Run, whole: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for moment, step in MOMENTS:
        folder = tmp_path / f"{moment}_{step}"
        before = signal.getsignal(signal.Signals[name])
        with pytest.raises(SystemExit) as exit_:
            run("fit", *EVERY, interrupt(name, moment, step), run_dir=folder)
        assert exit_.value.code == 128 + signal.Signals[name]
        assert signal.getsignal(signal.Signals[name]) == before
        assert f"Stopped by {name} after step" in capfd.readouterr().out
        reached = step if "validation" in moment else step + 1
        assert content(folder / "checkpoints/last.ckpt")["global_step"] == reached
        assert not (folder / "finished.json").exists()
        assert run("fit", *EVERY, "--ckpt_path=last", run_dir=folder) == 0
        assert_continued(whole, folder)


def test_stopped_within_a_batch(run: Run, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    with pytest.raises(SystemExit, match="143"):
        run("fit", *EVERY, interrupt("SIGTERM", "step", 9), run_dir=folder)
    assert run("fit", *EVERY, "--ckpt_path=last", run_dir=folder) == 0
    assert_continued(whole, folder)


def test_stopped_within_a_validation(run: Run, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    with pytest.raises(SystemExit, match="138"):
        run("fit", *EVERY, interrupt("SIGUSR1", "validation", 4), run_dir=folder)
    assert run("fit", *EVERY, "--ckpt_path=last", run_dir=folder) == 0
    assert_continued(whole, folder)


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "step"), MOMENTS)
def test_killed_and_continued(tiny: Path, whole: Path, tmp_path: Path, moment: str, step: int) -> None:
    folder = tmp_path / "killed"
    assert fit(tiny, folder, interrupt("SIGKILL", moment, step)).returncode == -signal.SIGKILL
    continued = fit(tiny, folder, "--ckpt_path=last")
    assert continued.returncode == 0, continued.stderr
    assert_continued(whole, folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_to_all_processes_spares_the_workers(tiny: Path, whole: Path, tmp_path: Path, name: str) -> None:
    folder, workers = tmp_path / "stopped", "--data.init_args.num_workers=2"
    for moment, step in (("step", 2), ("validation", 4)):
        stopped = fit(tiny, folder, workers, interrupt(name, moment, step, group=True))
        assert stopped.returncode == 128 + signal.Signals[name], stopped.stderr
        assert "Traceback" not in stopped.stderr
        assert fit(tiny, folder, workers, "--ckpt_path=last").returncode == 0
        assert_continued(whole, folder)
        folder = tmp_path / "stopped_again"


@pytest.mark.slow
def test_second_signal_ends_at_once(tiny: Path, tmp_path: Path) -> None:
    both = json.loads(interrupt("SIGTERM", "step", 4).partition("=")[2]) * 2
    stopped = fit(tiny, tmp_path / "stopped", f"--trainer.callbacks={json.dumps(both)}")
    assert stopped.returncode == -signal.SIGTERM
    assert content(tmp_path / "stopped/checkpoints/last.ckpt")["global_step"] == 4


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "rank"), [("step", 0), ("step", 1), ("validation", 0)])
def test_one_of_two_processes_is_signalled_and_both_stop(tiny: Path, tmp_path: Path, moment: str, rank: int) -> None:
    two = ("--trainer.devices=2", "--trainer.strategy=ddp", "--data.init_args.batch_size=1")
    assert fit(tiny, tmp_path / "whole", *two).returncode == 0
    folder = tmp_path / "stopped"
    stopped = fit(tiny, folder, *two, interrupt("SIGUSR1", moment, 4, rank=rank))
    assert stopped.returncode == 138, stopped.stderr
    assert content(folder / "checkpoints/last.ckpt")["global_step"] == (4 if moment == "validation" else 5)
    assert fit(tiny, folder, *two, "--ckpt_path=last").returncode == 0
    assert_continued(tmp_path / "whole", folder)


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [("SIGUSR1", False, "requeue 7\n"), ("SIGUSR1", True, "requeue 5_2\n"), ("SIGTERM", 0, "")],
)
def test_slurm_requeues_once_the_state_is_saved(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, array: bool, expected: str
) -> None:
    program, said = tmp_path / "bin/scontrol", tmp_path / "said"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nls "{tmp_path}/run/checkpoints" > "{tmp_path}/then"\necho "$@" >> "{said}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    job = {
        "NTASKS": "1",
        "JOB_NAME": "train",
        "JOB_ID": "7",
        "STEP_ID": "0",
        "PROCID": "0",
        "LOCALID": "0",
        "NODEID": "0",
    }
    job |= {"ARRAY_JOB_ID": "5", "ARRAY_TASK_ID": "2"} if array else {}
    for key, value in job.items():
        monkeypatch.setenv(f"SLURM_{key}", value)
    with pytest.raises(SystemExit, match=str(128 + signal.Signals[name])):
        run("fit", *EVERY, interrupt(name, "step", 1))
    assert (said.read_text() if said.exists() else "") == expected
    if expected:
        assert "last.ckpt" in (tmp_path / "then").read_text()
    assert not list((tmp_path / "run").glob("hpc_ckpt_*"))
    assert content(tmp_path / "run/checkpoints/last.ckpt")["global_step"] == 2


def test_a_test_that_is_stopped_does_not_end_with_status_0(run: Run, tmp_path: Path) -> None:
    assert run("fit", *EVERY, "--trainer.max_steps=1") == 0
    callback = {"class_path": "signalling.InterruptTest"}
    with pytest.raises(SystemExit, match="143"):
        run("test", *EVERY[1:], "--trainer.callbacks=" + json.dumps([callback]))
    assert not (tmp_path / "run/scores.json").exists()


def test_wandb_goes_on_under_the_same_id(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(SystemExit, match="143"):
        run("fit", *EVERY, "--wandb=offline", interrupt("SIGTERM", "step", 1))
    wandb.finish()
    assert run("fit", *EVERY, "--wandb=offline", "--ckpt_path=last", "--trainer.max_steps=4") == 0
    wandb.finish()
    record = json.loads((tmp_path / "run/run.json").read_text())
    files = list((tmp_path / "run/wandb").glob("offline-run-*/*.wandb"))
    assert files
    assert {file.name for file in files} == {f"run-{record['wandb_id']}.wandb"}
    assert len(record["starts"]) == 2
