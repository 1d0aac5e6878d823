from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bgsub_lightning.systems.siamese.loss import CHANGED, OVERLAP, UNCHANGED, class_constant, contrastive, pair_classes

CLASSES = (CHANGED, OVERLAP, UNCHANGED)


def sample(shape: tuple[int, ...] = (3, 5, 7)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    levels = torch.tensor([*CLASSES, 255], dtype=torch.uint8)
    return 2 * torch.rand(shape, generator=generator), levels[torch.randint(4, shape, generator=generator)]


def by_hand(distances: Tensor, classes: Tensor, margin: float, tolerance: float) -> float:
    total = 0.0
    for d, y in zip(distances.flatten().tolist(), classes.flatten().tolist(), strict=True):
        if y != 255:
            total += y / 2 * max(d - tolerance, 0) ** 2 + (1 - y / 2) * max(margin - d, 0) ** 2
    return total / (2 * len(distances))


def test_classes_of_pairs() -> None:
    kinds = torch.tensor([0, 1, 255], dtype=torch.uint8)
    found = pair_classes(kinds[:, None].expand(3, 3), kinds[None].expand(3, 3))
    assert found.tolist() == [[2, 0, 255], [0, 1, 255], [255, 255, 255]]
    assert found.dtype == torch.uint8


@pytest.mark.parametrize("margin", [2.0, 1.5])
@pytest.mark.parametrize("tolerance", [0.0, 0.3])
def test_loss(margin: float, tolerance: float) -> None:
    distances, classes = sample()
    found = contrastive(distances, classes, margin, tolerance)
    assert found.item() == pytest.approx(by_hand(distances, classes, margin, tolerance), rel=1e-5)


def test_it_is_a_sum_over_pixels_and_a_mean_over_pairs() -> None:
    distances, classes = sample()
    once = contrastive(distances, classes)
    torch.testing.assert_close(contrastive(torch.cat([distances] * 2), torch.cat([classes] * 2)), once)
    torch.testing.assert_close(contrastive(distances.repeat(1, 2, 1), classes.repeat(1, 2, 1)), 2 * once)


def test_ignored_pixels_have_no_gradient() -> None:
    distances, classes = sample()
    distances.requires_grad_()
    contrastive(distances, classes).backward()
    assert distances.grad is not None
    assert torch.equal(distances.grad == 0, classes == 255)
    nothing = contrastive(distances, torch.full_like(classes, 255))
    assert nothing.item() == 0
    nothing.backward()


@pytest.mark.parametrize("tolerance", [0.0, 0.4])
def test_where_free_features_settle(tolerance: float) -> None:
    """Changed pixels at 2, overlapping ones at 1, unchanged ones at 0: what the map is rounded to."""
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(1, 6, 3, 8, generator=generator).requires_grad_() for _ in range(2))
    classes = torch.tensor(CLASSES, dtype=torch.uint8)[None, :, None].expand(1, 3, 8)
    optimizer = torch.optim.Adam([one, other], lr=0.05)
    for _ in range(400):
        distances = torch.linalg.vector_norm(F.normalize(one, dim=1) - F.normalize(other, dim=1), dim=1)
        optimizer.zero_grad()
        contrastive(distances, classes, tolerance=tolerance).backward()
        optimizer.step()
    changed, overlap, unchanged = distances.detach()[0]
    torch.testing.assert_close(changed, torch.full((8,), 2.0), atol=0.02, rtol=0)
    torch.testing.assert_close(overlap, torch.full((8,), 1 + tolerance / 2), atol=0.02, rtol=0)
    assert (unchanged <= tolerance + 0.02).all()
    if tolerance == 0:
        assert torch.equal(distances[0].round(), torch.tensor([[2.0], [1.0], [0.0]]).expand(3, 8))


def test_equilibria_are_the_minima_of_each_class() -> None:
    grid = torch.linspace(0, 2, 2001)
    for y, best in zip(CLASSES, (2.0, 1.0, 0.0), strict=True):
        losses = [contrastive(d.view(1, 1, 1), torch.full((1, 1, 1), y)).item() for d in grid]
        assert grid[int(np.argmin(losses))].item() == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("tau", [1.2, 1.5, 1.9])
def test_the_constant_is_of_the_labels_alone(tau: float) -> None:
    _, classes = sample()
    expected = sum(1 / (tau - y) for y in classes.flatten().tolist() if y != 255) / (2 * len(classes))
    found = class_constant(classes, tau)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert not found.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_sum_over_many_pixels_is_finite_in_16_bits(dtype: torch.dtype) -> None:
    distances = torch.zeros(4, 200, 200, dtype=dtype)
    loss = contrastive(distances, torch.zeros(4, 200, 200, dtype=torch.uint8))
    assert loss.item() == 200 * 200 * 4 / 2
