"""Names of datasets in tables, pages and the terminal, and which published metrics stand next to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from message_parts import in_order

from bgsub_lightning.core.console import console
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.report.page import report_page
from bgsub_lightning.report.paper_tables import tables_of
from bgsub_lightning.report.published import published
from bgsub_lightning.report.results import Results, load_results
from bgsub_lightning.report.resulttable import ResultTable
from bgsub_lightning.report.terminal import table
from bgsub_lightning.report.writers import as_csv, as_latex, as_markdown
from tests.made_results import cdnet_keys, made, saved

ORIGIN = "synthetic scenes, rendered by bgsub_lightning 1.2.3 (seed 5)"
KEYS = ("baseline/highway", "baseline/office", "shadow/bungalows", "thermal/park")


def departing(result: TestResult, *keys: str, why: str = "CDnet2014 has no video of this name") -> TestResult:
    videos = {key: replace(video, departure=why if key in keys else "") for key, video in result.videos.items()}
    return replace(result, videos=videos)


def collected(folder: Path, *results: TestResult) -> Results:
    return load_results(saved(folder, *results))


def terminal(*results: TestResult) -> str:
    with console.capture() as capture:
        console.print(table(results))
    return " ".join(capture.get().split())


def printed(tables: list[ResultTable]) -> set[tuple[str, str]]:
    """Column and text of each published number."""
    return {
        (column.key, cell.text)
        for each in tables
        for row in each.rows
        if row.published
        for column, cell in zip(each.columns, row.cells, strict=True)
        if cell.value is not None
    }


@pytest.mark.parametrize("dataset", ["synthetic CDnet2014", "synthetic Wallflower", "Rendered"])
def test_synthetic_scenes_are_called_so_everywhere(dataset: str, tmp_path: Path) -> None:
    found = made("ours", KEYS, dataset=dataset, origin=ORIGIN)
    found = replace(found, videos={key: replace(video, base=None) for key, video in found.videos.items()})
    results = collected(tmp_path, found, made("mog2", KEYS, dataset=dataset, origin=ORIGIN, system="Mog2"))
    tables = tables_of(results)
    assert not any(row.published for each in tables for row in each.rows)
    assert not any(each.paper in as_markdown(one) for each in published() for one in tables)
    for each in tables:
        if not each.key.startswith("comparisons"):
            assert "synthetic" in each.title
        for text in (as_markdown(each), as_latex(each)):
            assert "rendered by" in text
            assert "seed 5" in text
    assert "CDnet2014" not in "".join(as_csv(each) for each in tables).replace("synthetic CDnet2014", "")
    page = report_page(tmp_path / "page", [run.folder for each in results.series for run in each.runs]).read_text()
    heading = page.partition("<h1>")[2].partition("</h1>")[0]
    assert heading.startswith("Background subtraction on synthetic ")
    assert "bgsub_lightning 1.2.3 (seed 5)" in page.partition("<main>")[0]
    assert "on synthetic" in terminal(found)
    assert "bgsub_lightning 1.2.3" in terminal(found)


def test_published_figures_stand_next_to_own_videos_alone(tmp_path: Path) -> None:
    whole = made("ours", KEYS)
    own = tables_of(collected(tmp_path / "own", whole))
    categories = {"baseline", "shadow", "thermal"}
    assert {*categories, "overall"} <= {column for column, _ in printed(own)}
    assert "Overall on CDnet2014" in {each.title for each in own}
    mixed = departing(whole, "baseline/office")
    tables = tables_of(collected(tmp_path / "mixed", mixed))
    columns = {column for column, _ in printed(tables)}
    assert {"shadow", "thermal"} <= columns
    assert not columns & {"baseline", "overall", "frames_per_second"}
    assert not any(row.published for each in tables if each.key == "overall" for row in each.rows)
    for each in tables:
        remarks = " ".join(each.remarks)
        assert in_order(remarks, "Not CDnet2014's own", "baseline/office (CDnet2014 ")
        assert in_order(remarks, "CDnet2014's own: ", "baseline/highway, shadow/bungalows, thermal/park")
    assert any(in_order(each.title, "Overall on CDnet2014 and other") for each in tables)
    assert "on 3 of the 53 videos" in tables[0].notes.values()
    foreign = departing(whole, *KEYS)
    tables = tables_of(collected(tmp_path / "foreign", foreign))
    assert printed(tables) == set()
    assert any(in_order(each.title, "Overall on ", "not CDnet2014's own") for each in tables)
    assert not any("of the 53" in note for each in tables for note in each.notes.values() if note in each.numbers)
    assert "not CDnet2014's own" in terminal(foreign)


def test_many_names_are_cut_short(tmp_path: Path) -> None:
    keys = cdnet_keys()
    found = departing(made("ours", keys), *keys[:20])
    assert in_order(terminal(found), "15 more", "CDnet2014's own: ")
    assert "28 more" in terminal(found)


def test_a_sequence_that_is_not_the_datasets_own(tmp_path: Path) -> None:
    keys = ("LIMU/CameraParameter", "LIMU/Intersection")
    found = departing(made("ours", keys, dataset="LIMU"), "LIMU/Intersection")
    columns = {column for column, _ in printed(tables_of(collected(tmp_path, found)))}
    assert "CameraParameter" in columns
    assert not columns & {"Intersection", "overall"}
