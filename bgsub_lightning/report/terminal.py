"""Results in the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rich.console import Group, RenderableType
from rich.text import Text

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.text import join_some
from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.metrics import Averaging
from bgsub_lightning.report.datasets import dataset_remarks, dataset_title
from bgsub_lightning.report.footnotes import leakage_text
from bgsub_lightning.report.paper_tables import of_system
from bgsub_lightning.report.published import published
from bgsub_lightning.report.published_tables import of_published
from bgsub_lightning.report.results import load_results
from bgsub_lightning.report.resulttable import METRIC_COLUMNS, Cell, ResultTable, TableRow
from bgsub_lightning.report.series import Series
from bgsub_lightning.report.statistics import compare, comparison_table, comparisons_table
from bgsub_lightning.report.writers import as_rich, fits

_AVERAGING: dict[Averaging, str] = {
    "video": "Metrics by video, averaged by category, then over the categories (CDnet's averaging).",
    "pooled": "Counts of all frames of a category together, then averaged over the categories (pooled).",
    "frames": "Counts of all frames together, of a category and overall.",
}
_DICE: dict[Averaging, str] = {
    "video": "mean over a video's frames with foreground",
    "pooled": "mean over all of a category's frames with foreground",
    "frames": "mean over all frames with foreground",
}
Beside = Literal["f_measure", "mean_dice", "recall", "precision", "pwc"]
"""The metric of other results that is shown next to the first."""


def table(
    results: Sequence[TestResult],
    by_video: bool = False,
    averaging: Averaging = "video",
    include_empty: bool = False,
    beside: Beside = "f_measure",
) -> RenderableType:
    """Lay out the first result by category (or by video), with one metric of the others next to it.

    Columns that find no room in the terminal come below, in further tables, with numbers for long names of runs. Mean
    Dice is left out where the test was made by a version that did not count it.

    Args:
        results: What tests found, on the same videos.
        by_video: A row for each video as well.
        averaging: How a category's metrics come about. Pooled counts also have a row for all frames.
        include_empty: Count false alarms on frames without foreground as 0 in Mean Dice.
        beside: The metric of the others.

    Raises:
        UserError: If Mean Dice is asked for, and a result has none.
    """
    dice = "mean_dice_include_empty" if include_empty else "mean_dice"
    without = [each for each in results if not all(video.dice for video in each.videos.values())]
    if without and (include_empty or beside == "mean_dice"):
        raise UserError(
            f"{without[0].name}: its scores.json has no Mean Dice, because an earlier version of bgsub_lightning wrote "
            f"it. Run the test again."
        )
    first, *others = results
    metrics = ("recall", "precision", "f_measure", "pwc", *(() if first in without else (dice,)))
    own = _of_result(first, averaging, by_video, metrics)
    columns, notes, names = list(own.columns), dict(own.notes), []
    cells = {_key(row): list(row.cells) for row in own.rows}
    for other in others:
        theirs = _of_result(other, averaging, by_video, [dice if beside == "mean_dice" else beside])
        column = theirs.columns[-1]
        short = {"F-measure": "F", "Mean Dice": "Dice", "PWC (%)": "PWC"}.get(column.heading, column.heading)
        names.append(f"{short} of {other.name}{_remark(other)}")
        columns.append(replace(column, key=other.name, heading=names[-1]))
        notes |= theirs.notes
        found = {_key(row): row.cells[-1] for row in theirs.rows}
        for key, row in cells.items():
            row.append(found.get(key, Cell()))
    shown = replace(
        own,
        title=f"{first.name} on {dataset_title(results)}, {first.protocol}: {leakage_text(first.leakage)}",
        columns=tuple(columns),
        rows=tuple(replace(row, cells=tuple(cells[_key(row)])) for row in own.rows),
        notes=notes,
        remarks=_remarks(results, averaging, dice if dice in metrics else ""),
    )
    if others and not fits(shown):  # numbers stand for the others' names
        for i, name in enumerate(names, 1):
            place = i - len(others) - 1
            columns[place] = replace(columns[place], heading=f"{name.split(' of ')[0]} [{i}]")
        legend = [f"[{i}] {name}." for i, name in enumerate(names, 1)]
        shown = replace(shown, columns=tuple(columns), remarks=(*legend, *shown.remarks))
    return as_rich(shown)


def spread(results: Sequence[TestResult], averaging: Averaging = "video") -> str:
    """Return the mean and the standard deviation over seeds, in a line; empty if the results are not of several seeds.

    Args:
        results: Tests on the same frames.
        averaging: How a category's metrics come about.
    """
    seeds = {result.seed for result in results}
    systems = {(result.system, result.protocol) for result in results}
    if len(results) < 2 or len(seeds) < len(results) or len(systems) > 1:
        return ""
    found = Series("", (), tuple(results)).over_tested(averaging)
    metrics = [
        f"{heading} {Cell(found[key].mean, found[key].sd).shown(digits)}"
        for key, heading, digits in (("f_measure", "F-measure", 4), ("pwc", "PWC", 3), ("mean_dice", "Mean Dice", 4))
        if key in found
    ]
    part = "" if results[0].extent.is_whole else f", {results[0].extent.name}"
    return f"{len(seeds)} seeds{part}: {', '.join(metrics)} (mean and standard deviation)"


def published_tables(dataset: str | None, method: str | None) -> RenderableType:
    """Lay out the numbers that papers have published, and say where.

    Raises:
        UserError: If there is no such dataset or method.
    """
    tables = published(dataset, method=method)
    citations = dict.fromkeys(f"{each.paper}: {each.citation}." for each in tables)
    laid_out = (part for each in tables for part in (as_rich(of_published(each)), Text()))
    return Group(*laid_out, *(Text(citation, style="dim") for citation in citations))


def comparison(paths: Sequence[Path], metric: str, by_category: bool) -> RenderableType:
    """Compare the first system of runs with each other one.

    Raises:
        UserError: If there is one system alone, or they cannot be compared.
    """
    first, *others = load_results(paths).series
    if not others:
        raise UserError(f"--compare needs two systems; all that is named is one, {first.name}.")
    found = [compare(first, other, metric, by_category) for other in others]
    return as_rich(comparison_table(*found) if len(found) == 1 else comparisons_table(found))


def _of_result(result: TestResult, averaging: Averaging, by_video: bool, metrics: Sequence[str]) -> ResultTable:
    found = of_system(Series.of(result), averaging, by_video, metrics=metrics, of_part=True)
    count = sum(not column.is_context for column in found.columns)
    rows = tuple(replace(row, cells=row.cells[:count]) for row in found.rows)
    return replace(found, columns=found.columns[:count], rows=rows)


def _key(row: TableRow) -> tuple[str, str]:
    return row.group, row.cells[0].text


def _remarks(results: Sequence[TestResult], averaging: Averaging, dice: str) -> tuple[str, ...]:
    """Notes that a reader needs on the first result, and on the dataset of all."""
    first = results[0]
    remarks = [_AVERAGING[averaging]]
    if dice:
        alarms = ", false alarms on the others as 0" if dice == "mean_dice_include_empty" else ""
        remarks.append(f"{METRIC_COLUMNS[dice].heading}: by frame, {_DICE[averaging]}{alarms}.")
    if first.scores().silent and "precision" in (overall := first.scores(averaging).overall):
        as_one = f"{overall['precision']:.4f}"
        remarks.append(f"The overall precision leaves videos without any out; counted as 1, it would be {as_one}.")
    if first.partial:
        scored = sum(first.frames.values())
        rest = f"the metrics are of the other {scored}" if scored else "there are no metrics"
        names = join_some(sorted(first.missing))
        remarks.append(f"Partial: {sum(first.missing.values())} frames of {names} were not scored; {rest}.")
    return (*remarks, *dataset_remarks(results), *_of_test(first, averaging), *_costs(results))


def _costs(results: Sequence[TestResult]) -> list[str]:
    """The cost of the systems, a line each; none where it is unknown."""
    if not any(each.parameters or each.flop_per_frame for each in results):
        return []
    costs = [
        f"{each.name}: {_shown(each.parameters, ',')} parameters, {_shown(each.gflop_per_frame, '.2f')} "
        f"{METRIC_COLUMNS['gflop_per_frame'].heading}"
        for each in results
    ]
    return [f"{'; '.join(costs)}."]


def _shown(value: float | None, digits: str) -> str:
    return "–" if value is None else f"{value:{digits}}"


def _of_test(result: TestResult, averaging: Averaging) -> list[str]:
    """Notes on how a result came about."""
    remarks = [result.extent.caption, result.remark]
    if result.threshold_from:
        which = "Thresholds" if result.threshold is None else f"Threshold {result.threshold:.2f},"
        remarks.append(f"{which} chosen by {result.threshold_from}.")
    if result.training_frames:
        overall = result.scores(averaging, with_training=True).overall
        both = f"F {overall['f_measure']:.4f}, PWC {overall['pwc']:.3f}"
        remarks.append(f"With the {result.training_frames} training frames, as the papers score: {both}.")
    draws = [draw.overall["f_measure"] for draw in result.scores_of_draws()]
    if len(draws) > 1:
        spread = f"F {min(draws):.4f} to {max(draws):.4f}, standard deviation {statistics.stdev(draws):.4f}"
        remarks.append(f"{len(draws)} draws of references averaged; single draws: {spread}.")
    return [remark for remark in remarks if remark]


def _remark(other: TestResult) -> str:
    remarks = [] if other.leakage == "unseen scenes" else [leakage_text(other.leakage)]
    remarks += ["partial"] if other.partial else []
    return f" ({', '.join(remarks)})" if remarks else ""
