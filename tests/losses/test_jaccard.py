"""The Jaccard loss against the formula, by hand, and of two processes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from two_processes import TwoProcesses

from bgsub_lightning.losses import batch_jaccard


def sample(whole: int = 5) -> tuple[Tensor, Tensor]:
    """Images and classes: the first two have few valid pixels, the first of them no foreground."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(whole, 3, 8, 9, generator=generator)
    classes = torch.randint(2, (whole, 8, 9), generator=generator)
    classes[:2] = classes[:2].where(torch.rand(2, 8, 9, generator=generator) < 0.1, 255)
    classes[0] = classes[0].where(classes[0] != 1, 0)
    return images, classes


def test_by_hand() -> None:
    """Probabilities ¼ of foreground, ¾ of background, ½ ignored: I = ¼, Σp + Σy − I = 1 + 1 − ¼."""
    logits = torch.tensor([[[-math.log(3), math.log(3), 0.0]]])
    target = torch.tensor([[[1, 0, 255]]])
    assert batch_jaccard(logits, target).item() == pytest.approx(100 * (1 - 100.25 / 101.75))
    assert batch_jaccard(logits, target, smoothing=1, scale=1).item() == pytest.approx(1 - 1.25 / 2.75)


@pytest.mark.parametrize("seed", range(3))
def test_against_the_formula(seed: int) -> None:
    generator = np.random.default_rng(seed)
    target = generator.choice([0, 1, 255], (3, 6, 7), p=[0.6, 0.2, 0.2]).astype(np.uint8)
    logits = generator.normal(0, 3, target.shape)
    p, y = 1 / (1 + np.exp(-logits[target != 255])), target[target != 255]
    expected = 100 * (1 - ((p * y).sum() + 100) / (p.sum() + y.sum() - (p * y).sum() + 100))
    found = batch_jaccard(torch.from_numpy(logits), torch.from_numpy(target))
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_without_foreground_each_false_alarm_costs() -> None:
    empty = torch.zeros(2, 5, 10, dtype=torch.uint8)
    assert batch_jaccard(torch.zeros(2, 5, 10), empty).item() == pytest.approx(100 * 50 / (50 + 100))


def test_without_a_valid_pixel_there_is_nothing_to_learn() -> None:
    logits = torch.tensor([0.0, 1e4, -1e4]).repeat(2, 4, 1).requires_grad_()
    loss = batch_jaccard(logits, torch.full((2, 4, 3), 255))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()  # nan is any


@pytest.mark.parametrize("logit", [0.0, 1e4, -1e4])
@pytest.mark.parametrize("level", [0, 1])
def test_loss_and_gradient_are_finite(level: int, logit: float) -> None:
    logits = torch.full((2, 4, 4), logit, requires_grad=True)
    loss = batch_jaccard(logits, torch.full((2, 4, 4), level))
    loss.backward()
    assert 0 <= loss.item() <= 100
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_gradient_is_that_of_finite_differences() -> None:
    images, classes = sample()
    logits = images[:, 0, :2, :3].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: batch_jaccard(z, classes[:, :2, :3]), (logits,))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_logits_of_half_precision_are_summed_in_single(precision: torch.dtype) -> None:
    """A million pixels, whose sum float16 cannot hold and bfloat16 rounds to two digits."""
    logits, target = torch.zeros(1, 1000, 1000), torch.zeros(1, 1000, 1000, dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16):
        loss = batch_jaccard(logits.to(precision), target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(100 * 500_000 / 500_100, rel=1e-6)


def weights_after(part: slice, distributed: bool) -> tuple[float, list[float]]:
    """The loss of a network on some samples, and the gradients of its weights."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 1)).double()
    network = DistributedDataParallel(plain) if distributed else plain
    images, classes = (each[part] for each in sample())
    loss = batch_jaccard(network(images.double())[:, 0], classes[:, 1:-1, 1:-1])
    loss.backward()
    return loss.item(), [value for p in plain.parameters() for value in p.grad.flatten().tolist()]  # type: ignore[union-attr]


def of_rank(rank: int) -> tuple[float, list[float]]:
    """The first process has two of five samples."""
    return weights_after(slice(0, 2) if rank == 0 else slice(2, 5), distributed=True)


def test_two_processes_learn_what_one_does(two_processes: TwoProcesses) -> None:
    loss, gradients = weights_after(slice(0, 5), distributed=False)
    for of_one, gradients_of_one in two_processes(of_rank):
        assert of_one == pytest.approx(loss, rel=1e-12)
        assert gradients_of_one == pytest.approx(gradients, rel=1e-9, abs=1e-12)
    own = weights_after(slice(0, 2), distributed=False)
    assert own[1] != pytest.approx(gradients, rel=0.01)
