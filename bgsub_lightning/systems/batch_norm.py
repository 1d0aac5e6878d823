"""Batch normalisation over the batches of all processes, on any device."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SyncBatchNorm(nn.BatchNorm2d):
    """As :class:`torch.nn.SyncBatchNorm`, which has no kernel for CPUs.

    The mean and the variance are those of the samples of all processes together, whatever the share of each.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise features ``(B, C, H, W)``."""
        if not (self.training and dist.is_initialized()):
            return super().forward(x)
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        count = _sum_over_processes(values.new_tensor(x.numel() // x.shape[1]))
        mean = _sum_over_processes(values.sum((0, 2, 3))) / count
        deviations = values - mean[:, None, None]
        squares = _sum_over_processes(deviations.square().sum((0, 2, 3)))
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(squares / (count - 1), self.momentum)
                cast("Tensor", self.num_batches_tracked).add_(1)
        scale = self.weight * torch.rsqrt(squares / count + self.eps)
        return (deviations * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def synchronise(network: nn.Module) -> None:
    """Make each batch normalisation a :class:`SyncBatchNorm`; its parameters and their names stay what they are."""
    for part in network.modules():
        if type(part) is nn.BatchNorm2d:
            part.__class__ = SyncBatchNorm


def separate(network: nn.Module) -> None:
    """Undo :func:`synchronise`."""
    for part in network.modules():
        if type(part) is SyncBatchNorm:
            part.__class__ = nn.BatchNorm2d  # type: ignore[assignment]


class _Sum(torch.autograd.Function):
    """The sum over processes. The loss of each depends on it, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _summed(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(value: Tensor) -> Tensor:
    value = value.detach().contiguous().clone()
    dist.all_reduce(value)
    return value


def _sum_over_processes(value: Tensor) -> Tensor:
    return _Sum.apply(value)  # type: ignore[no-any-return,no-untyped-call]
