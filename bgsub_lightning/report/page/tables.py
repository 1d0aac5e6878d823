"""Tables as the template shows them: decimals below each other, numbers of notes, rules between groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from bgsub_lightning.report.resulttable import Cell, Column, ResultTable, TableRow

LEAK_CLASSES: dict[str, str] = {
    "unseen scenes": "unseen",
    "seen scenes, unseen frames": "seen",
    "unknown": "seen",
    "includes training frames": "trained",
}
"""What training has seen → the style of its mark."""

_POOLED = ", counts pooled by category"
_TALL = 24  # rows, above which a table scrolls by itself


def laid_out(table: ResultTable) -> dict[str, Any]:
    """Lay a table out.

    The leak guard is not a column, which would push the numbers out of a small screen: it goes below the name of each
    row, or once into the caption where all rows agree.
    """
    places = [i for i, column in enumerate(table.columns) if column.key != "leakage"]
    columns = [table.columns[i] for i in places]
    cells = [[row.cells[i] for i in places] for row in table.rows]
    guards = [_guard(row, table) for row in table.rows]
    agreed = guards[0] if guards and all(guard == guards[0] for guard in guards) else None
    fills = [_Fill([row[i] for row in cells], column) for i, column in enumerate(columns)]
    averaging = next((i for i, column in enumerate(columns) if column.key == "averaging"), None)
    names = [row[0].text for row in cells]
    has_parts = len({row.level for row in table.rows}) > 1
    rows, before = [], table.rows[0].group if table.rows else ""
    for row, own, guard in zip(table.rows, cells, guards, strict=True):
        kinds = [
            "total" * (row.level == "overall" and has_parts),
            "video" * (row.level == "video" and has_parts),
            "published" * row.published,
            "group" * (row.group != before),
        ]
        is_one_of_several = averaging is not None and not row.published and names.count(own[0].text) > 1
        rows.append(
            {
                "cells": [
                    _shown(cell, column, fill, table.signs(cell))
                    for cell, column, fill in zip(own, columns, fills, strict=True)
                ],
                "kind": " ".join(filter(None, kinds)),
                "guard": None if agreed else guard,
                "below": own[averaging].text if is_one_of_several and averaging is not None else "",
            }
        )
        before = row.group
    return {
        "key": table.key,
        "title": table.title + _POOLED * (table.key.endswith("_pooled") and "pooled" not in table.title),
        "guard": agreed,
        "tall": len(rows) > _TALL,
        "columns": columns,
        "rows": rows,
        "notes": {number: table.notes[name] for name, number in table.numbers.items()},
        "remarks": table.remarks,
    }


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
    """A cell as the template shows it; ``sort`` is its number in full."""

    text: str
    kind: str
    footnotes: str
    spread: str = ""
    pad: str = ""
    sort: str = ""


def _shown(cell: Cell, column: Column, fill: _Fill, footnotes: str) -> _Shown:
    if column.digits is None:
        return _Shown(cell.text, "context" if column.is_context else "", footnotes)
    number, spread = _number(cell, column.digits), _spread(cell, column.digits)
    return _Shown(number, "number", footnotes, spread, fill.of(cell), "" if cell.value is None else repr(cell.value))


def _number(cell: Cell, digits: int) -> str:
    return replace(cell, sd=None).shown(digits)


def _spread(cell: Cell, digits: int) -> str:
    return "" if cell.sd is None or cell.text else f" ± {cell.sd:.{digits}f}"


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])
