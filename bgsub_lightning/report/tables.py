"""Tables in the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from rich.console import Group, RenderableType
from rich.text import Text

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.metrics import Averaging
from bgsub_lightning.report.datasets import dataset_remarks, dataset_title
from bgsub_lightning.report.writers import fitting, grids

_AVERAGING: dict[Averaging, str] = {
    "video": "Figures by video, averaged by category, then over the categories (CDnet's averaging).",
    "pooled": "Counts of all frames of a category together, then averaged over the categories (pooled).",
    "frames": "Counts of all frames together, of a category and overall.",
}
_DICE: dict[Averaging, str] = {
    "video": "mean over a video's frames with foreground",
    "pooled": "mean over all of a category's frames with foreground",
    "frames": "mean over all frames with foreground",
}
_SHOWN = (("recall", "Recall", 4), ("precision", "Precision", 4), ("f_measure", "F-measure", 4), ("pwc", "PWC", 3))
Beside = Literal["f_measure", "mean_dice", "recall", "precision", "pwc"]
"""The metric of other results that is shown beside the first."""


def table(
    results: Sequence[TestResult],
    by_video: bool = False,
    averaging: Averaging = "video",
    include_empty: bool = False,
    beside: Beside = "f_measure",
) -> RenderableType:
    """Lay out the first result by category (or by video), with one metric of the others beside it.

    Columns that find no room in the terminal come below, in further tables, with numbers for long names of runs. Mean
    Dice is left out where the test was made by a version that did not count it.

    Args:
        results: What tests found, on the same videos.
        by_video: A row for each video as well.
        averaging: How a category's metrics come about. Pooled counts have a row for all frames besides.
        include_empty: Count false alarms on frames without foreground as 0 in Mean Dice.
        beside: The metric of the others.

    Raises:
        UserError: If Mean Dice is asked for, and a result has none.
    """
    first, *others = results
    scores = first.scores(averaging, skip_silent=True)
    other_scores = [result.scores(averaging, skip_silent=True) for result in others]
    dice = "mean_dice_include_empty" if include_empty else "mean_dice"
    has_dice = dice in scores.overall
    for result, each in zip(results, [scores, *other_scores], strict=True):
        if (include_empty or beside == "mean_dice") and each.overall and dice not in each.overall:
            raise UserError(
                f"{result.name}: its scores.json has no Mean Dice, because an earlier version of bgsub_lightning wrote "
                f"it. Run the test again."
            )
    columns = [*_SHOWN, (dice, "Dice", 4)] if has_dice else list(_SHOWN)
    key_beside = dice if beside == "mean_dice" else beside
    headings = {key: (heading, digits) for key, heading, digits in (*columns, ("f_measure", "F", 4))}
    beside_names = [f"{headings[key_beside][0]} of {other.name}{_marks(other)}" for other in others]
    own = ["category", "videos", *(heading for _, heading, _ in columns)]
    lines: list[list[str]] = []
    ends: list[int] = []  # rows before which a rule goes

    def row(name: str, videos: str, metrics: dict[str, float], rest: Sequence[dict[str, float]]) -> None:
        cells = [f"{metrics[key]:.{digits}f}" if key in metrics else "–" for key, _, digits in columns]
        digits = headings[key_beside][1]
        beside_cells = [f"{other[key_beside]:.{digits}f}" if key_beside in other else "–" for other in rest]
        lines.append([name, videos, *cells, *beside_cells])

    def footnotes(keys: Sequence[str]) -> str:
        undefined = any({*scores.undefined.get(key, ())} - {"precision"} for key in keys)
        return (" *" if undefined else "") + (" †" if any(first.videos[key].binary_truth for key in keys) else "")

    for category, metrics in scores.categories.items():
        members = [key for key in scores.videos if key.split("/")[0] == category]
        mark = footnotes(members)
        of_others = [other.categories.get(category, {}) for other in other_scores]
        row(category + mark, str(len(members)), metrics, of_others)
        if by_video:
            for key in members:
                of_others = [other.videos.get(key, {}) for other in other_scores]
                row(f"  {key.split('/')[1]}{footnotes([key])}", "", scores.videos[key], of_others)
    ends.append(len(lines))
    row(
        f"{first.extent.name}, partial" if first.partial else first.extent.name,
        str(len(scores.videos)),
        scores.overall,
        [other.overall for other in other_scores],
    )
    if averaging == "pooled" and len(scores.categories) > 1:
        row("all frames", "", scores.all_frames, [other.all_frames for other in other_scores])
    notes = [_AVERAGING[averaging]]
    if has_dice:
        alarms = ", false alarms on the others as 0" if include_empty else ""
        notes.append(f"Dice: Mean Dice by frame, {_DICE[averaging]}{alarms}.")
    if scores.silent:
        official = first.scores(averaging).overall["precision"]
        notes.append(
            f"Nothing was called foreground in {len(scores.silent)} of {len(scores.videos)} videos, which have no "
            f"precision and are left out of its mean; counted as 1, it would be {official:.4f}."
        )
    if any({*names} - {"precision"} for names in scores.undefined.values()):
        notes.append(
            "* a metric is 0/0 in a video: there is nothing that it could count, and it is taken to be without error."
        )
    if any(video.binary_truth for video in first.videos.values()):
        notes.append(
            "† some masks have no unknown band at the boundaries of moving objects: metrics of lower fidelity."
        )
    if first.partial:
        scored = sum(video.frames for video in first.videos.values())
        lacking = sorted(first.missing)
        names = f"{', '.join(lacking[:5])}{' and others' if len(lacking) > 5 else ''}"
        rest = f"the metrics are of the other {scored}" if scored else "there are no metrics"
        notes.append(f"Partial: {sum(first.missing.values())} frames of {names} were not scored; {rest}.")
    if not first.extent.is_whole:
        notes.append(first.extent.caption)
    notes += dataset_remarks(results)
    if first.remark:
        notes.append(first.remark)
    if first.threshold_from:
        which = "Thresholds" if first.threshold is None else f"Threshold {first.threshold:.2f},"
        notes.append(f"{which} chosen by {first.threshold_from}.")
    if first.training_frames:
        overall = first.scores_with_training(averaging).overall
        both = f"F {overall['f_measure']:.4f}, PWC {overall['pwc']:.3f}"
        notes.append(f"With the {first.training_frames} training frames, as the papers score: {both}.")
    draws = [draw.overall["f_measure"] for draw in first.scores_of_draws()]
    if len(draws) > 1:
        spread = statistics.stdev(draws)
        single = f"single draws: F {min(draws):.4f} to {max(draws):.4f}, standard deviation {spread:.4f}"
        notes.append(f"{len(draws)} draws of references averaged; {single}.")
    title = f"{first.name} on {dataset_title(results)}, {first.protocol}: {_leakage(first)}"
    return _laid_out(title, own, beside_names, headings[key_beside][0], lines, ends, notes)


def _laid_out(
    title: str,
    own: Sequence[str],
    others: Sequence[str],
    metric: str,
    lines: Sequence[Sequence[str]],
    ends: Sequence[int],
    notes: Sequence[str],
) -> RenderableType:
    """Lay out columns; where the others' names do not fit, numbers stand for them, and go on in further tables."""
    headings = [*own, *others]
    legend: list[str] = []
    if len(fitting(headings, lines, console.width - 2)) > 1:
        headings = [*own, *(f"{metric} [{i}]" for i in range(1, len(others) + 1))]
        legend = [f"[{i}] {name}." for i, name in enumerate(others, 1)]
    told = Text("\n".join([*legend, *notes]), style="italic dim")
    return Group(*grids(title, headings, lines, [0], ends, console.width), told)


def _marks(other: TestResult) -> str:
    footnotes = [] if other.leakage == "unseen scenes" else [_leakage(other)]
    footnotes += ["partial"] if other.partial else []
    return f" ({', '.join(footnotes)})" if footnotes else ""


def _leakage(result: TestResult) -> str:
    return "unknown what was trained on" if result.leakage == "unknown" else result.leakage
