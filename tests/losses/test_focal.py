from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.losses import focal_loss, l1_loss, scale_weight

RULES = pytest.mark.parametrize(
    ("alpha", "gamma", "by_scale"),
    [(0.75, 0.0, False), (0.75, 0.0, True), (0.25, 2.0, False), (0.6, 0.5, True), (1.0, 1.0, True)],
)


def reference(
    logits: NDArray[np.float64], target: NDArray[np.uint8], alpha: float, gamma: float, by_scale: bool
) -> float:
    """Equations 5 to 7, pixel by pixel, in 64 bits."""
    losses = []
    for z, y in zip(logits, target, strict=True):
        valid = int((y != 255).sum())
        share = int((y == 1).sum()) / valid if valid else 0
        beta = 0.25 * min(1 / share if share else np.inf, 50) if by_scale else 1
        for logit, label in zip(z.ravel(), y.ravel(), strict=True):
            p = 1 / (1 + np.exp(-logit))
            if label == 1:
                losses.append(-beta * alpha * (1 - p) ** gamma * np.log(p))
            elif label == 0:
                losses.append(-(1 - alpha) * p**gamma * np.log(1 - p))
    return float(np.mean(losses)) if losses else 0.0


def sample(seed: int, ignored: float = 0.3) -> tuple[Tensor, Tensor]:
    generator = np.random.default_rng(seed)
    target = generator.choice(2, (3, 9, 7), p=[0.9, 0.1])
    target[0] = 0  # an image without foreground
    target[generator.random(target.shape) < ignored] = 255
    return torch.from_numpy(generator.normal(0, 3, (3, 9, 7))), torch.from_numpy(target.astype(np.uint8))


@RULES
@pytest.mark.parametrize("seed", range(3))
def test_against_numpy(seed: int, alpha: float, gamma: float, by_scale: bool) -> None:
    logits, target = sample(seed)
    expected = reference(logits.numpy(), target.numpy(), alpha, gamma, by_scale)
    assert focal_loss(logits, target, alpha, gamma, by_scale).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_l1_against_numpy(seed: int) -> None:
    logits, target = sample(seed)
    probability, y = 1 / (1 + np.exp(-logits.numpy())), target.numpy()
    expected = np.abs(probability - y)[y != 255].mean()
    assert l1_loss(logits, target).item() == pytest.approx(expected, rel=1e-6)


def test_weight_by_scale() -> None:
    target = torch.zeros(5, 10, 10, dtype=torch.uint8)
    target[1] = 1
    target[2, :2] = 1
    target[3, 0, 0] = 1
    target[4] = 255
    assert scale_weight(target).tolist() == pytest.approx([12.5, 0.25, 1.25, 12.5, 12.5])


def test_scale_is_that_of_the_valid_pixels() -> None:
    target = torch.zeros(1, 10, 10, dtype=torch.uint8)
    target[:, :1], target[:, 5:] = 1, 255
    assert scale_weight(target).item() == pytest.approx(0.25 * 5)


def test_an_image_is_weighed_by_its_own_scale() -> None:
    logits, target = sample(4, ignored=0)
    together = focal_loss(logits, target, by_scale=True)
    alone = [focal_loss(z[None], y[None], by_scale=True) for z, y in zip(logits, target, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone).mean())


@RULES
@pytest.mark.parametrize("level", [0, 1, 255])
@pytest.mark.parametrize("logit", [0.0, 1e4, -1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradient_are_finite(
    level: int, logit: float, dtype: torch.dtype, alpha: float, gamma: float, by_scale: bool
) -> None:
    logits = torch.full((2, 4, 4), logit, dtype=dtype, requires_grad=True)
    target = torch.full((2, 4, 4), level)
    loss = focal_loss(logits, target, alpha, gamma, by_scale) + l1_loss(logits, target)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    if level == 255:
        assert loss.item() == 0
        assert not logits.grad.any()


@RULES
def test_gradient_is_that_of_finite_differences(alpha: float, gamma: float, by_scale: bool) -> None:
    logits, target = sample(5)
    logits = (logits[:, :2, :3] / 3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: focal_loss(z, target[:, :2, :3], alpha, gamma, by_scale) + l1_loss(z, target[:, :2, :3]), (logits,)
    )


def test_without_gamma_and_at_half_it_is_half_the_cross_entropy() -> None:
    logits, target = sample(6, ignored=0)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, target.double())
    assert focal_loss(logits, target, alpha=0.5).item() == pytest.approx(expected.item() / 2, rel=1e-6)


def test_logits_of_ignored_pixels_do_not_matter() -> None:
    logits, target = sample(7)
    changed = torch.where(target == 255, 1e3, logits)
    for loss in (lambda z: focal_loss(z, target, by_scale=True), lambda z: l1_loss(z, target)):
        torch.testing.assert_close(loss(changed), loss(logits))
