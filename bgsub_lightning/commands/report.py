"""Compare finished tests."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bgsub_lightning.console import console
from bgsub_lightning.errors import UserError
from bgsub_lightning.results import (
    TestResult,
    at_threshold,
    curves_picture,
    curves_table,
    merged,
    precision_recall_picture,
    precision_recall_table,
    report_page,
    require_same_frames,
    spread,
    table,
)
from bgsub_lightning.results.tables import Beside


def report(
    runs: list[Path],
    by_video: bool = False,
    averaging: Literal["video", "pooled"] = "video",
    include_empty: bool = False,
    beside: Beside = "f_measure",
    threshold: float | Literal["best"] | None = None,
    merge: bool = False,
    curve: Path | None = None,
    precision_recall: Path | None = None,
    curve_to: float = 1.0,
    out: Path | None = None,
) -> None:
    """Compare the scores of finished tests in one table: the first by category, one figure of the others beside it.

    Args:
        runs: Run directories with a scores.json, or such files: RUN [RUN ...].
        by_video: Show each video as well.
        averaging: How a category's figures come about: as the mean over its videos, which is CDnet's way, or from the
            counts of all its frames together.
        include_empty: Count false alarms on frames without foreground as 0 in Mean Dice, which is over the frames with
            foreground otherwise.
        beside: The figure of the other runs that the table shows.
        threshold: Show the table at this threshold (the nearest of 0, 0.01, …), from the counts that the tests stored;
            best: at the threshold of each run's largest F-measure, which is chosen on the test frames. Null: as tested.
        merge: The runs have tested parts of one dataset, such as the folds of a cross-validation: show them as one
            result.
        curve: File for a picture of F-measure against threshold: .png, .pdf or .svg.
        precision_recall: File for a picture of precision against recall: .png, .pdf or .svg.
        curve_to: The largest threshold that the curve shows, and that a best one is looked for up to.
        out: Folder for a page that shows everything about the runs, and needs no network: index.html, with the tables
            as CSV, Markdown and LaTeX and the figures as SVG beside it. Folds, scenes and seeds of a system are put
            together, campaigns are read whole. The other options are of the terminal's table, which is not shown then.

    Raises:
        UserError: If there is none, they were not tested on the same frames, they cannot be merged, they have not
            counted what is asked for, or a picture cannot be made.
    """
    if not runs:
        raise UserError("Name at least one run directory, such as `report runs/bmn_bsn_small runs/mog2`.")
    if out:
        console.print(f"{report_page(out, runs)} shows everything about the runs.", soft_wrap=True)
        return
    results = [TestResult.load(run) for run in runs]
    if merge:
        results = [merged(results, _name_of_all(runs, results))]
    require_same_frames(results)
    shown = results
    if threshold is not None:
        shown = [at_threshold(result, threshold, averaging, curve_to) for result in results]
    console.print(table(shown, by_video, averaging, include_empty, beside))
    if line := spread(shown, averaging):
        console.print(line, soft_wrap=True)
    if curve:
        curves_picture(curve, results, averaging, curve_to)
        console.print(curves_table(results, averaging, curve_to))
        console.print(f"{curve} shows F-measure against threshold.", soft_wrap=True)
    if precision_recall:
        precision_recall_picture(precision_recall, results, averaging, curve_to)
        console.print(precision_recall_table(results, averaging, curve_to))
        console.print(f"{precision_recall} shows precision against recall.", soft_wrap=True)


def _name_of_all(runs: list[Path], results: list[TestResult]) -> str:
    """Return the name of the folder that holds all the runs, or their names if there is none."""
    parents = {(run if run.is_dir() else run.parent).resolve().parent for run in runs}
    return parents.pop().name if len(parents) == 1 else ", ".join(result.name for result in results)
