from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.systems.crossnet.loss import focal_loss, l1_loss, scale_weight

RULES = pytest.mark.parametrize(
    ("alpha", "gamma", "by_scale"),
    [(0.75, 0.0, False), (0.75, 0.0, True), (0.25, 2.0, False), (0.6, 0.5, True), (1.0, 1.0, True)],
)
SCALES = pytest.mark.parametrize(
    ("scale", "limit", "share"),
    [(0.25, 50.0, "all"), (0.25, 50.0, "background"), (1.0, 8.0, "all"), (0.1, 3.0, "background")],
)


def weight_by_hand(y: NDArray[np.uint8], scale: float, limit: float, share: str) -> float:
    """Equation 6 for one image."""
    foreground, background = int((y == 1).sum()), int((y == 0).sum())
    area = foreground + background if share == "all" else background
    return scale * min(area / foreground if foreground else np.inf, limit)


def weighed(logits: Tensor, target: Tensor, alpha: float, gamma: float, by_scale: bool) -> Tensor:
    return focal_loss(logits, target, alpha, gamma, scale_weight(target) if by_scale else None)


def reference(
    logits: NDArray[np.float64], target: NDArray[np.uint8], alpha: float, gamma: float, by_scale: bool
) -> float:
    """Equations 5 to 7, pixel by pixel, in 64 bits."""
    losses = []
    for z, y in zip(logits, target, strict=True):
        beta = weight_by_hand(y, 0.25, 50, "all") if by_scale else 1
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
    assert weighed(logits, target, alpha, gamma, by_scale).item() == pytest.approx(expected, rel=1e-5)


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


@SCALES
@pytest.mark.parametrize("seed", range(3))
def test_weight_by_scale_against_numpy(seed: int, scale: float, limit: float, share: str) -> None:
    target = sample(seed)[1].clone()
    target[2, :6] = torch.where(target[2, :6] == 0, 1, target[2, :6])
    expected = [weight_by_hand(y, scale, limit, share) for y in target.numpy()]
    found = scale_weight(target, scale, limit, share).tolist()  # type: ignore[arg-type]
    assert found == pytest.approx(expected)
    assert found[0] == pytest.approx(scale * limit)  # without foreground


def test_a_share_of_no_background_weighs_nothing() -> None:
    assert scale_weight(torch.ones(1, 3, 3), share="background").tolist() == [0]


def test_scale_is_that_of_the_valid_pixels() -> None:
    target = torch.zeros(1, 10, 10, dtype=torch.uint8)
    target[:, :1], target[:, 5:] = 1, 255
    assert scale_weight(target).item() == pytest.approx(0.25 * 5)


def test_an_image_is_weighed_by_its_own_scale() -> None:
    logits, target = sample(4, ignored=0)
    together = weighed(logits, target, 0.75, 0, True)
    alone = [weighed(z[None], y[None], 0.75, 0, True) for z, y in zip(logits, target, strict=True)]
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
    loss = weighed(logits, target, alpha, gamma, by_scale) + l1_loss(logits, target)
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
        lambda z: weighed(z, target[:, :2, :3], alpha, gamma, by_scale) + l1_loss(z, target[:, :2, :3]), (logits,)
    )


def test_without_gamma_and_at_half_it_is_half_the_cross_entropy() -> None:
    logits, target = sample(6, ignored=0)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, target.double())
    assert focal_loss(logits, target, alpha=0.5).item() == pytest.approx(expected.item() / 2, rel=1e-6)


def test_logits_of_ignored_pixels_do_not_matter() -> None:
    logits, target = sample(7)
    changed = torch.where(target == 255, 1e3, logits)
    for loss in (lambda z: weighed(z, target, 0.75, 0, True), lambda z: l1_loss(z, target)):
        torch.testing.assert_close(loss(changed), loss(logits))
