"""Batch normalisation of two processes is that of the whole batch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from two_processes import TwoProcesses

from bgsub_lightning.systems.batch_norm import SyncBatchNorm, separate, synchronise


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)]
    nn.init.normal_(layers[1].weight)
    return nn.Sequential(*layers).double()


def images() -> Tensor:
    return torch.rand(5, 3, 11, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def trained(layers: nn.Module, part: slice) -> dict[str, Any]:
    """Gradients and running statistics of two steps, and what an evaluation gives then."""
    x = images()[part].requires_grad_()
    for _ in range(2):
        layers(x).pow(3).sum().backward()
    found = {name: each.grad.numpy() for name, each in layers.named_parameters()}
    found |= {name: each.numpy() for name, each in layers.named_buffers()}
    return found | {"x": x.grad.numpy(), "y": layers.eval()(images()).detach().numpy()}  # type: ignore[union-attr]


def of_rank(rank: int) -> dict[str, Any]:
    layers = network()
    synchronise(layers)
    return trained(layers, slice(0, 2) if rank == 0 else slice(2, 5))


def test_two_processes_normalise_as_one(two_processes: TwoProcesses) -> None:
    one, both = trained(network(), slice(0, 5)), two_processes(of_rank)
    assert one.keys() == both[0].keys()
    for name, expected in one.items():
        if name == "x":
            found = torch.cat([torch.from_numpy(each[name]) for each in both])
        elif "running" in name or "tracked" in name or name == "y":
            torch.testing.assert_close(both[0][name], both[1][name], rtol=0, atol=0)
            found = torch.from_numpy(both[0][name])
        else:
            found = torch.from_numpy(both[0][name] + both[1][name])
        torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-9, atol=1e-10, msg=name)


def in_half_precision(rank: int) -> tuple[str, float]:
    layers = network().float()
    synchronise(layers)
    with torch.autocast("cpu", torch.bfloat16):
        y = layers(images().float())
    y.float().pow(2).mean().backward()
    return str(y.dtype), float(layers[0].weight.grad.abs().sum())  # type: ignore[union-attr]


def test_in_half_precision(two_processes: TwoProcesses) -> None:
    layers = network().float()
    with torch.autocast("cpu", torch.bfloat16):
        y = layers(images().float())
    y.float().pow(2).mean().backward()
    gradient = float(layers[0].weight.grad.abs().sum())  # type: ignore[union-attr]
    for dtype, found in two_processes(in_half_precision):
        assert dtype == str(y.dtype)
        assert found == pytest.approx(gradient, rel=0.1)


def test_in_one_process_and_undone_it_is_pytorchs() -> None:
    plain = network()
    ours = copy.deepcopy(plain)
    names = [name for name, _ in ours.named_parameters()]
    synchronise(ours)
    assert [type(each) for each in ours].count(SyncBatchNorm) == 2
    assert [name for name, _ in ours.named_parameters()] == names
    for mode in (True, False):
        assert torch.equal(ours.train(mode)(images()), plain.train(mode)(images()))
    separate(ours)
    assert [type(each) for each in ours] == [type(each) for each in plain]
