"""The rate of learning over a run."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from bgsub_lightning.modules.decay import cosine_decay


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
