"""The Dice coefficient by frame and its means; average precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from two_processes import TwoProcesses

from bgsub_lightning.metrics import (
    DICE_UNITS,
    METRICS,
    THRESHOLDS,
    SceneDice,
    ThresholdDice,
    average_precision,
    best_of,
    confusion_counts,
    dice_counts,
    metrics,
    scores,
    scores_at_thresholds,
    threshold_counts,
    undefined,
)

SCENES = ("a/one", "a/two", "b/three")


def example(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A frame's probabilities, its truth and an ROI; every third frame is without foreground, every sixth silent."""
    generator = np.random.default_rng(seed)
    truth = generator.choice([0, 50, 85, 170, 255], (1, 11, 13)).astype(np.uint8)
    probability = generator.random((1, 11, 13))
    if seed % 3 == 0:
        truth[truth == 255] = 0
    if seed % 6 == 0:
        probability[:] = 0
    roi = torch.from_numpy(generator.random((11, 13)) < 0.8)
    return torch.from_numpy(probability), torch.from_numpy(truth), roi


def by_sets(said: np.ndarray, truth: np.ndarray, roi: np.ndarray) -> float | bool:
    """Twice the intersection by the sum of both areas; without foreground: whether there was a false alarm."""
    counted = roi & (truth != 170)
    called = {tuple(at) for at in np.argwhere(counted & said)}
    moving = {tuple(at) for at in np.argwhere(counted & (truth == 255))}
    return 2 * len(called & moving) / (len(called) + len(moving)) if moving else bool(called)


def means(found: list[float | bool]) -> tuple[float, float]:
    """Mean Dice over the frames with foreground, and with the false alarms as 0."""
    dice = [each for each in found if not isinstance(each, bool)]
    alarms = [0.0 for each in found if each is True]
    return float(np.mean(dice)), float(np.mean(dice + alarms))


@pytest.mark.parametrize("level", [0.0, 0.3, 0.9])
def test_mean_dice_is_that_of_sets_of_pixels(level: float) -> None:
    found, total = [], torch.zeros(4, dtype=torch.int64)
    for seed in range(12):
        probability, truth, roi = example(seed)
        found.append(by_sets((probability > level).numpy()[0], truth.numpy()[0], roi.numpy()))
        rows = dice_counts(confusion_counts(probability > level, truth, roi))
        assert (rows.shape, rows.dtype) == ((1, 4), torch.int64)
        assert rows[0, 1:].tolist() == [
            not isinstance(found[-1], bool),
            found[-1] is True,
            found[-1] is False,
        ]
        total += rows.sum(0)
    assert {type(each) for each in found} == {float, bool}
    result = metrics([1, 1, 1, 1], total.tolist())
    assert (result["mean_dice"], result["mean_dice_include_empty"]) == pytest.approx(means(found), abs=2**-32)
    assert result["mean_dice_include_empty"] < result["mean_dice"]


def test_a_frame_has_its_f_measure_and_the_largest_frames_do_not_overflow() -> None:
    generator = np.random.default_rng(0)
    counts = [*generator.integers(1, 10**6, (20, 4)).tolist(), [2**29, 0, 0, 0], [2**28, 2**29, 2**29, 0]]
    for row in counts:
        dice = dice_counts(torch.tensor([row]))[0].tolist()
        assert dice[0] / DICE_UNITS == pytest.approx(metrics(row)["f_measure"], abs=2**-32)
        assert metrics(row, dice)["mean_dice"] == dice[0] / DICE_UNITS


def test_figures_that_are_undefined() -> None:
    some, alarmed, silent = [3 * DICE_UNITS // 2, 2, 0, 5], [0, 0, 4, 1], [0, 0, 0, 9]
    counts = [1, 1, 1, 1]
    for dice, values, names in (
        (some, (0.75, 0.75), []),
        (alarmed, (1.0, 0.0), ["mean_dice"]),
        (silent, (1.0, 1.0), ["mean_dice", "mean_dice_include_empty"]),
    ):
        result = metrics(counts, dice)
        assert (result["mean_dice"], result["mean_dice_include_empty"]) == values
        assert undefined(counts, dice) == names
    assert tuple(metrics(counts)) == METRICS


def count(numbers: range) -> tuple[SceneDice, ThresholdDice]:
    own, at_thresholds = SceneDice(SCENES), ThresholdDice(SCENES)
    for number in numbers:
        probability, truth, roi = example(number)
        scene = 0 if number < 8 else 2
        own.update(dice_counts(confusion_counts(probability > 0.3, truth, roi)), scene)
        at_thresholds.update(dice_counts(threshold_counts(probability, truth, roi)), scene)
    return own, at_thresholds


def test_each_scene_has_its_sums_and_the_order_does_not_matter() -> None:
    own, at_thresholds = count(range(12))
    rows = own.by_scene()
    assert list(rows) == ["a/one", "b/three"]
    assert [sum(row[1:]) for row in rows.values()] == [8, 4]
    assert {key: each[30] for key, each in at_thresholds.by_scene().items()} == rows
    backwards = SceneDice(SCENES)
    for number in reversed(range(12)):
        probability, truth, roi = example(number)
        backwards.update(dice_counts(confusion_counts(probability > 0.3, truth, roi)), 0 if number < 8 else 2)
    assert backwards.by_scene() == rows
    own.reset()
    own.update(torch.tensor([[0, 0, 0, 1]]), 1)
    assert own.by_scene() == {"a/two": [0, 0, 0, 1]}


def one_of_two(rank: int) -> list[Any]:
    parts = count(range(5) if rank == 0 else range(5, 12))  # rank 0 has no frame of the third scene
    return [metric.by_scene() for metric in parts]


def test_two_processes_sum_what_one_sums(two_processes: TwoProcesses) -> None:
    expected = [metric.by_scene() for metric in count(range(12))]
    assert two_processes(one_of_two) == [expected, expected]


def test_averagings_of_mean_dice() -> None:
    counts = {key: [1, 1, 1, 1] for key in ("a/x", "a/y", "b/z")}
    dice = {"a/x": [DICE_UNITS // 2, 1, 0, 9], "a/y": [0, 3, 2, 0], "b/z": [3 * DICE_UNITS, 3, 1, 0]}
    by_video, pooled = scores(counts, "video", dice), scores(counts, "pooled", dice)
    assert [row["mean_dice"] for row in by_video.videos.values()] == [0.5, 0, 1]
    assert by_video.categories["a"]["mean_dice"] == 0.25
    assert pooled.categories["a"]["mean_dice"] == 0.5 / 4
    assert pooled.categories["a"]["mean_dice_include_empty"] == 0.5 / 6
    assert by_video.overall["mean_dice"] == (0.25 + 1) / 2
    assert pooled.overall["mean_dice"] == (0.125 + 1) / 2
    for each in (by_video, pooled):
        assert each.all_frames["mean_dice"] == 3.5 / 7
        assert each.all_frames["mean_dice_include_empty"] == 3.5 / 10
    assert "mean_dice" not in scores(counts).overall


def test_all_frames_together_are_one_sum_of_counts() -> None:
    counts = {"a/x": [10, 0, 0, 90], "b/y": [0, 0, 30, 70]}
    for averaging in ("video", "pooled"):
        assert scores(counts, averaging).all_frames == metrics([10, 0, 30, 160])  # type: ignore[arg-type]
        assert scores(counts, averaging).overall["f_measure"] == 0.5  # type: ignore[arg-type]
    assert scores({}).all_frames == {}


def test_the_best_threshold_is_the_first_of_several() -> None:
    rows = [[4, 9 - min(i, 9), max(0, i - 15), 1] for i in range(101)]
    at_thresholds = scores_at_thresholds({"a/x": rows})
    values = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn, _ in rows]
    assert [each.overall["f_measure"] for each in at_thresholds] == pytest.approx(values)
    assert best_of(at_thresholds) == int(np.argmax(values)) == 9
    assert best_of(scores_at_thresholds({})) == 0


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_that_of_torchmetrics(seed: int) -> None:
    from torchmetrics.functional.classification import binary_average_precision, binary_precision_recall_curve

    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(1, 40, 50, generator=generator) < 0.2
    logits = torch.randn(1, 40, 50, generator=generator) + 1.5 * truth
    probability = (logits.sigmoid() * 100).floor().div(100) + 0.005  # at no threshold, where > and ≥ are not the same
    mask = (truth * 255).byte()
    rows = threshold_counts(probability, mask).sum(0).tolist()
    at = [metrics(row) for row in rows]
    precision, recall = ([each[name] for each in at] for name in ("precision", "recall"))
    levels = torch.tensor(THRESHOLDS)
    expected_precision, expected_recall, _ = binary_precision_recall_curve(probability, truth.long(), levels)
    assert recall == pytest.approx(expected_recall[:-1].tolist(), abs=1e-6)
    called = [row[0] + row[1] > 0 for row in rows]
    assert not all(called)
    for ours, theirs, some in zip(precision, expected_precision[:-1].tolist(), called, strict=True):
        assert ours == pytest.approx(theirs if some else 1.0, abs=1e-6)  # 0/0 is 1 here, 0 there; recall is 0
    expected = binary_average_precision(probability, truth.long(), levels).item()
    assert average_precision(precision, recall) == pytest.approx(expected, abs=1e-6)
    assert 0.3 < expected < 0.9


def test_average_precision_of_curves_that_are_known() -> None:
    assert average_precision([1.0, 1.0], [1.0, 0.0]) == 1
    assert average_precision([0.2, 0.2, 1.0], [1.0, 1.0, 0.0]) == 0.2
    assert average_precision([0.5], [0.4]) == 0.2
