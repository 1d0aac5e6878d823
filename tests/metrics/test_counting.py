from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bgsub_lightning.metrics import COUNTS, METRICS, confusion_counts, metrics, undefined

LEVELS = (0, 50, 85, 170, 255)


def counted_slowly(prediction: Tensor, truth: Tensor, roi: Tensor | None) -> list[list[int]]:
    """The official rule, pixel by pixel: 170 and what lies outside the ROI do not count, a shadow is background."""
    rows = []
    for b in range(len(truth)):
        tp = fp = fn = tn = se = 0
        for y in range(truth.shape[1]):
            for x in range(truth.shape[2]):
                level, called = int(truth[b, y, x]), bool(prediction[b, y, x])
                inside = roi is None or bool(roi[y, x] if roi.ndim == 2 else roi[b, y, x])
                if not inside or level == 170:
                    continue
                if level == 255:
                    tp, fn = tp + called, fn + (not called)
                else:
                    fp, tn = fp + called, tn + (not called)
                    se += called and level == 50
        rows.append([tp, fp, fn, tn, se])
    return rows


@pytest.mark.parametrize("kind", ["none", "frame", "batch"])
@pytest.mark.parametrize("seed", range(4))
def test_counts_against_a_slow_loop(seed: int, kind: str) -> None:
    generator = np.random.default_rng(seed)
    truth = torch.from_numpy(generator.choice(LEVELS, (3, 9, 7)).astype(np.uint8))
    prediction = torch.from_numpy(generator.random((3, 9, 7)) < 0.4)
    shape = {"none": None, "frame": (9, 7), "batch": (3, 9, 7)}[kind]
    roi = None if shape is None else torch.from_numpy(generator.random(shape) < 0.7)
    counts = confusion_counts(prediction, truth, roi)
    assert counts.dtype == torch.int64
    assert counts.tolist() == counted_slowly(prediction, truth, roi)


@pytest.mark.parametrize(
    ("level", "called", "expected"),
    [
        (0, True, [0, 1, 0, 0, 0]),
        (0, False, [0, 0, 0, 1, 0]),
        (50, True, [0, 1, 0, 0, 1]),
        (50, False, [0, 0, 0, 1, 0]),
        (85, True, [0, 1, 0, 0, 0]),
        (85, False, [0, 0, 0, 1, 0]),
        (170, True, [0, 0, 0, 0, 0]),
        (170, False, [0, 0, 0, 0, 0]),
        (255, True, [1, 0, 0, 0, 0]),
        (255, False, [0, 0, 1, 0, 0]),
    ],
)
def test_each_level_by_the_official_table(level: int, called: bool, expected: list[int]) -> None:
    truth, prediction = torch.tensor([[[level]]], dtype=torch.uint8), torch.tensor([[[called]]])
    assert confusion_counts(prediction, truth).tolist() == [expected]
    outside = confusion_counts(prediction, truth, torch.tensor([[False]]))
    assert outside.tolist() == [[0, 0, 0, 0, 0]]


def test_shadow_errors_are_part_of_fp() -> None:
    truth = torch.tensor([[[50, 50, 50, 0, 0]]], dtype=torch.uint8)
    counts = confusion_counts(torch.tensor([[[True, True, False, True, False]]]), truth)
    assert dict(zip(COUNTS, counts[0].tolist(), strict=True)) == {"TP": 0, "FP": 3, "FN": 0, "TN": 2, "SE": 2}


def test_counting_leaves_its_arguments_alone() -> None:
    truth = torch.tensor([[[0, 255, 170]]], dtype=torch.uint8)
    prediction, roi = torch.tensor([[[True, True, True]]]), torch.tensor([[True, False, True]])
    before = truth.clone(), prediction.clone(), roi.clone()
    confusion_counts(prediction, truth, roi)
    assert all(torch.equal(a, b) for a, b in zip(before, (truth, prediction, roi), strict=True))


@pytest.mark.parametrize(
    ("prediction", "roi", "message"),
    [
        (torch.zeros(2, 4, 5), None, r"bool prediction .* got torch\.float32 \(2, 4, 5\) and \(2, 4, 5\)"),
        (torch.zeros(2, 4, 6, dtype=torch.bool), None, r"one shape .* \(2, 4, 6\) and \(2, 4, 5\)"),
        (torch.zeros(1, 4, 5, dtype=torch.bool), None, r"\(1, 4, 5\) and \(2, 4, 5\)"),
        (torch.zeros(2, 4, 5, dtype=torch.bool), torch.ones(5, 4, dtype=torch.bool), r"ROI .*\(5, 4\)"),
    ],
)
def test_shapes_and_types_that_do_not_fit_raise(prediction: Tensor, roi: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_counts(prediction, torch.zeros(2, 4, 5, dtype=torch.uint8), roi)


def test_frames_without_batch_dimension_raise() -> None:
    with pytest.raises(ValueError, match=r"\(B, H, W\).* got torch\.bool \(4, 5\)"):
        confusion_counts(torch.zeros(4, 5, dtype=torch.bool), torch.zeros(4, 5, dtype=torch.uint8))


@pytest.mark.parametrize("roi", [torch.ones(4, 5, dtype=torch.uint8), torch.ones(3, 4, 5, dtype=torch.bool)])
def test_an_roi_of_another_type_or_batch_raises(roi: Tensor) -> None:
    with pytest.raises(ValueError, match="ROI"):
        confusion_counts(torch.zeros(2, 4, 5, dtype=torch.bool), torch.zeros(2, 4, 5, dtype=torch.uint8), roi)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [  # recall, specificity, fpr, fnr, pwc, precision, f_measure
        ((8, 2, 2, 88), (0.8, 88 / 90, 2 / 90, 0.2, 4.0, 0.8, 0.8)),
        ((30, 10, 20, 40), (0.6, 0.8, 0.2, 0.4, 30.0, 0.75, 2 / 3)),
        ((0, 5, 0, 95), (1.0, 0.95, 0.05, 0.0, 5.0, 0.0, 0.0)),
        ((0, 0, 4, 96), (0.0, 1.0, 0.0, 1.0, 4.0, 1.0, 0.0)),
        ((0, 0, 0, 100), (1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0)),
        ((7, 0, 0, 0), (1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0)),
        ((0, 0, 0, 0), (1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0)),
    ],
)
def test_figures_by_hand(counts: tuple[int, ...], expected: tuple[float, ...]) -> None:
    result = metrics([*counts, 3])
    assert tuple(result) == METRICS
    assert tuple(result.values()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("counts", "names"),
    [
        ((8, 2, 2, 88), []),
        ((0, 5, 0, 95), ["recall", "fnr"]),
        ((0, 0, 4, 96), ["precision"]),
        ((7, 0, 0, 0), ["specificity", "fpr"]),
        ((0, 0, 0, 100), ["recall", "fnr", "precision", "f_measure"]),
        ((0, 0, 0, 0), list(METRICS)),
    ],
)
def test_undefined_figures(counts: tuple[int, ...], names: list[str]) -> None:
    assert undefined(counts) == names


@pytest.mark.parametrize("seed", range(5))
def test_relations_of_the_figures(seed: int) -> None:
    counts = [int(c) for c in np.random.default_rng(seed).integers(1, 10**12, 4)]  # beyond 32 bits, as 10⁵ frames are
    result = metrics(counts)
    assert result["recall"] + result["fnr"] == pytest.approx(1)
    assert result["specificity"] + result["fpr"] == pytest.approx(1)
    harmonic = 2 / (1 / result["recall"] + 1 / result["precision"])
    assert result["f_measure"] == pytest.approx(harmonic)
    assert metrics([10 * count for count in counts]) == pytest.approx(result)
    assert metrics(counts[::-1])["pwc"] == pytest.approx(result["pwc"])
