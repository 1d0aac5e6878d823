"""Training batches leave their worker through shared memory that is mapped once.

A DataLoader makes new shared memory for each batch, whose page faults cost several times the copy of a batch that comes
from the store (``benchmarks/data_pipeline.py`` measures both). Here each worker has a few slots, in which it builds its
batches in turn, and the main process copies a slot as soon as it receives the addresses of its tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, get_worker_info

from bgsub_lightning.data.dataset import TrainingDataset
from bgsub_lightning.data.workers import begin_worker

_PREFETCH = 2
_SLOTS = _PREFETCH + 2  # batches under way, one more that is asked for while the main process still copies, one spare


class SharedMemoryLoader(DataLoader[dict[str, Any]]):
    """A DataLoader of training batches.

    Args:
        dataset: Builds batches.
        sampler: Yields what the dataset takes.
        batch_bytes: Bytes of the memory that the dataset asks for per batch, at most.
        num_workers: Worker processes; 0 builds batches in this process.
        pin_memory: Whether workers' batches are copied to pinned memory.
    """

    def __init__(
        self, dataset: TrainingDataset, sampler: Sampler[Any], batch_bytes: int, num_workers: int, pin_memory: bool
    ) -> None:
        slots = _Slots(num_workers, batch_bytes, pin_memory)
        if num_workers:
            dataset.empty = slots.empty
        super().__init__(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=slots.publish if num_workers else _as_it_is,  # type: ignore[arg-type]
            prefetch_factor=_PREFETCH if num_workers else None,
            persistent_workers=num_workers > 0,
            worker_init_fn=begin_worker,
        )
        self._slots = slots

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        return map(self._slots.copied, super().__iter__())

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: batches are drawn by their number, which the trainer keeps. Lightning asks for a state."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume where the trainer is."""


@dataclass(frozen=True)
class _Address:
    """Where a tensor lies."""

    worker: int
    slot: int
    start: int
    shape: tuple[int, ...]


class _Slots:
    def __init__(self, workers: int, slot_bytes: int, pinned: bool) -> None:
        self.pinned = pinned
        self.slots: list[Tensor] = [
            torch.empty(_SLOTS, slot_bytes, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
            for _ in range(workers)
        ]
        self.slot = 0
        self.given: dict[int, _Address] = {}

    def empty(self, *shape: int) -> Tensor:
        """Return memory of this worker's slot, uint8."""
        info = get_worker_info()
        if info is None:
            raise RuntimeError("slots are filled by the workers of a loader")
        start = sum(math.prod(piece.shape) for piece in self.given.values())
        tensor: Tensor = self.slots[info.id][self.slot][start : start + math.prod(shape)].view(shape)
        self.given[tensor.data_ptr()] = _Address(info.id, self.slot, start, shape)
        return tensor

    def publish(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Replace the tensors of the slot by their addresses, and move to the next slot."""

        def address_of(value: Any) -> Any:
            return self.given.get(value.data_ptr(), value) if isinstance(value, Tensor) else value

        message = {key: address_of(value) for key, value in batch.items()}
        self.given = {}
        self.slot = (self.slot + 1) % _SLOTS
        return message

    def copied(self, message: dict[str, Any]) -> dict[str, Any]:
        """Replace addresses by copies of the tensors that lie there."""
        return {key: self._copy(value) if isinstance(value, _Address) else value for key, value in message.items()}

    def _copy(self, piece: _Address) -> Tensor:
        source = self.slots[piece.worker][piece.slot][piece.start : piece.start + math.prod(piece.shape)]
        if self.pinned:
            copy = torch.empty(len(source), dtype=torch.uint8, pin_memory=True)
        else:
            copy = torch.from_numpy(np.empty(len(source), np.uint8))  # numpy asks for huge pages
        copy.numpy()[:] = source.numpy()  # not copy_(): its threads would take the workers' processors
        return copy.view(piece.shape)


def _as_it_is(batch: dict[str, Any]) -> dict[str, Any]:
    return batch
