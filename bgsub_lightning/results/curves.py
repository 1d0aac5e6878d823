"""F-measure against threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from bgsub_lightning.errors import UserError
from bgsub_lightning.files import whole_file
from bgsub_lightning.metrics import THRESHOLDS
from bgsub_lightning.metrics.scenes import Averaging
from bgsub_lightning.results.testresult import TestResult

_FORMATS = (".png", ".pdf", ".svg")
_LABEL: dict[Averaging, str] = {"video": "CDnet's averaging", "pooled": "counts pooled by category"}
_DASHES = ("-", "--", "-.", ":")


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
    if path.suffix.lower() not in _FORMATS:
        raise UserError(f"--curve: {path}: a picture ends in {', '.join(_FORMATS)}.")
    curves = [_curve(result, averaging, largest) for result in results]

    from matplotlib.figure import Figure  # here, because it takes half a second

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for i, (result, curve) in enumerate(zip(results, curves, strict=True)):
        best = _best(curve)
        (line,) = axes.plot(THRESHOLDS[: len(curve)], curve, _DASHES[i // 10 % len(_DASHES)], label=result.name)
        axes.plot(THRESHOLDS[best], curve[best], "o", color=line.get_color(), markersize=5)
    axes.set(
        xlabel="threshold",
        ylabel=f"F-measure, overall ({_LABEL[averaging]})",
        xlim=(0, THRESHOLDS[len(curves[0]) - 1]),
        ylim=(0, 1),
        title=f"{results[0].dataset}, {results[0].protocol}",
    )
    axes.title.set(fontsize="small", wrap=True)
    axes.grid(alpha=0.3)
    if len(results) <= 6:
        axes.legend()
    else:
        figure.legend(loc="outside right upper", fontsize="small")
    with whole_file(path) as partial:
        figure.savefig(partial, format=path.suffix[1:].lower(), dpi=150)


def curves_table(results: Sequence[TestResult], averaging: Averaging = "video", largest: float = 1.0) -> Table:
    """Lay out the best overall F-measure of each test, and its threshold.

    Args:
        results: What tests found, on the same videos.
        averaging: How a category's figures come about.
        largest: The largest threshold that is looked at.

    Raises:
        UserError: If the threshold is no such, or a result has no counts at thresholds.
    """
    shown = Table(
        title="Best threshold, chosen on the test frames: no measure of generalisation",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE,
        pad_edge=False,
    )
    for heading in ("run", "system"):
        shown.add_column(heading)
    for heading in ("threshold", "best F-measure", "F-measure as tested"):
        shown.add_column(heading, justify="right")
    for result in results:
        curve = _curve(result, averaging, largest)
        best = _best(curve)
        own = result.scores(averaging).overall["f_measure"]
        shown.add_row(result.name, result.system, f"{THRESHOLDS[best]:.2f}", f"{curve[best]:.4f}", f"{own:.4f}")
    return shown


def _curve(result: TestResult, averaging: Averaging, largest: float) -> list[float]:
    """The overall F-measure at each threshold up to the largest."""
    if not THRESHOLDS[1] <= largest <= 1:
        raise UserError(f"--curve_to: a threshold from {THRESHOLDS[1]} to 1 is needed, got {largest}.")
    if not result.videos:
        raise UserError(f"{result.name}: no frame was scored, so there is no curve. Run the test to its end.")
    of_thresholds = zip(THRESHOLDS, result.scores_at_thresholds(averaging), strict=True)
    return [scores.overall["f_measure"] for threshold, scores in of_thresholds if threshold <= largest]


def _best(curve: Sequence[float]) -> int:
    return max(range(len(curve)), key=curve.__getitem__)  # the first of several
