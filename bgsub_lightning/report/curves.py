"""F-measure against threshold, and precision against recall: figures and tables."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bgsub_lightning.metrics import THRESHOLDS
from bgsub_lightning.report.datasets import dataset_title
from bgsub_lightning.report.figures import DASHES, colour, figure, iso_f_measure, legend, plain
from bgsub_lightning.report.resulttable import METRIC_COLUMNS, Cell, Column, ResultTable, TableRow
from bgsub_lightning.report.thresholds import ThresholdCurve, thresholds_up_to

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CHOSEN = "chosen on the test frames: no measure of generalisation"


def threshold_figure(
    path: Path,
    curves: Sequence[ThresholdCurve],
    largest: float = 1.0,
    within: Path | None = None,
) -> None:
    """Draw F-measure against threshold. A dot is the test's threshold, a star that of the best F-measure.

    Args:
        path: The file, .png, .pdf or .svg; its folder is made.
        curves: One for each test.
        largest: The largest threshold that is shown.
        within: The folder of a page, which the file must not leave by a link; ``None``: a picture by itself, with a
            title.

    Raises:
        UserError: If the file ends otherwise, or the threshold is none from 0.01 to 1.
    """
    shown = THRESHOLDS[: thresholds_up_to(largest)]
    with figure(path, within, _ALONE if within is None else _ON_PAGE) as axes:
        for each in curves:
            axes.plot(shown, each.f_measure[: len(shown)], label=plain(each.name), **_line(each))
            best = each.best(largest)
            _mark(axes, "*", each, THRESHOLDS[best], each.f_measure[best])
            if each.result.threshold is not None and each.result.threshold <= shown[-1]:
                _mark(axes, "o", each, each.result.threshold, each.own["f_measure"])
        axes.set(xlabel="threshold", ylabel=f"F-measure, {_label(curves)}", xlim=(0, shown[-1]), ylim=(0, 1))
        _finish(axes, curves, within)


def precision_recall_figure(
    path: Path,
    curves: Sequence[ThresholdCurve],
    largest: float = 1.0,
    within: Path | None = None,
) -> None:
    """Draw precision against recall, one point for each threshold; grey lines join points of one F-measure.

    A dot is the test's threshold, a star that of the best F-measure. A system that says only yes or no has a dot and no
    curve.

    Args:
        path: The file, .png, .pdf or .svg; its folder is made.
        curves: One for each test.
        largest: The largest threshold that a best one is looked for up to.
        within: The folder of a page, which the file must not leave by a link; ``None``: a picture by itself, with a
            title.

    Raises:
        UserError: If the file ends otherwise, or the threshold is none from 0.01 to 1.
    """
    thresholds_up_to(largest)
    with figure(path, within, _ALONE if within is None else _ON_PAGE) as axes:
        iso_f_measure(axes)
        for each in curves:
            if (area := each.area) is not None:
                axes.plot(
                    [0.0, *reversed(each.recall)],  # towards lower thresholds
                    [each.precision[-1], *reversed(each.precision)],
                    drawstyle="steps-pre",  # what average precision is the area of
                    label=plain(f"{each.name} (AP {area:.3f})"),
                    **_line(each),
                )
                best = each.at[each.best(largest)]
                if "precision" in best:
                    _mark(axes, "*", each, best["recall"], best["precision"])
            if "precision" in each.own:
                name = each.name if area is None else None
                _mark(axes, "o", each, each.own["recall"], each.own["precision"], name)
        label = _label(curves)
        axes.set(xlabel=f"recall, {label}", ylabel=f"precision, {label}", xlim=(0, 1), ylim=(0, 1))
        _finish(axes, curves, within, "lower left")


def best_thresholds(curves: Sequence[ThresholdCurve], largest: float = 1.0) -> ResultTable:
    """Lay out the best overall F-measure of each test on the same videos, and its threshold.

    Args:
        curves: One for each test.
        largest: The largest threshold that is looked at.

    Raises:
        UserError: If the threshold is none from 0.01 to 1.
    """
    f_measure = METRIC_COLUMNS["f_measure"]
    rows = []
    for each in curves:
        best = each.best(largest)
        numbers = (THRESHOLDS[best], each.f_measure[best], each.own["f_measure"])
        names = (Cell(text=each.name), Cell(text=each.result.system))
        rows.append(TableRow((*names, *(Cell(number) for number in numbers)), "overall"))
    return ResultTable(
        key="best_thresholds",
        title=f"Best threshold, {_CHOSEN}, {curves[0].result.extent.name}",
        columns=(
            Column("run", "run", None),
            Column("system", "system", None),
            Column("threshold", "threshold", 2),
            Column("best", f"best {f_measure.heading}", f_measure.digits, f_measure.better),
            Column("as_tested", f"{f_measure.heading} as tested", f_measure.digits, f_measure.better),
        ),
        rows=tuple(rows),
        remarks=tuple(filter(None, [curves[0].result.extent.caption])),
    )


def precision_recall_table(curves: Sequence[ThresholdCurve], largest: float = 1.0) -> ResultTable:
    """Lay out average precision of each test on the same videos, and its metrics as tested and at the best F-measure.

    Average precision is the area under the curve of the overall metrics; see
    :func:`bgsub_lightning.metrics.average_precision`.

    Args:
        curves: One for each test.
        largest: The largest threshold that a best one is looked for up to.

    Raises:
        UserError: If the threshold is none from 0.01 to 1.
    """
    metrics = ("precision", "recall", "f_measure")
    rows = []
    for each in curves:
        area, best = each.area, each.best(largest)
        own = "own" if each.result.threshold is None else f"{each.result.threshold:.2f}"
        lines = [(each.name, own, each.own, "–" if area is None else f"{area:.4f}")]
        if area is not None:
            lines.append(("", f"{THRESHOLDS[best]:.2f}, best *", each.at[best], ""))
        for name, threshold, found, last in lines:
            cells = [Cell(found.get(metric)) for metric in metrics]
            rows.append(TableRow((Cell(text=name), Cell(text=threshold), *cells, Cell(text=last)), "overall"))
    return ResultTable(
        key="precision_recall",
        title=f"Precision and recall, {curves[0].result.extent.name}",
        columns=(
            Column("run", "run", None),
            Column("threshold", "threshold", None),
            *(METRIC_COLUMNS[metric] for metric in metrics),
            Column("ap", "AP", None),
        ),
        rows=tuple(rows),
        remarks=(
            *filter(None, [curves[0].result.extent.caption]),
            f"* {_CHOSEN}.",
            f"AP: area under the steps of {len(THRESHOLDS)} thresholds ({curves[0].label}).",
            "–: no AP of a system that says only yes or no, which is one point; no precision where nothing was called "
            "foreground. These videos are left out of the mean.",
        ),
    )


_ON_PAGE = (5.4, 3.9)  # inches
_ALONE = (6.4, 4.4)


def _label(curves: Sequence[ThresholdCurve]) -> str:
    return " or ".join(dict.fromkeys(each.label for each in curves))


def _line(curve: ThresholdCurve) -> dict[str, Any]:
    return {"color": colour(curve.place), "linestyle": DASHES[curve.place // 10 % len(DASHES)]}


def _mark(
    axes: Axes, marker: Literal["o", "*"], curve: ThresholdCurve | None, x: float, y: float, label: str | None = None
) -> None:
    axes.plot(
        [x],
        [y],
        marker,
        color="0.4" if curve is None else colour(curve.place),
        markersize={"o": 6, "*": 11}[marker],
        markeredgecolor="white",
        zorder=3,
        clip_on=False,
        label=None if label is None else plain(label),
    )


def _finish(
    axes: Axes,
    curves: Sequence[ThresholdCurve],
    within: Path | None,
    place: Literal["best", "lower left"] = "best",
) -> None:
    """Say what the marks are, and what was tested."""
    nowhere = float("nan")
    _mark(axes, "o", None, nowhere, nowhere, "as tested")
    _mark(axes, "*", None, nowhere, nowhere, "best F-measure")
    if within is None:
        title = f"{dataset_title([each.result for each in curves])}, {curves[0].result.protocol}"
        axes.set_title(textwrap.fill(title, 64), fontsize="small")
    legend(axes, place)
