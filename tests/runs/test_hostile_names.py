"""Values that are put into a batch script stay words of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.runs.slurm import BatchScript, Request

NASTY = "a'b\"c $(touch ran) `touch ran`; touch ran & #SBATCH --x \\ * é"


def script(name: str = "n", folder: str = "f", member: str = "m", word: str = "w", **asked: object) -> BatchScript:
    tasks = [(member, [["fit", f"--run_dir={folder}", f"--ckpt_path={word}", word]]), ("other", [["test"]])]
    return BatchScript(name, Path(folder), Request(gpus=0, **asked), tasks, is_array=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("control", ["\n", "\r", "\x1b", "\x00"])
@pytest.mark.parametrize(
    "place", ["name", "folder", "member", "word", "partition", "mem", "setup", "sbatch's key", "sbatch's value"]
)
def test_control_characters_are_refused(place: str, control: str) -> None:
    text = f"x{control}touch ran"
    given = {
        "setup": {"setup": (text,)},
        "sbatch's key": {"sbatch": [(text, "x")]},
        "sbatch's value": {"sbatch": [("x", text)]},
    }.get(place, {place: text})
    with pytest.raises(UserError, match=r"submit: .*touch ran"):
        script(**given)  # type: ignore[arg-type]


def test_all_else_is_quoted_once(tmp_path: Path) -> None:
    made = script(name=NASTY, folder=NASTY, member=NASTY, word=NASTY, partition=NASTY, sbatch=[("comment", NASTY)])
    (tmp_path / "srun").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/words\n')
    (tmp_path / "srun").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "0"}
    done = subprocess.run(["bash"], input=made.text, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0
    words = (tmp_path / "words").read_text().splitlines()
    assert [word for word in words if "touch" in word] == [f"--run_dir={NASTY}", f"--ckpt_path={NASTY}", NASTY]
    assert not (tmp_path / "ran").exists()


HIDDEN = ["a\n#SBATCH --x=1=2", "a b=1"]
OURS = ["ntasks_per_node=2", "time=3", "error=x", "err=x", "tim=3", "gpus=8", "ntasks=8", "requeu=1"]


@pytest.mark.parametrize("option", HIDDEN + OURS)
def test_keys_of_sbatch(option: str, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that the script sets are refused, and so is the beginning of one, which sbatch takes for the whole."""
    assert main(["submit", "--dry_run", f"--sbatch={option}", "--", "fit", "--config", str(tiny)]) == 2
    assert "--sbatch" in capsys.readouterr().err


def test_names_of_members_and_runs(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    submit = ["submit", "--dry_run", "--gpus=0"]
    for options, command in (
        (["--name=x\n#SBATCH --evil=1"], ["fit", "--config", str(tiny)]),
        ([], ["fit", "--config", str(tiny), "--run_dir=x\ntouch ran"]),
        ([], ["campaign", str(tiny), "--over", "model.init_args.loss=a\ntouch ran,b"]),
        ([], ["segment", "--source=rtsp://me:secret@host/", "--out=x"]),
    ):
        assert main([*submit, *options, "--", *command]) == 2
    assert shutil.which("bash")
    assert not (tmp_path / "ran").exists()
