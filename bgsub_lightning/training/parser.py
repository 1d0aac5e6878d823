"""The parser of Lightning's commands: a short help, and loggers that need no folder."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import Logger, MLFlowLogger

from bgsub_lightning.core.compat.jsonargparse import ShortHelpFormatter, arguments_of, groups_in_help
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.parser import PlainParser
from bgsub_lightning.core.text import one_line

_INSTALL = re.compile(r"pip install (?:-U )?'?([\w-]+)")  # as Lightning advises

_SHORT = {
    "model": "The system: its class, such as BmnBsn, or --model.init_args.NAME VALUE.",
    "data": "The frames: --data.init_args.NAME VALUE, such as root, fold or size.",
    "ckpt_path": "Checkpoint to begin from: a file, or `last` or `best` of the run.",
    "trainer.accelerator": "Such as cpu or gpu.",
    "trainer.devices": "How many, or which.",
    "trainer.precision": "Such as 32-true, 16-mixed or bf16-mixed.",
    "trainer.logger": "A logger next to the CSV log, such as TensorBoardLogger or MLFlowLogger; false: no log.",
    "trainer.max_epochs": "Epochs to train.",
    "trainer.max_steps": "Optimiser steps to train.",
    "trainer.max_time": "Time to train, DD:HH:MM:SS.",
    "trainer.limit_val_batches": "Batches of validation: a number, or a share.",
    "trainer.val_check_interval": "Training batches between validations, or a share of an epoch.",
}
"""What the short help says of Lightning's options; others of its trainer it leaves out."""

_MORE = """\
All options, those of Lightning's trainer too: --help_all. Those of a system: --model.help CLASS, such as BmnBsn; those
of the data: --data.help. What they are set to: --print_config.
"""

_MLFLOW = "sqlite:///mlflow.db"
"""MLflow's own default; Lightning's, a folder of files, is refused by MLflow 3."""


class TrainingParser(PlainParser, LightningArgumentParser):
    """Parser of Lightning's commands, which takes a logger without its folder.

    Attributes:
        is_help_whole: Whether the help lists all options.
    """

    is_help_whole = False

    def add_class_arguments(self, theclass: type, *arguments: Any, **settings: Any) -> list[str]:
        """Add the arguments of a class; a logger's folder need not be given."""
        if isinstance(theclass, type) and issubclass(theclass, Logger):
            settings["linked_targets"] = {"save_dir"}  # jsonargparse's way to say: known later
        return list(super().add_class_arguments(theclass, *arguments, **settings))

    def format_help(self, *arguments: Any) -> str:
        """Return the options of the suite, then the most used of Lightning's; all of them with ``--help_all``."""
        actions = arguments_of(self)
        if self.is_help_whole or not any(action.dest == "trainer.logger" for action in actions):
            return str(super().format_help(*arguments))
        hidden = ("trainer", "weights_only")
        left_out = {
            each.dest
            for each in actions
            if (each.dest.startswith(hidden) and each.dest not in _SHORT)
            or (each.metavar == "CONFIG" and each.dest != "config")
        }
        helps, usage, formatter = [each.help for each in actions], self.usage, self.formatter_class
        try:
            self.usage = f"{self.prog.replace(' [options]', '')} --config FILE [OPTIONS]"
            self.formatter_class = partial(ShortHelpFormatter, width=120)  # type: ignore[assignment]
            for each in actions:
                each.help = argparse.SUPPRESS if each.dest in left_out else _SHORT.get(each.dest, each.help)
            with groups_in_help(self, leave_out="Linked arguments", last="Customize"):
                return f"{super().format_help(*arguments)}\n{_MORE}"
        finally:
            self.usage, self.formatter_class = usage, formatter
            for each, text in zip(actions, helps, strict=True):
                each.help = text


def logger_maker(run_dir: Path) -> Callable[..., Logger]:
    """Return how loggers are made: by default they write to the run directory; MLflow's run has its name.

    Args:
        run_dir: The run directory.

    Returns:
        An instantiator for jsonargparse. It raises :class:`UserError` if a logger fails, or lacks its package.
    """

    def make(kind: type[Logger], *arguments: Any, **settings: Any) -> Logger:
        settings.pop("applied_instantiation_links", None)
        if settings.get("save_dir", "") is None:
            settings["save_dir"] = str(run_dir)
        if issubclass(kind, MLFlowLogger):
            settings["run_name"] = settings.get("run_name") or run_dir.name
            settings["tracking_uri"] = settings.get("tracking_uri") or _MLFLOW
        try:
            return kind(*arguments, **settings)
        except ImportError as error:
            packages = _INSTALL.findall(str(error)) or [error.name or str(error)]
            raise UserError(
                f"trainer.logger: needs a package that is not installed; got {kind.__name__}. "
                f"Install it: pip install {packages[-1]}"
            ) from error
        except Exception as error:  # whatever the logger's package raises of a server, an address or a file
            text = one_line(str(error))
            raise UserError(
                f"trainer.logger: {kind.__name__} cannot be started; got {text!r}. Change its arguments."
            ) from error

    return make
