"""A test seen at another threshold than its own, from the counts that it stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.metrics import THRESHOLDS, Averaging, average_precision
from bgsub_lightning.report.footnotes import AVERAGING_TEXT


def at_threshold(
    result: TestResult, threshold: float | Literal["best"], averaging: Averaging = "video", largest: float = 1.0
) -> TestResult:
    """Return what the test would have found at another threshold; its name and its remark name it.

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
    curve = ThresholdCurve.of(result, averaging)
    best = curve.best(largest)
    if threshold == "best":
        nearest = best
        note = "chosen on the test frames: optimistic, no measure of generalisation"
    else:
        if not 0 <= threshold < 1:
            raise UserError(f"--threshold: must be 'best' or a probability in [0, 1); got {threshold}.")
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


@dataclass(frozen=True)
class ThresholdCurve:
    """The overall metrics of a test at each threshold.

    Attributes:
        name: What figures and tables call it.
        result: The test.
        own: Its overall metrics as tested; no precision where nothing was called foreground, as at the thresholds.
        at: Its overall metrics at each of :data:`bgsub_lightning.metrics.THRESHOLDS`.
        averaging: How these come about.
        place: Of the system among those that are shown, by which it is coloured.
    """

    name: str
    result: TestResult
    own: Mapping[str, float]
    at: Sequence[Mapping[str, float]]
    averaging: Averaging = "video"
    place: int = 0

    @classmethod
    def of(
        cls, result: TestResult, averaging: Averaging = "video", place: int = 0, name: str | None = None
    ) -> ThresholdCurve:
        """Compute the curve of a test.

        Raises:
            UserError: If no frame was scored, or the test has no counts at thresholds.
        """
        if not result.videos:
            raise UserError(f"{result.name}: no frame was scored, so there is no curve. Run the test to its end.")
        at = [scores.overall for scores in result.scores_at_thresholds(averaging, skip_silent=True)]
        own = result.scores(averaging, skip_silent=True).overall
        return cls(result.name if name is None else name, result, own, at, averaging, place)

    @property
    def label(self) -> str:
        """The extent of the metrics."""
        return f"{self.result.extent.name}, {AVERAGING_TEXT[self.averaging]}"

    @property
    def f_measure(self) -> list[float]:
        """The F-measure at each threshold."""
        return [each["f_measure"] for each in self.at]

    @property
    def precision(self) -> list[float]:
        """The precision at each threshold at which something is called foreground."""
        return [each["precision"] for each in self.at if "precision" in each]

    @property
    def recall(self) -> list[float]:
        """The recall at these thresholds."""
        return [each["recall"] for each in self.at if "precision" in each]

    @property
    def area(self) -> float | None:
        """Average precision; ``None`` of a system that says only yes or no: all thresholds but the last are as one."""
        if all(each == self.at[0] for each in self.at[:-1]):
            return None
        return average_precision(self.precision, self.recall)

    def best(self, largest: float = 1.0) -> int:
        """Return the position of the largest F-measure, the first of several, up to the largest threshold."""
        values = self.f_measure[: thresholds_up_to(largest)]
        return values.index(max(values))


def thresholds_up_to(largest: float) -> int:
    """Return how many of the stored thresholds are no larger.

    Raises:
        UserError: If it is none from 0.01 to 1.
    """
    if not THRESHOLDS[1] <= largest <= 1:
        raise UserError(f"--curve_to: must be a threshold from {THRESHOLDS[1]} to 1; got {largest}.")
    return sum(threshold <= largest for threshold in THRESHOLDS)
