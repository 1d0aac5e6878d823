from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.losses.cross_entropy import masked_cross_entropy

BALANCED = pytest.mark.parametrize("balanced", [False, True])


def reference(logits: NDArray[np.float64], target: NDArray[np.int64], balanced: bool) -> float:
    """Pixel by pixel: each valid pixel counts 1, or n / (k·n_c)."""
    pixels = [(float(-log_softmax(logits[b, :, y, x])[c]), c) for (b, y, x), c in np.ndenumerate(target) if c != 255]
    if not pixels:
        return 0.0
    classes = [c for _, c in pixels]
    weights = {c: len(pixels) / (len(set(classes)) * classes.count(c)) if balanced else 1.0 for c in set(classes)}
    return sum(weights[c] * loss for loss, c in pixels) / len(pixels)


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def sample(seed: int, ignored: float = 0.3, classes: int = 2) -> tuple[Tensor, Tensor]:
    generator = np.random.default_rng(seed)
    target = generator.choice(classes, (3, 7, 5), p=[0.8, *[0.2 / (classes - 1)] * (classes - 1)])
    target[generator.random(target.shape) < ignored] = 255
    return torch.from_numpy(generator.normal(0, 3, (3, classes, 7, 5))), torch.from_numpy(target.astype(np.uint8))


@BALANCED
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_against_numpy(seed: int, classes: int, balanced: bool) -> None:
    logits, target = sample(seed, classes=classes)
    expected = reference(logits.numpy(), target.numpy().astype(np.int64), balanced)
    assert masked_cross_entropy(logits, target, balanced).item() == pytest.approx(expected, rel=1e-6)
    assert masked_cross_entropy(logits.float(), target.long(), balanced).item() == pytest.approx(expected, rel=1e-5)


@BALANCED
def test_logits_of_ignored_pixels_do_not_matter(balanced: bool) -> None:
    logits, target = sample(0)
    ignored = (target == 255)[:, None].expand_as(logits)
    changed = torch.where(ignored, torch.full_like(logits, 1e4) * torch.rand_like(logits), logits).requires_grad_()
    loss = masked_cross_entropy(changed, target, balanced)
    loss.backward()
    torch.testing.assert_close(loss, masked_cross_entropy(logits, target, balanced))
    assert changed.grad is not None
    assert not changed.grad[ignored].any()
    assert changed.grad[~ignored].all()


@BALANCED
def test_nothing_valid_gives_zero_and_gradients_of_zero(balanced: bool) -> None:
    logits = torch.randn(2, 2, 4, 4, requires_grad=True)
    loss = masked_cross_entropy(logits, torch.full((2, 4, 4), 255), balanced)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@BALANCED
@pytest.mark.parametrize("only", [0, 1])
def test_one_class_alone(only: int, balanced: bool) -> None:
    logits, target = sample(1)
    target = target.where(target == 255, torch.tensor(only, dtype=torch.uint8))
    expected = reference(logits.numpy(), target.numpy().astype(np.int64), False)
    assert masked_cross_entropy(logits, target, balanced).item() == pytest.approx(expected, rel=1e-6)


def test_balanced_classes_have_equal_shares() -> None:
    """Repeating the pixels of one class changes the plain loss, not the balanced one."""
    logits = torch.tensor([[[[0.0, 2.0, 1.0, 1.0, 1.0]], [[1.0, 1.0, 0.5, 0.5, 0.5]]]])
    few, many = torch.tensor([[[0, 1, 0, 255, 255]]]), torch.tensor([[[0, 1, 0, 0, 0]]])
    alone = {c: masked_cross_entropy(logits, torch.where(many == c, many, 255)) for c in (0, 1)}
    torch.testing.assert_close(masked_cross_entropy(logits, many, True), (alone[0] + alone[1]) / 2)
    assert not torch.isclose(masked_cross_entropy(logits, few), masked_cross_entropy(logits, many))


@BALANCED
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saturated_logits_stay_finite(balanced: bool, dtype: torch.dtype) -> None:
    logits = torch.tensor([[[[1e4, -1e4]], [[-1e4, 1e4]]]], dtype=dtype, requires_grad=True)
    right = masked_cross_entropy(logits, torch.tensor([[[0, 1]]]), balanced)
    wrong = masked_cross_entropy(logits, torch.tensor([[[1, 0]]]), balanced)
    wrong.backward()
    assert right.item() == 0
    assert wrong.item() == pytest.approx(2e4, rel=0.01)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@BALANCED
def test_order_of_the_batch_does_not_matter(balanced: bool) -> None:
    logits, target = sample(2)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        masked_cross_entropy(logits, target, balanced), masked_cross_entropy(logits[order], target[order], balanced)
    )


@BALANCED
def test_gradient_is_that_of_finite_differences(balanced: bool) -> None:
    logits, target = sample(3)
    logits = logits[:1, :, :3, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: masked_cross_entropy(x, target[:1, :3, :3], balanced), (logits,))


def test_a_class_without_logits_raises() -> None:
    with pytest.raises(IndexError, match="Target 170 is out of bounds"):
        masked_cross_entropy(torch.zeros(1, 2, 1, 1), torch.tensor([[[170]]]))
