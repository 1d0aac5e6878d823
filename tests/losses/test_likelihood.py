from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from bgsub_lightning.losses.cross_entropy import masked_binary_cross_entropy
from bgsub_lightning.systems.cdn_medal.loss import mixture_nll

SIGMOIDS = pytest.mark.parametrize("sigmoid", ["logistic", "hard"])


def mixtures(
    pixels: int = 6, components: int = 3, samples: int = 9, batch: tuple[int, ...] = ()
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*batch, *shape, generator=generator, dtype=torch.float64)

    log_weights = (4 * rand(components, pixels)).log_softmax(-2)
    deviations = (16 + 16 * rand(components, pixels)) / 255
    return rand(samples, 3, pixels), log_weights, deviations, rand(components, 3, pixels)


def reference(samples: Tensor, log_weights: Tensor, deviations: Tensor, means: Tensor) -> Tensor:
    """By torch.distributions, one pixel after the other."""
    losses = []
    for pixel in range(samples.shape[-1]):
        scale = deviations[:, pixel, None].expand(-1, 3)
        components = Independent(Normal(means[..., pixel], scale), 1)
        mixture = MixtureSameFamily(Categorical(logits=log_weights[:, pixel]), components)
        losses.append(-mixture.log_prob(samples[..., pixel]).sum())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("components", [1, 3, 5])
def test_against_torch_distributions(components: int) -> None:
    given = mixtures(components=components)
    torch.testing.assert_close(mixture_nll(*given), reference(*given))


def test_of_single_precision() -> None:
    given = mixtures(pixels=40, samples=245)
    single = mixture_nll(*(part.float() for part in given))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), reference(*given), rtol=1e-5, atol=0)


def test_windows_of_a_batch_are_averaged() -> None:
    given = mixtures(batch=(2,))
    expected = torch.stack([reference(*(part[i] for part in given)) for i in range(2)]).mean()
    torch.testing.assert_close(mixture_nll(*given), expected)


def test_a_gaussian_by_hand() -> None:
    x = torch.tensor([[[0.1], [0.2], [0.4]]], dtype=torch.float64)
    mean = torch.tensor([[[0.3], [0.2], [0.1]]], dtype=torch.float64)
    expected = 1.5 * math.log(2 * math.pi * 0.1**2) + (0.04 + 0 + 0.09) / (2 * 0.1**2)
    found = mixture_nll(x, torch.zeros(1, 1), torch.full((1, 1), 0.1, dtype=torch.float64), mean)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_order_of_the_samples_does_not_matter() -> None:
    samples, *mixture = mixtures(samples=50)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(mixture_nll(samples[order], *mixture), mixture_nll(samples, *mixture))


@pytest.mark.parametrize("far", [1.0, 30.0, 1e4])
def test_no_underflow_far_away(far: float) -> None:
    """exp(−½ (1 / (16/255))² · 3) is 0 in single precision, and its logarithm infinite."""
    samples = torch.full((2, 3, 1), far)
    means = torch.zeros(3, 3, 1, requires_grad=True)
    weights = torch.tensor([[0.0], [-200.0], [-300.0]], requires_grad=True)
    deviations = torch.full((3, 1), 16 / 255, requires_grad=True)
    loss = mixture_nll(samples, weights.log_softmax(0), deviations, means)
    expected = 2 * (3 * far**2 / (2 * (16 / 255) ** 2) + 3 * math.log(16 / 255) + 1.5 * math.log(2 * math.pi))
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    for leaf in (means, weights, deviations):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
    assert means.grad is not None
    assert (means.grad[0] < 0).all()  # towards the samples


def test_gradient_is_that_of_finite_differences() -> None:
    samples, *mixture = mixtures(pixels=2, samples=3)
    mixture = [part.clone().requires_grad_() for part in mixture]
    assert torch.autograd.gradcheck(lambda *given: mixture_nll(samples, *given), mixture)


# --- binary cross-entropy --------------------------------------------------------------------------------------------


def pixels(seed: int) -> tuple[Tensor, Tensor]:
    generator = np.random.default_rng(seed)
    target = generator.choice([0, 1, 255], (2, 5, 7), p=[0.5, 0.2, 0.3]).astype(np.uint8)
    return torch.from_numpy(generator.normal(0, 1.5, target.shape)), torch.from_numpy(target)


@SIGMOIDS
@pytest.mark.parametrize("slope", [0.2, 0.5, 1 / 6])
@pytest.mark.parametrize("seed", range(3))
def test_cross_entropy_against_numpy(seed: int, slope: float, sigmoid: str) -> None:
    logits, target = pixels(seed)
    losses = []
    for logit, wanted in zip(logits.flatten().tolist(), target.flatten().tolist(), strict=True):
        if wanted == 255:
            continue
        chance = 1 / (1 + math.exp(-logit)) if sigmoid == "logistic" else min(max(slope * logit + 0.5, 0), 1)
        chance = max(chance if wanted else 1 - chance, 1e-7)
        losses.append(-math.log(chance))
    expected = sum(losses) / len(losses)
    assert masked_binary_cross_entropy(logits, target, sigmoid, slope).item() == pytest.approx(expected, rel=1e-9)  # type: ignore[arg-type]
    single = masked_binary_cross_entropy(logits.float(), target.long(), sigmoid, slope)  # type: ignore[arg-type]
    assert single.item() == pytest.approx(expected, rel=1e-4)


@SIGMOIDS
def test_ignored_pixels_have_no_gradient(sigmoid: str) -> None:
    logits, target = pixels(0)
    ignored = target == 255
    changed = torch.where(ignored, 1e4 * torch.rand_like(logits), logits.clamp(-2, 2)).requires_grad_()
    loss = masked_binary_cross_entropy(changed, target, sigmoid)  # type: ignore[arg-type]
    loss.backward()
    torch.testing.assert_close(loss, masked_binary_cross_entropy(logits.clamp(-2, 2), target, sigmoid))  # type: ignore[arg-type]
    assert changed.grad is not None
    assert not changed.grad[ignored].any()
    assert changed.grad[~ignored].all()


@SIGMOIDS
def test_nothing_valid_gives_zero(sigmoid: str) -> None:
    logits = torch.randn(1, 3, 3, requires_grad=True)
    loss = masked_binary_cross_entropy(logits, torch.full((1, 3, 3), 255), sigmoid)  # type: ignore[arg-type]
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@SIGMOIDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saturated_pixels(sigmoid: str, dtype: torch.dtype) -> None:
    """Wrong ones learn by the logistic function, and not by the paper's."""
    logits = torch.tensor([[[8.0, -8.0, 8.0, -8.0]]], dtype=dtype, requires_grad=True)
    target = torch.tensor([[[0, 1, 1, 0]]])  # wrong, wrong, right, right
    loss = masked_binary_cross_entropy(logits, target, sigmoid)  # type: ignore[arg-type]
    assert loss.isfinite()
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    wrong, right = logits.grad[0, 0, :2], logits.grad[0, 0, 2:]
    if sigmoid == "hard":
        assert not wrong.any()
        assert not right.any()
    else:
        assert wrong[0] > 0.2
        assert wrong[1] < -0.2
        assert right.abs().max() < 1e-3


def test_safe_far_away() -> None:
    logits = torch.tensor([[[1e4, -1e4]]], requires_grad=True)
    loss = masked_binary_cross_entropy(logits, torch.tensor([[[0, 1]]]), "logistic")
    loss.backward()
    assert loss.item() == 1e4
    assert logits.grad is not None
    assert logits.grad.tolist() == [[[0.5, -0.5]]]
