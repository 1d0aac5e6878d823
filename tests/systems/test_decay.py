"""The rate of learning over a run, and weight decay."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from bgsub_lightning.systems.decay import cosine_decay, decay_groups


def rates(steps: int, warm_up: int, length: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 2.0)
    configured: Any = cosine_decay(optimizer, steps, warm_up)
    assert configured["lr_scheduler"]["interval"] == "step"
    found = []
    for _ in range(length):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        configured["lr_scheduler"]["scheduler"].step()
    return found


@pytest.mark.parametrize("warm_up", [0, 1, 4])
def test_rate_rises_to_a_cosine_and_falls_to_nothing(warm_up: int) -> None:
    found = rates(20, warm_up, 30)
    for step, rate in enumerate(found):
        cosine = 1 + math.cos(math.pi * min(step, 20) / 20)
        assert rate == pytest.approx(cosine * min(1, (step + 1) / (warm_up + 1)), abs=1e-9)
    assert found[0] == pytest.approx(2 / (warm_up + 1))
    assert found[20:] == [0.0] * 10


def test_without_steps_it_is_constant() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 2.0)
    assert cosine_decay(optimizer, 0, 5) is optimizer


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Linear(4, 4))


@pytest.mark.parametrize("decay_all", [False, True])
def test_weight_decay_is_of_the_weights_unless_asked(decay_all: bool) -> None:
    """Without a gradient a step of SGD is the decay alone: it multiplies by 1 − lr · decay."""
    net = network()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
            parameter.grad = torch.zeros_like(parameter)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    groups = decay_groups([{"name": "net", "params": list(net.parameters())}], 0.25, decay_all)
    torch.optim.SGD(groups, lr=0.5).step()
    for name, parameter in net.named_parameters():
        decays = decay_all or name in {"0.weight", "2.weight"}
        torch.testing.assert_close(parameter.detach(), before[name] * (1 - 0.5 * 0.25 if decays else 1), msg=name)


def test_groups_keep_their_keys_and_have_a_name_each() -> None:
    layers = network()
    groups = [{"name": "a", "network": "a", "params": [*layers.parameters()][:2]}]
    groups.append({"name": "b", "network": "b", "params": [layers[1].bias]})  # type: ignore[index]
    found = decay_groups(groups, 0.1, decay_all=False)
    assert [(group["name"], group["network"], group["weight_decay"]) for group in found] == [
        ("a", "a", 0.1),
        ("a_undecayed", "a", 0.0),
        ("b_undecayed", "b", 0.0),
    ]
