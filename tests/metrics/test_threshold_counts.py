"""Counts at every threshold are those of the official rule at each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from two_processes import TwoProcesses

from bgsub_lightning.metrics import THRESHOLDS, ThresholdConfusion, confusion_counts, threshold_counts

SCENES = ("a/one", "a/two", "b/three")


def example(seed: int, frames: int = 3, size: tuple[int, int] = (17, 23)) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities, of which a third are exactly at thresholds, truth with all levels, and an ROI."""
    generator = np.random.default_rng(seed)
    shape = (frames, *size)
    exact = generator.integers(0, 101, shape) / 100
    values = np.select([generator.random(shape) < 1 / 3, generator.random(shape) < 1 / 2], [exact, 0.0], 1.0)
    probability = np.where(values == 1.0, generator.random(shape), values)
    truth = generator.choice([0, 50, 85, 170, 255], shape).astype(np.uint8)
    return torch.from_numpy(probability), torch.from_numpy(truth), torch.from_numpy(generator.random(size) < 0.8)


Compared = Callable[[Tensor, float], Tensor]
COMPARED = [(False, torch.gt), (True, torch.ge)]


def by_brute_force(probability: Tensor, truth: Tensor, roi: Tensor, inclusive: bool) -> np.ndarray:
    p, t, inside = probability.double().numpy(), truth.numpy(), np.broadcast_to(roi.numpy(), truth.shape)
    counts = np.zeros((len(p), 101, 4), int)
    for frame in range(len(p)):
        for i in range(101):
            level = torch.tensor(i / 100, dtype=probability.dtype).double().item()
            for value, grey, counted in zip(p[frame].flat, t[frame].flat, inside[frame].flat, strict=True):
                if counted and grey != 170:
                    said = value >= level if inclusive else value > level
                    counts[frame, i, (0 if said else 2) if grey == 255 else (1 if said else 3)] += 1
    return counts


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_counts_are_those_of_brute_force(dtype: torch.dtype, inclusive: bool) -> None:
    probability, truth, roi = example(0, 2, (9, 7))
    counts = threshold_counts(probability.to(dtype), truth, roi, inclusive)
    assert (counts.shape, counts.dtype) == ((2, 101, 4), torch.int64)
    assert np.array_equal(counts.numpy(), by_brute_force(probability.to(dtype), truth, roi, inclusive))


@pytest.mark.parametrize(("inclusive", "compared"), COMPARED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("seed", range(3))
def test_at_each_threshold_they_are_the_ordinary_counts(
    seed: int, dtype: torch.dtype, inclusive: bool, compared: Compared
) -> None:
    probability, truth, roi = example(seed)
    probability = probability.to(dtype)
    counts = threshold_counts(probability, truth, roi, inclusive)
    assert counts[:, :, 0].float().std() > 0
    for i, threshold in enumerate(THRESHOLDS):
        assert torch.equal(counts[:, i], confusion_counts(compared(probability, threshold), truth, roi)[:, :4])


@pytest.mark.parametrize(("inclusive", "compared"), COMPARED)
def test_just_above_and_just_below_a_threshold(inclusive: bool, compared: Compared) -> None:
    levels = torch.tensor(THRESHOLDS)
    around = torch.stack([torch.nextafter(levels, -torch.ones(())), levels, torch.nextafter(levels, torch.tensor(2.0))])
    truth = torch.full((1, *around.shape), 255, dtype=torch.uint8)
    counts = threshold_counts(around[None], truth, None, inclusive)
    for i, threshold in enumerate(THRESHOLDS):
        assert counts[0, i].tolist() == confusion_counts(compared(around[None], threshold), truth)[0, :4].tolist()


@pytest.mark.parametrize(("inclusive", "compared"), COMPARED)
def test_what_is_no_probability_is_counted_as_it_is_compared(inclusive: bool, compared: Compared) -> None:
    odd = torch.tensor([[[float("nan"), 1.5, -0.5, float("inf"), 1.0, 0.0]]])
    truth = torch.tensor([[[255, 255, 255, 0, 0, 0]]], dtype=torch.uint8)
    counts = threshold_counts(odd, truth, None, inclusive)
    for i, threshold in enumerate(THRESHOLDS):
        assert counts[0, i].tolist() == confusion_counts(compared(odd, threshold), truth)[0, :4].tolist()


def test_each_frame_may_have_its_own_roi_and_there_may_be_no_frame() -> None:
    probability, truth, roi = example(1)
    each = torch.stack([roi, ~roi, torch.ones_like(roi)])
    counts = threshold_counts(probability, truth, each)
    for i in range(3):
        assert torch.equal(counts[i : i + 1], threshold_counts(probability[i : i + 1], truth[i : i + 1], each[i]))
    assert threshold_counts(probability[:0], truth[:0], roi).shape == (0, 101, 4)


@pytest.mark.parametrize(
    ("probability", "truth", "roi", "message"),
    [
        (torch.ones(1, 2, 3, dtype=torch.bool), torch.zeros(1, 2, 3), None, "Expected probabilities and a truth"),
        (torch.rand(1, 2, 3), torch.zeros(1, 3, 2), None, r"got torch.float32 \(1, 2, 3\) and \(1, 3, 2\)"),
        (torch.rand(2, 3), torch.zeros(2, 3), None, "Expected probabilities and a truth"),
        (torch.rand(1, 2, 3), torch.zeros(1, 2, 3), torch.ones(3, 2, dtype=torch.bool), "Expected a bool ROI"),
        (torch.rand(1, 2, 3), torch.zeros(1, 2, 3), torch.ones(2, 3), "Expected a bool ROI"),
    ],
)
def test_what_does_not_fit_is_refused(probability: Tensor, truth: Tensor, roi: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        threshold_counts(probability, truth.byte(), roi)


def count(numbers: range) -> ThresholdConfusion:
    metric = ThresholdConfusion(SCENES)
    for number in numbers:
        metric.update(threshold_counts(*example(number, 1)), 0 if number < 4 else 2)
    return metric


def one_of_two(rank: int) -> dict[str, Any]:
    return count(range(3) if rank == 0 else range(3, 7)).by_scene()  # rank 0 has no frame of the third scene


def test_two_processes_count_what_one_counts(two_processes: TwoProcesses) -> None:
    expected = count(range(7)).by_scene()
    assert list(expected) == ["a/one", "b/three"]
    assert np.shape(expected["a/one"]) == (101, 4)
    assert two_processes(one_of_two) == [expected, expected]
