"""Work that several processes of a run do together."""

from __future__ import annotations

from typing import TypeVar, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from torch.nn import Module

from bgsub_lightning.systems.batch_norm import separate, synchronise

T = TypeVar("T")


class BatchNormSync(TorchSyncBatchNorm):
    """As ``trainer.sync_batchnorm``, but on CPUs as well, where PyTorch's layer cannot run."""

    def apply(self, model: Module) -> Module:  # noqa: D102
        if cast("LightningModule", model).trainer.strategy.root_device.type != "cpu":
            return super().apply(model)
        synchronise(model)
        return model

    def revert(self, model: Module) -> Module:  # noqa: D102
        separate(model)
        return super().revert(model)


def gathered(trainer: Trainer, own: T) -> list[T]:
    """Return what each process has, in their order; every process must call it."""
    if trainer.world_size == 1:
        return [own]
    parts: list[T] = [own] * trainer.world_size
    torch.distributed.all_gather_object(parts, own)
    return parts
