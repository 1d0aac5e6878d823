"""Signals that ask a training to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from types import FrameType

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer

from bgsub_lightning.core.compat.lightning import cluster_environment
from bgsub_lightning.core.console import warn


class StopSignals:
    """Notes that SIGTERM or SIGUSR1 has come, as schedulers send them ahead of the end; the rest is for later.

    Lightning's own handlers save within the handler, where weights may be half updated and a lock may be held, or end
    the process with status 0; under DDP they communicate there. These take their place, and do its requeueing.

    Attributes:
        received: The first signal that has come.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def listen(self, trainer: Trainer) -> None:
        """Take the place of Lightning's handlers until the trainer ends, which restores what was there before it."""
        if trainer.received_sigterm:  # by Lightning's handler, a moment ago
            self.received = signal.SIGTERM
        if threading.current_thread() is threading.main_thread():  # no other may
            for number in {signal.SIGTERM, signal.SIGUSR1, *_requeue_signals(trainer)}:
                signal.signal(number, self._note)

    def agreed(self, trainer: Trainer) -> signal.Signals | None:
        """Return what any process has received; all processes must call this at the same time."""
        if trainer.world_size == 1:
            return self.received
        received = torch.tensor(self.received or 0, device=trainer.strategy.root_device)
        number = int(trainer.strategy.reduce(received, reduce_op="max"))
        return signal.Signals(number) if number else None

    def _note(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        self.received = self.received or signal.Signals(number)


def requeue(trainer: Trainer, received: signal.Signals) -> None:
    """Have SLURM start this job again, if that is what the signal asks for there; its process 0 calls this.

    Args:
        trainer: The trainer, whose state is saved.
        received: The signal. SLURM preempts with SIGTERM, and starts the job again itself.
    """
    if received not in _requeue_signals(trainer):
        return
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        warn(f"job {job} was not requeued: {error}")


def _requeue_signals(trainer: Trainer) -> set[signal.Signals]:
    environment = cluster_environment(trainer)
    if not isinstance(environment, SLURMEnvironment) or not environment.auto_requeue:
        return set()
    return {environment.requeue_signal or signal.SIGUSR1}
