"""A callback that signals its own process at a moment of a training, the first time that the training is started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

from lightning.pytorch import Callback


class Interrupt(Callback):
    """Sends a signal.

    Args:
        name: Of the signal.
        moment: ``step`` (weights are about to be updated), ``before_validation``, ``validation`` (in its second batch)
            or ``writing`` (a checkpoint is written and has not its name yet).
        step: Optimiser steps done by then.
        group: Signal the whole process group, as schedulers do.
        rank: Of several processes the one that does so.
    """

    def __init__(self, name: str, moment: str, step: int, group: bool = False, rank: int = 0) -> None:
        self.number = signal.Signals[name]
        self.moment = moment
        self.step = step
        self.group = group
        self.rank = rank

    def send(self, trainer: Any, moment: str) -> None:
        is_here = (moment, trainer.global_step, trainer.global_rank) == (self.moment, self.step, self.rank)
        if is_here and trainer.ckpt_path is None:
            if self.group:  # by another process, since workers obey their parent
                send = f"import os; os.killpg({os.getpgid(0)}, {self.number})"
                subprocess.run([sys.executable, "-c", send], check=True, start_new_session=True)
            else:
                os.kill(os.getpid(), self.number)

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if self.moment == "writing" and trainer.global_step == self.step and trainer.ckpt_path is None:
            fsync = os.fsync

            def signalled(file: int) -> None:
                os.fsync = fsync
                fsync(file)
                os.kill(os.getpid(), self.number)

            os.fsync = signalled

    def on_before_optimizer_step(self, trainer: Any, *_: Any) -> None:
        self.send(trainer, "step")

    def on_validation_start(self, trainer: Any, *_: Any) -> None:
        self.send(trainer, "before_validation")

    def on_validation_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int, *_: Any) -> None:
        if batch_idx == 1:
            self.send(trainer, "validation")


class InterruptTest(Callback):
    """Sends SIGTERM in the first batch of a test."""

    def on_test_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int, *_: Any) -> None:
        if batch_idx == 0:
            os.kill(os.getpid(), signal.SIGTERM)
