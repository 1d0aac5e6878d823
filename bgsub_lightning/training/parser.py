"""The parser of Lightning's commands: a short help, and loggers that need no folder."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
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
    "config": "Experiment file, by its path or name; a later --config overrides an earlier one.",
    "data": "The frames: --data.init_args.NAME VALUE, such as root, fold or size.",
    "model": "The system: its class, such as BmnBsn, or --model.init_args.NAME VALUE.",
    "seed_everything": "Seed of all random numbers. Default: data.init_args.seed, or 0.",
    "ckpt_path": "Checkpoint to begin from: a file, or `last` or `best` of the run.",
    "trainer.accelerator": "Such as cpu or gpu.",
    "trainer.devices": "How many, or which.",
    "trainer.precision": "Such as 32-true, 16-mixed or bf16-mixed.",
    "trainer.logger": "A logger next to the CSV log, such as TensorBoardLogger or MLFlowLogger; false: no log.",
    "trainer.max_epochs": "Epochs to train.",
    "trainer.max_steps": "Optimiser steps to train; -1: by epochs.",
    "trainer.max_time": "Time to train, DD:HH:MM:SS.",
    "trainer.limit_val_batches": "Batches of validation: a number, or a share.",
    "trainer.val_check_interval": "Training batches between validations, or a share of an epoch.",
    "best.monitor": "Score that decides which checkpoint is the best.",
    "best.mode": "Whether the largest or the smallest is the best.",
    "early_stopping.min_delta": "Least improvement that counts as better.",
    "last.every_n_train_steps": "Optimiser steps between two checkpoints to resume from.",
    "scores.show": "Print the table of a test.",
    "gallery.keep": "Keep the best, the median and the worst frame of each category of a test.",
    "masks.folder": "Folder of the masks of `predict`, in CDnet's layout. Default: results in the run directory.",
    "backgrounds.every": "Frames of `predict` between two pictures of the background model; 0: none.",
    "backgrounds.folder": "Folder of these pictures. Default: backgrounds in the run directory.",
    "compile.backend": "Compile the networks by a backend of torch.compile, such as inductor. Default: not compiled.",
    "compile.mode": "The mode of torch.compile.",
    "compile.dynamic": "Whether one compilation serves all sizes. Default: once a second size is seen.",
    "print_config": "Print the configuration that results from all options, and exit.",
    "model.help": "List the options of a system, such as BmnBsn, and exit.",
    "data.help": "List the options of the data, and exit.",
}
"""Texts of options in the short help; other options of Lightning's trainer are left out."""

_GROUPS = {
    "first options": (
        *("config", "data", "model", "run_dir", "ckpt_path", "wandb", "seed_everything"),
        *("trainer.accelerator", "trainer.devices", "trainer.max_epochs"),
    ),
    "run": ("name", "checkpoint", "initial_weights", "trainer.precision", "trainer.logger", "pictures", "samples"),
    "length and validation": ("trainer.max", "trainer.limit_val_batches", "trainer.val_check_interval"),
    "checkpoints and early stopping": ("best", "early_stopping", "last"),
    "test and predict": ("scores", "gallery", "masks", "backgrounds"),
    "compilation": ("compile",),
    "help": ("help", "print_config", "model.help", "data.help"),
}
"""Groups of the short help → names of their options, or how these begin."""

_OTHERS = "other options"

_MORE = """\
--help_all lists all options, with those of Lightning's trainer.
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
        """Return the options that people need first, then others by their purpose; all of them with ``--help_all``."""
        actions = arguments_of(self)
        if self.is_help_whole or not any(action.dest == "trainer.logger" for action in actions):
            return str(super().format_help(*arguments))
        helps, usage, formatter = [each.help for each in actions], self.usage, self.formatter_class
        try:
            self.usage = f"{self.prog.replace(' [options]', '')} --config FILE [OPTIONS]"
            self.formatter_class = partial(ShortHelpFormatter, width=120)  # type: ignore[assignment]
            for each in actions:
                each.help = _SHORT.get(each.dest, each.help)
            with groups_in_help(self, _grouped(actions)):
                return f"{super().format_help(*arguments)}\n{_MORE}"
        finally:
            self.usage, self.formatter_class = usage, formatter
            for each, text in zip(actions, helps, strict=True):
                each.help = text


def _grouped(actions: Sequence[argparse.Action]) -> dict[str, list[argparse.Action]]:
    """Sort the arguments of the short help into its groups, by the order of :data:`_GROUPS`."""
    exact = {name: title for title, names in _GROUPS.items() for name in names}
    order = list(exact)
    found: dict[str, list[tuple[int, argparse.Action]]] = {title: [] for title in (*_GROUPS, _OTHERS)}
    for each in actions:
        is_file = each.metavar == "CONFIG" and each.dest != "config"  # of a part of the configuration
        is_link = not any(option.startswith("-") for option in each.option_strings)
        is_trainers = each.dest.startswith(("trainer", "weights_only")) and each.dest not in _SHORT
        if is_file or is_link or is_trainers:
            continue
        name = each.dest if each.dest in exact else next(filter(each.dest.startswith, order), "")
        found[exact.get(name, _OTHERS)].append((order.index(name) if name else 0, each))
    return {
        title: [each for _, each in sorted(group, key=lambda pair: pair[0])] for title, group in found.items() if group
    }


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
