"""The tables of papers, from our tests, next to what papers print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from message_parts import in_order

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation import TestResult, VideoResult
from bgsub_lightning.report.footnotes import AVERAGING_TEXT
from bgsub_lightning.report.paper_tables import (
    ablation,
    at_thresholds,
    by_part,
    by_video,
    of_system,
    overall,
    speed,
    tables_of,
)
from bgsub_lightning.report.published import published
from bgsub_lightning.report.published_tables import of_published
from bgsub_lightning.report.results import Results, load_results
from bgsub_lightning.report.resulttable import Cell, Column, ResultTable, TableRow, context_as_footnotes
from bgsub_lightning.report.series import Series
from bgsub_lightning.report.terminal import table as terminal
from bgsub_lightning.report.writers import as_csv, as_markdown
from tests.made_results import KEYS, cdnet_keys, fold, made, saved


def series(folder: Path, *results: TestResult) -> tuple[Series, ...]:
    return load_results(saved(folder, *results)).series


def cell(table: ResultTable, row: str, column: str, which: int = 0) -> Cell:
    place = [each.key for each in table.columns].index(column)
    return [each for each in table.rows if each.cells[0].text.strip() == row][which].cells[place]


def said(table: ResultTable, found: Cell) -> list[str]:
    return [table.notes[mark] for mark in found.footnotes]


def f_measure(counts: Sequence[int]) -> float:
    tp, fp, fn = counts[:3]
    return 2 * tp / (2 * tp + fp + fn)


def test_by_category_beside_the_papers(tmp_path: Path) -> None:
    keys = cdnet_keys("PTZ")
    found = made("ours", keys, protocol="folds 1, 2, 3 of 3, without PTZ", fold=0)
    ours = series(tmp_path, found)
    table = by_part(ours, "f_measure", ["pooled"], published("CDnet2014"))
    counts = np.sum([video.counts for key, video in found.videos.items() if key.startswith("thermal/")], axis=0)
    assert cell(table, "ours", "thermal").value == pytest.approx(f_measure(counts), rel=1e-12)
    assert cell(table, "ours", "PTZ").value is None
    categories = sorted({key.split("/")[0] for key in keys})
    assert cell(table, "ours", "overall").value == pytest.approx(
        np.mean([cell(table, "ours", category).value for category in categories])
    )
    assert "on 49 of the 53 videos" in said(table, cell(table, "ours", "system"))
    assert [column.heading for column in table.columns[1:4]] == ["PTZ", "BDW", "BSL"]
    printed = cell(table, "BMN-BSN", "baseline")
    assert (printed.text, printed.value) == ("0.9521", 0.9521)
    assert said(table, cell(table, "BMN-BSN", "averaging")) == ["averaged otherwise than ours"]
    assert cell(table, "BMN-BSN", "leakage").footnotes == ()
    assert cell(table, "CDN-MEDAL-net", "protocol").text == "200 frames per scene"
    assert "no measure of generalisation" in said(table, cell(table, "CDN-MEDAL-net", "leakage"))[0]
    assert cell(table, "CDN-MEDAL-net", "averaging").footnotes == ()
    assert said(table, cell(table, "TensorMoG", "averaging")) == ["averaging is not stated"]
    assert said(table, cell(table, "DeepBS", "leakage")) == ["unlike ours"]
    assert {row.group for row in table.rows} >= {"ours", "CDN-MEDAL-net, table III", "Siamese, table 1"}
    assert any("PAWCS is 0.8324 elsewhere" in remark for remark in table.remarks)


def test_a_published_row_is_held_against_its_own_system(tmp_path: Path) -> None:
    cdn = made("cdn", system="CdnMedal", leakage="includes training frames")
    ours = series(tmp_path, cdn, made("bmn"))
    table = by_part(ours, against=[each for each in published("CDnet2014") if each.paper == "CDN-MEDAL-net"])
    assert cell(table, "CDN-MEDAL-net", "leakage").footnotes == ()  # as our cdn, though unlike our bmn


def test_sequences_where_there_is_one_category(tmp_path: Path) -> None:
    keys = [f"Wallflower/{name}" for name in ("Bootstrap", "Camouflage", "MovedObject")]
    ours = series(tmp_path, made("cdn", keys, system="CdnMedal", dataset="Wallflower", protocol="all for test"))
    table = by_part(ours, against=published("Wallflower"))
    assert cell(table, "cdn", "Bootstrap").value == ours[0].by_video()["Wallflower/Bootstrap"]["f_measure"].mean
    assert cell(table, "CDN-MEDAL-net", "Bootstrap").text == "0.7680"
    assert cell(table, "CDN-MEDAL-net", "MovedObject").value is None
    assert not any("of the 53 videos" in text for text in said(table, cell(table, "cdn", "system")))


def test_overall_by_both_averagings(tmp_path: Path) -> None:
    found = made("ours", cdnet_keys())
    table = overall(series(tmp_path, found), against=published("CDnet2014"))
    first, second = (cell(table, "ours", "f_measure", which) for which in (0, 1))
    assert first.value == pytest.approx(found.scores("video").overall["f_measure"])
    assert second.value == pytest.approx(found.scores("pooled").overall["f_measure"])
    assert first.value != second.value
    assert cell(table, "SuBSENSE", "pwc").text == "1.6780"
    assert not any(row.cells[0].text.startswith("1: τ1") for row in table.rows)  # ablations have their own table
    assert not any(cell.text == "129.451" for row in table.rows for cell in row.cells)


def test_one_row_where_averagings_agree(tmp_path: Path) -> None:
    table = overall(series(tmp_path, made("ours", ["a/x"])))
    assert len(table.rows) == 1
    assert all(text in cell(table, "ours", "averaging").text for text in AVERAGING_TEXT.values())
    table = overall(series(tmp_path / "two", made("ours", ["a/x", "b/x"])))
    texts = [cell(table, "ours", "averaging", which).text for which in (0, 1)]
    assert in_order(texts[0], AVERAGING_TEXT["video"], AVERAGING_TEXT["pooled"])
    assert texts[1] == AVERAGING_TEXT["frames"]


def test_like_stands_next_to_like(tmp_path: Path) -> None:
    """Papers that average no category stand next to the same metric of ours, not next to CDnet's mean."""
    found = made("ours", cdnet_keys(), system="CrossNet")
    ours = series(tmp_path, found)
    theirs = published("CDnet2014")
    total = f_measure(np.sum([video.counts for video in found.videos.values()], axis=0))
    for table in (overall(ours, against=theirs), by_part(ours, against=theirs), ablation(ours, against=theirs)):
        averaging = [column.key for column in table.columns].index("averaging")
        column = "overall" if table.key.startswith("by_part") else "f_measure"
        place = [column.key for column in table.columns].index(column)
        current, seen = "", {}
        for row in table.rows:
            text = row.cells[averaging].text
            if not row.published:
                current, seen[text] = text, row.cells[place].value
            elif not row.cells[averaging].footnotes:
                assert text == current
        assert seen[AVERAGING_TEXT["frames"]] == pytest.approx(total, rel=1e-12)
        assert seen[AVERAGING_TEXT["video"]] == pytest.approx(found.scores().overall["f_measure"])
        assert seen[AVERAGING_TEXT["video"]] != seen[AVERAGING_TEXT["frames"]]
    assert cell(overall(ours, against=theirs), "CrossNet-HOFAM", "averaging").text == AVERAGING_TEXT["frames"]
    assert cell(overall(ours, against=theirs), "ours", "averaging", 0).text == AVERAGING_TEXT["video"]
    rows = {row.cells[0].text.strip(): row for row in of_system(ours[0], "pooled", against=theirs).rows}
    assert rows["all frames"].cells[8].value == pytest.approx(total, rel=1e-12)


def test_an_incomplete_cross_validation_has_no_overall(tmp_path: Path) -> None:
    ours = series(tmp_path / "cv", fold(1), fold(3))
    for table, column in ((by_part(ours), "overall"), (overall(ours), "f_measure"), (speed(ours), "f_measure")):
        missing = cell(table, "cv", column)
        assert missing.value is None
        (note,) = said(table, missing)
        assert in_order(note, "cv", "fold 2 of 3")
    (note,) = said(by_part(ours), cell(by_part(ours), "cv", "a"))
    assert "fold 2 of 3" in note
    assert cell(overall(ours), "cv", "frames_per_second").value is not None
    rows = of_system(ours[0]).rows
    assert (rows[-1].cells[0].text, rows[-1].cells[3].value) == ("overall", None)
    rows = of_system(ours[0], of_part=True).rows
    assert (rows[-1].cells[0].text, rows[-1].cells[3].value is None) == ("tested part", False)
    assert not any(each.footnotes for row in rows for each in row.cells)  # the row's name says it


def test_seeds_have_a_deviation(tmp_path: Path) -> None:
    results = [made(f"run_seed_{seed}", draw=seed, protocol="p", seed=seed) for seed in (0, 1, 2)]
    table = overall(series(tmp_path, *results))
    values = [each.scores().overall["f_measure"] for each in results]
    found = cell(table, "run", "f_measure")
    assert (found.value, found.sd, found.count) == (
        pytest.approx(np.mean(values)),
        pytest.approx(np.std(values, ddof=1)),
        3,
    )
    assert found.shown(4) == f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
    assert any(in_order(remark, "run: ", "3 seeds") for remark in table.remarks)


def test_folds_have_a_deviation_in_a_remark(tmp_path: Path) -> None:
    results = [fold(number) for number in (1, 2, 3)]
    values = [each.scores().overall["f_measure"] for each in results]
    spread = f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
    expected = f"cv: F-measure by fold {spread} (mean and standard deviation over 3 folds)."
    assert expected in overall(series(tmp_path / "cv", *results)).remarks


def test_other_frames_and_other_protocols_are_marked(tmp_path: Path) -> None:
    fewer = made("fewer", KEYS[:3])
    other = made("other", protocol="none for training, all for test")
    table = overall(series(tmp_path, made("first"), fewer, other))
    assert in_order(said(table, cell(table, "fewer", "system"))[0], "frames", "first")
    assert in_order(said(table, cell(table, "other", "system"))[0], "protocol", "first")


def test_training_frames_have_a_row_of_their_own(tmp_path: Path) -> None:
    whole = made("cdn", system="CdnMedal", leakage="seen scenes, unseen frames")
    videos = {
        key: replace(
            video,
            counts_with_training=[2 * count for count in video.counts[:2]] + video.counts[2:],
            dice_with_training=video.dice,
            frames_with_training=300,
        )
        for key, video in whole.videos.items()
    }
    ours = series(tmp_path, replace(whole, videos=videos))
    table = overall(ours, against=published("CDnet2014"))
    also_scored = cell(table, "cdn, with training frames", "f_measure")
    expected = replace(whole, videos=videos).scores(with_training=True).overall["f_measure"]
    assert also_scored.value == pytest.approx(expected)
    assert cell(table, "cdn, with training frames", "leakage").text == "includes training frames"
    assert cell(table, "cdn", "leakage").text == "seen scenes, unseen frames"


def test_partial_and_unknown_are_marked(tmp_path: Path) -> None:
    masks = made("masks", missing={"a/x": 3}, leakage="unknown", frames_shown=0, seconds=0)
    table = overall(series(tmp_path, masks))
    assert any(in_order(note, "partial: ", "3 frames of a/x") for note in said(table, cell(table, "masks", "system")))
    assert "not known" in cell(table, "masks", "leakage").text
    assert cell(table, "masks", "frames_per_second").value is None


def test_what_is_undefined_is_marked(tmp_path: Path) -> None:
    whole = made("empty")
    videos = {
        **whole.videos,
        "a/x": VideoResult([0, 0, 0, 100, 0], 10, "unseen scenes", binary_truth=True, dice=[0, 0, 0, 10]),
    }
    (ours,) = series(tmp_path, replace(whole, videos=videos))
    table = by_video([ours])
    assert table.rows[0].cells[1].footnotes == ("undefined", "binary_truth")
    assert table.rows[1].cells[1].footnotes == ()
    assert cell(of_system(ours, by_video=True), "x", "specificity").footnotes == ("binary_truth",)


def silent(name: str, **more: Any) -> TestResult:
    """Finds something in two of three videos; in the third it misses all 3 pixels."""
    counts = {"a/x": [8, 2, 2, 88, 0], "a/y": [0, 0, 3, 9, 0], "b/x": [5, 5, 5, 85, 0]}
    videos = {key: VideoResult(row, 10, "unseen scenes") for key, row in counts.items()}
    return replace(made(name, **more), videos=videos)


def test_who_finds_nothing_has_no_precision(tmp_path: Path) -> None:
    """Precision over the videos where something was found: (0.8 + 0.5) / 2, not ((0.8 + 1) / 2 + 0.5) / 2."""
    found = silent("quiet")
    (ours,) = series(tmp_path, found)
    rows = of_system(ours, by_video=True)
    assert cell(rows, "y", "precision").shown(4) == "–"
    (note,) = said(rows, cell(rows, "y", "precision"))
    assert "no precision" in note
    assert cell(rows, "a", "precision").value == pytest.approx(0.8)
    assert "in 1 of 2 videos" in said(rows, cell(rows, "a", "precision"))[0]
    table = overall([ours])
    assert cell(table, "quiet", "precision").value == pytest.approx((0.8 + 0.5) / 2)
    assert "in 1 of 3 videos" in said(table, cell(table, "quiet", "precision"))[0]
    assert cell(table, "quiet", "recall").value == pytest.approx(((0.8 + 0) / 2 + 0.5) / 2)
    assert cell(table, "quiet", "recall").footnotes == ()
    stored = json.loads((tmp_path / "quiet/scores.json").read_text())["metrics"]  # by the stated rule
    assert stored["videos"]["a/y"]["precision"] == 1.0
    assert stored["overall"]["precision"] == pytest.approx(((0.8 + 1) / 2 + 0.5) / 2)
    with console.capture() as capture:
        console.print(terminal([found], by_video=True))
    text = " ".join(capture.get().split())
    assert "0.6500" in text
    assert "in 1 of 3 videos" in text
    assert "0.7000" in text  # where they count as 1


def test_who_never_finds_anything_has_no_precision_at_all(tmp_path: Path) -> None:
    videos = {key: VideoResult([0, 0, 3, 9, 0], 10, "unseen scenes") for key in ("a/x", "b/x")}
    (ours,) = series(tmp_path, replace(made("mute"), videos=videos))
    for table in (overall([ours]), of_system(ours)):
        name = "mute" if table.key == "overall" else "overall"
        assert cell(table, name, "precision").value is None
        assert cell(table, name, "f_measure").value == 0
    with console.capture() as capture:
        console.print(terminal([ours.per_seed[0]]))
    assert "in 2 of 2 videos" in " ".join(capture.get().split())


def test_seven_figures_of_one_system_beside_its_paper(tmp_path: Path) -> None:
    found = made("bmn", cdnet_keys("PTZ"))
    (ours,) = series(tmp_path, found)
    table = of_system(ours, "video", True, published("CDnet2014"))
    shadow = [found.scores().videos[key]["pwc"] for key in found.videos if key.startswith("shadow/")]
    assert cell(table, "shadow", "pwc").value == pytest.approx(np.mean(shadow))
    names = [row.cells[0].text.strip() for row in table.rows]
    assert names[names.index("shadow") + len(shadow) + 1] == "BMN-BSN, as printed"
    assert [row.cells[4].text for row in table.rows if row.published][-1] == "0.0272"  # FPR overall, printed as 2.72 %
    assert len([row for row in table.rows if row.published]) == 11


def test_thresholds(tmp_path: Path) -> None:
    whole = made("ours", KEYS[:2])
    videos = {
        key: replace(
            video, threshold_counts=[[900 - 5 * i, 400 - 3 * i, 100 + 5 * i, 9000 + 3 * i] for i in range(101)]
        )
        for key, video in whole.videos.items()
    }
    older = made("older", KEYS[:2], 1)
    table = at_thresholds(series(tmp_path, replace(whole, videos=videos, threshold=0.5), older))
    curve = [f_measure(row) for row in next(iter(videos.values())).threshold_counts]
    assert cell(table, "ours", "at_0.3").value == pytest.approx(curve[30])
    assert cell(table, "ours", "best").value == pytest.approx(max(curve))
    assert cell(table, "ours", "best_threshold").value == int(np.argmax(curve)) / 100
    assert "optimistic" in said(table, cell(table, "ours", "best"))[0]
    assert in_order(table.remarks[0], "Left out", "older")


def test_ablations_have_a_column_for_what_differs(tmp_path: Path) -> None:
    results = [made(f"row_{i}", system="CrossNet", draw=i, leakage="seen scenes, unseen frames") for i in (1, 2)]
    for path, taus in zip(saved(tmp_path, *results), ([1, 5, 10], [1]), strict=True):
        (path / "config.yaml").write_text(f"model: {{class_path: CrossNet, init_args: {{taus: {taus}, lr: 0.1}}}}\n")
    ours = load_results([tmp_path / each.name for each in results]).series
    table = ablation(ours, against=published("CDnet2014"))
    assert [column.heading for column in table.columns[:4]] == ["system", "taus", "F-measure", "Mean Dice"]
    assert [row.cells[1].text for row in table.rows[:2]] == ["[1, 5, 10]", "[1]"]
    assert cell(table, "row_2", "f_measure").value == pytest.approx(results[1].scores().overall["f_measure"])
    assert cell(table, "10: CmDFF, CS-Focal, L1", "mean_dice").text == "0.8705"
    assert cell(table, "KPA", "f_measure").text == "0.9839"
    with pytest.raises(UserError, match=r"CrossNet.*\bbmn\b"):
        ablation([*ours, *series(tmp_path, made("bmn"))])


def test_speed_beside_the_mean_of_what_is_printed(tmp_path: Path) -> None:
    table = speed(series(tmp_path, made("ours")), against=published("CDnet2014"))
    assert cell(table, "ours", "frames_per_second").value == 1000 / 100.8
    medal = cell(table, "CDN-MEDAL-net", "f_measure")
    numbers = (0.9045, 0.9561, 0.845, 0.9129, 0.8683, 0.8249, 0.8427, 0.9372, 0.9615, 0.9187)  # of its table III
    assert medal.value == pytest.approx(np.mean(numbers))
    assert medal.footnotes == ("mean_of_printed",)
    assert cell(table, "CDN-MEDAL-net", "device").text == "320×240, GTX 1070 Ti"


def test_what_systems_cost_has_columns(tmp_path: Path) -> None:
    """Of every test that has counted it, and a dash else; published rows have none."""
    results = made("ours", parameters=30_366_977, flop_per_frame=150_912_000_000), made("older")
    ours = series(tmp_path, *results)
    for table in (overall(ours, against=published("CDnet2014")), speed(ours, against=published("CDnet2014"))):
        columns = {column.key: column for column in table.columns}
        assert columns["gflop_per_frame"].heading == "GFLOP per frame at 320×240"
        count, arithmetic = cell(table, "ours", "parameters"), cell(table, "ours", "gflop_per_frame")
        assert (count.shown(0), arithmetic.shown(columns["gflop_per_frame"].digits)) == ("30,366,977", "150.91")
        for row in ("older", "CDN-MEDAL-net"):
            assert [cell(table, row, key).shown(2) for key in ("parameters", "gflop_per_frame")] == ["–", "–"]
        assert any("multiply-add" in remark for remark in table.remarks)
        place = [name for name, _ in (each.split(",", 1) for each in as_csv(table).splitlines())].index("ours")
        assert ",30366977,150.912," in as_csv(table).splitlines()[place]
        assert "| 30,366,977 | 150.91 |" in as_markdown(table)
    assert not any("multiply-add" in remark for remark in overall(series(tmp_path, results[1])).remarks)
    several = [replace(results[0], seed=seed, parameters=count) for seed, count in ((0, 5), (1, 6))]
    assert Series("x", (), tuple(several)).parameters is None
    assert Series("x", (), tuple(several)).gflop_per_frame == 150.912


def test_what_systems_cost_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    ours, older = made("ours", parameters=194_660, flop_per_frame=761_856_000), made("older")
    console.print(terminal([ours, older]))
    assert in_order(capsys.readouterr().out, "ours", "194,660 parameters, 0.76 GFLOP", "older", "– parameters, –")
    console.print(terminal([older]))
    assert "GFLOP" not in capsys.readouterr().out


def test_one_dataset_at_a_time(tmp_path: Path) -> None:
    both = series(tmp_path, made("one"), made("two", dataset="LIMU"))
    with pytest.raises(UserError, match="CDnet2014, LIMU"):
        overall(both)
    tables = tables_of(Results(both))
    assert {table.key for table in tables} >= {"overall_CDnet2014", "overall_LIMU", "by_part_f_measure_LIMU"}
    assert len({table.key for table in tables}) == len(tables)
    with pytest.raises(ValueError, match="at least one system"):
        overall([])


def test_all_tables_of_the_papers_can_be_made(tmp_path: Path) -> None:
    ours = series(tmp_path, made("bmn", cdnet_keys()), made("mog2", cdnet_keys(), system="ClassicalSubtractor"))
    keys = [table.key for table in tables_of(Results(ours))]
    assert keys[0] == "overall"
    assert {"by_part_f_measure", "of_bmn_pooled", "by_video_pwc", "speed"} <= set(keys)


@pytest.mark.parametrize("table", published(), ids=lambda table: table.source)
def test_every_published_table_can_be_shown(table: object) -> None:
    shown = of_published(table)  # type: ignore[arg-type]
    texts = {each.text for row in shown.rows for each in row.cells}
    numbers = [number for row in table.rows for number in row.numbers.values()]  # type: ignore[attr-defined]
    scale = {1.0: Decimal(1), 0.01: Decimal("0.01")}
    assert {str(Decimal(number.text) * scale[number.scale]) for number in numbers} <= texts


def test_a_table_has_one_form_for_its_numbers(tmp_path: Path) -> None:
    """Numbers without a unit, which the heading has: also where a paper prints recall in percent."""
    ours = Results(series(tmp_path, made("bmn", cdnet_keys()), made("cross", cdnet_keys(), system="CrossNet")))
    for table in [*tables_of(ours), *map(of_published, published())]:
        for row in table.rows:
            for each, column in zip(row.cells, table.columns, strict=True):
                if column.digits is not None and each.text:
                    assert float(each.text) == pytest.approx(each.value, abs=5e-4)


def test_tables_are_whole() -> None:
    columns = (Column("a", "a", None), Column("b", "b"))
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        ResultTable("t", "t", columns, (TableRow((Cell(),)),))
    with pytest.raises(ValueError, match="no note named x"):
        ResultTable("t", "t", columns, (TableRow((Cell(), Cell(footnotes=("x",)))),))


def test_rows_that_agree_in_what_is_aside_share_a_note() -> None:
    columns = (
        Column("a", "a", None),
        Column("p", "protocol", None, is_context=True),
        Column("s", "seen", None, is_context=True),
    )
    rows = [
        TableRow((Cell(text=name), Cell(text=protocol), Cell(text="none", footnotes=footnotes)))
        for name, protocol, footnotes in (("A", "p", ()), ("B", "q", ("m",)), ("C", "p", ()))
    ]
    narrow = context_as_footnotes(ResultTable("t", "t", columns, tuple(rows), {"m": "unlike ours"}))
    assert narrow.numbers == {"p; none": 1, "q; none (unlike ours)": 2}
    assert [row.cells[0].footnotes for row in narrow.rows] == [("p; none",), ("q; none (unlike ours)",), ("p; none",)]
