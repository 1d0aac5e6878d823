"""Tables as data: rows, columns, and cells that know their value, their digits and their marks.

What lays them out are the writers below: CSV, Markdown, LaTeX, and the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Better = Literal["higher", "lower"]
Level = Literal["video", "category", "overall", "note"]


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: Its name in CSV, such as ``f_measure``.
        heading: Its name for readers, such as ``F-measure``.
        digits: Decimals of its numbers.
        better: Which of two numbers is the better one; ``None`` for text, and where there is no such thing.
        unit: Unit of its numbers, for readers; empty for fractions.
    """

    key: str
    heading: str
    digits: int = 4
    better: Better | None = None
    unit: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        value: Its number (a mean where there are several); ``None``: there is none.
        sd: Standard deviation of several; ``None``: there is one.
        count: Number of those.
        text: Text in place of a number; or a number as a paper prints it.
        marks: Names of the table's notes that hold for it.
        why: Why there is no number, in a few words.
    """

    value: float | None = None
    sd: float | None = None
    count: int = 1
    text: str = ""
    marks: tuple[str, ...] = ()
    why: str = ""

    def shown(self, digits: int) -> str:
        """Return what a reader sees, without marks.

        Example:
            >>> Cell(0.87654, sd=0.01).shown(3), Cell(0.9, text=".90").shown(3), Cell().shown(3)
            ('0.877 ± 0.010', '.90', '–')
        """
        if self.text:
            return self.text
        if self.value is None:
            return "–"
        return f"{self.value:.{digits}f}" + ("" if self.sd is None else f" ± {self.sd:.{digits}f}")


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        cells: One for each column.
        level: What it is about; ``note``: anything else.
        group: Rows of one group belong together: a rule is drawn between groups.
        published: Whether its numbers are a paper's.
    """

    cells: tuple[Cell, ...]
    level: Level = "note"
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
        notes: Name → what it says; readers see them numbered, in this order.
        remarks: What is to be said besides.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:  # noqa: D105
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(f"{self.key}: a row has {len(row.cells)} cells for {len(self.columns)} columns")
        used = {mark for row in self.rows for cell in row.cells for mark in cell.marks}
        if unknown := used - self.notes.keys():
            raise ValueError(f"{self.key}: no note tells of {', '.join(sorted(unknown))}")


def as_csv(table: ResultTable) -> str:
    """Write a table with full digits: beside each column of numbers its standard deviation where it has any."""
    raise NotImplementedError


def as_markdown(table: ResultTable) -> str:
    """Write a table for GitHub and the like."""
    raise NotImplementedError


def as_latex(table: ResultTable) -> str:
    r"""Write a ``table`` environment; it needs ``\usepackage{booktabs}``."""
    raise NotImplementedError
