"""SLURM: what a job asks for, its batch script, how it is submitted, and its state."""

from __future__ import annotations

import re
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, make_folder
from bgsub_lightning.core.program import python
from bgsub_lightning.core.text import has_control_characters, refuse_passwords

LAUNCHED = ("fit", "validate", "test", "predict")
"""Commands of which each device has its own process."""

LIVE = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "REQUEUED", "RESIZING"}
"""States of jobs that are not over."""


@dataclass(frozen=True)
class Request:
    """Options of ``submit``, as its help has them; ``None``: the cluster's default, or nothing asked for."""

    nodes: int = 1
    gpus: int = 1
    tasks: int | None = None
    partition: str | None = None
    time: str | None = None
    cpus: int | None = None
    mem: str | None = None
    signal_delay: int = 120
    array: int | None = None
    at_once: int | None = None
    name: str | None = None
    sbatch: Sequence[tuple[str, str]] = ()
    setup: Sequence[str] = ()
    dry_run: bool = False

    @property
    def devices(self) -> int:
        """Processes of each node."""
        return self.gpus or self.tasks or 1

    @property
    def trainer_options(self) -> dict[str, str]:
        """Options of the Trainer that follow from the job."""
        return {
            "--trainer.accelerator": "gpu" if self.gpus else "cpu",
            "--trainer.devices": str(self.devices),
            "--trainer.num_nodes": str(self.nodes),
        }


@dataclass(frozen=True)
class BatchScript:
    """A script for sbatch.

    Attributes:
        name: Name of the job.
        folder: Folder of its log, relative to where it is submitted if possible; it need not exist.
        request: What it asks for.
        tasks: For each task of an array its name and the commands that it runs one after the other, each without the
            name of the program; a single job has one.
        is_array: Whether it is an array, of one task possibly.
    """

    name: str
    folder: Path
    request: Request
    tasks: Sequence[tuple[str, Sequence[Sequence[str]]]]
    is_array: bool = False

    def __post_init__(self) -> None:
        """Check that each text stays the word or the line that it is, and that no password is kept.

        Raises:
            UserError: If it does not, or an option of sbatch is one that the script sets.
        """
        asked = self.request
        words = [word for _, commands in self.tasks for command in commands for word in command]
        for what, texts in (
            ("--name", [self.name]),
            ("--run_dir, --out", [str(self.folder)]),
            ("--partition", [asked.partition or ""]),
            ("--mem", [asked.mem or ""]),
            ("--sbatch", [text for pair in asked.sbatch for text in pair]),
            ("--setup", asked.setup),
            ("run", [name for name, _ in self.tasks]),
            ("command", words),
        ):
            for text in texts:
                if has_control_characters(text):
                    raise UserError(f"submit: {what}: must be in one line, without control characters; got {text!r}.")
                refuse_passwords(text, f"submit: {what}", "the batch script and job.json")
        for key, _ in asked.sbatch:  # sbatch takes the beginning of a name for the name
            if clash := [name for name in self._directives if name.startswith(key.replace("_", "-"))]:
                raise UserError(f"--sbatch: {key}: must not be set; got {key!r}: submit sets {clash[0]}. Leave it out.")

    @property
    def log(self) -> Path:
        """Its log in SLURM's notation: ``%j`` is the job, ``%A_%a`` a task of an array."""
        return self.folder / ("%A_%a.out" if self.is_array else "%j.out")

    @property
    def _directives(self) -> dict[str, str | None]:
        """The options of sbatch that are ours; ``None``: left to the cluster; an empty one takes no value."""
        asked = self.request
        array = f"0-{len(self.tasks) - 1}%{min(len(self.tasks), asked.at_once or len(self.tasks))}"
        return {
            "array": array if self.is_array else None,
            "cpus-per-task": str(asked.cpus) if asked.cpus else None,
            "error": None,  # goes to the output
            "gpus-per-node": str(asked.gpus) if asked.gpus else None,
            "job-name": self.name,
            "mem": asked.mem,
            "nodes": str(asked.nodes),
            "ntasks-per-node": str(asked.devices),
            "open-mode": "append",
            "output": str(self.log),
            "partition": asked.partition,
            "requeue": "",
            "signal": f"USR1@{asked.signal_delay}",
            "time": asked.time,
        }

    @property
    def text(self) -> str:
        """The script."""
        more = {key.replace("_", "-"): value for key, value in self.request.sbatch}
        options = sorted((self._directives | more).items())
        lines = ["#!/bin/bash", ""]
        lines += [
            f"#SBATCH --{key}" + (f"={shlex.quote(value)}" if value else "")
            for key, value in options
            if value is not None
        ]
        return "\n".join([*lines, "", *self.request.setup, self.command, ""])

    @property
    def command(self) -> str:
        """The commands, in bash."""
        launched = any(command[0] in LAUNCHED for _, commands in self.tasks for command in commands)
        options = [f"{key}={value}" for key, value in self.request.trainer_options.items()] if launched else []
        srun = ["srun", "--kill-on-bad-exit=1"]
        if self.request.cpus:  # since SLURM 22.05 it does not take it from the job
            srun.append(f"--cpus-per-task={self.request.cpus}")
        start = shlex.join([*srun, python(elsewhere=sys.executable), "-m", "bgsub_lightning"])
        lines = ["run() {", f'  {start} "$@"{" " if options else ""}{shlex.join(options)}', "}"]
        if len({str(commands) for _, commands in self.tasks}) == 1:
            return "\n".join([*lines, _chain(self.tasks[0][1], "")])
        lines.append('case "$SLURM_ARRAY_TASK_ID" in')
        for number, (name, commands) in enumerate(self.tasks):
            lines += [f"{number}) # {name}", f"{_chain(commands, '  ')} ;;"]
        return "\n".join([*lines, "esac"])


def _chain(commands: Sequence[Sequence[str]], indent: str) -> str:
    return f" &&\n{indent}".join(
        [f"{indent}run {_call(commands[0])}", *(f"run {_call(each)}" for each in commands[1:])]
    )


def _call(command: Sequence[str]) -> str:
    """Quote a command; a fit that begins from a file continues from its own checkpoint once there is one."""
    words = []
    for word in command:
        key, _, value = word.partition("=")
        if command[0] == "fit" and key == "--ckpt_path" and value not in {"last", "best"}:
            run_dir = next(each.partition("=")[2] for each in command if each.startswith("--run_dir="))
            begun = shlex.quote(f"{run_dir}/checkpoints/last.ckpt")
            words.append(f'{key}="$(if [ -f {begun} ]; then echo last; else echo {shlex.quote(value)}; fi)"')
        else:
            words.append(shlex.quote(word))
    return " ".join(words)


class State(NamedTuple):
    """The state of a job.

    Attributes:
        name: Such as ``RUNNING``.
        detail: Its nodes, or why it waits.
        elapsed: How long it has run, as ``1:02:03``.
    """

    name: str
    detail: str = ""
    elapsed: str = ""

    @property
    def is_live(self) -> bool:
        """Whether it waits or runs."""
        return self.name in LIVE


def require_slurm() -> None:
    """Check that jobs can be submitted here.

    Raises:
        UserError: If there is no sbatch.
    """
    if shutil.which("sbatch") is None:
        raise UserError(
            "submit: there is no SLURM on this machine (no command `sbatch`). Run it on a login node of the cluster; "
            "--dry_run prints the batch script anywhere."
        )


def sbatch(script: BatchScript) -> str:
    """Submit a batch script; it is kept in the folder of the log, as ``JOB_submission.sh``.

    Returns:
        The number of the job.

    Raises:
        UserError: If there is no SLURM, or it refuses the job.
    """
    require_slurm()
    make_folder(script.folder, within=script.folder.parent)
    file = script.folder / f".submission_{secrets.token_hex(8)}.sh"
    with atomic_write(file) as stream:
        stream.write(script.text)
    try:
        done = subprocess.run(["sbatch", str(file)], capture_output=True, text=True, check=False)
        number = re.search(r"\bjob (\d+)", done.stdout)
        if done.returncode or not number:
            lines = [re.sub("sbatch: (error: )?", "", line) for line in done.stderr.splitlines() if "sbatch: " in line]
            raise UserError("SLURM refuses the job:\n  " + "\n  ".join(lines or [done.stderr + done.stdout]))
        file.rename(script.folder / f"{number[1]}_submission.sh")
    finally:
        file.unlink(missing_ok=True)
    return number[1]


def states(jobs: Iterable[str]) -> dict[str, State]:
    """Ask for the states of jobs.

    Args:
        jobs: Numbers of jobs; of an array the number alone.

    Returns:
        Number → state; ``NUMBER_TASK`` of each task of an array. Jobs that SLURM has forgotten are missing: it
        remembers them for some minutes, and for long only where it keeps accounts.
    """
    wanted = sorted(set(jobs))
    found: dict[str, State] = {}
    if not wanted:
        return found
    accounts = ("sacct", "-n", "-X", "-P", "-o", "JobID,State,NodeList,Elapsed", "-j", ",".join(wanted))
    for line in _output(*accounts):
        job, state, nodes, elapsed = line.split("|")
        found[job] = State(state.split()[0], nodes, elapsed)
    for each in wanted:  # one that is unknown would spoil the answer for all
        for line in _output("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%R|%M", "-j", each):
            job, state, detail, elapsed = line.split("|")
            found[job] = State(state, detail, elapsed)
    return found


def _output(*command: str) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):  # no such command, no accounts, or no such job
        return []
    return done.stdout.splitlines()
