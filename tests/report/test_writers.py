"""Tables written and read again."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from bgsub_lightning.report.paper_tables import by_part, overall, tables_of
from bgsub_lightning.report.published import published
from bgsub_lightning.report.published_tables import of_published
from bgsub_lightning.report.results import load_results
from bgsub_lightning.report.resulttable import Cell, Column, ResultTable, TableRow
from bgsub_lightning.report.writers import as_csv, as_latex, as_markdown, as_rich, fitting
from tests.made_results import fold, made, saved

HOSTILE = r"100 % of A&B_{1} ~ $x^2$ #\end{table} [1] *b* <i> | “é” ± τ ≠ 日本 …"


def small(name: str = "a_b") -> ResultTable:
    columns = (
        Column("system", "system", None),
        Column("f", "F", 3, "higher"),
        Column("seen", "seen", None, is_context=True),
    )
    rows = (
        TableRow((Cell(text=name), Cell(0.123456789012345, 0.01, 3, footnotes=("n",)), Cell(text="unseen"))),
        TableRow((Cell(text="paper"), Cell(0.9, text=".90"), Cell(text="seen"))),
        TableRow((Cell(text="rounded"), Cell(0.7188, text="0.719"), Cell()), published=True),
        TableRow((Cell(text="none"), Cell(), Cell(text="unseen"))),
    )
    return ResultTable("small", f"Of {name}", columns, rows, {"n": "a note", "unused": "nothing"}, ("a remark",))


def test_csv_has_all_digits() -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(small()))))
    assert [line["f"] for line in lines] == ["0.123456789012345", ".90", "0.7188", ""]
    assert [(line["f_sd"], line["f_n"]) for line in lines] == [("0.01", "3"), ("", "1"), ("", "1"), ("", "")]
    assert [line["seen"] for line in lines] == ["unseen", "seen", "", "unseen"]
    assert [line["published"] for line in lines] == ["0", "0", "1", "0"]
    assert lines[0]["footnotes"] == "f: a note"
    assert {line["title"] for line in lines} == {"Of a_b"}


def test_csv_of_tests_holds_their_figures_exactly(tmp_path: Path) -> None:
    ours = load_results(saved(tmp_path / "cv", *(fold(number, seed) for seed in (0, 1) for number in (1, 2, 3)))).series
    table = overall(ours, against=published("CDnet2014"))
    lines = list(csv.DictReader(io.StringIO(as_csv(table))))
    found = ours[0].over_tested()
    assert float(lines[0]["pwc"]) == found["pwc"].mean
    assert float(lines[0]["pwc_sd"]) == found["pwc"].sd
    assert [line["system"] for line in lines if line["f_measure"] == "0.9209"] == ["Cascade CNN"]
    assert len(lines) == len(table.rows)


def test_hostile_names_survive_csv() -> None:
    (line, *_) = csv.DictReader(io.StringIO(as_csv(small(HOSTILE + ',"\n'))))
    assert line["system"] == HOSTILE + '," '  # a cell is one line


def test_markdown() -> None:
    assert as_markdown(small()) == (
        "**Of a\\_b**\n\n"
        "| system | F |\n| :-- | --: |\n"
        "| a\\_b<sup>1</sup> | 0.123 ± 0.010<sup>2</sup> |\n"
        "| paper<sup>3</sup> | .90 |\n"
        "| rounded | 0.719 |\n"
        "| none<sup>1</sup> | – |\n\n"
        "<sup>1</sup> unseen  \n<sup>2</sup> a note  \n<sup>3</sup> seen  \na remark\n"
    )
    rows = [line for line in as_markdown(small(HOSTILE)).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}


def test_latex_escapes() -> None:
    text = as_latex(small(HOSTILE))
    assert r"100 \% of A\&B\_\{1\} \textasciitilde{} \$x\textasciicircum{}2\$ \#\textbackslash{}end\{table\}" in text
    assert "{[}1] {*}b{*} \\textless{}i\\textgreater{} \\textbar{} ``é'' $\\pm$ $\\tau$ $\\neq$ ?? \\dots{}" in text
    assert text.count(r"\end{table}") == 1


def compiled(folder: Path, *tables: ResultTable) -> str:
    """Compile a document; what pdflatex says."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not on this machine")
    body = "\n".join(as_latex(table) for table in tables)
    packages = "\\usepackage{booktabs,graphicx,longtable}"
    text = f"\\documentclass{{article}}{packages}\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (folder / "tables.tex").write_text(text)
    call = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


def test_latex_compiles(tmp_path: Path) -> None:
    ours = load_results(saved(tmp_path / "runs & more", made("bmn_bsn"), made("90 %"))).series
    tables = [
        small(HOSTILE),
        overall(ours, against=published("CDnet2014")),
        by_part(ours, against=published("CDnet2014")),
        of_published(published("LASIESTA")[0]),
    ]
    assert [as_latex(table).count("{longtable}") for table in tables] == [0, 2, 2, 0]
    log = compiled(tmp_path, *tables)
    assert "Output written on tables.pdf" in log


@pytest.mark.slow
def test_latex_of_every_table_compiles(tmp_path: Path) -> None:
    results = load_results(saved(tmp_path / "runs", made("bmn_bsn"), made("two", system="CrossNet")))
    tables = [*tables_of(results), *map(of_published, published())]
    compiled(tmp_path, *[table for table in tables if table.rows][:18])  # LaTeX holds 18 floats at once


def test_terminal_shows_all_whatever_its_width() -> None:
    (table,) = (each for each in published("CDnet2014", method="BMN-BSN") if each.source == "BMN-BSN, table 2")
    shown = of_published(table)
    for width in (40, 60, 110):
        console = Console(width=width, file=io.StringIO())
        console.print(as_rich(shown, width))
        assert isinstance(console.file, io.StringIO)
        printed = console.file.getvalue()
        assert "…" not in printed
        assert all(f"{number.value:.4f}" in printed for number in table.rows[0].numbers.values())
        assert all(len(line) <= width for line in printed.splitlines())


def test_columns_go_on_below() -> None:
    headings, lines = ["name", "one", "two words", "three"], [["x" * 10, "1.000", "2.000", "3.000"]]
    assert fitting(headings, lines, 100) == [[0, 1, 2, 3]]
    assert fitting(headings, lines, 30) == [[0, 1, 2], [0, 3]]
    assert fitting(headings, lines, 5) == [[0, 1], [0, 2], [0, 3]]
    assert fitting(["name"], [], 5) == [[0]]
