"""Dice losses against the formula, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from two_processes import TwoProcesses

from bgsub_lightning.losses.dice import batch_dice, image_dice
from bgsub_lightning.losses.reduction import global_sum


def sample(seed: int, ignored: float = 0.3) -> tuple[Tensor, Tensor]:
    generator = np.random.default_rng(seed)
    target = generator.choice(2, (3, 6, 7), p=[0.8, 0.2])
    target[0] = 0  # an image without foreground
    target[generator.random(target.shape) < ignored] = 255
    return torch.from_numpy(generator.normal(0, 3, (3, 6, 7))), torch.from_numpy(target.astype(np.uint8))


def terms(logits: Tensor, target: Tensor) -> list[tuple[float, float]]:
    """Of each image: soft hits, and all that is found and all that is true."""
    found = []
    for image, labels in zip(logits.tolist(), target.tolist(), strict=True):
        hits = both = 0.0
        for row, classes in zip(image, labels, strict=True):
            for logit, label in zip(row, classes, strict=True):
                if label != 255:
                    probability = 1 / (1 + np.exp(-logit))
                    hits += probability * label
                    both += probability + label
        found.append((hits, both))
    return found


@pytest.mark.parametrize("smoothing", [0.0, 1.0, 50.0])
@pytest.mark.parametrize("seed", range(3))
def test_against_the_formula(seed: int, smoothing: float) -> None:
    logits, target = sample(seed)
    each = terms(logits, target)
    hits, both = (sum(part) for part in zip(*each, strict=True))
    expected = 1 - (2 * hits + smoothing) / (both + smoothing)
    assert batch_dice(logits, target, smoothing).item() == pytest.approx(expected, rel=1e-6)
    images = [1 - (2 * h + smoothing) / (b + smoothing) for h, b in each]
    assert image_dice(logits, target, smoothing).item() == pytest.approx(np.mean(images), rel=1e-6)


def test_logits_of_ignored_pixels_do_not_matter() -> None:
    logits, target = sample(4)
    changed = torch.where(target == 255, 1e3, logits)
    for loss in (batch_dice, image_dice):
        torch.testing.assert_close(loss(changed, target), loss(logits, target))


@pytest.mark.parametrize("level", [0, 1, 255])
@pytest.mark.parametrize("logit", [0.0, 1e4, -1e4])
def test_loss_and_gradient_are_finite(level: int, logit: float) -> None:
    logits = torch.full((2, 4, 4), logit, requires_grad=True)
    loss = batch_dice(logits, torch.full((2, 4, 4), level)) + image_dice(logits, torch.full((2, 4, 4), level))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    if level == 255:
        assert loss.item() == 0
        assert not logits.grad.any()


def test_what_is_found_rightly_costs_nothing_and_what_is_missed_all() -> None:
    target = torch.zeros(2, 8, 8, dtype=torch.uint8)
    target[:, :4] = 1
    right = torch.where(target == 1, 40.0, -40.0)
    for loss in (batch_dice, image_dice):
        assert loss(right, target, 0.0).item() == pytest.approx(0, abs=1e-6)
        assert loss(-right, target, 0.0).item() == pytest.approx(1)


def test_gradient_is_that_of_finite_differences() -> None:
    logits, target = sample(5)
    few = logits[:, :2, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: batch_dice(z, target[:, :2, :3]) + image_dice(z, target[:, :2, :3]), (few,)
    )


def sum_of_rank(rank: int) -> tuple[list[float], list[float]]:
    own = torch.tensor([1.0, 10.0 * rank], requires_grad=True)
    both = global_sum(own)
    (both * torch.tensor([1.0, 3.0])).sum().backward()
    return both.tolist(), own.grad.tolist()  # type: ignore[union-attr]


def test_sums_are_those_of_all_processes_and_gradients_those_of_the_mean(two_processes: TwoProcesses) -> None:
    assert two_processes(sum_of_rank) == [([2.0, 10.0], [2.0, 6.0])] * 2  # of which DDP takes the mean
    part = torch.tensor([1.0, 10.0])
    assert global_sum(part) is part
