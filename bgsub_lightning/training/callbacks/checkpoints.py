"""``checkpoints/last.ckpt``, ``best.ckpt`` and those of stages, in the run directory."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, cast
from weakref import proxy

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from bgsub_lightning.core.compat.lightning import is_within_step, validates_next
from bgsub_lightning.core.console import console, warn
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, second_name
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.weights import damage, read_checkpoint
from bgsub_lightning.training.signals import StopSignals, requeue

LAST, PREVIOUS, WEIGHTS = "last.ckpt", "previous.ckpt", "weights.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under another name and renames it; loads tensors and plain values.

    No kill leaves half of a checkpoint.

    Lightning's own writes to the system's temporary folder, and moving from there is a copy where that is another disk.
    It also restores any Python object where ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` is set.
    """

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """Read it onto the CPU.

        Raises:
            UserError: As :func:`bgsub_lightning.systems.weights.read_checkpoint` does.
        """
        return read_checkpoint(Path(path))

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write it.

        Raises:
            UserError: If the disk is full or the folder cannot be written; what was there before is left as it was.
        """
        try:
            with atomic_write(Path(path), "wb") as file:
                try:
                    torch.save(checkpoint, file)
                except RuntimeError as error:  # of its end of the archive, which hides what the write has raised
                    raise error.__context__ if isinstance(error.__context__, OSError) else error from None
        except UserError as error:
            raise UserError(
                f"{error} Earlier checkpoints are unchanged. Free space or make the folder writable, "
                f"and resume with --ckpt_path last."
            ) from error


class _RunCheckpoint(Checkpoint):
    """A checkpoint under one name in the run directory, which the next one replaces.

    Attributes:
        path: The file.
        saved_step: Optimiser steps of the newest one that this process has written.
        best_model_path: The file, for loggers that upload checkpoints; they ask for the next four as well.
    """

    name: ClassVar[str]
    save_top_k = 1
    current_score: Tensor | None = None
    best_model_score: Tensor | None = None
    last_model_path = ""

    def __init__(self) -> None:
        self.path = Path()
        self.best_model_path = ""
        self.saved_step = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.path = Path(trainer.default_root_dir).absolute() / "checkpoints" / self.name

    def save(self, trainer: Trainer) -> None:
        """Write it; every process must call this."""
        self.best_model_path = str(self.path)
        trainer.save_checkpoint(self.path)
        self.saved_step = trainer.global_step
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.after_save_checkpoint(proxy(self))


def _is_fitting(trainer: Trainer) -> bool:
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


class LastCheckpoint(_RunCheckpoint):
    """The newest state, from which a run is continued exactly by ``--ckpt_path last``.

    The one before is kept as ``previous.ckpt``, for a newest one that is damaged. Before each validation the state is
    saved as well, so that a run that is ended within one repeats it.

    SIGTERM and SIGUSR1 end the run with the batch, of training or validation, that they come in; several processes
    finish their validation. The state is saved, and the exit status is 128 + the signal's number, as in shells: 143 or
    138. On SLURM, SIGUSR1 (or the ``requeue_signal`` of Lightning's ``SLURMEnvironment``) has the job requeued as well.
    A second signal of a kind ends the process at once.

    Args:
        every_n_train_steps: Optimiser steps between two.
    """

    name = LAST

    def __init__(self, every_n_train_steps: int = 500) -> None:
        check_range("last.", least=1, every_n_train_steps=every_n_train_steps)
        super().__init__()
        self.every_n_train_steps = every_n_train_steps
        self._signals = StopSignals()
        self._stopping: signal.Signals | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: D102
        super().setup(trainer, pl_module, stage)
        self._signals, self._stopping = StopSignals(), None

    def _listen(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._signals.listen(trainer)

    on_sanity_check_start = on_train_start = _listen  # Lightning has set its own handlers just before

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop here after the last batch of an epoch, and in the next hook after any other."""
        self._stop_if_asked(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop where all is done that belongs to the batch before, its logging too."""
        self._stop_if_asked(trainer)

    def on_train_batch_end(  # noqa: D102
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if validates_next(trainer):
            return  # it is saved next, and a state of now would be resumed without this validation
        if trainer.global_step % self.every_n_train_steps == 0:
            self._save_step(trainer)
        if is_within_step(trainer):
            return
        self._stopping = self._signals.agreed(trainer)
        if self._stopping:
            self._save_step(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the state before a validation, marked as within it, so that a resumed run does all of it."""
        if not _is_fitting(trainer):
            return
        progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
        progress.reset()
        progress.increment_ready()
        progress.increment_started()
        self.save(trainer)
        progress.reset()
        self._stopping = self._signals.agreed(trainer)
        self._stop_if_asked(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop within a validation; several processes have different batches, and they cannot agree there."""
        if trainer.world_size == 1 and _is_fitting(trainer):
            self._stopping = self._signals.received
            self._stop_if_asked(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what a validation has found, the best score above all; the one before was saved without it."""
        if _is_fitting(trainer):
            self.save(trainer)
            self._stopping = self._signals.agreed(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the end of the run, which need not be at a multiple of the interval."""
        self._save_step(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write it and keep the one before, unless gradients of a step wait for more of its batches."""
        if trainer.fast_dev_run or is_within_step(trainer):  # type: ignore[attr-defined]
            return
        if trainer.is_global_zero and self.path.is_file():
            second_name(self.path, self.path.with_name(PREVIOUS))  # before another takes its first
        super().save(trainer)

    def _save_step(self, trainer: Trainer) -> None:
        if trainer.global_step != self.saved_step:
            self.save(trainer)

    def _stop_if_asked(self, trainer: Trainer) -> None:
        if self._stopping is not None:
            self._stop(trainer, self._stopping)

    def _stop(self, trainer: Trainer, received: signal.Signals) -> NoReturn:
        if not trainer.is_global_zero:  # Lightning's launcher kills all others when one of them fails
            raise SystemExit(0)
        console.print(
            f"\nStopped by {received.name} after step {trainer.global_step}. Resume by the same command with "
            f"--ckpt_path last: {self.path}",
            soft_wrap=True,
        )
        requeue(trainer, received)
        raise SystemExit(128 + received)


def checkpoints_of(run_dir: Path) -> list[Path]:
    """Return the checkpoints from which a run can resume, in the order in which to try them.

    That is the newest first, of ``last.ckpt``, ``previous.ckpt`` and what Lightning itself saves in a job of SLURM
    (``hpc_ckpt_1.ckpt``); then those of validations and of stages' ends.
    """
    folder = run_dir / "checkpoints"
    running = [path for path in (folder / LAST, folder / PREVIOUS) if path.is_file()]
    running += sorted(run_dir.glob("hpc_ckpt_*.ckpt"))
    others = sorted({*folder.glob("*.ckpt")} - {*running, folder / WEIGHTS})  # from which no fit can resume

    def age(path: Path) -> int:
        return path.stat().st_mtime_ns

    return [*sorted(running, key=age, reverse=True), *sorted(others, key=age, reverse=True)]


def newest_checkpoint(run_dir: Path) -> Path | None:
    """Find the checkpoint from which a run resumes, and warn of damaged newer ones.

    Returns:
        The newest whole one; ``None`` if there is none at all.

    Raises:
        UserError: If all are damaged.
    """
    damaged: list[str] = []
    for path in checkpoints_of(run_dir):
        if (what := damage(path)) is None:
            for line in damaged:
                warn(line)
            if damaged:
                console.print(f"The run resumes from {path}, the newest whole checkpoint.", soft_wrap=True)
            return path
        damaged.append(f"{path}: is damaged ({what}).")
    if damaged:
        raise UserError("\n".join([*damaged, f"No checkpoint is whole. Delete {run_dir} to train from the start."]))
    return None


class BestCheckpoint(_RunCheckpoint):
    """The state with the best score in validation.

    Args:
        monitor: What is compared.
        mode: Whether more or less of it is better.
    """

    name = "best.ckpt"

    def __init__(self, monitor: str = "val/f_measure", mode: Literal["min", "max"] = "max") -> None:
        super().__init__()
        self.monitor = monitor
        self.mode = mode

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save a better state of the final stage; one that is no number is worse than all others.

        Raises:
            UserError: If the run logs no such score.
        """
        is_new = trainer.global_step != self.saved_step
        if not (_is_fitting(trainer) and is_new and cast("BgsModule", pl_module).in_last_stage) or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if self.monitor not in trainer.callback_metrics:
            logged = ", ".join(sorted(trainer.callback_metrics))
            raise UserError(f"best.monitor: must be logged by the run; got {self.monitor!r}. Choose one of {logged}.")
        score = trainer.callback_metrics[self.monitor].detach().clone()
        best = self.best_model_score
        is_better = best is None or bool(score > best if self.mode == "max" else score < best)
        if trainer.strategy.reduce_boolean_decision(is_better):
            worst = -math.inf if self.mode == "max" else math.inf
            self.best_model_score = self.current_score = score.nan_to_num(worst, math.inf, -math.inf)
            self.save(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the best score, and what it is of."""
        return {"monitor": self.monitor, "mode": self.mode, "best_model_score": self.best_model_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue comparing; in another run directory, or by another score, the comparison begins again."""
        if self.path.is_file() and (state_dict["monitor"], state_dict["mode"]) == (self.monitor, self.mode):
            self.best_model_score = self.current_score = state_dict["best_model_score"]


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
