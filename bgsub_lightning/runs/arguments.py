"""Options of commands that run trainings: their own, and those that they pass through to `fit` and `test`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.program import PROGRAM

if TYPE_CHECKING:
    from bgsub_lightning.training.cli import TrainingCLI


class OptionParser(argparse.ArgumentParser):
    """Parser of a command's own options, whose errors are for users.

    Args:
        command: The command.
        usage: Its options in a line.
        description: What it does.
        epilog: What follows the list of options.
    """

    def __init__(self, command: str, usage: str, description: str, epilog: str = "") -> None:
        self._takes_value: dict[str, bool] = {}
        super().__init__(
            prog=f"{PROGRAM} {command}",
            usage=f"%(prog)s {usage}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """Add an option, and note whether it takes a value."""
        action = super().add_argument(*names, **settings)
        self._takes_value |= dict.fromkeys(action.option_strings, action.nargs != 0)
        return action

    def parse(self, options: Sequence[str]) -> dict[str, Any]:
        """Parse the command's own options; all others are under ``passthrough``, each as ``--key=value``.

        Raises:
            UserError: If its own do not fit.
        """
        own, passthrough = split_args(options, self._takes_value)
        return {**vars(self.parse_args(own)), "passthrough": tuple(passthrough)}

    def error(self, message: str) -> NoReturn:
        """Raise what the user can mend.

        Raises:
            UserError: Always.
        """
        raise UserError(f"{message}\nAll options: {self.prog} --help")


def split_args(options: Sequence[str], own: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    """Split options into a command's own and those that it passes through, each as ``--key=value``.

    Args:
        options: The options, and words such as a file's name, which are the command's own.
        own: The command's own options → whether they take a value.

    Example:
        >>> split_args(["FILE", "--out", "a", "--dry", "--trainer.max_steps", "3"], {"--out": True, "--dry": False})
        (['FILE', '--out=a', '--dry'], ['--trainer.max_steps=3'])
    """
    words: list[str] = []
    for word in options:
        is_open = words and words[-1].startswith("--") and "=" not in words[-1] and own.get(words[-1], True)
        if is_open and not word.startswith("--"):
            words[-1] += f"={word}"
        else:
            words.append(word)
    kept = [word for word in words if not word.startswith("--") or word.partition("=")[0] in own]
    return kept, [word for word in words if word not in kept]


def count(least: int = 1, most: int = 10_000) -> Callable[[str], int]:
    """Return a reader of whole numbers within bounds, for argparse."""

    def read(text: str) -> int:
        if not text.isdecimal() or len(text) > 9 or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most:,}; got {text!r}")
        return int(text)

    return read


def parse_trainer(command: str, options: Sequence[str]) -> TrainingCLI:
    """Parse the options of `fit`, `validate`, `test` or `predict`, and run nothing.

    Raises:
        UserError: If one of them does not fit.
    """
    from bgsub_lightning.training.cli import run_trainer  # here: with PyTorch, which no help needs
    from bgsub_lightning.training.parse_only import ParseOnly

    return run_trainer(command, options, ParseOnly)
