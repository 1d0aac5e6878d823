"""``checkpoints/last.ckpt`` and ``checkpoints/best.ckpt`` of the run directory, and the mark of a finished run."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, callbacks
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn

from bgsub_lightning.console import console
from bgsub_lightning.errors import UserError
from bgsub_lightning.files import whole_file
from bgsub_lightning.modules import BgsModule


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside and renames it, so that no kill leaves half of one.

    Lightning's own writes to the system's temporary folder, and moving from there is a copy where that is another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:  # noqa: D102
        with whole_file(Path(path)) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())


class _RunCheckpoint(ModelCheckpoint):
    """A checkpoint under one name in the run directory."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.dirpath is None:
            self.dirpath = str(Path(trainer.default_root_dir).absolute() / "checkpoints")
        super().setup(trainer, pl_module, stage)


class LastCheckpoint(_RunCheckpoint):
    """The newest state, from which a run is continued exactly by ``--ckpt_path last``.

    Args:
        every_n_train_steps: Optimiser steps between two.
    """

    def __init__(self, every_n_train_steps: int = 500) -> None:
        super().__init__(
            filename="last",
            every_n_train_steps=every_n_train_steps,
            save_top_k=1,
            enable_version_counter=False,
            auto_insert_metric_name=False,
        )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what a validation has found, the best score above all; the one before was saved without it."""
        super().on_validation_end(trainer, pl_module)
        if trainer.state.fn == TrainerFn.FITTING:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the end of the run, which need not be at a multiple of the interval."""
        super().on_train_end(trainer, pl_module)
        if trainer.global_step != self._last_global_step_saved:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if not (trainer.fast_dev_run or trainer.sanity_checking):  # type: ignore[attr-defined]
            self._save_none_monitor_checkpoint(trainer, self._monitor_candidates(trainer))


class BestCheckpoint(_RunCheckpoint):
    """The state with the best score in validation.

    Args:
        monitor: What is compared.
        mode: Whether more or less of it is better.
    """

    def __init__(self, monitor: str = "val/f_measure", mode: str = "max") -> None:
        super().__init__(
            filename="best",
            monitor=monitor,
            mode=mode,
            save_top_k=1,
            save_on_train_epoch_end=False,  # when there has been a validation, and at no other time
            enable_version_counter=False,
            auto_insert_metric_name=False,
        )

    def _should_skip_saving_checkpoint(self, trainer: Trainer) -> bool:
        """Wait for the final stage."""
        return not cast("BgsModule", trainer.lightning_module).is_final or super()._should_skip_saving_checkpoint(
            trainer
        )


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
        mode: str = "max",
    ) -> None:
        if patience is not None and patience < 1:
            raise UserError(f"early_stopping.patience: at least one validation is needed, got {patience}.")
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
        """Go on counting, with the configuration's patience."""
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

    def _should_skip_check(self, trainer: Trainer) -> bool:
        """Wait for the final stage."""
        return (
            self.patience == math.inf
            or not cast("BgsModule", trainer.lightning_module).is_final
            or super()._should_skip_check(trainer)
        )


class StageCheckpoints(Callback):
    """Keeps the state at the end of each stage but the last, ``after_<stage>.ckpt``."""

    def on_train_batch_end(  # noqa: D102
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        plan = cast("BgsModule", pl_module).plan
        for span in plan.spans[:-1] if plan else ():
            if trainer.global_step == span.end:
                folder = Path(trainer.default_root_dir) / "checkpoints"
                trainer.save_checkpoint(folder / f"after_{span.name}.ckpt")


class FinishedMarker(Callback):
    """Writes ``finished.json`` when a fit has come to its end, so that a chain of jobs knows it is done.

    Of one that was stopped early it holds the patience that has run out: with more of it the run can be continued.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it; there is no end of training where the last steps were done before a kill."""
        timers = [each for each in trainer.callbacks if isinstance(each, Timer)]  # type: ignore[attr-defined]
        out_of_time = any((timer.time_remaining() or 0) <= 0 for timer in timers)
        if trainer.fast_dev_run or trainer.interrupted or out_of_time or not trainer.is_global_zero:  # type: ignore[attr-defined]
            return
        path = Path(trainer.default_root_dir) / "finished.json"
        done: dict[str, Any] = {"steps": trainer.global_step, "epochs": trainer.current_epoch}
        early = [each for each in trainer.callbacks if isinstance(each, EarlyStopping) and each.has_ended]  # type: ignore[attr-defined]
        if early and trainer.global_step < trainer.estimated_stepping_batches:
            done["patience"] = early[0].patience
        with whole_file(path) as partial:
            partial.write_text(json.dumps(done) + "\n")
