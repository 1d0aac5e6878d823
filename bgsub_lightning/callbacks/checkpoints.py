"""``checkpoints/last.ckpt`` and ``checkpoints/best.ckpt`` of the run directory, and the mark of a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, Timer


class _RunCheckpoint(ModelCheckpoint):
    """A checkpoint under one name in the run directory. Lightning writes it beside and renames it."""

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

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the end of the run, which need not be at a multiple of the interval."""
        super().on_train_end(trainer, pl_module)
        if trainer.global_step != self._last_global_step_saved:
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


class FinishedMarker(Callback):
    """Writes ``finished.json`` when a fit has come to its end, so that a chain of jobs knows it is done."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        timers = [each for each in trainer.callbacks if isinstance(each, Timer)]  # type: ignore[attr-defined]
        out_of_time = any((timer.time_remaining() or 0) <= 0 for timer in timers)
        if trainer.interrupted or out_of_time or not trainer.is_global_zero:
            return
        path = Path(trainer.default_root_dir) / "finished.json"
        done: dict[str, Any] = {"steps": trainer.global_step, "epochs": trainer.current_epoch}
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(done) + "\n")
        partial.replace(path)
