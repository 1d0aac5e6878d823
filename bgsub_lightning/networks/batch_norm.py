"""Batch normalisation over the batches of all processes."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SyncBatchNorm(nn.SyncBatchNorm):
    """PyTorch's, and the same on CPUs, for which it has no kernel.

    The mean and the variance are those of the samples of all processes together, whatever the share of each.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise features, shape ``(B, C, …)``."""
        if x.device.type != "cpu":
            return super().forward(x)  # type: ignore[no-any-return]
        mean, variance = self._batch_statistics(x) if self.training else (self.running_mean, self.running_var)
        shape = (1, -1, *(1,) * (x.ndim - 2))
        scale = torch.rsqrt(cast("Tensor", variance) + self.eps) * self.weight
        shift = self.bias - cast("Tensor", mean) * scale
        return (x * scale.view(shape) + shift.view(shape)).to(x.dtype)

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        others = [0, *range(2, x.ndim)]
        count = _sum_over_processes(x.new_tensor(x.numel() // x.shape[1]))
        mean = _sum_over_processes(x.sum(others)) / count
        deviation = x - mean.view(1, -1, *(1,) * (x.ndim - 2))
        squares = _sum_over_processes(deviation.square().sum(others))
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(squares / (count - 1), self.momentum)
                cast("Tensor", self.num_batches_tracked).add_(1)
        return mean, squares / count


def synchronised(network: nn.Module) -> nn.Module:
    """Put :class:`SyncBatchNorm` in the place of each batch normalisation; parameters and their names stay."""
    network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for part in network.modules():
        if type(part) is nn.SyncBatchNorm:
            part.__class__ = SyncBatchNorm
    return network


class _Sum(torch.autograd.Function):
    """The sum over processes. Each process's loss depends on it, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        summed = value.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        summed = gradient.contiguous().clone()
        dist.all_reduce(summed)
        return summed


def _sum_over_processes(value: Tensor) -> Tensor:
    return _Sum.apply(value) if dist.is_initialized() else value  # type: ignore[no-any-return,no-untyped-call]
