"""PyTorch; written for 2.13."""

from __future__ import annotations

from collections.abc import Sequence

from torch.distributed import distributed_c10d
from torch.optim.lr_scheduler import LRScheduler


def count_in_group(key: str) -> int:
    """Count one up in the store of the process group, and return the new count; the first to ask gets 1.

    A collective would wait for processes that have failed; the store of the default group has no public name.

    Raises:
        RuntimeError: If the process that keeps the store has ended.
    """
    return int(distributed_c10d._get_default_store().add(key, 1))


def set_last_rates(scheduler: LRScheduler, rates: Sequence[float]) -> None:
    """Set what :meth:`LRScheduler.get_last_lr` returns, for a schedule whose base rates were changed in a run."""
    scheduler._last_lr = list(rates)
