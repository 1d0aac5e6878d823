"""PyTorch; written for 2.13."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed import distributed_c10d
from torch.optim.lr_scheduler import LRScheduler
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry


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


class ZerosForCounted(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of torch's own
    """Gives zeros of the right shape in the place of the operations that torch's counter of arithmetic counts."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry out an operation, or give zeros."""
        if func._overloadpacket not in flop_registry:
            return func(*args, **(kwargs or {}))
        device = next(each.device for each in args if isinstance(each, Tensor))
        shapes = tree_map_only(Tensor, lambda each: each.to("meta"), (args, kwargs or {}))
        answer = func(*shapes[0], **shapes[1])
        return tree_map_only(Tensor, lambda each: torch.zeros_like(each, device=device), answer)
