"""Published tables, laid out as the papers have them."""

from __future__ import annotations

from dataclasses import replace

from bgsub_lightning.evaluation.extent import OVERALL
from bgsub_lightning.report.footnotes import CONTEXT, SYSTEM, averaging_text, leakage_text, method_name, printed_cell
from bgsub_lightning.report.published import PublishedRow, PublishedTable
from bgsub_lightning.report.resulttable import METRIC_COLUMNS, Cell, Column, ResultTable, TableRow

_CONTEXT = (Column("kind", "kind", None, is_context=True), *CONTEXT[1:])


def of_published(table: PublishedTable) -> ResultTable:
    """Lay out a published table as the paper has it, but for the order of rows and columns."""
    is_of_parts = len(table.metrics) == 1 and table.parts != (OVERALL,)
    if len(table.rows) == 1 and len(table.parts) > 1 and len(table.metrics) > 1:
        (row,) = table.rows
        first = Column("part", row.method, None)
        columns = tuple(METRIC_COLUMNS[metric] for metric in table.metrics)
        rows = [
            (Cell(text=part), *(printed_cell(row.numbers.get((part, metric))) for metric in table.metrics))
            for part in table.parts
        ]
        contexts = [_context(row)] * len(rows)
    else:
        first = SYSTEM
        keys = [(part, table.metrics[0]) for part in table.parts] if is_of_parts else []
        keys = keys or [(OVERALL, metric) for metric in table.metrics]
        column = METRIC_COLUMNS[table.metrics[0]] if table.metrics else Column("", "")
        columns = tuple(
            replace(column, key=part, heading=table.printed_parts[part]) if is_of_parts else METRIC_COLUMNS[metric]
            for part, metric in keys
        )
        rows = [
            (Cell(text=method_name(table, row)), *(printed_cell(row.numbers.get(key)) for key in keys))
            for row in table.rows
        ]
        contexts = [_context(row) for row in table.rows]
    where = f", {table.setup}" if table.setup else ""
    what = f" of {METRIC_COLUMNS[table.metrics[0]].heading}" if is_of_parts else ""
    return ResultTable(
        key="",
        title=f"{table.source}: {table.about}{what if what[4:] not in table.about else ''}, on {table.dataset}{where}",
        columns=(first, *columns, *_CONTEXT),
        rows=tuple(
            TableRow((*cells, *context), "other", "", published=True)
            for cells, context in zip(rows, contexts, strict=True)
        ),
        remarks=table.notes,
    )


def _context(row: PublishedRow) -> tuple[Cell, ...]:
    texts = (row.kind or "not stated", row.protocol, averaging_text(row.averaging), leakage_text(row.leakage))
    return tuple(Cell(text=text) for text in texts)
