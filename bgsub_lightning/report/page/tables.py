"""Tables as the template shows them: decimals below each other, numbers of notes, rules between groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from bgsub_lightning.core.text import sentence
from bgsub_lightning.metrics.from_counts import METRICS
from bgsub_lightning.report.resulttable import Cell, Column, ResultTable, TableRow, context_as_footnotes

LEAK_CLASSES: dict[str, str] = {
    "unseen scenes": "unseen",
    "seen scenes, unseen frames": "seen",
    "unknown": "seen",
    "includes training frames": "trained",
}
"""What training has seen → the style of its mark."""

_POOLED = ", counts pooled by category"
_TALL = 24  # rows, above which a table scrolls by itself


def laid_out(given: ResultTable) -> dict[str, Any]:
    """Lay a table out.

    Text about a row takes no column, which would push the numbers out of the screen. The leak guard goes below the name
    of each row, or once into the caption where all rows agree; how averages come about, where a system has several, is
    the heading of a group of rows; all else goes into notes.
    """
    headings = _headings(given)
    table, shared = _narrow(given, headings)
    places = _order(table.columns)
    columns = [table.columns[i] for i in places]
    cells = [[row.cells[i] for i in places] for row in table.rows]
    guards = [_guard(row, table) for row in table.rows]
    agreed = guards[0] if guards and all(guard == guards[0] for guard in guards) else None
    fills = [_Fill([row[i] for row in cells], column) for i, column in enumerate(columns)]
    has_parts = len({row.level for row in table.rows}) > 1
    groups: list[dict[str, Any]] = []
    has_groups = len({row.group for row in table.rows}) < len(table.rows)
    before = table.rows[0].group if table.rows else ""
    for row, own, guard, heading in zip(table.rows, cells, guards, headings, strict=True):
        kinds = [
            "total" * (row.level == "overall" and has_parts),
            "video" * (row.level == "video" and has_parts),
            "published" * row.published,
            "group" * (has_groups and row.group != before),
        ]
        before = row.group
        if not groups or (heading and groups[-1]["heading"] != heading):
            groups.append({"heading": heading, "rows": []})
        groups[-1]["rows"].append(
            {
                "cells": [
                    _shown(cell, column, fill, table.signs(cell))
                    for cell, column, fill in zip(own, columns, fills, strict=True)
                ],
                "kind": " ".join(filter(None, kinds)),
                "guard": None if agreed else guard,
            }
        )
    return {
        "key": table.key,
        "title": table.title + _POOLED * (table.key.endswith("_pooled") and "pooled" not in table.title),
        "guard": agreed,
        "tall": len(table.rows) > _TALL,
        "columns": columns,
        "groups": groups,
        "notes": {number: table.notes[name] for name, number in table.numbers.items()},
        "remarks": [*shared, *table.remarks],
    }


def _headings(table: ResultTable) -> list[str]:
    """Return how each row's averages come about, if the system has several rows; empty: it has one."""
    at = next((i for i, column in enumerate(table.columns) if column.key == "averaging"), None)
    names = [row.cells[0].text for row in table.rows if not row.published]
    return [
        row.cells[at].text if at is not None and not row.published and names.count(row.cells[0].text) > 1 else ""
        for row in table.rows
    ]


def _narrow(table: ResultTable, headings: Sequence[str]) -> tuple[ResultTable, list[str]]:
    """Put the context of rows, but for what headings say, into notes; and what all rows share into sentences."""
    columns = [replace(column, is_context=column.is_context and column.key != "leakage") for column in table.columns]
    rows = [
        replace(
            row,
            cells=tuple(
                Cell() if heading and column.key == "averaging" else cell
                for cell, column in zip(row.cells, columns, strict=True)
            ),
        )
        for row, heading in zip(table.rows, headings, strict=True)
    ]
    narrow = context_as_footnotes(replace(table, columns=tuple(columns), rows=tuple(rows)))
    before = [row.cells[0].footnotes for row in table.rows]
    added = {row.cells[0].footnotes[len(own) :] for row, own in zip(narrow.rows, before, strict=True)}
    if len(added) != 1 or not (shared := added.pop()):
        return narrow, []
    bare = [
        replace(row, cells=(replace(row.cells[0], footnotes=own), *row.cells[1:]))
        for row, own in zip(narrow.rows, before, strict=True)
    ]
    return replace(narrow, rows=tuple(bare)), [sentence(narrow.notes[name]) for name in shared]


def _order(columns: Sequence[Column]) -> list[int]:
    """Return the places of the columns that are shown: F-measure, which counts most, is the first of the metrics."""
    places = [i for i, column in enumerate(columns) if column.key != "leakage"]
    metrics = [i for i in places if columns[i].key in METRICS]
    main = next((i for i in metrics if columns[i].key == "f_measure"), None)
    if main is None:
        return places
    rest = [i for i in places if i != main]
    at = rest.index(metrics[0]) if metrics[0] != main else places.index(main)
    return [*rest[:at], main, *rest[at:]]


def _guard(row: TableRow, table: ResultTable) -> dict[str, str] | None:
    """What training has seen of what a row is of."""
    for cell, column in zip(row.cells, table.columns, strict=True):
        if column.key == "leakage":
            text = cell.text if cell.text in LEAK_CLASSES else "not stated"
            return {"text": text, "kind": LEAK_CLASSES.get(text, "other"), "footnotes": table.signs(cell)}
    return None


class _Fill:
    """What keeps the decimals of a column in line: invisible digits, as wide as the longest of its numbers."""

    def __init__(self, cells: Sequence[Cell], column: Column) -> None:
        self.digits = column.digits or 0
        self.decimals = max((_decimals(_number(cell, self.digits)) for cell in cells), default=0)
        self.spread = next((_spread(cell, self.digits) for cell in cells if cell.sd is not None), "")

    def of(self, cell: Cell) -> str:
        decimals = _decimals(_number(cell, self.digits))
        missing = "." * (decimals == 0 < self.decimals) + "0" * (self.decimals - decimals)
        return missing * (cell.value is not None) + self.spread * (not _spread(cell, self.digits))


class _Shown(NamedTuple):
    """A cell as the template shows it; ``sort`` is its number in full, or its text."""

    text: str
    kind: str
    footnotes: str
    spread: str = ""
    pad: str = ""
    sort: str = ""


def _shown(cell: Cell, column: Column, fill: _Fill, footnotes: str) -> _Shown:
    if column.digits is None:
        return _Shown(cell.text, "", footnotes, sort=cell.text.strip())
    number, spread = _number(cell, column.digits), _spread(cell, column.digits)
    return _Shown(number, "number", footnotes, spread, fill.of(cell), "" if cell.value is None else repr(cell.value))


def _number(cell: Cell, digits: int) -> str:
    return replace(cell, sd=None).shown(digits)


def _spread(cell: Cell, digits: int) -> str:
    return "" if cell.sd is None or cell.text else f" ± {cell.sd:.{digits}f}"


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])
