"""A job of SLURM whose time is nearly over saves its state and is queued again."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from bgsub_lightning.console import console

STOPPED = 75
"""Exit status of a run that is to be continued: ``EX_TEMPFAIL`` of sysexits.h."""


class Requeue(Callback):
    """Answers SIGUSR1: writes ``checkpoints/last.ckpt`` before the next step, and has SLURM start the job again.

    Lightning's own answer writes a checkpoint of another name inside of the signal's handler, where another process may
    be in the middle of a step. Here all processes stop before the same step, so that what follows is what would have
    been without the signal. A validation comes to its end first.
    """

    def __init__(self) -> None:
        self._told = False

    def listen(self) -> Requeue:
        """Wait for the signal from now on; Lightning leaves a signal alone that has a handler."""
        signal.signal(signal.SIGUSR1, self._note)
        return self

    def _note(self, *_: Any) -> None:
        self._told = True

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop here if a process was told to.

        Raises:
            SystemExit: With status 75, when the state is saved and the job is queued.
        """
        if batch_idx % trainer.accumulate_grad_batches:  # gradients are in no checkpoint
            return
        if not trainer.strategy.reduce_boolean_decision(self._told, all=False):
            return
        for logger in trainer.loggers:
            logger.save()
        trainer.save_checkpoint(Path(trainer.default_root_dir) / "checkpoints" / "last.ckpt")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # comes with the new start, and nothing is left to be done
        if trainer.is_global_zero:
            _requeue(trainer.global_step)
        trainer.strategy.barrier("requeue")  # the first process that ends takes the others with it
        raise SystemExit(STOPPED)


def _requeue(step: int) -> None:
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    job = f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
    console.print(f"Told to stop: saved at step {step:,}; job {job} is queued again.", soft_wrap=True)
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    if done.returncode:
        console.print(
            f"SLURM does not queue it: {done.stderr.strip()}. The same command, submitted again, goes on from here.",
            markup=False,
            soft_wrap=True,
        )
