"""Batch scripts, what fits a job and what does not, and states of jobs; test_slurm.py has a real one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bgsub_lightning.cli import main
from bgsub_lightning.runs.jobs import Job
from bgsub_lightning.runs.slurm import State, states

Fails = Callable[[int], str]


@pytest.fixture
def dry_run(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Prints the batch script of a command on the configuration ``tiny``; nothing is left."""
    monkeypatch.chdir(tmp_path)

    def call(options: Sequence[str], command: str, *more: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        config = [] if command == "prepare" else ["tiny.yaml"] if command == "campaign" else ["--config", "tiny.yaml"]
        assert main(["submit", "--dry_run", *options, "--", command, *config, *more]) == 0
        assert sorted(tmp_path.rglob("*")) == before
        text = capsys.readouterr().out
        assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
        return text

    return call


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a program of SLURM that gives an answer which was recorded from the real one."""
    folder = tmp_path / "slurm_programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def answers(name: str, text: str, status: int = 0) -> None:
        (folder / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        (folder / name).chmod(0o755)

    answers("sacct", "", 1)
    answers("squeue", "", 1)
    return answers


def directives(text: str) -> dict[str, str]:
    words = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")]
    return {key: value for key, _, value in (word.partition("=") for word in words)}


SCRIPT = """\
#!/bin/bash

#SBATCH --account=vision
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=4
#SBATCH --job-name=tiny
#SBATCH --mem=64G
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --open-mode=append
#SBATCH --output=runs/tiny/slurm/%j.out
#SBATCH --partition=gpu
#SBATCH --requeue
#SBATCH --signal=USR1@120
#SBATCH --time=12:00:00

module load cuda
run() {{
  srun --kill-on-bad-exit=1 --cpus-per-task=8 {python} -m bgsub_lightning "$@" \
--trainer.accelerator=gpu --trainer.devices=4 --trainer.num_nodes=2
}}
run fit --config tiny.yaml --trainer.max_epochs=9 --run_dir=runs/tiny --ckpt_path=last

"""


def test_script_of_a_fit(dry_run: Callable[..., str]) -> None:
    options = ["--partition=gpu", "--gpus=4", "--nodes=2", "--time=12:00:00", "--cpus=8", "--mem=64G"]
    options += ["--sbatch", "account=vision", "--setup", "module load cuda"]
    text = dry_run(options, "fit", "--trainer.max_epochs=9", "--trainer.num_nodes", "2")
    assert text == SCRIPT.format(python=sys.executable)


def test_script_without_gpus(dry_run: Callable[..., str]) -> None:
    text = dry_run(["--gpus=0", "--tasks=3"], "test", "--run_dir", "my runs/one", "--ckpt_path=best")
    asked = directives(text)
    assert "gpus-per-node" not in asked
    assert asked["ntasks-per-node"] == "3"
    assert asked["output"] == "'my runs/one/slurm/%j.out'"
    assert "--trainer.accelerator=cpu --trainer.devices=3 --trainer.num_nodes=1" in text
    assert "run test --config tiny.yaml '--run_dir=my runs/one' --ckpt_path=best" in text


def test_fit_from_other_weights_goes_on_from_its_own(dry_run: Callable[..., str], tmp_path: Path) -> None:
    text = dry_run(["--gpus=0"], "fit", "--ckpt_path", "other run/best.ckpt", "--run_dir=here")
    call = next(line for line in text.splitlines() if line.startswith("run fit"))

    def resumed() -> str:
        program = f"run() {{ printf '%s\\n' \"$@\"; }}\n{call}"
        lines = subprocess.run(["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        return next(line for line in lines.splitlines() if line.startswith("--ckpt_path="))

    assert resumed() == "--ckpt_path=other run/best.ckpt"
    (tmp_path / "here/checkpoints").mkdir(parents=True)
    (tmp_path / "here/checkpoints/last.ckpt").touch()
    assert resumed() == "--ckpt_path=last"


def test_campaign_is_an_array_with_a_report(dry_run: Callable[..., str], tmp_path: Path) -> None:
    text = dry_run(["--gpus=2", "--at_once=2"], "campaign", "--over", "fold=1,2,3", "--trainer.max_epochs=1")
    array, report = text.split("#!/bin/bash")[1:]
    assert directives(array)["array"] == "0-2%2"
    assert directives(array)["output"] == "runs/tiny/slurm/%A_%a.out"
    assert array.count("run fit ") == array.count("run test ") == 3
    assert (
        "1) # fold 2\n"
        "  run fit --config tiny.yaml --run_dir=runs/tiny/fold_2 --ckpt_path=last --trainer.max_epochs=1 "
        "--data.init_args.fold=2 &&\n"
        "  run test --config tiny.yaml --run_dir=runs/tiny/fold_2 --trainer.max_epochs=1 --data.init_args.fold=2 ;;\n"
    ) in array
    asked = directives(report)
    assert asked["dependency"] == "afterany:NUMBER"
    assert "gpus-per-node" not in asked
    assert "run campaign tiny.yaml --over fold=1,2,3 --trainer.max_epochs=1 --results" in report


def test_members_that_are_done_are_left_out(dry_run: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "runs/tiny/fold_1"
    folder.mkdir(parents=True)
    (folder / "finished.json").touch()
    text = dry_run([], "campaign", "--over", "fold=1,2")
    assert text.count("run fit ") == 1
    assert text.count("run test ") == 2
    (folder / "scores.json").touch()
    text = dry_run([], "campaign", "--over", "fold=1,2")
    assert directives(text.split("#!/bin/bash")[1])["array"] == "0-0%1"
    assert "fold_1" not in text


def test_workers_are_an_array_of_one_command(dry_run: Callable[..., str]) -> None:
    text = dry_run(["--array=4", "--cpus=2"], "prepare", "--dataset=CDnet2014")
    assert directives(text)["array"] == "0-3%4"
    assert text.count("run prepare --dataset=CDnet2014") == 1
    assert "--trainer" not in text


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ([], ["missing command", "submit -- fit --config FILE"]),
        (["--", "fti"], ["'fti' is no command"]),
        (["--", "submit"], ["'submit' is no command that can be submitted"]),
        (["--", "fit", "--trainer.devices=8"], ["--trainer.devices: must be 1 by --gpus", "8"]),
        (["--gpus=0", "--", "fit", "--trainer.devices", "2"], ["--trainer.devices: must be 1 by --tasks", "2"]),
        (["--nodes=2", "--", "fit", "--trainer.num_nodes=3"], ["--trainer.num_nodes: must be 2 by --nodes", "3"]),
        (["--", "fit", "--trainer.accelerator=cpu"], ["--trainer.accelerator: must be gpu by --gpus", "cpu"]),
        (["--gpus=2", "--tasks=2", "--", "fit"], ["--tasks", "--gpus 0"]),
        (["--array=3", "--", "fit"], ["--array: ", "fit", "--over seed=0,1,2"]),
        (["--at_once=3", "--", "fit"], ["--at_once: "]),
        (["--array=3", "--", "campaign", "tiny.yaml", "--over=fold=1,2"], ["--array", "--at_once N"]),
        (["--", "campaign", "tiny.yaml", "--over=fold=1,2", "--dry_run"], ["give --dry_run to submit"]),
        (
            ["--gpus=2", "--", "campaign", "tiny.yaml", "--over=fold=1,2", "--trainer.devices=1"],
            ["--trainer.devices: must be 2 by --gpus", "1"],
        ),
        (["--nodes=2", "--", "prepare"], ["--nodes", "prepare"]),
        (["--", "prepare", "--help"], ["prepare --help: needs no cluster"]),
        (["--gpus=-1", "--", "fit"], ["--gpus", "from 0 to 10,000", "'-1'"]),
        (["--nodes=0", "--", "fit"], ["--nodes", "from 1 to 10,000", "'0'"]),
        (["--array=99999999999", "--", "fit"], ["--array", "from 2 to 10,000", "'99999999999'"]),
        ([f"--cpus={'9' * 5000}", "--", "fit"], ["--cpus", "from 1 to 10,000"]),
        (["--time=noon", "--", "fit"], ["--time", "12:00:00", "'noon'"]),
        (["--sbatch=account", "--", "fit"], ["--sbatch", "KEY=VALUE", "'account'"]),
        (["--sbatch=time=3", "--", "fit", "--trainer.max_steps=1"], ["--sbatch", "'time'"]),
        (["--gpu=1", "--", "fit"], ["unrecognized arguments: --gpu=1", "submit --help"]),
        (["--status=runs", "--", "fit"], ["--status", "'fit'"]),
        (["--", "fit", "--trainer.max_epohcs=3"], ["max_epohcs"]),
    ],
)
def test_mistakes(
    tiny: Path, tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch, options: list[str], parts: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if options[-1:] != ["fit"] and "fit" in options:
        options = [*options, "--config=tiny.yaml"]
    message = fails(main(["submit", "--dry_run", *options]))
    for part in parts:
        assert part in message
    assert not (tmp_path / "runs").exists()


def test_machine_without_slurm(tiny: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nothing")
    command = ["--", "fit", "--config", str(tiny), "--run_dir=somewhere"]
    message = fails(main(["submit", *command]))
    for part in ("there is no SLURM on this machine", "sbatch", "login node", "--dry_run"):
        assert part in message
    assert main(["submit", "--dry_run", *command]) == 0


def test_states_of_a_queue(scheduler: Callable[..., None]) -> None:
    assert states(["7"]) == {}  # forgotten, and no accounts
    scheduler("squeue", "7_0|COMPLETED|n1|0:07\n7_1|PENDING|(Resources)|0:00")
    assert states(["7"]) == {
        "7_0": State("COMPLETED", "n1", "0:07"),
        "7_1": State("PENDING", "(Resources)", "0:00"),
    }
    assert [state.is_live for state in states(["7"]).values()] == [False, True]


def test_states_where_accounts_are_kept(scheduler: Callable[..., None]) -> None:
    scheduler("sacct", "5|CANCELLED by 1000|n3|01:02:03\n6|TIMEOUT|n[1-2]|12:00:20")
    assert states(["5", "6"]) == {
        "5": State("CANCELLED", "n3", "01:02:03"),
        "6": State("TIMEOUT", "n[1-2]", "12:00:20"),
    }
    scheduler("squeue", "6|PENDING|(BeginTime)|0:00")  # the queue is the newer news
    assert states(["6"])["6"].name == "PENDING"


def test_submitted_campaign_is_recorded(
    tiny: Path,
    tmp_path: Path,
    scheduler: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fails: Fails,
) -> None:
    monkeypatch.chdir(tmp_path)
    scheduler("sbatch", "Submitted batch job 311")
    command = ["submit", "--gpus=0", "--", "campaign", "tiny.yaml", "--over=fold=1,2", "--out=out"]
    assert main(command) == 0
    output = capfd.readouterr().out
    assert re.search(r"array of 2 tasks 311, .*job 311", output)
    assert "submit --status out" in output
    job = Job.load(tmp_path / "out")
    assert job
    assert job.runs == ("out/fold_1", "out/fold_2")
    assert [job.task(1), str(job.log_of(1))] == ["311_1", "out/slurm/311_1.out"]
    assert job.report == ("311", "out/slurm/311.out")
    assert [path.name for path in (tmp_path / "out/slurm").iterdir()] == ["311_submission.sh"]
    scheduler("squeue", "311_0|PENDING|(Priority)|0:00")
    assert "out: job 311_0 " in fails(main(command))


def test_table_that_slurm_does_not_take(
    tiny: Path, tmp_path: Path, scheduler: Callable[..., None], monkeypatch: pytest.MonkeyPatch, fails: Fails
) -> None:
    monkeypatch.chdir(tmp_path)
    scheduler("sbatch", "")
    (tmp_path / "slurm_programs/sbatch").write_text(
        "#!/bin/sh\nif grep -q afterany $1; then echo 'sbatch: error: QOS' >&2; exit 1; fi\n"
        "echo Submitted batch job 9\n"
    )
    message = fails(main(["submit", "--", "campaign", "tiny.yaml", "--over=fold=1,2", "--out=out"]))
    for part in ("Array 9 is submitted", "\n  QOS\n", "--results"):
        assert part in message
    job = Job.load(tmp_path / "out")
    assert job
    assert job.report is None


def test_fit_in_an_allocation_without_srun(
    run: Callable[..., int], fails: Fails, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"JOB_ID": "7", "NTASKS": "2", "NTASKS_PER_NODE": "2", "JOB_NAME": "mine"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert "put `srun` before the command, or use `submit`" in fails(run("fit", "--trainer.num_nodes=2"))
    assert run("fit", "--trainer.max_steps=1") == 0  # and waits for nobody
    assert (tmp_path / "run/finished.json").is_file()


def test_status(
    tmp_path: Path, scheduler: Callable[..., None], capfd: pytest.CaptureFixture[str], fails: Fails
) -> None:
    def status(folder: Path) -> list[str]:
        assert main(["submit", "--status", str(folder)]) == 0
        return [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]

    runs = tmp_path / "r"
    assert "no job was submitted for a run here" in fails(main(["submit", "--status", str(runs)]))
    log = runs / "a/slurm/7.out"
    Job("7", "fit --config x.yaml", str(log), "2030-01-01T00:00:00+00:00", (str(runs / "a"),)).save(runs / "a")
    assert f"{runs / 'a'} 7 not done, and no job is at it {log}" in " ".join(status(runs / "a"))
    scheduler("squeue", "7|RUNNING|n1|1:02:03")
    assert f"{runs / 'a'} 7 running on n1, 1:02:03" in " ".join(status(runs))
    scheduler("squeue", "7|TIMEOUT|n1|1:02:03")
    assert "not done: timeout after 1:02:03" in " ".join(status(runs))
    (runs / "a/finished.json").touch()
    log.parent.mkdir()
    log.write_text("".join(f"line {number}\n" for number in range(9)))
    lines = status(runs / "a")
    assert f"{runs / 'a'} 7 trained" in " ".join(lines)
    assert lines[-6:] == [f"{log} ends:", *(f"line {number}" for number in range(4, 9))]


def test_damaged_record(tmp_path: Path, fails: Fails) -> None:
    job = {"number": "7", "command": "fit", "log": "x", "submitted": "", "runs": ["a"]}
    changes = ({"command": ""}, {"log": 5}, {"number": "7; x"}, {"runs": "a"}, {"size": 3})
    for text in ("{", "[]", "5", *(json.dumps(job | change) for change in changes)):
        (tmp_path / "job.json").write_text(text)
        assert f"{tmp_path / 'job.json'}: " in fails(main(["submit", "--status", str(tmp_path)]))
