"""The end of a run of several processes when one of them fails."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import NoReturn

import torch.distributed as dist
from lightning.pytorch import Trainer

from bgsub_lightning.core.compat.torch import count_in_group
from bgsub_lightning.core.errors import UserError

_PATIENCE = 20  # seconds in which a process that has failed reports why, and ends


def end_all(trainer: Trainer, error: Exception) -> NoReturn:
    """End the processes of a run of which this one has failed; the first to fail reports why, the others nothing.

    What the others see is that a connection was closed, which explains nothing; or the same mistake.

    Args:
        trainer: This process's trainer.
        error: What it failed of.

    Raises:
        Exception: ``error``, if no process has failed before.
        SystemExit: If one has.
    """
    started: list[subprocess.Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", [])
    if _is_first():
        for process in started:  # they wait for this one
            process.kill()
        raise error
    for process in started:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
        process.kill()
    raise SystemExit(2 if isinstance(error, UserError) else 1)


def _is_first() -> bool:
    if not dist.is_initialized():
        return True
    try:
        return count_in_group("bgsub_lightning/failed") == 1
    except RuntimeError:  # the first process, which keeps the store, has ended, and has reported why
        return False
