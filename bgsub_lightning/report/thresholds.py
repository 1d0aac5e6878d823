"""A test seen at another threshold than its own, from the counts that it stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.metrics import THRESHOLDS, Averaging, Scores, best_of


def at_threshold(
    result: TestResult, threshold: float | Literal["best"], averaging: Averaging = "video", largest: float = 1.0
) -> TestResult:
    """Return what the test would have found at another threshold; its name and its remark tell which.

    Shadow errors, single draws and the frames of the training part are not counted at other thresholds: they are left
    out.

    Args:
        result: What a test found.
        threshold: The nearest that is stored is taken; ``"best"``: that of the largest overall F-measure, which is
            chosen on the test frames.
        averaging: How a category's metrics come about, by which the best is chosen.
        largest: The largest threshold that a best one is looked for up to.

    Raises:
        UserError: If a threshold is no such, or the result has no counts at thresholds.
    """
    curve = overall_curve(result, averaging, largest)
    if threshold == "best":
        nearest = best_of(curve)
        note = "chosen on the test frames: optimistic, no measure of generalisation"
    else:
        if not 0 <= threshold < 1:
            raise UserError(f"--threshold: 'best' or a probability in [0, 1) is needed, got {threshold}.")
        nearest = min(range(len(THRESHOLDS) - 1), key=lambda i: abs(THRESHOLDS[i] - threshold))
        note = "" if THRESHOLDS[nearest] == threshold else f"the nearest to {threshold} that is stored"
    own = "" if result.threshold is None else f"; tested at {result.threshold:g}"
    videos = {
        key: replace(
            video,
            counts=video.threshold_counts[nearest],
            dice=video.threshold_dice[nearest] if video.threshold_dice else [],
            draws=[],
            counts_with_training=[],
            dice_with_training=[],
            frames_with_training=0,
        )
        for key, video in result.videos.items()
    }
    return replace(
        result,
        name=f"{result.name} at {'best ' if threshold == 'best' else ''}{THRESHOLDS[nearest]:.2f}",
        remark="\n".join(
            filter(None, [result.remark, f"Threshold {THRESHOLDS[nearest]:.2f}{note and f', {note}'}{own}."])
        ),
        threshold=THRESHOLDS[nearest],
        threshold_from="",
        videos=videos,
    )


def overall_curve(result: TestResult, averaging: Averaging = "video", largest: float = 1.0) -> list[Scores]:
    """Return the metrics at each threshold up to the largest; no precision where nothing is called foreground.

    Raises:
        UserError: If the threshold is no such, no frame was scored, or the result has no counts at thresholds.
    """
    count = thresholds_up_to(largest)
    if not result.videos:
        raise UserError(f"{result.name}: no frame was scored, so there is no curve. Run the test to its end.")
    return result.scores_at_thresholds(averaging, skip_silent=True)[:count]


def precision_and_recall(curve: Sequence[Scores]) -> tuple[list[float], list[float]]:
    """Return the overall precision and recall at each threshold below which something is called foreground."""
    spoken = [scores.overall for scores in curve if "precision" in scores.overall]
    return [each["precision"] for each in spoken], [each["recall"] for each in spoken]


def thresholds_up_to(largest: float) -> int:
    """Return how many of the stored thresholds are no larger.

    Raises:
        UserError: If it is none from 0.01 to 1.
    """
    if not THRESHOLDS[1] <= largest <= 1:
        raise UserError(f"--curve_to: a threshold from {THRESHOLDS[1]} to 1 is needed, got {largest}.")
    return sum(threshold <= largest for threshold in THRESHOLDS)
