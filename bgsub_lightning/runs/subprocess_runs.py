"""What the commands that run many trainings share: options handed on, folders of one process each, its end."""

from __future__ import annotations

import argparse
import signal
import subprocess
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.training.cli import TrainingCLI

PROGRAM = "python -m bgsub_lightning"

_ABSENT = object()


class OptionParser(argparse.ArgumentParser):
    """Parser of a command's own options, whose errors are for users."""

    def error(self, message: str) -> NoReturn:
        """Raise what the user can mend.

        Raises:
            UserError: Always.
        """
        raise UserError(f"{message}\nAll options: {self.prog} --help")


class Parsed(TrainingCLI):
    """Parses the options of a command, and does nothing else."""

    def _set_seed(self) -> None:
        pass

    def before_instantiate_classes(self) -> None:  # noqa: D102
        pass

    def instantiate_classes(self) -> None:  # noqa: D102
        pass

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def divided(options: Sequence[str], own: set[str], flags: set[str]) -> tuple[list[str], list[str]]:
    """Divide options into a command's own and those that it hands on, each as ``--key=value``.

    Args:
        options: The options, and words such as a file's name, which are the command's own.
        own: The command's own options.
        flags: Those of them that take no value.
    """
    words: list[str] = []
    for word in options:
        is_value = words and words[-1].startswith("--") and "=" not in words[-1] and words[-1] not in flags
        if is_value and not word.startswith("--"):
            words[-1] += f"={word}"
        else:
            words.append(word)
    kept = [word for word in words if not word.startswith("--") or word.partition("=")[0] in own]
    return kept, [word for word in words if word not in kept]


def checkpoint_of(options: Sequence[str]) -> str | None:
    """Return what ``--ckpt_path`` tells, if it is there."""
    told = [value for option in options for key, _, value in [option.partition("=")] if key == "--ckpt_path"]
    return told[-1] if told else None


def is_begun(folder: Path) -> bool:
    """Whether a run directory holds a run that can be continued."""
    return (folder / "checkpoints" / "last.ckpt").is_file()


def reason(status: int, told: Sequence[str]) -> str | None:
    """Return in a line why a process has failed; ``None`` if it has not.

    Args:
        status: Its exit status, negative for a signal.
        told: The last lines that it has told.
    """
    if status == 0:
        return None
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    if status in {128 + signal.SIGTERM, 128 + signal.SIGUSR1}:
        return f"stopped by {signal.Signals(status - 128).name}"
    lines = [line for line in reversed(told) if line.strip()]
    return next((line for line in lines if line.startswith("error: ")), lines[0] if lines else f"exit status {status}")


def end(
    process: subprocess.Popen[bytes],
    patience: float = 20,
    ways: Sequence[int] = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL),
) -> None:
    """End a process; it gets time to leave its files whole.

    Args:
        process: The process. Ctrl-C in a terminal has reached it as well.
        patience: Time after each signal, in s.
        ways: The signals to be sent, the mildest first.
    """
    for way in ways:
        try:
            process.send_signal(way)
            process.wait(patience)
            return
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            continue


def duration(seconds: float) -> str:
    """Write a time, such as ``0:01:30``."""
    return str(timedelta(seconds=round(seconds)))


def differences(there: Any, here: Any) -> list[str]:
    """Tell where two nested dictionaries differ, a line for each key."""
    first, second = dict(_flat(there)), dict(_flat(here))
    return [
        f"{key}: {first.get(key, 'absent')} there, {second.get(key, 'absent')} here"
        for key in {**first, **second}
        if first.get(key, _ABSENT) != second.get(key, _ABSENT)
    ]


def _flat(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Return the values of nested dictionaries under dotted keys."""
    if not isinstance(content, dict):
        yield key, content
        return
    for name, value in content.items():
        yield from _flat(value, f"{key}.{name}" if key else str(name))
