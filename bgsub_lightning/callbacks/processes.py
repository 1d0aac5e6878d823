"""What several processes of a run do together."""

from __future__ import annotations

from typing import TypeVar

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from torch.nn import Module

from bgsub_lightning.networks.batch_norm import synchronised

T = TypeVar("T")


class BatchNormSync(TorchSyncBatchNorm):
    """What ``trainer.sync_batchnorm`` does, on CPUs as well."""

    def apply(self, model: Module) -> Module:  # noqa: D102
        return synchronised(model)


def gathered(trainer: Trainer, own: T) -> list[T]:
    """Return what each process has, in their order; every process must call it."""
    if trainer.world_size == 1:
        return [own]
    parts: list[T] = [own] * trainer.world_size
    torch.distributed.all_gather_object(parts, own)
    return parts
