"""Tables as data: rows, columns, and cells that know their value, their digits and their footnotes.

:mod:`bgsub_lightning.report.writers` lays them out as CSV, Markdown and LaTeX, and in the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

Better = Literal["higher", "lower"]
Level = Literal["video", "category", "overall", "other"]


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: Its name in CSV, such as ``f_measure``.
        heading: Its name for readers, such as ``F-measure``.
        digits: Decimals of its numbers; ``None`` for text.
        better: Which of two numbers is the better one; ``None`` for text, and where there is no such thing.
        is_context: Whether it is text that says of what kind a row is; it becomes a footnote where there is little
            room, see :func:`context_as_footnotes`.
    """

    key: str
    heading: str
    digits: int | None = 4
    better: Better | None = None
    is_context: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        value: Its number (a mean where there are several); ``None``: there is none.
        sd: Standard deviation of several; ``None``: there is one.
        count: Number of those.
        text: Text where there is no number; or a number with the digits that a paper prints.
        footnotes: Names of the table's notes that hold for it.
    """

    value: float | None = None
    sd: float | None = None
    count: int = 1
    text: str = ""
    footnotes: tuple[str, ...] = ()

    def shown(self, digits: int | None) -> str:
        """Return what a reader sees, without footnotes.

        Example:
            >>> Cell(0.87654, sd=0.01).shown(3), Cell(0.9, text=".90").shown(3), Cell().shown(3)
            ('0.877 ± 0.010', '.90', '–')
        """
        if self.text or digits is None:
            return self.text
        if self.value is None:
            return "–"
        return f"{self.value:.{digits}f}" + ("" if self.sd is None else f" ± {self.sd:.{digits}f}")


@dataclass(frozen=True)
class TableRow:
    """A row.

    Attributes:
        cells: One for each column.
        level: What its numbers are of.
        group: Rows of one group belong together: a rule is drawn between groups.
        published: Whether its numbers are a paper's.
    """

    cells: tuple[Cell, ...]
    level: Level = "other"
    group: str = ""
    published: bool = False


@dataclass(frozen=True)
class ResultTable:
    """A table.

    Attributes:
        key: Its name in files, such as ``by_category``.
        title: What it shows.
        columns: Its columns; the first names the rows.
        rows: Its rows.
        notes: Name → what it says; readers see those that are used, numbered in the order of use.
        remarks: What a reader must know as well.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    notes: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(f"{self.key}: a row has {len(row.cells)} cells for {len(self.columns)} columns")
        if unknown := sorted(set(self._used()) - self.notes.keys()):
            raise ValueError(f"{self.key}: there is no note named {', '.join(unknown)}")

    @property
    def numbers(self) -> dict[str, int]:
        """Name of each note that is used → its number, from 1."""
        return {name: i for i, name in enumerate(dict.fromkeys(self._used()), 1)}

    def signs(self, cell: Cell) -> str:
        """Return the numbers of a cell's notes, with commas between."""
        return ",".join(str(self.numbers[mark]) for mark in dict.fromkeys(cell.footnotes))

    def _used(self) -> Iterator[str]:
        return (mark for row in self.rows for cell in row.cells for mark in cell.footnotes)


METRIC_COLUMNS = {
    column.key: column
    for column in (
        Column("recall", "Recall", 4, "higher"),
        Column("specificity", "Specificity", 4, "higher"),
        Column("fpr", "FPR", 4, "lower"),
        Column("fnr", "FNR", 4, "lower"),
        Column("pwc", "PWC (%)", 3, "lower"),
        Column("precision", "Precision", 4, "higher"),
        Column("f_measure", "F-measure", 4, "higher"),
        Column("mean_dice", "Mean Dice", 4, "higher"),
        Column("mean_dice_include_empty", "Mean Dice", 4, "higher"),
        Column("frames_per_second", "frames/s", 1, "higher"),
        Column("parameters", "parameters", 0),
        Column("gflop_per_frame", "GFLOP per frame at 320×240", 2),
    )
}
"""Metric → its column; so do the speed and what a system costs."""

COSTS = ("frames_per_second", "parameters", "gflop_per_frame")
"""The columns that are of a system, and not of the frames it was tested on."""


def context_as_footnotes(table: ResultTable) -> ResultTable:
    """Put columns of context into notes: one for each row, the same for rows that agree in all of them.

    Example:
        >>> columns = (Column("system", "system", None), Column("seen", "seen", None, is_context=True))
        >>> rows = (TableRow((Cell(text="a"), Cell(text="unseen"))),)
        >>> narrow = context_as_footnotes(ResultTable("t", "t", columns, rows))
        >>> [column.key for column in narrow.columns], narrow.rows[0].cells[0].footnotes, list(narrow.notes.values())
        (['system'], ('unseen',), ['unseen'])
    """
    context = [i for i, column in enumerate(table.columns) if column.is_context]
    if not context:
        return table
    notes = dict(table.notes)
    rows = []
    for row in table.rows:
        context_texts = [_with_notes(row.cells[i], table.notes) for i in context if row.cells[i].text]
        first, *rest = (cell for i, cell in enumerate(row.cells) if i not in context)
        if context_texts:
            name = "; ".join(context_texts)
            notes[name] = name
            first = replace(first, footnotes=(*first.footnotes, name))
        rows.append(replace(row, cells=(first, *rest)))
    columns = tuple(column for column in table.columns if not column.is_context)
    return replace(table, columns=columns, rows=tuple(rows), notes=notes)


def _with_notes(cell: Cell, notes: dict[str, str]) -> str:
    return cell.text + (f" ({'; '.join(notes[mark] for mark in cell.footnotes)})" if cell.footnotes else "")
