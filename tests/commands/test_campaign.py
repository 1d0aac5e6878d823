"""One experiment for each of several values."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from message_parts import in_order

from bgsub_lightning.cli import main
from bgsub_lightning.core.files import folder_lock
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.runs import engine

Fails = Callable[[int], str]

MOG2 = """
trainer: {{accelerator: cpu, devices: 1, enable_progress_bar: false, use_distributed_sampler: false}}
model: {{class_path: bgsub_lightning.systems.ClassicalSubtractor}}
data:
  class_path: bgsub_lightning.data.ScenesDataModule
  init_args:
    root: {root}
    num_workers: 0
    size: null
    protocol: {{class_path: bgsub_lightning.splits.SceneWise}}
wandb: disabled
campaign: {{commands: [test]}}
"""


@pytest.fixture
def mog2(tmp_path: Path, cdnet: Path) -> Path:
    """An experiment that needs no training."""
    path = tmp_path / "mog2.yaml"
    path.write_text(MOG2.format(root=cdnet))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "campaign"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs the commands in this process, which is faster, and returns the list of those that were run."""
    made: list[str] = []

    class InThisProcess(engine.Process):
        def __init__(self, arguments: Sequence[str], *_: object) -> None:
            made.append(shlex.join(arguments))
            self._status = main(arguments)

        def poll(self) -> bool:
            return True

        def failure(self) -> str | None:
            return None if self._status == 0 else "error: of the run"

    monkeypatch.setattr(engine, "Process", InThisProcess)
    monkeypatch.setattr(engine, "_POLL", 0.01)
    return made


def campaign(*options: object) -> int:
    try:
        return main(["campaign", *map(str, options)])
    except SystemExit as end:
        return int(end.code or 0)


def flat(text: str) -> str:
    """The output, without the breaks of lines, which depend on the length of paths."""
    return " ".join(text.split())


def of(calls: Sequence[str]) -> list[tuple[str, str]]:
    """Command and run of each call."""
    found = [(call.split()[0], re.search(r"--run_dir=(\S+)", call)) for call in calls]
    return [(command, Path(match[1]).name) for command, match in found if match]


def listing_runs(experiment: Path, **content: Any) -> Path:
    path = experiment.with_name("listing.yaml")
    path.write_text(yaml.safe_dump({"config": experiment.name, "campaign": content}, sort_keys=False))
    return path


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert campaign("--help") == 0
    output = capsys.readouterr().out
    for part in (
        "FILE",
        "--config PART",
        "--over NAME=VALUE",
        "--out FOLDER",
        "--only",
        "--dry_run",
        "commands: [test]",
        "fit --help",
    ):
        assert part in output


def test_dry_run_prints_the_commands_and_leaves_nothing(
    tiny: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--over", "scene=baseline/*,!*/office", "--trainer.max_epochs", "1", "--wandb=disabled"]
    assert campaign(tiny, "--dry_run", "--out", out, *options) == 0
    fit, test, *more = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    folder = out / "baseline_PETS2006"
    start = ["--config", str(tiny), f"--run_dir={folder}"]
    rest = ["--trainer.max_epochs=1", "--wandb=disabled", "--data.init_args.scene=[baseline/PETS2006]"]
    assert fit == [*shlex.split(PROGRAM), "fit", *start, "--ckpt_path=last", *rest]
    assert test == [*shlex.split(PROGRAM), "test", *start, *rest]
    assert [line[3] for line in more] == ["fit", "test"]
    assert f"--run_dir={out / 'baseline_highway'}" in more[0]
    assert not out.exists()


def test_default_folder_is_that_of_the_experiment(mog2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert campaign(mog2, "--over=fold=1", "--dry_run") == 0
    assert "--run_dir=runs/mog2/fold_1 " in capsys.readouterr().out


def test_files_are_laid_over_the_experiment(
    mog2: Path, out: Path, calls: list[str], fails: Fails, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As the parts that ship are, each file's values over those of the files before it."""
    protocol = {"class_path": "bgsub_lightning.splits.SceneWise", "init_args": {"folds": 4, "exclude": []}}
    four, budget = tmp_path / "four.yaml", tmp_path / "budget.yaml"
    four.write_text(yaml.safe_dump({"data": {"init_args": {"protocol": protocol}}}))
    budget.write_text("data: {init_args: {protocol: {init_args: {frames: 1, drawn: random}}}}")
    parts = ["--config", four, f"--config={budget}", "--over=fold=1,3"]
    assert campaign(mog2, *parts, "--dry_run") == 0
    line = capfd.readouterr().out.splitlines()[0]
    assert f"--config {mog2} --config {four} --config {budget} --run_dir=runs/mog2_four_budget/fold_1" in line
    assert campaign(mog2, *parts, "--out", out) == 0
    assert [f"--config {four} --config {budget}" in call for call in calls] == [True, True]
    assert TestResult.load(out).protocol == "folds 1, 3 of 4, 1 frames per training scene (at random)"
    assert json.loads((out / "campaign.json").read_text())["configuration"]["data"]["init_args"]["protocol"] == {
        "class_path": protocol["class_path"],
        "init_args": {"folds": 4, "exclude": [], "frames": 1, "drawn": "random"},
    }
    message = fails(campaign(mog2, *parts[:2], parts[-1], "--out", out))
    assert "configuration.data.init_args.protocol.init_args.frames: 1 there, absent here" in message


@pytest.mark.parametrize(
    ("options", "fit", "test"),
    [
        ([], "--ckpt_path=last", None),
        (["--ckpt_path=best"], "--ckpt_path=last", "--ckpt_path=best"),
        (["--ckpt_path", "runs/x.ckpt"], "--ckpt_path=runs/x.ckpt", None),
    ],
)
def test_checkpoint_of_each_command(
    tiny: Path, out: Path, capsys: pytest.CaptureFixture[str], options: list[str], fit: str, test: str | None
) -> None:
    def resumed() -> list[list[str]]:
        assert campaign(tiny, "--dry_run", "--out", out, "--over=fold=1", *options) == 0
        lines = capsys.readouterr().out.splitlines()
        return [[word for word in shlex.split(line) if word.startswith("--ckpt_path")] for line in lines]

    assert resumed() == [[fit], [test] if test else []]
    (out / "fold_1/checkpoints").mkdir(parents=True)
    (out / "fold_1/checkpoints/last.ckpt").touch()
    assert resumed()[0] == ["--ckpt_path=last"]  # it is begun, wherever it has started from


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ([], ["mog2.yaml: ", "--over fold=1,2,3"]),
        (["--over", "lr=1,2"], ["--over: ", "'lr'", "root, store, scene, fold, seed"]),
        (["--over", "fold=1", "--over", "fold=2"], ["--over: fold: "]),
        (["--over", "fold=1", "--data.init_args.fold", "2"], ["--over: fold: "]),
        (["--over", "scene=baseline/higway"], ["--over scene: 'baseline/higway'", "baseline/highway"]),
        (["--over", "scene=*", "--data.init_args.root=/no/such"], ["/no/such: there is no such folder"]),
        (["--over", "fold=1", "--only", "fold_2"], ["--only: ", "'fold_2'", "fold_1"]),
        (["--over", "fold=1", "--run_dir=x"], ["--run_dir: ", "--out FOLDER"]),
        (["--over", "fold=1", "--config=x.yaml"], ["x.yaml: ", "no such file"]),
        (["--over", "fold=1", "--config"], ["--config: expected one argument", "campaign --help"]),
        (["--over", "fold=1", "--trainer.max_epohcs=3"], ["max_epohcs"]),
        (["--over", "model.init_args.mehtod=KNN"], ["mehtod"]),
        (["--over"], ["--over: expected one argument", "campaign --help"]),
        (["more.yaml", "--over", "fold=1"], ["unrecognized arguments: more.yaml"]),
    ],
)
def test_mistakes_are_reported_before_anything_runs(
    mog2: Path, out: Path, fails: Fails, calls: list[str], options: list[str], parts: list[str]
) -> None:
    message = fails(campaign(mog2, "--out", out, *options))
    assert all(part in message for part in parts), message
    assert not out.exists()
    assert not calls


def test_experiment_that_is_missing(fails: Fails, tmp_path: Path) -> None:
    assert "FILE" in fails(campaign("--over", "fold=1"))
    assert "none.yaml: " in fails(campaign(tmp_path / "none.yaml", "--over", "fold=1"))


def test_folder_that_cannot_be_written(mog2: Path, tmp_path: Path, fails: Fails) -> None:
    (tmp_path / "file").touch()
    assert "file/campaign.json: " in fails(campaign(mog2, "--over=fold=1", "--out", tmp_path / "file"))


def test_folds_are_merged_and_what_is_done_is_left_alone(
    mog2: Path, out: Path, calls: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert campaign(mog2, "--over", "fold=1,2", "--out", out) == 0
    assert of(calls) == [("test", "fold_1"), ("test", "fold_2")]
    output = capsys.readouterr().out
    assert "1 of 2 · fold 1 · test" in output
    assert "2 of 2 · fold 2 · test" in output
    assert "1 done, 1 to go" in output
    assert in_order(output, "campaign on ", "CDnet2014", "folds 1, 2 of 3, without PTZ", "unseen scenes")
    assert "2 of 2 runs are done" in output
    singles = []
    for fold in (1, 2):  # the same by hand
        assert (
            main(["test", "--config", str(mog2), f"--run_dir={tmp_path / 'by_hand'}", f"--data.init_args.fold={fold}"])
            == 0
        )
        singles.append(TestResult.load(tmp_path / "by_hand"))
    assert TestResult.load(out).videos == singles[0].videos | singles[1].videos
    capsys.readouterr()
    assert campaign(mog2, "--over", "fold=1,2,3", "--out", out, "--results") == 0  # runs nothing
    output = capsys.readouterr().out
    assert "Not run yet: fold 3." in output
    assert "2 of 3 runs are done" in output
    assert len(calls) == 2

    before = (out / "fold_1/scores.json").stat().st_mtime_ns
    capsys.readouterr()
    assert campaign(mog2, "--over", "fold=1,2,3", "--out", out) == 0  # it has grown
    assert of(calls[2:]) == [("test", "fold_3")]
    assert (out / "fold_1/scores.json").stat().st_mtime_ns == before
    assert in_order(capsys.readouterr().out, "2 of 3 ", "fold 1, fold 2")
    assert len(TestResult.load(out).videos) == 5

    assert main(["report", *(str(out / f"fold_{fold}") for fold in (1, 2, 3)), "--merge=true", "--by_video=true"]) == 0
    output = capsys.readouterr().out
    assert in_order(output, "campaign on ", "CDnet2014", "folds 1, 2, 3 of 3")
    assert f"{TestResult.load(out).scores().overall['f_measure']:.4f}" in output


def test_another_campaign_in_the_folder_is_refused(
    mog2: Path, out: Path, calls: list[str], fails: Fails, capfd: pytest.CaptureFixture[str]
) -> None:
    assert campaign(mog2, "--over=fold=1,2", "--out", out, "--only=fold_1", "--scores.show=false") == 0
    assert "Not run yet: fold 2." in capfd.readouterr().out
    record = (out / "campaign.json").read_text()
    assert json.loads(record)["grid"] == {"fold": ["1", "2"]}
    for options, difference in (
        (["--over=fold=1,2"], "options.--scores.show: false there, absent here"),
        (["--over=fold=1,2", "--scores.show=true"], "options.--scores.show: false there, true here"),
        (["--over=fold=1", "--scores.show=false"], "runs.fold_2: ['--data.init_args.fold=2'] there, absent here"),
        (["--over=fold=1,2", "--over=seed=0", "--scores.show=false"], "grid: ['fold'] there, ['fold', 'seed'] here"),
    ):
        message = fails(campaign(mog2, "--out", out, *options))
        assert f"{out}: " in message
        assert difference in message
    mog2.write_text(mog2.read_text().replace("num_workers: 0", "num_workers: 1"))
    message = fails(campaign(mog2, "--over=fold=1,2", "--out", out, "--scores.show=false"))
    assert "configuration.data.init_args.num_workers: 0 there, 1 here" in message
    assert (out / "campaign.json").read_text() == record
    (out / "campaign.json").write_text("[]")
    assert "campaign.json: " in fails(campaign(mog2, "--over=fold=1", "--out", out))
    assert len(calls) == 1


def test_a_scene_that_was_not_tested_leaves_no_overall_figure(
    mog2: Path, out: Path, calls: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In the terminal as on the page."""
    options = [mog2, "--over=scene=baseline/highway,shadow/bungalows,thermal/park", "--out", out]
    options += ["--data.init_args.protocol=bgsub_lightning.splits.FirstHalf", "--only=baseline*,shadow*"]
    assert campaign(*options) == 0
    assert len(calls) == 2
    output = flat(capsys.readouterr().out.rpartition("Result")[2])
    note = "campaign was not tested on thermal_park"
    assert note in output
    assert "tested part 2" in re.sub(r"\s+", " ", output)
    assert " overall 2" not in re.sub(r"\s+", " ", output)
    assert main(["report", str(out), "--out", str(tmp_path / "page")]) == 0
    assert note in flat((tmp_path / "page/index.html").read_text())


def test_runs_of_the_experiment(
    mog2: Path, out: Path, calls: list[str], fails: Fails, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    runs = {
        "MOG2": {"data.init_args.scene": "baseline/highway", "model.init_args.method": "MOG2"},
        "KNN, too": {"scene": ["baseline/highway"], "model.init_args.method": "KNN"},
    }
    experiment = listing_runs(mog2, commands=["test"], runs=runs)
    assert campaign(experiment, "--out", out) == 0
    assert of(calls) == [("test", "MOG2"), ("test", "KNN_too")]
    assert "--model.init_args.method=KNN" in calls[1]
    assert "F of KNN_too" in capfd.readouterr().out
    assert not (out / "scores.json").exists()  # the same video, twice
    assert main(["test", "--config", str(experiment), f"--run_dir={tmp_path / 'alone'}"]) == 0  # the key is ignored


def test_runs_of_the_experiment_over_a_grid(
    mog2: Path, out: Path, calls: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "fewer.yaml").write_text("model: {init_args: {method: KNN}}\ndata: {init_args: {fold: 2}}")
    content = yaml.safe_load(mog2.read_text())
    del content["model"]
    experiment = tmp_path / "both.yaml"
    section = {
        "commands": ["test"],
        "over": {"fold": [1, 2]},
        "runs": {"MOG2": {"config": str(mog2)}, "KNN": {"config": [str(mog2), "fewer.yaml"]}},
    }
    experiment.write_text(yaml.safe_dump({**content, "campaign": section}, sort_keys=False))
    assert campaign(experiment, "--out", out) == 0
    assert of(calls) == [("test", f"{name}_fold_{fold}") for name in ("MOG2", "KNN") for fold in (1, 2)]
    assert {TestResult.load(out / f"scores_{name}.json").name for name in ("MOG2", "KNN")} == {"MOG2", "KNN"}
    calls.clear()
    assert campaign(experiment, "--out", out, "--over", "fold=1,2,3") == 0  # an option beats a file
    assert of(calls) == [("test", f"{name}_fold_3") for name in ("MOG2", "KNN")]


def test_one_by_one_where_nothing_can_be_merged(
    mog2: Path, out: Path, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {"a": {"fold": 1}, "b": {"fold": 2, "data.init_args.protocol.init_args.exclude": ["PTZ", "shadow"]}}
    assert campaign(listing_runs(mog2, commands=["test"], runs=runs), "--out", out) == 0
    output = capsys.readouterr().out
    assert in_order(output, "a and b ", "protocol: fold … of 3", "shadow")
    # its own test's, and at the end
    assert len(re.findall(r"\bb on [^.]*CDnet2014[^.]*, fold 2 of 3, without PTZ, shadow", flat(output))) == 2
    assert not (out / "scores.json").exists()


def test_only_training(tiny: Path, out: Path, calls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    experiment = listing_runs(tiny, commands=["fit"])
    assert campaign(experiment, "--over=fold=1", "--out", out, "--trainer.max_steps=1") == 0
    assert of(calls) == [("fit", "fold_1")]
    assert "1 of 1 runs are done" in capsys.readouterr().out
    assert campaign(experiment, "--over=fold=1", "--out", out, "--trainer.max_steps=1") == 0
    assert len(calls) == 1


def test_what_is_left_of_a_run_is_run(tiny: Path, out: Path, calls: list[str]) -> None:
    options = [tiny, "--over=seed=1,2", "--out", out, "--trainer.max_steps=2", "--last.every_n_train_steps=1"]
    assert campaign(*options) == 0
    assert of(calls) == [(command, f"seed_{seed}") for seed in (1, 2) for command in ("fit", "test")]
    assert "--data.init_args.seed=1 --seed_everything=1" in calls[0]
    checkpoint = out / "seed_1/checkpoints/last.ckpt"
    os.utime(checkpoint, ns=(0, (out / "seed_1/scores.json").stat().st_mtime_ns + 1))
    (out / "seed_2/scores.json").unlink()
    calls.clear()
    assert campaign(*options) == 0
    assert of(calls) == [("test", "seed_1"), ("test", "seed_2")]
    shutil.rmtree(out / "seed_2")
    calls.clear()
    assert campaign(*options) == 0
    assert of(calls) == [("fit", "seed_2"), ("test", "seed_2")]


def test_seeds_are_compared_with_their_spread(
    tiny: Path, out: Path, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--over=fold=1,2", "--over=seed=0,1", "--trainer.max_steps=1", "--scores.show=false"]
    assert campaign(tiny, "--out", out, *options) == 0
    output = capsys.readouterr().out
    assert in_order(output, "seed_0 on ", "CDnet2014", "folds 1, 2 of 3")
    assert "F of seed_1" in flat(output)
    assert in_order(output, "2 seeds", "tested part", "F-measure 0.")
    for seed in (0, 1):
        parts = [TestResult.load(out / f"fold_{fold}_seed_{seed}") for fold in (1, 2)]
        assert TestResult.load(out / f"scores_seed_{seed}.json").videos == parts[0].videos | parts[1].videos
    capsys.readouterr()
    assert main(["report", str(out / "scores_seed_0.json"), str(out / "scores_seed_1.json")]) == 0
    assert "2 seeds, tested part: F-measure 0." in capsys.readouterr().out


def test_fit_that_stops_before_its_end_is_no_success(
    tiny: Path, out: Path, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert campaign(tiny, "--over=fold=1", "--out", out, "--trainer.fast_dev_run=true") == 1
    assert of(calls) == [("fit", "fold_1")]
    assert in_order(capsys.readouterr().out, f"fold 1 ({out / 'fold_1'}): fit: ")


def test_interruption_prints_how_to_continue(
    mog2: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "Process", interrupt)
    assert campaign(mog2, "--over", "scene=baseline/*", "--out", out) == 130
    output = capsys.readouterr().out
    assert f"{PROGRAM} campaign {mog2} --over 'scene=baseline/*' --out {out}" in output


def test_run_that_another_process_works_on_comes_last(
    mog2: Path,
    out: Path,
    calls: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with folder_lock(out / "fold_1") as lock:
        assert lock is not None
        with folder_lock(out / "fold_1") as second:
            assert second is None
        other = os.dup(lock)  # the lock lasts as long as any process has it
    output = ""

    def sleep(_: float) -> None:
        nonlocal output
        output += capsys.readouterr().out.replace("\n", "")
        if "fold_1: another process " in output and of(calls) == [("test", "fold_2")]:
            os.close(other)

    monkeypatch.setattr(engine, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    assert campaign(mog2, "--over=fold=1,2", "--out", out) == 0
    assert of(calls) == [("test", "fold_2"), ("test", "fold_1")]


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ("exit 0", None),
        ("echo error: one >&2; echo error: two >&2; echo more >&2; exit 2", "error: two"),
        ("echo Traceback >&2; echo '  x' >&2; echo ValueError: why >&2; echo >&2; exit 1", "ValueError: why"),
        ("exit 3", "exit status 3"),
        ("echo error: before >&2; kill -KILL $$", "killed by SIGKILL"),
        ("echo error: before >&2; exit 143", "stopped by SIGTERM"),
        ("exit 138", "stopped by SIGUSR1"),
    ],
)
def test_what_went_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    script: str,
    failure: str | None,
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho $*\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with folder_lock(tmp_path) as lock:
        assert lock is not None
        process = engine.Process(["fit", "--x=1"], lock)
        assert process.failure() == failure
        assert process.poll()
    output = capfd.readouterr()
    assert output.out == "-m bgsub_lightning fit --x=1\n"
    assert ("error: two\nmore\n" in output.err) == (failure == "error: two")


def test_end_of_a_process_that_does_not_want_to_end() -> None:
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        engine.terminate([process], patience=0.1)
        assert process.returncode == -signal.SIGKILL


def test_a_process_that_saves_its_state_gets_one_signal() -> None:
    script = (
        "import signal, sys, time\n"
        "def save(*_):\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as a fit does: a second signal ends it at once\n"
        "    time.sleep(0.3)\n"
        "    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "print(flush=True)\n"
        "time.sleep(60)\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    engine.terminate(processes)
    for process in processes:
        with process:
            assert process.returncode == 143


def test_failing_run_is_reported(mog2: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The one test here whose runs have their own processes and that is not slow."""
    assert campaign(mog2, "--over=fold=9,1", "--out", out, "--only=fold_9") == 1
    output = capfd.readouterr()
    reason = "error: data.init_args.fold: must be between 1 and 3; got 9."
    assert reason in output.err
    assert "1 failed" in output.out
    assert f"fold 9 ({out / 'fold_9'}): test: {reason}" in output.out
    assert "Not run yet: fold 1." in output.out
    assert "0 of 2 runs are done" in output.out


def test_default_directory_of_a_run_names_its_scenes(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails
) -> None:
    monkeypatch.chdir(tmp_path)
    fit = ["fit", "--config", str(tiny), "--trainer.max_steps=1"]
    assert main([*fit, "--data.init_args.scene=[baseline/*, shadow]"]) == 0
    assert (tmp_path / "runs/tiny/baseline_shadow/finished.json").is_file()
    message = fails(main([*fit, "--data.init_args.scene=[baseline/higway]"]))
    assert "data.init_args.scene: 'baseline/higway'" in message


def start(*options: object) -> subprocess.Popen[str]:
    """A campaign in its own session, which can be killed as a whole."""
    command = [sys.executable, "-m", "bgsub_lightning", "campaign", *map(str, options)]
    return subprocess.Popen(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, "it ended too early"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_failing_run_stops_no_other(mog2: Path, out: Path) -> None:
    with start(mog2, "--over=fold=9,1,2", "--out", out) as process:
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "3 of 3 · fold 2 · test" in output
    assert in_order(output, "campaign on ", "CDnet2014", "folds 1, 2 of 3")
    assert not (out / "scores.json").exists()  # it is not whole
    assert in_order(output, f"fold 9 ({out / 'fold_9'}): test: error: data.init_args.fold: ", "1", "3", "got 9")


@pytest.mark.slow
def test_killed_campaign_goes_on(tiny: Path, tmp_path: Path) -> None:
    """Killed twice, it ends as one that never was: first alone, while its run lives on, then with its run."""
    options = [tiny, "--over=fold=1,2", "--trainer.max_epochs=20", "--last.every_n_train_steps=1"]
    folder = tmp_path / "killed"
    with start(*options, "--out", folder) as alone:
        wait_for(folder / "fold_1/checkpoints/last.ckpt", alone)
        alone.kill()
    with start(*options, "--out", folder) as together:
        wait_for(folder / "fold_2/checkpoints/last.ckpt", together)
        os.killpg(together.pid, signal.SIGKILL)
    assert not (folder / "fold_2/finished.json").exists()
    with start(*options, "--out", folder) as again:
        output, _ = again.communicate(timeout=300)
    assert again.returncode == 0
    assert "2 of 2 · fold 2 · fit" in output
    assert "fold 1 · fit" not in output  # what the first has left behind has finished it

    with start(*options, "--out", tmp_path / "whole") as whole:
        whole.communicate(timeout=300)
    assert whole.returncode == 0
    first, second = TestResult.load(tmp_path / "whole"), TestResult.load(tmp_path / "killed")
    assert first.videos == second.videos
    states = [
        torch.load(tmp_path / name / "fold_2/checkpoints/last.ckpt", weights_only=True) for name in ("whole", "killed")
    ]
    assert states[0]["global_step"] == states[1]["global_step"]
    assert all(torch.equal(value, states[1]["state_dict"][key]) for key, value in states[0]["state_dict"].items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("send", "way"),
    [(os.kill, signal.SIGINT), (os.kill, signal.SIGTERM), (os.killpg, signal.SIGINT)],  # the last is Ctrl-C
)
def test_what_ends_a_campaign_ends_its_run(
    tiny: Path, out: Path, send: Callable[[int, int], None], way: signal.Signals
) -> None:
    options = [tiny, "--over=fold=1", "--out", out, "--trainer.max_epochs=10000", "--last.every_n_train_steps=1"]
    with start(*options) as process:
        wait_for(out / "fold_1/checkpoints/last.ckpt", process)
        send(process.pid, way)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"{PROGRAM} campaign" in output
    with folder_lock(out / "fold_1") as lock:
        assert lock is not None  # nobody is left


def test_an_option_may_hold_the_name_of_the_run(mog2: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--over", "scene=baseline/highway,thermal/park", f"--out={out}", "--ckpt_path=runs/x/{run}/last.ckpt"]
    assert main(["campaign", str(mog2), *options, "--dry_run"]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if "bgsub_lightning test" in line]
    options = [option for line in lines for option in shlex.split(line) if option.startswith("--ckpt_path=")]
    assert options == [f"--ckpt_path=runs/x/{name}/last.ckpt" for name in ("baseline_highway", "thermal_park")]
