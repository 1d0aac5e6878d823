"""Our rows next to those of papers, like next to like: each averaging with the published rows that have it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence

from bgsub_lightning.metrics import Averaging
from bgsub_lightning.report.footnotes import AVERAGING_TEXT, Footnotes, method_name
from bgsub_lightning.report.published import PublishedRow, PublishedTable
from bgsub_lightning.report.resulttable import Cell, Level, TableRow
from bgsub_lightning.report.series import Series

Ours = Callable[[Series, Averaging, bool], list[Cell]]
"""Returns the cells of a system after its name, averaged in a way, without or with the frames of the training part."""

Theirs = Sequence[tuple[PublishedTable, PublishedRow, list[Cell]]]
"""Published rows, and their cells after the method."""


def overall_of(
    notes: Footnotes, metrics: Sequence[str], before: Callable[[Series], list[Cell]] = lambda each: []
) -> Ours:
    """Return what fills a row with cells of a system and its overall metrics."""

    def ours(each: Series, averaging: Averaging, with_training: bool) -> list[Cell]:
        found = notes.overall(each, averaging, with_training)
        return [*before(each), *(found.get(metric, Cell()) for metric in metrics)]

    return ours


def like_beside_like(
    notes: Footnotes,
    averagings: Sequence[Averaging],
    ours: Ours,
    theirs: Theirs,
    level: Level,
    with_training: bool = True,
) -> list[TableRow]:
    """Set each published row next to ours of the same averaging; those of which it is not known, or is another, last.

    Averagings whose metrics of ours are the same are one.
    """
    found = {
        averaging: [
            (each, training, ours(each, averaging, training))
            for each in notes.ours
            for training in ((False, True) if with_training and each.has_training_frames else (False,))
        ]
        for averaging in averagings
    }
    numbers = {key: numbers_of(cell for _, _, cells in rows for cell in cells) for key, rows in found.items()}
    alike: list[list[Averaging]] = []
    for averaging in averagings:
        group = next((group for group in alike if numbers[group[0]] == numbers[averaging]), None)
        if group is None:
            alike.append([averaging])
        else:
            group.append(averaging)
    rows = []

    def add_published(of: Container[str | None]) -> None:
        for table, row, cells in theirs:
            if row.averaging in of:
                context = notes.context_of(table, row, averagings)
                name = Cell(text=method_name(table, row))
                rows.append(TableRow((name, *cells, *context), level, table.source, published=True))

    for group in alike:
        text = " or ".join(AVERAGING_TEXT[averaging] for averaging in group)
        text += ", which is the same here" if len(group) > 1 else ""
        for each, training, cells in found[group[0]]:
            rows.append(
                TableRow((notes.name(each, training), *cells, *notes.context(each, text, training)), level, "ours")
            )
        add_published(group)
    add_published({row.averaging for _, row, _ in theirs}.difference(averagings))
    return rows


def numbers_of(cells: Iterable[Cell]) -> list[float | None]:
    """Return what is compared to see whether two averagings give the same metrics."""
    return [None if cell.value is None else round(cell.value, 12) for cell in cells]


def averagings_of(theirs: Theirs) -> list[Averaging]:
    """CDnet's averaging, and those of published rows."""
    there = {row.averaging for _, row, _ in theirs}
    return [averaging for averaging in AVERAGING_TEXT if averaging == "video" or averaging in there]
