"""What is put into a batch script stays a word of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.runs import BatchScript, Resources

pytest.importorskip("submitit")

NASTY = "a'b\"c $(touch ran) `touch ran`; touch ran & #SBATCH --x \\ * é"


def script(name: str = "n", folder: str = "f", member: str = "m", word: str = "w", **asked: object) -> BatchScript:
    tasks = [(member, [["fit", f"--run_dir={folder}", f"--ckpt_path={word}", word]]), ("other", [["test"]])]
    return BatchScript(name, Path(folder), Resources(gpus=0, **asked), tasks, is_array=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("control", ["\n", "\r", "\x1b", "\x00"])
@pytest.mark.parametrize(
    "place", ["name", "folder", "member", "word", "partition", "mem", "setup", "more's key", "more's value"]
)
def test_control_characters_are_refused(place: str, control: str) -> None:
    text = f"x{control}touch ran"
    given = {
        "setup": {"setup": (text,)},
        "more's key": {"more": {text: "x"}},
        "more's value": {"more": {"x": text}},
    }.get(place, {place: text})
    with pytest.raises(UserError, match=r"submit: .*touch ran"):
        script(**given)  # type: ignore[arg-type]


def test_all_else_is_quoted_once(tmp_path: Path) -> None:
    made = script(name=NASTY, folder=NASTY, member=NASTY, word=NASTY, partition=NASTY, more={"comment": NASTY})
    (tmp_path / "srun").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/words\n')
    (tmp_path / "srun").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "0"}
    done = subprocess.run(["bash"], input=made.text, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0
    words = (tmp_path / "words").read_text().splitlines()
    assert [word for word in words if "touch" in word] == [f"--run_dir={NASTY}", f"--ckpt_path={NASTY}", NASTY]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("option", ["--sbatch=a\n#SBATCH --x=1=2", "--sbatch=a b=1", "--sbatch=ntasks_per_node=2"])
def test_keys_of_sbatch(option: str, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "--dry_run", option, "--", "fit", "--config", str(tiny)]) == 2
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
