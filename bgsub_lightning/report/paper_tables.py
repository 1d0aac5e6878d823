"""The tables of papers, from our tests: by category or sequence, overall, by video, at thresholds, ablations, speed.

Ours stand next to what papers have published, each row with its protocol, its averaging and what training has seen;
where that differs from ours, it is marked. Ours are computed in each averaging that published rows have, so that like
stands next to like.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation.extent import OVERALL
from bgsub_lightning.metrics import METRICS, THRESHOLDS, Averaging
from bgsub_lightning.report.datasets import comparable
from bgsub_lightning.report.footnotes import (
    ARITHMETIC,
    AVERAGING_TEXT,
    SYSTEM,
    Footnotes,
    cell_of,
    leakage_text,
    printed_cell,
)
from bgsub_lightning.report.published import PublishedRow, PublishedTable, category_codes, published
from bgsub_lightning.report.results import Results
from bgsub_lightning.report.resulttable import COSTS, METRIC_COLUMNS, Cell, Column, Level, ResultTable, TableRow
from bgsub_lightning.report.series import MeanSd, Series, tests_of
from bgsub_lightning.report.side_by_side import averagings_of, like_beside_like, numbers_of, overall_of
from bgsub_lightning.report.thresholds import ThresholdCurve

SHOWN_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def by_part(
    series: Sequence[Series],
    metric: str = "f_measure",
    averagings: Sequence[Averaging] | None = None,
    against: Sequence[PublishedTable] = (),
) -> ResultTable:
    """One metric: a row for each system, a column for each category, or for each sequence where there is one category.

    Args:
        series: Systems on one dataset.
        metric: One of :data:`METRIC_COLUMNS`, but for the speed.
        averagings: How metrics come about; ``None``: CDnet's way, and that of each published row.
        against: Published tables; rows that have this metric of this dataset's parts follow ours of the same averaging.

    Raises:
        UserError: If the systems are of several datasets.
    """
    notes = Footnotes(series)
    tables = [table for table in _published(against, series) if metric in table.metrics and {*table.parts} - {OVERALL}]
    parts = _parts(series, tables)

    def ours(each: Series, averaging: Averaging, with_training: bool) -> list[Cell]:
        found = _by_part(each, averaging, with_training)
        footnotes = {part: notes.of_part(each, part, metric) for part in found}
        cells = [cell_of(found[part].get(metric), footnotes[part]) if part in found else Cell() for part in parts]
        return [*cells, notes.overall(each, averaging, with_training).get(metric, Cell())]

    theirs = [
        (table, row, [printed_cell(row.numbers.get((part, metric))) for part in (*parts, OVERALL)])
        for table in tables
        for row in table.rows
    ]
    theirs = [each for each in theirs if any(cell.value is not None for cell in each[2])]
    column = METRIC_COLUMNS[metric]
    codes = {part: names[0] for part, names in category_codes().items()} if series[0].dataset == "CDnet2014" else {}
    return notes.table(
        f"by_part_{metric}",
        f"{column.heading} on {notes.dataset}",
        (
            SYSTEM,
            *(replace(column, key=part, heading=codes.get(part, part)) for part in parts),
            replace(column, key=OVERALL, heading="overall"),
        ),
        like_beside_like(notes, averagings or averagings_of(theirs), ours, theirs, "other"),
        [", ".join(f"{codes[part]} {part}" for part in parts if part in codes) + "."] if codes else (),
        _notes_of(tables),
    )


def overall(series: Sequence[Series], against: Sequence[PublishedTable] = ()) -> ResultTable:
    """All metrics overall, and what a system costs: a row for each system and averaging; one where some are the same.

    Args:
        series: Systems on one dataset.
        against: Published tables; rows that have some of these metrics overall follow ours of the same averaging.

    Raises:
        UserError: If the systems are of several datasets.
    """
    notes = Footnotes(series)
    metrics = (*METRICS, "mean_dice", *COSTS)
    tables = [table for table in _published(against, series) if not _is_ablation(table)]
    theirs = [
        (table, row, [printed_cell(row.numbers.get((OVERALL, metric))) for metric in metrics])
        for table in tables
        for row in table.rows
        if any((OVERALL, metric) in row.numbers for metric in metrics if metric not in COSTS)
    ]
    used = {table.source for table, _, _ in theirs}
    return notes.table(
        "overall",
        f"Overall on {notes.dataset}",
        (SYSTEM, *(METRIC_COLUMNS[metric] for metric in metrics)),
        like_beside_like(notes, ("video", "pooled", "frames"), overall_of(notes, metrics), theirs, "overall"),
        after=[*_arithmetic(series), *_notes_of(table for table in tables if table.source in used)],
    )


def of_system(
    series: Series,
    averaging: Averaging = "video",
    by_video: bool = False,
    against: Sequence[PublishedTable] = (),
    metrics: Sequence[str] = (*METRICS, "mean_dice"),
    of_part: bool = False,
) -> ResultTable:
    """Metrics of one system: a row for each category (and each video), and overall.

    Args:
        series: The system.
        averaging: How a category's metrics come about.
        by_video: A row for each video as well.
        against: Published tables; the rows of the same system follow each category.
        metrics: Of :data:`METRIC_COLUMNS`.
        of_part: Where something is missing, show the metrics of the tested part in a row that is called so, not in a
            footnote at every category.
    """
    notes = Footnotes([series])
    own = [
        (table, row)
        for table in _published(against, [series])
        for row in table.rows
        if row.system == series.system and len(table.metrics) > 2 and set(table.parts) - {OVERALL}
    ]
    by_category, videos = series.by_category(averaging), series.by_video()
    rows: list[TableRow] = []

    def add(name: str, count: int, cells: Sequence[Cell], level: Level, group: str, how: Averaging = averaging) -> None:
        context = notes.context(series, AVERAGING_TEXT[how], with_training=False)
        rows.append(TableRow((Cell(text=name), Cell(float(count)), *cells, *context), level, group))

    def add_published(part: str, group: str, alike: Sequence[Averaging]) -> None:
        for table, row in own:
            cells = [printed_cell(row.numbers.get((part, metric))) for metric in metrics]
            if row.averaging in (None, *alike) and any(cell.value is not None for cell in cells):
                name = Cell(text=f"  {table.paper}, as printed")
                context = notes.context_of(table, row, alike)
                rows.append(TableRow((name, Cell(), *cells, *context), "other", group, published=True))

    for category, found in by_category.items():
        keys = [key for key in videos if key.split("/")[0] == category]
        footnotes = partial(notes.of_videos, series, keys) if of_part else partial(notes.of_part, series, category)
        cells = [cell_of(found.get(metric), footnotes(metric)) for metric in metrics]
        add(category, len(keys), cells, "category", category)
        for key in keys if by_video else ():
            cells = [cell_of(videos[key].get(metric), notes.of_videos(series, [key], metric)) for metric in metrics]
            add(f"  {key.partition('/')[2]}", 1, cells, "video", category)
        add_published(category, category, ["video"] if averaging == "video" else ["pooled", "frames"])
    whole = series.extent.name if of_part else OVERALL
    wholes: dict[str, Averaging] = {f"{whole}, partial" if of_part and series.partial else whole: averaging}
    if averaging == "pooled" and len(by_category) > 1:
        wholes["all frames"] = "frames"
    for name, how in wholes.items():
        metric_cells = notes.overall(series, how, with_training=False, of_part=of_part)
        add(name, len(videos), [metric_cells.get(metric, Cell()) for metric in metrics], "overall", name, how)
        add_published(OVERALL, name, [how])
    return notes.table(
        f"of_{series.name}_{averaging}",
        f"{series.name} ({series.system}) on {notes.dataset}, {AVERAGING_TEXT[averaging]}",
        (
            Column("part", "category", None),
            Column("videos", "videos", 0),
            *(METRIC_COLUMNS[metric] for metric in metrics),
        ),
        rows,
    )


def by_video(series: Sequence[Series], metric: str = "f_measure") -> ResultTable:
    """One metric: a row for each video, a column for each system.

    Args:
        series: Systems on one dataset.
        metric: One of :data:`METRIC_COLUMNS`, but for the speed.

    Raises:
        UserError: If the systems are of several datasets.
    """
    notes = Footnotes(series)
    found = [each.by_video() for each in series]
    column = METRIC_COLUMNS[metric]
    rows = []
    for key in sorted(set().union(*found)):
        cells = [
            cell_of(of_series.get(key, {}).get(metric), notes.of_videos(each, [key], metric))
            for each, of_series in zip(series, found, strict=True)
        ]
        rows.append(TableRow((Cell(text=key), *cells), "video", key.split("/")[0]))
    return ResultTable(
        key=f"by_video_{metric}",
        title=f"{column.heading} by video on {notes.dataset}",
        columns=(
            Column("video", "video", None),
            *(replace(column, key=each.name, heading=each.name) for each in series),
        ),
        rows=tuple(rows),
        notes=notes.texts,
        remarks=(
            *(f"{each.name}: {each.protocol}; {leakage_text(each.leakage)}." for each in series),
            *notes.remarks,
        ),
    )


def at_thresholds(series: Sequence[Series], averaging: Averaging = "video") -> ResultTable:
    """Overall F-measure: a row for each system, a column for each of some thresholds, as tested, and the best.

    Systems whose tests have not counted at thresholds, or that lack a part, are left out, with a remark.

    Args:
        series: Systems on one dataset.
        averaging: How a category's metrics come about.

    Raises:
        UserError: If the systems are of several datasets.
    """
    notes = Footnotes(series)
    rows, left_out = [], []
    column = METRIC_COLUMNS["f_measure"]
    for each in series:
        videos = [video for whole in each.per_seed for video in whole.videos.values()]
        if each.missing or not all(video.threshold_counts for video in videos):
            left_out.append(each.name)
            continue
        curves = [ThresholdCurve.of(whole, averaging) for whole in each.per_seed]
        best = [curve.best() for curve in curves]
        levels = [round(100 * level) for level in SHOWN_THRESHOLDS]
        cells = [cell_of(MeanSd.of([curve.f_measure[level] for curve in curves])) for level in levels]
        own = notes.overall(each, averaging, with_training=False)["f_measure"]
        chosen = (
            cell_of(MeanSd.of([curve.f_measure[i] for curve, i in zip(curves, best, strict=True)]), ("best_on_test",)),
            cell_of(MeanSd.of([THRESHOLDS[i] for i in best])),
        )
        context = notes.context(each, AVERAGING_TEXT[averaging], with_training=False)
        rows.append(TableRow((notes.name(each), *cells, own, *chosen, *context), "overall", "ours"))
    return notes.table(
        f"at_thresholds_{averaging}",
        f"Overall F-measure on {notes.dataset} at thresholds, {AVERAGING_TEXT[averaging]}",
        (
            SYSTEM,
            *(replace(column, key=f"at_{level:g}", heading=f"{level:g}") for level in SHOWN_THRESHOLDS),
            replace(column, key="as_tested", heading="as tested"),
            replace(column, key="best", heading="best"),
            Column("best_threshold", "at", 2),
        ),
        rows,
        [f"Left out, without counts at thresholds or incomplete: {', '.join(left_out)}."] if left_out else (),
    )


def ablation(series: Sequence[Series], against: Sequence[PublishedTable] = ()) -> ResultTable:
    """Overall metrics: a row for each setting of one system, a column for each key in which these differ.

    Args:
        series: Settings of one system on one dataset.
        against: Published tables; the rows of ablations of the same system follow.

    Raises:
        UserError: If they are of several datasets or systems.
    """
    notes = Footnotes(series)
    system, metrics = series[0].system, ("f_measure", "mean_dice")
    if others := [each.name for each in series if each.system != system]:
        raise UserError(f"An ablation is of one system, {system}; {', '.join(others)} are of another.")
    different = dict(zip((each.name for each in series), differences(series), strict=True))
    keys = list(dict.fromkeys(key for of_one in different.values() for key in of_one))
    theirs = [
        (table, row, [Cell()] * len(keys) + [printed_cell(row.numbers.get((OVERALL, name))) for name in metrics])
        for table in _published(against, series)
        if _is_ablation(table) and table.rows[0].system == system
        for row in table.rows
    ]
    ours = overall_of(notes, metrics, lambda each: [Cell(text=different[each.name].get(key, "")) for key in keys])
    return notes.table(
        f"ablation_{system}",
        f"Settings of {system} on {notes.dataset}",
        (
            SYSTEM,
            *(Column(key, key.rpartition(".")[2], None) for key in keys),
            *(METRIC_COLUMNS[metric] for metric in metrics),
        ),
        like_beside_like(notes, averagings_of(theirs), ours, theirs, "overall", False),
    )


def speed(series: Sequence[Series], against: Sequence[PublishedTable] = ()) -> ResultTable:
    """Frames per second with the device, what a frame costs, and the overall F-measure: a row for each system.

    Args:
        series: Systems on one dataset.
        against: Published tables; the rows that have a speed follow, with the mean of the F-measures by category that
            the same paper prints.

    Raises:
        UserError: If the systems are of several datasets.
    """
    notes = Footnotes(series)
    metrics = (*COSTS, "f_measure")
    every = _published(against, series)
    theirs = [
        (table, row, [Cell(text=table.setup), printed_cell(number), Cell(), Cell(), _f_measure_of(row, same_paper)])
        for table in every
        for same_paper in [[other for other in every if other.paper == table.paper]]
        for row in table.rows
        if (number := row.numbers.get((OVERALL, metrics[0])))
    ]
    ours = overall_of(notes, metrics, lambda each: [Cell(text=each.device)])
    return notes.table(
        "speed",
        f"Speed and overall F-measure on {notes.dataset}",
        (SYSTEM, Column("device", "device", None), *(METRIC_COLUMNS[metric] for metric in metrics)),
        like_beside_like(notes, averagings_of(theirs), ours, theirs, "overall", False),
        ["Ours: frames shown to the system per second, scored or not, loading and counting included."],
        _arithmetic(series),
    )


def system_tables(series: Series, against: Sequence[PublishedTable] = ()) -> list[ResultTable]:
    """The tables of one system by category, one for each averaging that differs."""
    return _each_averaging([of_system(series, averaging, False, against) for averaging in ("video", "pooled")])


def videos_of_system(series: Series) -> ResultTable:
    """Metrics of one system: a row for each video."""
    table = of_system(series, by_video=True)
    rows = [
        replace(row, cells=(Cell(text=f"{row.group}/{name.text.strip()}"), *cells), group="", level="other")
        for row in table.rows
        if row.level == "video"
        for name, _, *cells in [row.cells]
    ]
    columns = (Column("video", "video", None), *table.columns[2:])
    title = f"Videos of {series.name}"
    return replace(table, key=f"videos_{series.name}", title=title, columns=columns, rows=tuple(rows))


def tables_of(results: Results) -> list[ResultTable]:
    """All tables that the tests can fill, ours next to the published."""
    tables = []
    for dataset, series in results.datasets.items():
        theirs = [table for table in published() if table.dataset == dataset]
        found = [overall(series, against=theirs)]
        found += [by_part(series, metric, against=theirs) for metric in ("f_measure", "pwc", "mean_dice")]
        found += [table for each in series for table in system_tables(each, theirs)]
        found += [by_video(series, metric) for metric in ("f_measure", "pwc")]
        found += _each_averaging([at_thresholds(series, averaging) for averaging in ("video", "pooled")])
        for system in dict.fromkeys(each.system for each in series):
            settings = [each for each in series if each.system == system]
            if len(settings) > 1 and any(differences(settings)):
                found.append(ablation(settings, against=theirs))
        found.append(speed(series, against=theirs))
        several = len(results.datasets) > 1
        tables += [
            replace(table, key=file_name(f"{table.key}_{dataset}" if several else table.key))
            for table in found
            if table.rows
        ]
    return tables


def differences(series: Sequence[Series]) -> list[dict[str, str]]:
    """Return, for each of several settings, the keys of its configuration in which they differ, and its values.

    A key that some configurations lack, because an earlier version wrote them, is no difference.
    """
    keys = [key for key in series[0].settings if all(key in each.settings for each in series)]
    keys = [key for key in keys if len({each.settings[key] for each in series}) > 1]
    return [{key: each.settings[key] for key in keys} for each in series]


def _arithmetic(series: Sequence[Series]) -> list[str]:
    return [ARITHMETIC] if any(each.gflop_per_frame for each in series) else []


def _notes_of(tables: Iterable[PublishedTable]) -> list[str]:
    return [f"{table.source}: {note}" for table in tables for note in table.notes]


def _published(against: Sequence[PublishedTable], series: Sequence[Series]) -> list[PublishedTable]:
    return comparable(against, tests_of(series))


def _by_part(series: Series, averaging: Averaging, with_training: bool) -> dict[str, dict[str, MeanSd]]:
    """Metrics by category, and by sequence's name where there is one category."""
    categories = series.by_category(averaging, with_training)
    if len(categories) > 1 or series.dataset == "CDnet2014":
        return categories
    return {key.partition("/")[2]: found for key, found in series.by_video(with_training).items()}


def _parts(series: Sequence[Series], theirs: Sequence[PublishedTable]) -> list[str]:
    ours = dict.fromkeys(part for each in series for part in _by_part(each, "video", False))
    others = dict.fromkeys(part for table in theirs for part in table.parts if part != OVERALL)
    return sorted({**ours, **others})


def _is_ablation(table: PublishedTable) -> bool:
    """Whether all rows are of one of our systems."""
    return len(table.rows) > 1 and table.parts == (OVERALL,) and len({row.system for row in table.rows}) == 1


def _f_measure_of(row: PublishedRow, tables: Iterable[PublishedTable]) -> Cell:
    """The overall F-measure of a method in tables of one paper, or the mean over its categories."""
    for table in tables:
        for other in table.rows:
            if other.method != row.method:
                continue
            if number := other.numbers.get((OVERALL, "f_measure")):
                return printed_cell(number)
            values = [number.value for (_, metric), number in other.numbers.items() if metric == "f_measure"]
            if values:
                return Cell(sum(values) / len(values), footnotes=("mean_of_printed",))
    return Cell()


def _each_averaging(tables: Sequence[ResultTable]) -> list[ResultTable]:
    """Leave the second averaging out where its numbers are those of the first, and say so."""
    first, second = tables
    ours = [[numbers_of(row.cells) for row in table.rows] for table in tables]
    if ours[0] != ours[1] or any(row.published for table in tables for row in table.rows):
        return [first, second]
    return [replace(first, remarks=(*first.remarks, "Pooled counts give the same metrics here."))]


def file_name(text: str) -> str:
    """Return a text as a name of a file."""
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in text)
