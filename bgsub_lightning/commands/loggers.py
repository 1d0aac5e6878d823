"""Loggers of Lightning that a configuration names, next to those of the suite."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import Logger, MLFlowLogger

from bgsub_lightning.commands.parser import PlainParser
from bgsub_lightning.errors import UserError

_INSTALL = re.compile(r"pip install (?:-U )?'?([\w-]+)")  # as Lightning advises

_MLFLOW = "sqlite:///mlflow.db"
"""MLflow's own default; Lightning's, a folder of files, is refused by MLflow 3."""


class TrainingParser(PlainParser, LightningArgumentParser):
    """Parser of Lightning's commands, which takes a logger without its folder."""

    def add_class_arguments(self, theclass: type, *arguments: Any, **settings: Any) -> list[str]:
        """Add the arguments of a class; a logger's folder need not be given."""
        if isinstance(theclass, type) and issubclass(theclass, Logger):
            settings["linked_targets"] = {"save_dir"}  # jsonargparse's way to say: known later
        return list(super().add_class_arguments(theclass, *arguments, **settings))


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
            text = " ".join(str(error).split())
            raise UserError(
                f"trainer.logger: {kind.__name__} cannot be started; got {text!r}. Change its arguments."
            ) from error

    return make
