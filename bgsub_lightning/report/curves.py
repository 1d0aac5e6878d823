"""F-measure against threshold, and precision against recall."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.metrics import THRESHOLDS, Averaging, Scores, average_precision, best_of
from bgsub_lightning.report.datasets import dataset_title
from bgsub_lightning.report.thresholds import overall_curve, precision_and_recall, thresholds_up_to

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FORMATS = (".png", ".pdf", ".svg")
_LABEL: dict[Averaging, str] = {
    "video": "CDnet's averaging",
    "pooled": "counts pooled by category",
    "frames": "all frames' counts",
}
_DASHES = ("-", "--", "-.", ":")
_INSIDE = 6  # runs, of which a legend fits inside
_CHOSEN = "chosen on the test frames: no measure of generalisation"


def curves_picture(
    path: Path, results: Sequence[TestResult], averaging: Averaging = "video", largest: float = 1.0
) -> None:
    """Draw the overall F-measure of tests against the threshold, with the best of each marked.

    Args:
        path: The file, .png, .pdf or .svg; its folder is made.
        results: What tests found, on the same videos.
        averaging: How a category's figures come about.
        largest: The largest threshold that is shown.

    Raises:
        UserError: If the file's ending or the threshold is another, or a result has no counts at thresholds.
    """
    _require_format("--curve", path)
    curves = [_f_measures(overall_curve(result, averaging, largest)) for result in results]
    figure, axes = _empty((6.4, 4.4))
    for i, (result, curve) in enumerate(zip(results, curves, strict=True)):
        best = curve.index(max(curve))
        (line,) = axes.plot(THRESHOLDS[: len(curve)], curve, _DASHES[i // 10 % len(_DASHES)], label=result.name)
        axes.plot(THRESHOLDS[best], curve[best], "o", color=line.get_color(), markersize=5)
    axes.set(
        xlabel="threshold",
        ylabel=f"F-measure, {results[0].extent.name} ({_LABEL[averaging]})",
        xlim=(0, THRESHOLDS[len(curves[0]) - 1]),
        ylim=(0, 1),
    )
    _finish(path, figure, axes, results)


def curves_table(results: Sequence[TestResult], averaging: Averaging = "video", largest: float = 1.0) -> Table:
    """Lay out the best overall F-measure of each test, and its threshold.

    Args:
        results: What tests found, on the same videos.
        averaging: How a category's figures come about.
        largest: The largest threshold that is looked at.

    Raises:
        UserError: If the threshold is no such, or a result has no counts at thresholds.
    """
    shown = _table(
        results,
        f"Best threshold, {_CHOSEN}",
        ("run", "system"),
        ("threshold", "best F-measure", "F-measure as tested"),
    )
    for result in results:
        curve = _f_measures(overall_curve(result, averaging, largest))
        best = curve.index(max(curve))
        own = result.scores(averaging).overall["f_measure"]
        shown.add_row(result.name, result.system, f"{THRESHOLDS[best]:.2f}", f"{curve[best]:.4f}", f"{own:.4f}")
    return shown


def precision_recall_picture(
    path: Path, results: Sequence[TestResult], averaging: Averaging = "video", largest: float = 1.0
) -> None:
    """Draw the overall precision of tests against their recall, one point for each threshold.

    A dot marks the threshold of the test, a star that of the best F-measure; grey lines join points of one F-measure.
    A system that says only yes or no has a dot and no curve.

    Args:
        path: The file, .png, .pdf or .svg; its folder is made.
        results: What tests found, on the same videos.
        averaging: How a category's figures come about.
        largest: The largest threshold that a best one is looked for up to.

    Raises:
        UserError: If the file's ending or the threshold is another, or a result has no counts at thresholds.
    """
    _require_format("--precision_recall", path)
    count = thresholds_up_to(largest)
    curves = [overall_curve(result, averaging) for result in results]
    figure, axes = _empty((6.4 if len(results) <= _INSIDE else 9.6, 5.6))  # the legend is beside
    for f_measure in (0.2, 0.4, 0.6, 0.8):
        least = f_measure / (2 - f_measure)  # where the other is 1
        recalls = [least ** (1 - i / 100) for i in range(101)]
        precisions = [f_measure * recall / (2 * recall - f_measure) for recall in recalls]
        axes.plot(recalls, precisions, color="0.85", linewidth=0.8, zorder=1)
        axes.annotate(f"F {f_measure}", (1, least), (2, 0), textcoords="offset points", color="0.6", size=7)
    for i, (result, curve) in enumerate(zip(results, curves, strict=True)):
        area, own, colour = _area(curve), result.scores(averaging, skip_silent=True).overall, f"C{i % 10}"
        if area is not None:
            precision, recall = precision_and_recall(curve)
            axes.plot(
                [0.0, *reversed(recall)],  # towards lower thresholds
                [precision[-1], *reversed(precision)],
                color=colour,
                linestyle=_DASHES[i // 10 % len(_DASHES)],
                drawstyle="steps-pre",  # what average precision is the area of
                label=f"{result.name} (AP {area:.3f})",
            )
            _mark(axes, "*", colour, curve[best_of(curve[:count])].overall)
        _mark(axes, "o", colour, own, label=result.name if area is None else None)
    _mark(axes, "o", "0.4", label="as tested")
    _mark(axes, "*", "0.4", label="best F-measure")
    axes.set(
        xlabel=f"recall, {results[0].extent.name} ({_LABEL[averaging]})",
        ylabel=f"precision, {results[0].extent.name} ({_LABEL[averaging]})",
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
    )
    _finish(path, figure, axes, results)


def precision_recall_table(
    results: Sequence[TestResult], averaging: Averaging = "video", largest: float = 1.0
) -> Table:
    """Lay out average precision of each test, and its figures as tested and at the best F-measure.

    Average precision is the area under the curve of the overall figures; see
    :func:`bgsub_lightning.metrics.average_precision`.

    Args:
        results: What tests found, on the same videos.
        averaging: How a category's figures come about.
        largest: The largest threshold that a best one is looked for up to.

    Raises:
        UserError: If the threshold is no such, or a result has no counts at thresholds.
    """
    count = thresholds_up_to(largest)
    headings = ("Precision", "Recall", "F-measure", "AP")
    shown = _table(results, "Precision and recall", ("run", "threshold"), headings)
    for result in results:
        curve = overall_curve(result, averaging)
        area, best = _area(curve), best_of(curve[:count])
        own = "own" if result.threshold is None else f"{result.threshold:.2f}"
        tested = result.scores(averaging, skip_silent=True)
        rows = [(result.name, own, tested, "–" if area is None else f"{area:.4f}")]
        if area is not None:
            rows.append(("", f"{THRESHOLDS[best]:.2f}, best *", curve[best], ""))
        for name, threshold, scores, last in rows:
            found = [scores.overall.get(key) for key in ("precision", "recall", "f_measure")]
            shown.add_row(name, threshold, *("–" if each is None else f"{each:.4f}" for each in found), last)
    notes = [
        results[0].extent.caption,
        f"* {_CHOSEN}.",
        f"AP: area under the steps of {len(THRESHOLDS)} thresholds ({_LABEL[averaging]}).",
        "–: no AP of a system that says only yes or no, which is one point; no precision where nothing was called "
        "foreground. Such videos are left out of the mean.",
    ]
    shown.caption = "\n".join(filter(None, notes))
    return shown


def _mark(
    axes: Axes, marker: str, colour: str, at: Mapping[str, float] | None = None, label: str | None = None
) -> None:
    """Draw a marker at a recall and a precision, if there is one, or for the legend alone."""
    has_place = at is not None and "precision" in at
    axes.plot(
        [at["recall"]] if at and has_place else [],
        [at["precision"]] if at and has_place else [],
        marker,
        color=colour,
        markersize={"o": 6, "*": 11}[marker],
        markeredgecolor="white",
        zorder=3,
        clip_on=False,
        label=label,
    )


def _area(curve: Sequence[Scores]) -> float | None:
    """Average precision; ``None`` where all thresholds but the last, above which nothing lies, are as one."""
    if all(each.videos == curve[0].videos for each in curve[:-1]):
        return None
    return average_precision(*precision_and_recall(curve))


def _f_measures(curve: Sequence[Scores]) -> list[float]:
    return [scores.overall["f_measure"] for scores in curve]


def _table(results: Sequence[TestResult], title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    extent = results[0].extent
    shown = Table(
        title=f"{title}, {extent.name}",
        title_justify="left",
        title_style="bold",
        caption=extent.caption or None,
        caption_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
    )
    for heading in left:
        shown.add_column(heading)
    for heading in right:
        shown.add_column(heading, justify="right")
    return shown


def _require_format(option: str, path: Path) -> None:
    if path.suffix.lower() not in _FORMATS:
        raise UserError(f"{option}: {path}: a picture ends in {', '.join(_FORMATS)}.")


def _empty(size: tuple[float, float]) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # here, because it takes half a second

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def _finish(path: Path, figure: Figure, axes: Axes, results: Sequence[TestResult]) -> None:
    """Name what was tested, and write the file."""
    axes.set_title(textwrap.fill(f"{dataset_title(results)}, {results[0].protocol}", 64), fontsize="small")
    axes.grid(alpha=0.3)
    if len(results) <= _INSIDE:
        axes.legend()
    else:
        figure.legend(loc="outside right upper", fontsize="small")
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=150)
