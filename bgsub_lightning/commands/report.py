"""Compare finished tests."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.metrics import Averaging
from bgsub_lightning.report.curves import (
    best_thresholds,
    precision_recall_figure,
    precision_recall_table,
    threshold_figure,
)
from bgsub_lightning.report.merge import tested
from bgsub_lightning.report.terminal import Beside, comparison, published_tables, spread, table
from bgsub_lightning.report.thresholds import ThresholdCurve, at_threshold
from bgsub_lightning.report.writers import as_rich

Compared = Literal["recall", "specificity", "fpr", "fnr", "pwc", "precision", "f_measure", "mean_dice"]
"""A metric that is to be compared."""


def report(
    runs: list[Path] | None = None,
    by_video: bool = False,
    averaging: Averaging = "video",
    include_empty: bool = False,
    beside: Beside = "f_measure",
    threshold: float | Literal["best"] | None = None,
    merge: bool = False,
    curve: Path | None = None,
    precision_recall: Path | None = None,
    curve_to: float = 1.0,
    compare: Compared | None = None,
    by_category: bool = False,
    published: bool = False,
    dataset: str | None = None,
    method: str | None = None,
    out: Path | None = None,
) -> None:
    """Compare the scores of finished tests in one table: the first by category, one metric of the others next to it.

    Args:
        runs: Run directories with a scores.json, or the files themselves: RUN [RUN ...].
        by_video: Show each video as well.
        averaging: How metrics come about. video: a category's is the mean over its videos, the overall the mean over
            the categories, which is CDnet's way; pooled: a category's is of the counts of all its frames together;
            frames: so is the overall.
        include_empty: Count false alarms on frames without foreground as 0 in Mean Dice, which is over the frames with
            foreground otherwise.
        beside: The metric of the other runs that the table shows.
        threshold: Show the table at this threshold (the nearest of 0, 0.01, …), from the counts that the tests stored;
            best: at the threshold of each run's largest F-measure, which is chosen on the test frames. Null: as tested.
        merge: The runs have tested parts of one dataset, such as the folds of a cross-validation: show them as one
            result.
        curve: File for a picture of F-measure against threshold: .png, .pdf or .svg.
        precision_recall: File for a picture of precision against recall: .png, .pdf or .svg.
        curve_to: The largest threshold that the curve shows, and that a best one is looked for up to.
        compare: Compare this metric of the first system and of each other one, video by video: mean difference with a
            bootstrap interval, Wilcoxon's test, and a one-line verdict. Folds, scenes and seeds of a system are
            put together, campaigns are read whole.
        by_category: With compare, take the mean over the categories' means, and draw categories before videos.
        published: List the numbers that papers have published, instead of runs.
        dataset: With published, those of this dataset alone.
        method: With published, those of this method alone, by any spelling that a paper has.
        out: Folder for pages that show everything about the runs, and need no network: index.html and one for each
            system, with the tables as CSV, Markdown and LaTeX and the figures as SVG next to them. Folds, scenes and
            seeds of a system are put together, campaigns are read whole. The other options are of the terminal's
            table, which is not shown then.

    Raises:
        UserError: If there is none, they were not tested on the same frames, they cannot be merged, they have not
            counted what is asked for, or a picture cannot be made.
    """
    if published:
        console.print(published_tables(dataset, method))
        return
    if not runs:
        raise UserError("Name at least one run directory, such as `report runs/bmn_bsn_small runs/mog2`.")
    if compare is not None:
        console.print(comparison(runs, compare, by_category))
    if out:
        from bgsub_lightning.report.page import report_page  # here, because Jinja and Pillow take their time

        console.print(f"{report_page(out, runs)} shows everything about the runs.", soft_wrap=True)
    if out or compare is not None:
        return
    results = shown = tested(runs, merge)
    if threshold is not None:
        shown = [at_threshold(result, threshold, averaging, curve_to) for result in results]
    console.print(table(shown, by_video, averaging, include_empty, beside))
    if line := spread(shown, averaging):
        console.print(line, soft_wrap=True)
    for path, draw, lay_out, what in (
        (curve, threshold_figure, best_thresholds, "F-measure against threshold"),
        (precision_recall, precision_recall_figure, precision_recall_table, "precision against recall"),
    ):
        if path:
            curves = [ThresholdCurve.of(result, averaging, place) for place, result in enumerate(results)]
            draw(path, curves, curve_to)
            console.print(as_rich(lay_out(curves, curve_to)))
            console.print(f"{path} shows {what}.", soft_wrap=True)
