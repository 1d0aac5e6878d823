from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from two_processes import TwoProcesses

from bgsub_lightning.metrics import METRICS, SceneConfusion, confusion_counts, scores

SCENES = ("a/one", "a/two", "b/three")


def rows(seed: int) -> dict[str, list[int]]:
    generator = np.random.default_rng(seed)
    keys = ("a/one", "b/three", "a/two", "b/four", "b/five", "c/six")
    return {key: generator.integers(1, 10_000, 5).tolist() for key in keys}


def by_hand(counts: np.ndarray) -> np.ndarray:
    """The seven metrics of counts, shape (..., 4) → (..., 7)."""
    tp, fp, fn, tn = np.moveaxis(counts.astype(float), -1, 0)
    recall, precision = tp / (tp + fn), tp / (tp + fp)
    columns = (
        recall,
        tn / (tn + fp),
        fp / (tn + fp),
        fn / (tp + fn),
        100 * (fp + fn) / (tp + fp + fn + tn),
        precision,
        2 * recall * precision / (recall + precision),
    )
    return np.stack(columns, -1)


@pytest.mark.parametrize("seed", range(3))
def test_averaging_over_videos(seed: int) -> None:
    counts = rows(seed)
    table = {key: by_hand(np.array(row[:4])) for key, row in counts.items()}
    categories = {c: np.mean([table[key] for key in table if key.startswith(c)], axis=0) for c in "abc"}
    result = scores(counts)
    assert list(result.videos) == list(counts)
    for key, expected in table.items():
        assert list(result.videos[key].values()) == pytest.approx(expected.tolist())
    for category, expected in categories.items():
        assert list(result.categories[category].values()) == pytest.approx(expected.tolist())
    overall = np.mean(list(categories.values()), axis=0)
    assert list(result.overall.values()) == pytest.approx(overall.tolist())
    assert result.undefined == {}


@pytest.mark.parametrize("seed", range(3))
def test_pooled_counts(seed: int) -> None:
    counts = rows(seed)
    sums = [np.sum([row[:4] for key, row in counts.items() if key.startswith(c)], axis=0) for c in "abc"]
    expected = by_hand(np.array(sums))
    result = scores(counts, "pooled")
    for category, row in zip("abc", expected, strict=True):
        assert list(result.categories[category].values()) == pytest.approx(row.tolist())
    assert list(result.overall.values()) == pytest.approx(expected.mean(0).tolist())
    assert result.videos == scores(counts).videos


def test_averagings_differ_where_videos_do() -> None:
    counts = {"a/x": [10, 0, 0, 90], "a/y": [0, 0, 30, 70]}
    assert scores(counts).overall["f_measure"] == pytest.approx(0.5)
    assert scores(counts, "pooled").overall["f_measure"] == pytest.approx(20 / (20 + 30))


def test_a_category_counts_as_much_as_another_whatever_its_videos() -> None:
    good, bad = [10, 0, 0, 90], [0, 10, 10, 80]
    result = scores({"a/1": good, "b/1": bad, "b/2": bad, "b/3": bad})
    assert result.overall["f_measure"] == pytest.approx(0.5)


def test_undefined_metrics_are_marked() -> None:
    result = scores({"a/x": [0, 0, 0, 100, 0], "a/y": [1, 1, 1, 1, 0]})
    assert result.undefined == {"a/x": ["recall", "fnr", "precision", "f_measure"]}
    assert result.videos["a/x"]["f_measure"] == 1


def test_nothing_gives_nothing() -> None:
    result = scores({})
    assert (result.videos, result.categories, result.overall, result.undefined) == ({}, {}, {}, {})
    assert len(METRICS) == 7


def test_confusion_accumulates_by_scene() -> None:
    metric = SceneConfusion(SCENES)
    metric.update(torch.tensor([[1, 2, 3, 4, 1], [10, 20, 30, 40, 2]]), 0)
    metric.update(torch.tensor([[5, 5, 5, 5, 5]]), 2)
    metric.update(torch.tensor([[100, 0, 0, 0, 0]]), 0)
    assert metric.compute().tolist() == [[111, 22, 33, 44, 3], [0, 0, 0, 0, 0], [5, 5, 5, 5, 5]]
    assert metric.by_scene() == {"a/one": [111, 22, 33, 44, 3], "b/three": [5, 5, 5, 5, 5]}
    metric.reset()
    metric.update(torch.tensor([[0, 0, 0, 7, 0]]), 1)
    assert metric.by_scene() == {"a/two": [0, 0, 0, 7, 0]}


def test_counts_are_exact_beyond_float_precision() -> None:
    metric = SceneConfusion(["a/x"])
    for _ in range(2):
        metric.update(torch.tensor([[2**53 + 1, 0, 0, 0, 0]]), 0)
    assert metric.by_scene() == {"a/x": [2**54 + 2, 0, 0, 0, 0]}


def test_what_was_computed_stays_what_it_was() -> None:
    metric = SceneConfusion(["a/x"])
    metric.update(torch.ones(1, 5, dtype=torch.int64), 0)
    computed = metric.compute()
    metric.update(torch.ones(1, 5, dtype=torch.int64), 0)
    assert computed.tolist() == [[1, 1, 1, 1, 1]]


def frames(number: int) -> tuple[Tensor, int]:
    """Counts of frame ``number`` and the scene it belongs to: 0 to 10 of the first, 11 of the second, the rest."""
    generator = np.random.default_rng(number)
    truth = torch.from_numpy(generator.choice([0, 50, 85, 170, 255], (1, 12, 16)).astype(np.uint8))
    prediction = torch.from_numpy(generator.random((1, 12, 16)) < 0.5)
    return confusion_counts(prediction, truth), 0 if number < 11 else 1 if number == 11 else 2


def count(numbers: range) -> SceneConfusion:
    metric = SceneConfusion(SCENES)
    for number in numbers:
        metric.update(*frames(number))
    return metric


def one_of_two(rank: int) -> dict[str, Any]:
    return count(
        range(5) if rank == 0 else range(5, 20)
    ).by_scene()  # rank 0 has no frame of the second and the third scene


def test_two_processes_count_what_one_counts(two_processes: TwoProcesses) -> None:
    expected = count(range(20)).by_scene()
    assert sum(map(sum, expected.values())) > 0
    assert list(expected) == list(SCENES)
    assert two_processes(one_of_two) == [expected, expected]
