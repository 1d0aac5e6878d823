"""A sweep file, run here."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from bgsub_lightning.cli import main
from bgsub_lightning.core.files import folder_lock
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.runs.search import SweepOptions, plan_search
from bgsub_lightning.runs.sweepfile import read_sweep
from bgsub_lightning.runs.trials import values_of

Fails = Callable[[int], str]
Write = Callable[..., Path]

HELD_OUT = {"parameters": {"validation": {"parameters": {"scenes": {"value": 1}}}}}


def init_args(**parameters: Any) -> dict[str, Any]:
    return {"parameters": {"init_args": {"parameters": parameters}}}


@pytest.fixture
def write(tiny: Path, tmp_path: Path) -> Write:
    """Writer of sweep files for the experiment ``tiny``: ``write(**keys)``, a grid of two folds and two rates."""

    def make(**changes: Any) -> Path:
        path = tmp_path / "folds.yaml"
        command = ["${env}", "python", "-m", "bgsub_lightning", "fit", "--config", str(tiny)]
        protocol = {"parameters": {"init_args": HELD_OUT}}
        content = {
            "method": "grid",
            "metric": {"name": "val/f_measure", "goal": "maximize"},
            "parameters": {
                "data": init_args(fold={"values": [1, 2, 3]}, protocol=protocol),
                "model": init_args(lr={"values": [0.01, 0.001]}),
            },
            "command": [*command, "--config", "${args_json_file}", "--ckpt_path=last", "--wandb=online"],
            **changes,
        }
        path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}, sort_keys=False))
        return path

    return make


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "sweep"


def sweep(*options: object) -> int:
    try:
        return main(["sweep", *map(str, options)])
    except SystemExit as end:
        return int(end.code or 0)


def commands(expected: str) -> list[list[str]]:
    return [shlex.split(line) for line in expected.splitlines() if line.startswith(PROGRAM)]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("--help") == 0
    output = capsys.readouterr().out
    for part in ("FILE", "--trials N", "--workers N", "--out FOLDER", "--dry_run", "successive halving", "fit --help"):
        assert part in output


def test_dry_run_of_a_grid_lists_all_and_leaves_nothing(
    write: Write, tiny: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(write(), "--dry_run", "--out", out, "--trainer.max_epochs", 1) == 0
    lines = commands(capsys.readouterr().out)
    names = [f"fold_{fold}_lr_{lr}" for fold in (1, 2, 3) for lr in ("0.01", "0.001")]
    assert [line[5] for line in lines] == [f"--run_dir={out / name}" for name in names]
    assert lines[1] == [
        *(*shlex.split(PROGRAM), "fit", f"--config={tiny}", f"--run_dir={out / names[1]}"),
        *("--ckpt_path=last", "--data.init_args.fold=1"),
        *(
            "--data.init_args.protocol.init_args.validation.scenes=1",
            "--model.init_args.lr=0.001",
            "--trainer.max_epochs=1",
        ),
    ]
    assert not out.exists()


def test_dry_run_needs_no_extra(
    write: Write, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fails: Fails, out: Path
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert sweep(write(), "--dry_run", "--trials=1") == 0
    assert len(commands(capfd.readouterr().out)) == 1
    assert "sweep: needs optuna: pip install 'bgsub_lightning[sweep]'" in fails(sweep(write(), "--out", out))
    assert not out.exists()


def test_dry_run_of_a_random_search_lists_all(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    lr = {"distribution": "log_uniform_values", "min": 0.001, "max": 0.1}
    file = write(method="random", run_cap=5, parameters={"model": init_args(lr=lr)})
    assert sweep(file, "--dry_run") == 0
    output = capsys.readouterr().out
    rates = [float(line[-1].removeprefix("--model.init_args.lr=")) for line in commands(output)]
    assert len(set(rates)) == 5
    assert all(0.001 <= rate <= 0.1 for rate in rates)
    assert "nothing is held out for validation" in " ".join(output.split())
    assert sweep(file, "--dry_run", "--trials=7") == 0
    assert rates == [float(line[-1].partition("lr=")[2]) for line in commands(capsys.readouterr().out)][:5]


def test_dry_run_of_a_search_prints_the_first_and_the_space(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    lr = {"distribution": "log_uniform_values", "min": 0.001, "max": 0.1}
    parameters = {"model": init_args(lr=lr, maps={"min": 2, "max": 5}, class_balanced={"values": [True, False]})}
    file = write(method="bayes", parameters=parameters, early_terminate={"type": "hyperband", "min_iter": 2})
    assert sweep(file, "--dry_run", "--trials=9") == 0
    output = capsys.readouterr().out
    assert len(commands(output)) == 1
    for line in (
        "# 8 more, each chosen by those before it, from:",
        "#   model.init_args.lr: from 0.001 to 0.1, by its logarithm",
        "#   model.init_args.maps: whole number from 2 to 5",
        "#   model.init_args.class_balanced: one of true, false",
        "# After 2, 6, 18 … validations the best 1/3 continue.",
    ):
        assert line in output.splitlines()


def test_options_unknown_to_fit_are_reported_before_anything_runs(write: Write, out: Path, fails: Fails) -> None:
    for parameters, message in (
        ({"model": init_args(lrr={"values": [1, 2]})}, "parameters.model.init_args.lrr: `fit` has no such option. Did"),
        ({"trainer.max_epoch": {"values": [1, 2]}}, "Did you mean trainer.max_epochs"),
        ({"model": init_args(lr={"values": [0.1, "None"]})}, "model.init_args.lr: 'None' is not a number."),
        ({"model": init_args(maps={"values": [3, 4.0]})}, "model.init_args.maps: '4.0' is not a whole number."),
    ):
        assert message in fails(sweep(write(parameters=parameters), "--out", out))
    assert not out.exists()


VAL_SCENES = "data.init_args.protocol.init_args.validation.scenes"


def test_an_option_beats_what_the_file_fixes(write: Write, capfd: pytest.CaptureFixture[str], fails: Fails) -> None:
    file = write()
    assert sweep(file, "--dry_run", "--trials=1") == 0
    (before,) = commands(capfd.readouterr().out)
    assert sweep(file, "--dry_run", "--trials=1", f"--{VAL_SCENES}=2") == 0
    error = capfd.readouterr().out
    (after,) = commands(error)
    assert [f"--{VAL_SCENES}=2" if word == f"--{VAL_SCENES}=1" else word for word in before] == after
    (said,) = (line for line in error.splitlines() if line.startswith(f"--{VAL_SCENES}: 2 "))
    assert str(file) in said
    for text in ("2024-01-31", "2024-99-99"):  # which YAML takes for dates, and `fit` for text
        message = fails(sweep(file, "--dry_run", "--trials=1", f"--{VAL_SCENES}={text}"))
        assert f"validation.scenes: '{text}'" in message
    error = fails(sweep(file, "--dry_run", "--model.init_args.lr=0.01"))
    for part in ("--model.init_args.lr: ", "--model.init_args.lr=0.01", str(file)):
        assert part in error


def test_options_that_do_not_fit(write: Write, out: Path, fails: Fails) -> None:
    for option, message in (
        ("--run_dir=x", "--run_dir: "),
        ("--config=x", "--config: "),
        ("--model.init_args.lr=1", "--model.init_args.lr: "),
        ("--workers=0", "argument --workers: must be a whole number from 1 to 10,000; got '0'"),
        ("--workers=1000000000000", "argument --workers: "),
        ("--trainer.max_stepz=1", "unrecognized arguments: --trainer.max_stepz=1"),
    ):
        assert message in fails(sweep(write(), option))
    random = write(method="random", parameters={"model": init_args(lr={"min": 0.1, "max": 0.2})})
    assert "--trials N" in fails(sweep(random))
    assert "two values would share the directory lr_0.1" in fails(
        sweep(write(parameters={"model": init_args(lr={"values": [0.1, 0.10000001]})}))
    )
    assert "is no sweep file" in fails(sweep("experiments/bmn_bsn.yaml"))


def test_a_folder_holds_one_sweep(write: Write, out: Path, fails: Fails) -> None:
    out.mkdir()
    (out / "sweep.json").write_text("[")
    assert "sweep.json: " in fails(sweep(write(), "--out", out))
    (out / "sweep.json").write_text(json.dumps({"version": 2, "method": "random"}))
    assert "sweep.json: configuration: " in fails(sweep(write(), "--out", out))
    other = plan_search(SweepOptions(write(method="random", run_cap=2), out=out)).record
    (out / "sweep.json").write_text(json.dumps(other))
    message = fails(sweep(write(), "--out", out))
    assert f"{out}: " in message
    assert "method: random there, grid here" in message
    (out / "sweep.json").unlink()
    (out / "study.db").write_bytes(b"no database" * 500)
    message = fails(sweep(write(), "--out", out))
    assert f"{out / 'study.db'}: " in message
    assert len(message.splitlines()) == 1
    (out / "file").write_text("")
    assert f"{out / 'file'}: " in fails(sweep(write(), "--out", out / "file"))


def test_values_of_a_run_that_was_resumed(tmp_path: Path) -> None:
    for version, text in (
        (0, "epoch,step,val/f_measure\n0,9,0.5\n0,10,\n1,19,0.25\n"),
        (1, "epoch,val/f_measure,step\n1,0.75,19\n2,nan,25\n2,0.8,29\n3,0.9"),
    ):
        (tmp_path / f"csv/version_{version}").mkdir(parents=True)
        (tmp_path / f"csv/version_{version}/metrics.csv").write_text(text)
    assert values_of(tmp_path, "val/f_measure") == [0.5, 0.75, 0.8]
    assert values_of(tmp_path, "val/loss") == []
    assert values_of(tmp_path / "none", "val/f_measure") == []


# --- in processes ----------------------------------------------------------------------------------------------------


def start(*options: object) -> subprocess.Popen[str]:
    """Start a sweep in its own process group."""
    command = [sys.executable, "-m", "bgsub_lightning", "sweep", *map(str, options)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


def trials_of(out: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="folds", storage=f"sqlite:///{out / 'study.db'}").trials


@pytest.mark.slow
def test_killed_sweep_of_six_goes_on(write: Write, out: Path) -> None:
    """Killed with all that it has started, then continued by two commands at once: each trial is there once."""
    options = [write(), "--out", out, "--trainer.max_epochs=4", "--last.every_n_train_steps=1", "--workers=2"]
    with start(*options) as first:
        wait_for(out / "fold_2_lr_0.01/checkpoints/last.ckpt", first)
        os.killpg(first.pid, signal.SIGKILL)
    assert sum(trial.state.is_finished() for trial in trials_of(out)) < 6
    with start(*options) as one, start(*options[:-1]) as other:
        output = [process.communicate(timeout=600)[0] for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), output
    assert "fold_2_lr_0.01 of 6 · fold 2, lr 0.01: resumed" in "".join(output)
    assert all(re.search(r"6 of 6 trials .*0 were pruned", each) for each in output)
    trials = trials_of(out)
    assert sorted(trial.user_attrs["number"] for trial in trials) == [0, 1, 2, 3, 4, 5]
    named = {name: read_sweep(write()).folder(trial.number, trial.params) for name, trial in enumerate(trials)}
    for trial in trials:
        folder = out / named[trial.number]
        values = values_of(folder, "val/f_measure")
        assert trial.value == max(values)
        assert list(trial.intermediate_values.values()) == values
        assert len(values) == 4
        assert json.loads((folder / "finished.json").read_text())["epochs"] == 4
    shown = [line.split("│")[1].strip() for line in output[0].splitlines() if line.startswith("│")]
    assert sorted(shown) == sorted(named.values())
    best = max(trials, key=lambda trial: trial.value or 0)
    top = next(line for line in output[0].splitlines() if line.startswith("│"))
    assert f"{best.value:.4f}" in top
    assert named[best.number] in top
    page = (out / "parallel_coordinates.html").read_text()
    assert "Plotly.newPlot" in page
    assert 'src="http' not in page
    with start(*options) as again:
        assert "6 of 6 trials are complete" in again.communicate(timeout=100)[0]
    assert len(trials_of(out)) == 6


@pytest.mark.slow
def test_what_is_not_worth_going_on_is_ended(write: Write, out: Path) -> None:
    """A rate of nothing learns nothing: after two validations it is ended, and keeps what it has."""
    file = write(
        parameters={"model": init_args(lr={"values": [0.01, 1e-12]})},
        metric={"name": "val/loss", "goal": "minimize"},
        early_terminate={"type": "hyperband", "min_iter": 2, "eta": 2},
    )
    with start(file, "--out", out, "--trainer.max_epochs=30", "--last.every_n_train_steps=1") as process:
        output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    good, bad = trials_of(out)
    assert good.state == optuna.trial.TrialState.COMPLETE
    assert good.value == min(good.intermediate_values.values())
    assert bad.state == optuna.trial.TrialState.PRUNED
    assert list(bad.intermediate_values) == [1, 2]
    assert "lr_1e-12: pruned after 2 validations" in output
    assert re.search(r"1 of 2 trials .*1 were pruned", output)
    assert (out / "lr_1e-12/checkpoints/last.ckpt").is_file()


@pytest.mark.slow
def test_a_failing_trial_keeps_no_other_from_its_turn(write: Write, out: Path) -> None:
    file = write(parameters={"data": init_args(fold={"values": [9, 1]})})
    for trials in (2, 3):
        with start(file, "--out", out, "--trainer.max_epochs=1") as process:
            output = process.communicate(timeout=300)[0]
        assert process.returncode == 1
        assert "fold_9: failed: error: data.init_args.fold: must be between 1 and 3; got 9." in output
        assert "1 of 2 trials are complete" in output
        assert "1 failed" in output
        assert len(trials_of(out)) == trials


@pytest.mark.slow
@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM])
def test_what_ends_a_sweep_ends_its_trials(write: Write, out: Path, way: signal.Signals) -> None:
    options = [write(), "--out", out, "--trainer.max_epochs=10000", "--last.every_n_train_steps=1"]
    with start(*options) as process:
        wait_for(out / "fold_1_lr_0.01/checkpoints/last.ckpt", process)
        process.send_signal(way)
        output, _ = process.communicate(timeout=90)
    assert process.returncode == 130
    assert f"{PROGRAM} sweep" in output
    with folder_lock(out / "fold_1_lr_0.01") as lock:
        assert lock is not None  # nobody is left
    assert [trial.state.name for trial in trials_of(out)] == ["RUNNING"]


@pytest.mark.slow
def test_a_search_chooses_by_what_it_has_seen(write: Write, out: Path) -> None:
    """Two trials at a time; the first is that of the dry run, and no two are the same."""
    lr = {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2}
    file = write(method="bayes", parameters={"model": init_args(lr=lr, maps={"min": 2, "max": 6})})
    with start(file, "--trials=3", "--workers=2", "--out", out, "--trainer.max_epochs=1") as process:
        output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    trials = trials_of(out)
    assert trials[0].params == pytest.approx(read_sweep(file).drawn(0))
    assert len({trial.params["model.init_args.lr"] for trial in trials}) == 3
    assert {path.name for path in out.glob("trial_*")} == {"trial_000", "trial_001", "trial_002"}
