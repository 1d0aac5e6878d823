"""Tables written: CSV, Markdown, LaTeX, and the terminal."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bgsub_lightning.core.console import console
from bgsub_lightning.core.text import csv_cell, one_line
from bgsub_lightning.report.resulttable import Cell, Column, ResultTable, TableRow, context_as_footnotes

_SUPERSCRIPT = str.maketrans("0123456789,", "⁰¹²³⁴⁵⁶⁷⁸⁹˒")

_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",  # after the end of a row it would be an argument, and so would the next
    "*": "{*}",
    "–": "--",
    "—": "---",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "…": r"\dots{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "−": r"$-$",
    "≠": r"$\neq$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "τ": r"$\tau$",
    "ε": r"$\varepsilon$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "λ": r"$\lambda$",
}


def as_csv(table: ResultTable) -> str:
    """Write a table with all digits.

    Next to a column with standard deviations are ``NAME_sd`` and ``NAME_n``, their number. The last columns hold what a
    row is about, whether its numbers are a paper's, its footnotes, each with its column, and the table's title, which
    names the dataset.
    """
    spread = {
        column.key for i, column in enumerate(table.columns) if any(row.cells[i].sd is not None for row in table.rows)
    }
    header = []
    for column in table.columns:
        header += [column.key, *([f"{column.key}_sd", f"{column.key}_n"] if column.key in spread else [])]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(csv_cell, [*header, "level", "published", "footnotes", "title"]))
    for row in table.rows:
        line: list[str | int] = []
        for cell, column in zip(row.cells, table.columns, strict=True):
            line.append(_exact(cell, column))
            if column.key in spread:
                line += ["" if cell.sd is None else repr(cell.sd), "" if cell.value is None else cell.count]
        footnotes = [
            f"{column.key}: {table.notes[mark]}"
            for cell, column in zip(row.cells, table.columns, strict=True)
            for mark in cell.footnotes
        ]
        writer.writerow(
            [csv_cell(str(each)) for each in (*line, row.level, int(row.published), "; ".join(footnotes), table.title)]
        )
    return file.getvalue()


def as_markdown(table: ResultTable) -> str:
    """Write a table for GitHub and the like, with its notes below."""
    narrow = context_as_footnotes(table)
    lines = [f"**{_markdown(narrow.title)}**", ""]
    lines.append("| " + " | ".join(_markdown(column.heading) for column in narrow.columns) + " |")
    lines.append("|" + "|".join(" :-- " if column.digits is None else " --: " for column in narrow.columns) + "|")
    for row in narrow.rows:
        cells = [
            _markdown(cell.shown(column.digits)) + (f"<sup>{narrow.signs(cell)}</sup>" if cell.footnotes else "")
            for cell, column in zip(row.cells, narrow.columns, strict=True)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    notes = [f"<sup>{number}</sup> {_markdown(narrow.notes[name])}" for name, number in narrow.numbers.items()]
    notes += [_markdown(remark) for remark in narrow.remarks]
    return "\n".join([*lines, "", *(f"{note}  " for note in notes)]).rstrip() + "\n"


def as_latex(table: ResultTable) -> str:
    r"""Write a ``table`` environment, all of it escaped; a ``longtable`` if a page may not hold it with its notes.

    It needs ``\usepackage{booktabs,graphicx,longtable}``: wide tables are shrunk to the text's width. A longtable does
    not stand in two columns of text, and LaTeX has to run twice to align it.
    """
    narrow = context_as_footnotes(table)
    kinds = "".join("l" if column.digits is None else "r" for column in narrow.columns)
    title = [rf"\caption{{{_latex(narrow.title)}}}", rf"\label{{tab:{narrow.key}}}"]
    head = [r"\toprule", " & ".join(_latex(column.heading) for column in narrow.columns) + r" \\", r"\midrule"]
    body = list(_latex_rows(narrow))
    notes = [rf"\textsuperscript{{{number}}} {_latex(narrow.notes[name])}" for name, number in narrow.numbers.items()]
    notes = [note + r"\par" for note in (*notes, *map(_latex, narrow.remarks))]
    if len(body) + len(notes) > _LONG:
        size = [r"\begingroup\scriptsize", r"\setlength{\tabcolsep}{3pt}\setlength{\parindent}{0pt}"]
        begin = [rf"\begin{{longtable}}{{{kinds}}}", *title, r"\\", *head, r"\endhead"]
        parts = [*size, *begin, *body, r"\bottomrule", r"\end{longtable}", *notes, r"\endgroup"]
        return "\n".join(parts) + "\n"
    star = "*" if len(narrow.columns) > _WIDE else ""
    shrunk = [r"\resizebox{\textwidth}{!}{%"] if star else []
    begin = [rf"\begin{{table{star}}}", r"\centering", *title, *shrunk, rf"\begin{{tabular}}{{{kinds}}}"]
    end = [r"\bottomrule", r"\end{tabular}" + ("}" if star else "")]
    if notes:
        begin_notes = [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize"]
        end += [*begin_notes, *notes, r"\end{minipage}"]
    return "\n".join([*begin, *head, *body, *end, rf"\end{{table{star}}}"]) + "\n"


def _latex_rows(table: ResultTable) -> Iterable[str]:
    for row, rule in zip(table.rows, _rules(table.rows), strict=True):
        if rule:
            yield r"\midrule"
        cells = [
            _latex(cell.shown(column.digits)) + (rf"\textsuperscript{{{table.signs(cell)}}}" if cell.footnotes else "")
            for cell, column in zip(row.cells, table.columns, strict=True)
        ]
        yield " & ".join(cells) + r" \\"


def as_rich(table: ResultTable, width: int | None = None) -> RenderableType:
    """Lay a table out for the terminal, with its notes below; columns that find no room come in further parts.

    Args:
        table: The table.
        width: Characters in a line; ``None``: those of the terminal.
    """
    narrow = context_as_footnotes(table)
    headings, lines = _texts(narrow)
    left = [i for i, column in enumerate(narrow.columns) if column.digits is None]
    rules = [i for i, rule in enumerate(_rules(narrow.rows)) if rule]
    shown: list[RenderableType] = list(grids(narrow.title, headings, lines, left, rules, width or console.width))
    notes = [f"{_superscript(str(number))} {narrow.notes[name]}" for name, number in narrow.numbers.items()]
    if lines_below := [*notes, *narrow.remarks]:
        shown.append(Text("\n".join(lines_below), style="italic dim"))
    return Group(*shown)


def fits(table: ResultTable, width: int | None = None) -> bool:
    """Whether a table needs no further parts in the terminal; see :func:`as_rich`."""
    return len(fitting(*_texts(context_as_footnotes(table)), (width or console.width) - 2)) == 1


def _texts(table: ResultTable) -> tuple[list[str], list[list[str]]]:
    """Headings, and the lines of cells."""
    lines = [
        [
            cell.shown(column.digits) + _superscript(table.signs(cell))
            for cell, column in zip(row.cells, table.columns, strict=True)
        ]
        for row in table.rows
    ]
    return [column.heading for column in table.columns], lines


def grids(
    title: str,
    headings: Sequence[str],
    lines: Sequence[Sequence[str]],
    left: Iterable[int],
    rules: Iterable[int],
    width: int,
) -> list[Table]:
    """Lay lines out in a table for the terminal, or in several, each with the first column, where one is too wide.

    Args:
        title: What stands above.
        headings: Of the columns; they may be broken between words.
        lines: Of cells, one for each column.
        left: Columns whose cells are not numbers.
        rules: Lines before which a rule goes.
        width: Characters in a line.
    """
    left, rules = set(left), set(rules)
    width -= 2  # the edges
    parts = fitting(headings, lines, width)
    close = len(parts) > 1
    shown: list[Table] = []
    for part in fitting(headings, lines, width, 1) if close else parts:
        grid = Table(box=box.SIMPLE, pad_edge=False, padding=0 if close else (0, 1))
        grid.title = None if shown else Text(title, style="bold")
        grid.title_justify = "left"
        for j in part:
            grid.add_column(Text(headings[j]), justify="left" if j in left else "right", no_wrap=j == 0)
        for i, line in enumerate(lines):
            if i in rules:
                grid.add_section()
            grid.add_row(*(Text(line[j]) for j in part))
        shown.append(grid)
    return shown


def fitting(headings: Sequence[str], lines: Sequence[Sequence[str]], width: int, gap: int = 3) -> list[list[int]]:
    """Divide columns into parts that fit a width, each with the first column.

    Args:
        headings: Of the columns; they may be broken between words.
        lines: Of cells, one for each column.
        width: Characters in a line.
        gap: Characters between two columns.

    Example:
        >>> fitting(["name", "first", "second"], [["a", "0.5", "0.25"]], 20)
        [[0, 1], [0, 2]]
    """
    words = [max(heading.split(), key=cell_len, default="") for heading in headings]
    widths = [max(cell_len(line[i]) for line in [words, *lines]) + gap for i in range(len(headings))]
    parts: list[list[int]] = [[0]]
    for i in range(1, len(headings)):
        if len(parts[-1]) > 1 and sum(widths[j] for j in parts[-1]) + widths[i] > width:
            parts.append([0])
        parts[-1].append(i)
    return parts


def _rules(rows: Sequence[TableRow]) -> list[bool]:
    """Whether a rule goes before each row: before the whole of parts, and between groups unless both have one row."""
    sizes = Counter(row.group for row in rows)
    between = (
        a.level != b.level == "overall" or (a.group != b.group and max(sizes[a.group], sizes[b.group]) > 1)
        for a, b in pairwise(rows)
    )
    return [False, *between] if rows else []


_WIDE = 7  # columns that fit the width of a text's column
_LONG = 45  # rows and notes that fit a page


def _exact(cell: Cell, column: Column) -> str:
    if column.digits is None:
        return cell.text
    if cell.value is None:
        return ""
    return cell.text if _is_number(cell.text, cell.value) else repr(cell.value)


def _is_number(text: str, value: float) -> bool:
    try:
        return float(text) == value
    except ValueError:
        return False


def _superscript(signs: str) -> str:
    return signs.translate(_SUPERSCRIPT)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|~#&])", r"\\\1", one_line(text))


def _latex(text: str) -> str:
    return "".join(_latex_characters(text))


def _latex_characters(text: str) -> Iterable[str]:
    """Write each character as pdflatex takes it: what it has no letter for loses its accents, or becomes ``?``."""
    for character in text:
        if character in _LATEX:
            yield _LATEX[character]
        elif ord(character) < 0x180:  # Latin letters
            yield character if character.isprintable() else " "
        else:
            plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
            yield "".join(_LATEX.get(each, each) for each in plain) or "?"
