"""The batch script of a job, as text."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.text import has_control_characters, refuse_passwords

LAUNCHED = ("fit", "validate", "test", "predict")
"""Commands of which each device has a process of its own."""


@dataclass(frozen=True)
class Resources:
    """What a job asks for.

    Attributes:
        nodes: Machines.
        gpus: GPUs of each node, with a process each.
        tasks: Processes of each node where there is no GPU.
        partition: Where it waits; ``None``: the cluster's default.
        time: Its limit, as ``12:00:00`` or ``2-00:00:00``; ``None``: the partition's.
        cpus: CPU cores of each process.
        mem: Memory of each node, as ``64G``.
        signal_delay: Seconds before the limit at which it is told to save its state.
        more: Further options of sbatch.
        setup: Shell commands that come first.
    """

    nodes: int = 1
    gpus: int = 1
    tasks: int = 1
    partition: str | None = None
    time: str | None = None
    cpus: int | None = None
    mem: str | None = None
    signal_delay: int = 120
    more: Mapping[str, str] = field(default_factory=dict)
    setup: tuple[str, ...] = ()

    @property
    def devices(self) -> int:
        """Processes of each node."""
        return self.gpus or self.tasks

    @property
    def trainer_options(self) -> dict[str, str]:
        """What the Trainer must be told, to be what SLURM starts."""
        return {
            "--trainer.accelerator": "gpu" if self.gpus else "cpu",
            "--trainer.devices": str(self.devices),
            "--trainer.num_nodes": str(self.nodes),
        }


@dataclass(frozen=True)
class BatchScript:
    """What sbatch takes.

    Attributes:
        name: Name of the job.
        folder: Folder of its log, relative to where it is submitted if possible; it need not exist.
        resources: What it asks for.
        tasks: For each task of an array its name and the commands that it runs one after the other, each without the
            name of the program; a single job has one.
        at_once: How many tasks of an array run at once, at most; ``None``: all.
        is_array: Whether it is an array, of one task possibly.
    """

    name: str
    folder: Path
    resources: Resources
    tasks: Sequence[tuple[str, Sequence[Sequence[str]]]]
    at_once: int | None = None
    is_array: bool = False

    def __post_init__(self) -> None:
        """Check that each text stays the word or the line that it is, and that no password is kept.

        Raises:
            UserError: If it does not.
        """
        asked = self.resources
        words = [word for _, commands in self.tasks for command in commands for word in command]
        for what, texts in (
            ("--name", [self.name]),
            ("--run_dir, --out", [str(self.folder)]),
            ("--partition", [asked.partition or ""]),
            ("--mem", [asked.mem or ""]),
            ("--sbatch", [*asked.more, *asked.more.values()]),
            ("--setup", asked.setup),
            ("member", [name for name, _ in self.tasks]),
            ("command", words),
        ):
            for text in texts:
                if has_control_characters(text):
                    raise UserError(f"submit: {what}: must be in one line, without control characters; got {text!r}.")
                refuse_passwords(text, f"submit: {what}", "the batch script and job.json")

    @property
    def log(self) -> Path:
        """Its log in SLURM's notation: ``%j`` is the job, ``%A_%a`` a task of an array."""
        return self.folder / ("%A_%a.out" if self.is_array else "%j.out")

    @property
    def text(self) -> str:
        """The script.

        Raises:
            UserError: If submitit is not installed.
        """
        return str(self.executor()._make_submission_file_text(self.command, ""))

    @property
    def command(self) -> str:
        """What is run, in bash."""
        launched = any(command[0] in LAUNCHED for _, commands in self.tasks for command in commands)
        options = [f"{key}={value}" for key, value in self.resources.trainer_options.items()] if launched else []
        srun = ["srun", "--kill-on-bad-exit=1"]
        if self.resources.cpus:  # since SLURM 22.05 it does not take it from the job
            srun.append(f"--cpus-per-task={self.resources.cpus}")
        start = shlex.join([*srun, *program()])
        lines = ["run() {", f'  {start} "$@"{" " if options else ""}{shlex.join(options)}', "}"]
        if len({str(commands) for _, commands in self.tasks}) == 1:
            return "\n".join([*lines, _chain(self.tasks[0][1], "")])
        lines.append('case "$SLURM_ARRAY_TASK_ID" in')
        for number, (name, commands) in enumerate(self.tasks):
            lines += [f"{number}) # {name}", f"{_chain(commands, '  ')} ;;"]
        return "\n".join([*lines, "esac"])

    def executor(self) -> Any:
        """Return submitit's executor with the parameters of this job.

        Raises:
            UserError: If submitit is not installed.
        """
        try:
            import submitit
        except ImportError as error:
            raise UserError("submit: needs submitit: pip install 'bgsub_lightning[slurm]'") from error

        class Executor(submitit.SlurmExecutor):  # type: ignore[misc, unused-ignore]
            @classmethod
            def affinity(cls) -> int:
                return 2  # a script can be made without SLURM

        asked = self.resources
        executor = Executor(self.folder)
        executor.update_parameters(
            job_name=self.name,
            partition=asked.partition,
            time=asked.time,
            nodes=asked.nodes,
            ntasks_per_node=asked.devices,
            gpus_per_node=asked.gpus or None,
            cpus_per_task=asked.cpus,
            mem=asked.mem,
            setup=list(asked.setup) or None,
            wckey=None,
            use_srun=False,  # it is in the command, so that one log holds the lines of all processes
            stderr_to_stdout=True,
            additional_parameters={
                "output": self.log,
                "signal": f"USR1@{asked.signal_delay}",
                "requeue": True,
                **asked.more,
            },
        )
        if self.is_array:
            executor.parameters |= {
                "map_count": len(self.tasks),
                "array_parallelism": self.at_once or len(self.tasks),
            }
        return executor


def program() -> list[str]:
    """Return how this program is started on a node: by this environment's Python."""
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return [str(python), "-m", "bgsub_lightning"]


def _chain(commands: Sequence[Sequence[str]], indent: str) -> str:
    return f" &&\n{indent}".join(
        [f"{indent}run {_call(commands[0])}", *(f"run {_call(each)}" for each in commands[1:])]
    )


def _call(command: Sequence[str]) -> str:
    """Quote a command; a fit that begins from a file is told to go on from its own checkpoint once there is one."""
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
