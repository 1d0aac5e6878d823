"""The engine of all commands that run trainings: it locks the folder of each run, and starts its commands as processes.

A :class:`RunPlan` holds the options of all runs, and knows what a run has still to do: that is how a stopped command
continues. A :class:`Queue` chooses the next run, and records how each has ended.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from bgsub_lightning.core.config import flat
from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, folder_lock, refuse_links
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.core.records import read_text
from bgsub_lightning.core.text import refuse_passwords
from bgsub_lightning.runs.grid import Run
from bgsub_lightning.runs.processes import Process, terminate

NAME = "{run}"
"""Stands for a run's name in an option: weights of another campaign over the same values."""

_SET_BY_US = {"--config", "--run_dir", "--name"}

_POLL = 0.5
"""Time between two looks at the processes, in s."""

_ABSENT = object()


# --- what is to be run -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunPlan:
    """Runs of one experiment in one folder.

    Attributes:
        out: The folder of their directories.
        base: The options that come first: configuration files.
        passthrough: Options of all runs from the command line, each as ``--key=value``.
        commands: What each run does: ``fit``, ``test``, or the one and then the other.
    """

    out: Path
    base: tuple[str, ...]
    passthrough: tuple[str, ...]
    commands: tuple[str, ...]

    def folder(self, run: Run) -> Path:
        """Return the directory of a run."""
        return self.out / run.name

    def options(self, run: Run) -> tuple[str, ...]:
        """Return the options of a run; of two with one key the later counts."""
        return tuple(option.replace(NAME, run.name) for option in (*self.passthrough, *run.options))

    def is_begun(self, run: Run) -> bool:
        """Whether a run can be continued."""
        return (self.folder(run) / "checkpoints" / "last.ckpt").is_file()

    def call(self, run: Run, command: str) -> list[str]:
        """Return a command of a run, without the name of the program."""
        options = self.options(run)
        checkpoint = _checkpoint(options)
        of_run = checkpoint in {"last", "best"}
        if command == "fit":  # another checkpoint is where a first start begins
            checkpoint = "last" if checkpoint is None or of_run or self.is_begun(run) else checkpoint
        elif "fit" in self.commands and not of_run:  # it was where training started from
            checkpoint = None
        ckpt_path = [f"--ckpt_path={checkpoint}"] if checkpoint else []
        rest = [option for option in options if not option.startswith("--ckpt_path=")]
        files = [f"--config={file}" for file in run.files]
        return [command, *files, *self.base, f"--run_dir={self.folder(run)}", *ckpt_path, *rest]

    def remaining(self, run: Run) -> list[str]:
        """Return the commands that a run has still to do."""
        is_trained = "fit" not in self.commands or (self.folder(run) / "finished.json").is_file()
        is_tested = "test" not in self.commands or (is_trained and self._is_tested(run))
        return ["fit"] * (not is_trained) + ["test"] * (not is_tested)

    def _is_tested(self, run: Run) -> bool:
        folder, checkpoint = self.folder(run), _checkpoint(self.options(run))
        is_elsewhere = checkpoint not in {None, "last", "best"} and "fit" not in self.commands
        weights = Path(str(checkpoint)) if is_elsewhere else folder / "checkpoints" / "last.ckpt"
        scores = folder / "scores.json"
        if not scores.is_file():
            return False
        return not weights.is_file() or scores.stat().st_mtime_ns >= weights.stat().st_mtime_ns


def _checkpoint(options: Sequence[str]) -> str | None:
    found = [option.partition("=")[2] for option in options if option.startswith("--ckpt_path=")]
    return found[-1] if found else None


def refuse_ours(passthrough: Sequence[str], what: str, config: str) -> None:
    """Check that no option is one that each run gets from us.

    Args:
        passthrough: The options.
        what: What a run is called.
        config: Where the experiment is named.

    Raises:
        UserError: If one is.
    """
    for option in passthrough:
        if (key := option.partition("=")[0]) in _SET_BY_US:
            own = f"each {what} has its own directory. Name the folder of all by --out FOLDER."
            raise UserError(f"{key}: must not be set; got {option!r}: {config if key == '--config' else own}")


# --- records ---------------------------------------------------------------------------------------------------------


def require_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that a folder is continued with the options that it was begun with, as JSON has them.

    Raises:
        UserError: If they differ. It lists the keys with both values.
    """
    if different := diff_configs(before, json.loads(json.dumps(now, default=str))):
        more = [f"… and {len(different) - 8} more"] if len(different) > 8 else []
        raise UserError(
            f"{folder}: holds runs of another configuration:\n  "
            + "\n  ".join(different[:8] + more)
            + "\nName another --out FOLDER, or repeat the options of before; only runs may be added."
        )


def save_record(file: Path, content: Mapping[str, Any]) -> None:
    """Write a record, unless the file holds it.

    Raises:
        UserError: If the folder cannot be written, or an address has a password.
    """
    text = json.dumps(content, indent=1, default=str) + "\n"
    refuse_passwords(text, "options", file.name)
    try:
        if file.is_file() and read_text(file) == text:
            return
        with atomic_write(file) as stream:
            stream.write(text)
    except (OSError, UserError) as error:
        raise UserError(f"--out: {error}") from error


def diff_configs(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List the differences of two nested dictionaries, a line for each key.

    Example:
        >>> diff_configs({"a": {"b": 1}}, {"a": {"b": 2}, "c": 3})
        ['a.b: 1 there, 2 here', 'c: absent there, 3 here']
    """
    first, second = flat(before), flat(now)
    return [
        f"{key}: {first.get(key, 'absent')} there, {second.get(key, 'absent')} here"
        for key in {**first, **second}
        if first.get(key, _ABSENT) != second.get(key, _ABSENT)
    ]


# --- the loop --------------------------------------------------------------------------------------------------------


@dataclass
class ActiveRun:
    """A run that is worked on.

    Attributes:
        run: The run.
        folder: Its directory, which is locked.
        lock: The file descriptor of the lock.
        held: What is released at its end.
        command: The command that runs; empty before the first.
        process: The process of that command.
        started: When it was claimed, in s.
    """

    run: Run
    folder: Path
    lock: int
    held: ExitStack
    command: str = ""
    process: Process | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def log(self) -> Path:
        """Its output, where that does not go to the terminal."""
        return self.folder / "output.log"

    @property
    def took(self) -> str:
        """The time since it was claimed."""
        return duration(time.monotonic() - self.started)


class Queue(ABC):
    """Chooses runs, and records how they have ended.

    Attributes:
        plan: The plan.
        is_logged: Whether output goes to ``output.log`` of each run, not to the terminal.
    """

    plan: RunPlan
    is_logged = False

    @abstractmethod
    def next(self) -> ActiveRun | None:
        """Claim the run that comes next; ``None`` if there is none now."""

    @abstractmethod
    def is_over(self) -> bool:
        """Whether none will come; it is asked while no run is worked on."""

    @abstractmethod
    def announce(self, active: ActiveRun, command: str) -> None:
        """Print that a command starts."""

    @abstractmethod
    def finish(self, active: ActiveRun, failure: str | None) -> None:
        """Note the end of a run, and why it has failed."""

    def look(self, active: ActiveRun) -> bool:
        """Look at a run while it is worked on, and return whether it was ended."""
        return False

    def claim(self, run: Run) -> ActiveRun | None:
        """Lock the directory of a run; ``None`` if another process works in it.

        Raises:
            UserError: If it cannot be made, or is a link.
        """
        folder, held = self.plan.folder(run), ExitStack()
        refuse_links(folder / "output.log", self.plan.out)
        lock = held.enter_context(folder_lock(folder))
        if lock is None:
            held.close()
            return None
        return ActiveRun(run, folder, lock, held)


def execute(queue: Queue, workers: int = 1) -> None:
    """Run what a queue hands out; at its end, however it comes, no process is left.

    Args:
        queue: The queue.
        workers: How many runs are worked on at a time, each on its own GPU.
    """
    at_work: dict[int, ActiveRun] = {}
    devices = _devices(workers)
    try:
        while True:
            for place in range(workers):
                if place not in at_work and (active := queue.next()):
                    at_work[place] = active
            if not at_work and queue.is_over():
                return
            ended = [place for place, active in at_work.items() if _advance(queue, active, devices[place])]
            for place in ended:
                at_work.pop(place).held.close()
            if not ended:
                time.sleep(_POLL)
    finally:
        terminate([active.process.popen for active in at_work.values() if active.process])
        for active in at_work.values():
            active.held.close()


def _advance(queue: Queue, active: ActiveRun, device: str | None) -> bool:
    """Start the next command of a run if none is at work, and return whether the run has ended."""
    has_ended = active.process is None or active.process.poll()  # before its log is read, which is whole then
    if queue.look(active):
        return True
    if not has_ended:
        return False
    failure = active.process.failure() if active.process else None
    remaining = queue.plan.remaining(active.run)
    if not failure and active.command in remaining:
        failure = "stopped before its end"  # as by --trainer.max_time, or by SIGTERM
    if failure or not remaining:
        queue.finish(active, failure)
        return True
    active.command = remaining[0]
    queue.announce(active, active.command)
    active.process = Process(
        queue.plan.call(active.run, active.command), active.lock, active.log if queue.is_logged else None, device
    )
    return False


def _devices(workers: int) -> list[str | None]:
    """Return the GPU of each worker, as in CUDA_VISIBLE_DEVICES; one worker has them all, and so has a CPU."""
    import torch  # here, so that help is instant

    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = variable.split(",") if variable else [str(index) for index in range(torch.cuda.device_count())]
    if workers == 1 or not visible or not torch.cuda.is_available():
        return [None] * workers
    return [visible[place % len(visible)] for place in range(workers)]


@contextmanager
def resumable(words: Sequence[str]) -> Iterator[None]:
    """Let Ctrl-C, and SIGTERM as of a scheduler, end a command with status 130 and the line that continues it.

    Args:
        words: The command and its options.

    Raises:
        SystemExit: With status 130 where one of them comes.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        again = f"{PROGRAM} {shlex.join(words)}"
        console.print(f"\nStopped. The same command continues from here: {again}", soft_wrap=True)
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def print_failures(failures: Mapping[str, str]) -> None:
    """List failed runs, each with the reason."""
    if failures:
        console.print(f"{len(failures)} failed; the same command tries them again:")
    for run, reason in failures.items():
        console.print(f"  {run}: {reason}", soft_wrap=True)


def duration(seconds: float) -> str:
    """Write a time, such as ``0:01:30``."""
    return str(timedelta(seconds=round(seconds)))
