"""When a fit ends: early stopping, and the mark of a finished run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from lightning.pytorch import Callback, LightningModule, Trainer, callbacks
from lightning.pytorch.callbacks import Timer
from pydantic import Field

from bgsub_lightning.core.console import console
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.core.records import read_json
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.weights import read_checkpoint
from bgsub_lightning.training.callbacks.checkpoints import LAST, WEIGHTS, AtomicCheckpointIO


class EarlyStopping(callbacks.EarlyStopping):
    """Ends a fit when its score in validation has stopped getting better.

    Of a staged system it looks at the final stage alone, as the best checkpoint does. The command line lets it watch
    what that one compares.

    Args:
        patience: Validations in a row without a better score after which the fit ends; ``None``: it never does.
        min_delta: What a score must be better by.
        monitor: What is watched.
        mode: Whether more or less of it is better.
    """

    def __init__(
        self,
        patience: int | None = None,
        min_delta: float = 0.0,
        monitor: str = "val/f_measure",
        mode: Literal["min", "max"] = "max",
    ) -> None:
        check_range("early_stopping.", least=1, patience=patience)
        check_range("early_stopping.", least=0, min_delta=min_delta)
        super().__init__(
            monitor,
            min_delta,
            math.inf if patience is None else patience,  # type: ignore[arg-type]
            mode=mode,
            check_finite=False,  # what is no number is not better
            check_on_train_epoch_end=False,
        )

    @property
    def has_ended(self) -> bool:
        """Whether the patience has run out."""
        return self.wait_count >= self.patience

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue counting, with the configuration's patience."""
        super().load_state_dict(state_dict | {"patience": self.patience})

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do no further step where the last ones were done before a kill."""
        trainer.should_stop = trainer.should_stop or self.has_ended

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say why the fit has ended."""
        if self.has_ended and trainer.is_global_zero:
            console.print(
                f"Stopped early, after {trainer.global_step:,} steps: {self.wait_count} validations in a row have not "
                f"been better than {self.monitor} {float(self.best_score):.4f}.",
                soft_wrap=True,
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count, in the final stage alone."""
        if self.patience != math.inf and cast("BgsModule", pl_module).in_last_stage:
            super().on_validation_end(trainer, pl_module)


_SHARED = ("pytorch-lightning_version", "epoch", "global_step", "state_dict", "hyper_parameters")
_OURS = ("system", "module", "trained_on", "validated")


def weights_alone(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint needs for tests, use and fine-tuning, without what only a fit needs."""
    return {key: checkpoint[key] for key in (*_SHARED, *_OURS) if key in checkpoint}


@dataclass(frozen=True)
class Finished:
    """``finished.json``: where a fit has come to its end.

    Attributes:
        steps: Its optimiser steps.
        epochs: Its epochs.
        patience: That of early stopping, if it was what ended the fit.
    """

    steps: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=0)]
    patience: Annotated[int, Field(ge=1)] | None = None

    @classmethod
    def load(cls, file: Path) -> Finished:
        """Read the file.

        Raises:
            UserError: If it is not one of ours.
        """
        return read_json(file, cls, "Delete it: the run is then continued.")


class FinishedMarker(Callback):
    """Writes ``finished.json`` when a fit has come to its end, so that a chain of jobs knows it is done.

    Before that it writes ``checkpoints/weights.ckpt``: the last weights without what only a fit needs, to pass on. Of a
    fit that was stopped early the mark holds the patience that has run out: with more of it the run can be continued.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it; there is no end of training where the last steps were done before a kill."""
        timers = [each for each in trainer.callbacks if isinstance(each, Timer)]  # type: ignore[attr-defined]
        out_of_time = any((timer.time_remaining() or 0) <= 0 for timer in timers)
        if trainer.fast_dev_run or trainer.interrupted or out_of_time or not trainer.is_global_zero:  # type: ignore[attr-defined]
            return
        last = Path(trainer.default_root_dir) / "checkpoints" / LAST
        if last.is_file():
            AtomicCheckpointIO().save_checkpoint(weights_alone(read_checkpoint(last)), last.with_name(WEIGHTS))
        path = Path(trainer.default_root_dir) / "finished.json"
        early = [each for each in trainer.callbacks if isinstance(each, EarlyStopping) and each.has_ended]  # type: ignore[attr-defined]
        is_early = early and trainer.global_step < trainer.estimated_stepping_batches
        patience = early[0].patience if is_early else None
        done = Finished(trainer.global_step, trainer.current_epoch, patience)
        content = {name: value for name, value in asdict(done).items() if value is not None}
        with atomic_write(path) as file:
            file.write(json.dumps(content) + "\n")
