"""Values of Lightning's own options, checked before anything takes time."""

from __future__ import annotations

import inspect
import os
import pkgutil
import re
from dataclasses import is_dataclass
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.core.text import one_line

_MONITORED = (
    *("val/loss", "val/f_measure", "val/pwc", "val/recall", "val/precision", "val/mean_dice"),
    *("val/best_threshold", "val/best_f_measure"),
)
"""Scores that a validation logs."""

_SHARES = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches")


def check_options(options: Any) -> None:
    """Check the values of a command's options.

    Args:
        options: Those of ``fit``, ``validate``, ``test`` or ``predict``, as they were parsed.

    Raises:
        UserError: If one of them makes no sense.
    """
    seed = options.seed_everything
    check_range("", least=0, below=2**32, seed_everything=None if isinstance(seed, bool) else seed)
    check_range("data.init_args.", least=0, below=2**32, seed=options.data.get("init_args.seed"))
    for name in ("model", "data"):
        _refuse_null(name, options.get(name))
    trainer = options.trainer
    if str(trainer.strategy).endswith(("_spawn", "_notebook")):
        fix = f"Choose {trainer.strategy.partition('_')[0]}, which starts the command again for each process."
        raise UserError(f"trainer.strategy: a run cannot be pickled for new processes; got {trainer.strategy!r}. {fix}")
    check_range("trainer.", least=-1, **_of(trainer, "max_steps", "max_epochs", "num_sanity_val_steps"))
    check_range("trainer.", least=1, **_of(trainer, "num_nodes", "accumulate_grad_batches", "check_val_every_n_epoch"))
    check_range("trainer.", least=0, **_of(trainer, "min_steps", "min_epochs", "gradient_clip_val"))
    check_range("trainer.", least=0, **_of(trainer, "log_every_n_steps", "reload_dataloaders_every_n_epochs"))
    for name, value in _of(trainer, *_SHARES).items():
        check_range("trainer.", least=0, most=1 if _is_share(value) else None, **{name: value})
    if trainer.overfit_batches:
        raise UserError(
            f"trainer.overfit_batches: must be 0, since each epoch draws its own samples; got "
            f"{trainer.overfit_batches}. Leave it out; --trainer.limit_train_batches makes epochs short."
        )
    interval = trainer.val_check_interval
    if _is_share(interval):
        check_range("trainer.", above=0, most=1, val_check_interval=interval)
    elif isinstance(interval, int | float):
        check_range("trainer.", least=1, val_check_interval=interval)
    best = options.get("best")
    if best is not None and best.monitor not in _MONITORED and not best.monitor.startswith("train/loss/"):
        raise UserError(
            f"best.monitor: must be logged by the run; got {best.monitor!r}. Choose one of {', '.join(_MONITORED)}."
        )


def _refuse_null(key: str, part: Any, default: Any = None) -> None:
    """Refuse null for an argument of a class that must have a value; jsonargparse takes it for any.

    Args:
        key: Where the part of the options is.
        part: A class with its arguments, those of a dataclass alone, or a list of them; anything else has none.
        default: What the part is by default: an instance says which dataclass it is.
    """
    if isinstance(part, list):
        for place, each in enumerate(part):
            _refuse_null(f"{key}[{place}]", each)
    if not isinstance(part, Namespace):
        return
    if "class_path" in part:
        kind, arguments, key = pkgutil.resolve_name(part.class_path), part.get("init_args"), f"{key}.init_args"
    elif is_dataclass(default):
        kind, arguments = type(default), part
    else:
        return
    parameters = inspect.signature(kind).parameters
    for name, value in (vars(arguments) if arguments else {}).items():
        parameter = parameters.get(name)
        default = None if parameter is None or parameter.default is inspect.Parameter.empty else parameter.default
        if (
            value is None
            and default is not None
            and not re.search("None|Optional|Any", str(parameters[name].annotation))
        ):
            must = parameters[name].annotation
            raise UserError(f"{key}.{name}: must be {must}; got null. Leave it out for its default.")
        _refuse_null(f"{key}.{name}", value, default)


def trainer_error(error: Exception) -> UserError:
    """Return what Lightning says of its options as an error of the user's, in one line."""
    return UserError(f"trainer: {one_line(str(error))}")


def check_devices(trainer: Trainer) -> None:
    """Check that a machine without a GPU has a core for each process.

    Raises:
        UserError: If it has not.
    """
    cores = os.cpu_count() or 1
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > max(cores, 2):
        raise UserError(
            f"trainer.devices: must be at most {cores}, the cores of this machine; got {trainer.num_devices}."
        )


def _is_share(value: Any) -> bool:
    """Whether Lightning takes a number for a share, and not for a count, as it does 2.0."""
    return isinstance(value, float) and (value <= 1 or not value.is_integer())


def _of(options: Any, *names: str) -> dict[str, Any]:
    """Return those of the named options that are numbers."""
    values = {name: options.get(name) for name in names}
    return {name: value for name, value in values.items() if isinstance(value, int | float)}
