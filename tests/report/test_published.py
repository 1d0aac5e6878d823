"""The published numbers: facts, so that what can be tested is that they are whole, consistent and as printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import numpy as np
import pytest

from bgsub_lightning import systems
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.evaluation.extent import OVERALL
from bgsub_lightning.metrics import DICE_METRICS, METRICS
from bgsub_lightning.report.published import Printed, PublishedTable, category_codes, published
from bgsub_lightning.report.published_tables import of_published
from bgsub_lightning.report.resulttable import Cell
from bgsub_lightning.splits import Leakage

TABLES = published()
OF_SOURCE = {table.source: table for table in TABLES}


def text(source: str, method: str, part: str = OVERALL, metric: str = "f_measure") -> str:
    (row,) = (row for row in OF_SOURCE[source].rows if row.method == method)
    return row.numbers[part, metric].text


def test_all_tables_of_the_five_papers_are_there() -> None:
    counts = {table.source: (len(table.rows), sum(len(row.numbers) for row in table.rows)) for table in TABLES}
    assert counts == {
        "CDN-MEDAL-net, table III": (15, 15 * 11 - 1),  # its own result for PTZ is not reported
        "CDN-MEDAL-net, table IV": (15, 75),
        "CDN-MEDAL-net, table V": (5, 30),
        "CDN-MEDAL-net, text, figure 5": (3, 3),
        "BMN-BSN, table 1": (1, 77),
        "BMN-BSN, table 2": (6, 66),
        "Recon + MCFCN, table 1": (0, 0),  # lost, with notes of what is left
        "CrossNet, table I": (11, 22),
        "CrossNet, table II": (14, 56),
        "CrossNet, table III": (13, 52),
        "CrossNet, table IV": (13, 65),
        "CrossNet, table V": (5, 5),
        "CrossNet, text": (1, 1),
        "Siamese, table 1": (1, 60),
        "Siamese, table 2": (8, 48),
        "Siamese, table 3": (0, 0),
        "Unseen scenes, READMEs": (16, 16 * 12),
    }
    assert all(table.notes for table in TABLES if not table.rows)


def test_numbers_are_as_printed() -> None:
    assert text("CDN-MEDAL-net, table III", "CDN-MEDAL-net", "nightVideos") == "0.8450"
    assert text("CDN-MEDAL-net, table III", "GMM – S & G", "dynamicBackground") == "0.6330"
    assert text("CDN-MEDAL-net, table V", "CDN-MEDAL-net", "Camouflage") == "0.9700"
    assert text("CDN-MEDAL-net, text, figure 5", "CDN-MEDAL-net", metric="frames_per_second") == "129.4510"
    assert text("BMN-BSN, table 1", "BMN-BSN", metric="pwc") == "2.9060"
    assert text("BMN-BSN, table 2", "BMN-BSN") == "71.88"
    assert text("CrossNet, table II", "RT-SBS") == "0.8280"
    assert text("CrossNet, table IV", "CrossNet-HOFAM", "I_OC") == "0.8456"
    assert text("Siamese, table 1", "ours", "lowFramerate", "pwc") == "0.00420"
    assert text("Unseen scenes, READMEs", "SeqFeedNet") == "0.8422"


def test_percentages_become_fractions_with_their_digits() -> None:
    (row,) = OF_SOURCE["BMN-BSN, table 1"].rows
    assert (row.numbers[OVERALL, "f_measure"].value, row.numbers[OVERALL, "f_measure"].digits) == (0.7188, 4)
    assert (row.numbers[OVERALL, "pwc"].value, row.numbers[OVERALL, "pwc"].digits) == (2.906, 4)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.source)
def test_tables_are_consistent(table: PublishedTable) -> None:
    metrics = {*METRICS, *DICE_METRICS, "frames_per_second"}
    assert set(table.metrics) <= metrics
    if table.dataset == "CDnet2014":
        assert set(table.parts) <= {*CDnet2014.categories, OVERALL}
    assert all(isinstance(note, str) and note for note in table.notes)
    assert table.citation
    for row in table.rows:
        assert row.leakage in (*get_args(Leakage), None)
        assert not row.system or hasattr(systems, row.system)
        for (part, metric), number in row.numbers.items():
            assert part in table.printed_parts
            assert 0 <= number.value <= {"pwc": 100, "frames_per_second": 1000}.get(metric, 1)
        for part in table.parts:  # what must be one together, but for the last digit
            of_part = {metric: number.value for (at, metric), number in row.numbers.items() if at == part}
            for a, b in (("recall", "fnr"), ("specificity", "fpr")):
                if a in of_part and b in of_part:
                    assert of_part[a] + of_part[b] == pytest.approx(1, abs=1.1e-4)


def test_bmn_bsn_averages_are_the_means_over_its_categories() -> None:
    (row,) = OF_SOURCE["BMN-BSN, table 1"].rows
    for metric in ("recall", "precision", "pwc", "f_measure"):
        values = [number.value for (part, name), number in row.numbers.items() if name == metric and part != OVERALL]
        assert len(values) == 10
        tolerance = 0.06 if metric == "pwc" else 6e-4
        assert row.numbers[OVERALL, metric].value == pytest.approx(sum(values) / 10, abs=tolerance)


def test_records_are_the_means_over_the_categories() -> None:
    for row in OF_SOURCE["Unseen scenes, READMEs"].rows:
        values = [number.value for (part, _), number in row.numbers.items() if part != OVERALL]
        slip = 0.0034 if row.method == "Fast BSUV-Net 2.0" else 0.0  # of the source; a note says so
        assert row.numbers[OVERALL, "f_measure"].value == pytest.approx(sum(values) / 11 - slip, abs=1.5e-4)


def test_records_state_the_rule_of_each_row() -> None:
    """Those of one system differ in nothing but that; the tables of a system's name show all of them."""
    rows = {row.method: row for row in OF_SOURCE["Unseen scenes, READMEs"].rows}
    averagings = {name: row.averaging for name, row in rows.items()}
    assert averagings["SeqFeedNet (mean of videos)"] == averagings["ZBS"] == "video"
    assert averagings["BSUV-Net 2.0"] is averagings["Fast BSUV-Net 2.0"] is None
    folds, soft = averagings["SeqFeedNet"], averagings["BSUV-Net 2.0 (log.csv)"]
    assert "folds" in str(folds)
    assert "soft counts" in str(soft)
    for name, other in (("SeqFeedNet", "SeqFeedNet (mean of videos)"), ("BSUV-Net 2.0", "BSUV-Net 2.0 (log.csv)")):
        (table,) = (each for each in published(method=name) if each.paper == "Unseen scenes")
        assert [row.method for row in table.rows] == [name, other]
        assert rows[name].leakage == rows[other].leakage == "unseen scenes"
        assert rows[name].kind == rows[other].kind == "supervised"
        assert rows[name].numbers != rows[other].numbers
    cells = {row.cells[0].text: row.cells for row in of_published(OF_SOURCE["Unseen scenes, READMEs"]).rows}
    assert Cell(text=folds) in cells["SeqFeedNet"]


def test_f_measures_are_not_above_the_mean_of_recall_and_precision() -> None:
    """Those of a video are not, as a harmonic mean is none; so no average is, whatever it is over."""
    slips = {  # of the sources; notes name them
        ("CrossNet, table II", "BSUV-Net 2.0"),
        ("Siamese, table 2", "DeepBs"),
        ("Siamese, table 2", "IUTIS-5"),
    }
    found = set()
    for table in TABLES:
        for row in table.rows:
            for part in table.parts:
                recall, precision, f = (row.numbers.get((part, key)) for key in ("recall", "precision", "f_measure"))
                if recall and precision and f and f.value > (recall.value + precision.value) / 2 + 1e-4:
                    found.add((table.source, row.method))
    assert found == slips
    for source, method in slips:
        assert any(method in note for note in OF_SOURCE[source].notes)


def test_every_category_has_codes_and_no_code_two_categories() -> None:
    codes = category_codes()
    assert set(codes) == set(CDnet2014.categories)
    names = [name for of_one in codes.values() for name in of_one]
    assert len(names) == len(set(names))
    assert codes["dynamicBackground"][:2] == ("DBG", "DMB")


def test_training_is_shown_where_it_is_known() -> None:
    rows = {row.method: row for row in OF_SOURCE["CDN-MEDAL-net, table III"].rows}
    assert (rows["SuBSENSE"].kind, rows["SuBSENSE"].leakage) == ("unsupervised", "unseen scenes")
    assert (rows["CDN-MEDAL-net"].system, rows["CDN-MEDAL-net"].leakage) == ("CdnMedal", "includes training frames")
    on_wallflower = {row.method: row.leakage for row in OF_SOURCE["CDN-MEDAL-net, table V"].rows}
    assert (on_wallflower["CDN-MEDAL-net"], on_wallflower["STAM"]) == ("unseen scenes", None)
    assert all(row.leakage == "unseen scenes" for row in OF_SOURCE["CrossNet, table III"].rows)
    again = {row.method: row.leakage for row in OF_SOURCE["CrossNet, table II"].rows}
    assert (again["FgSegNet"], again["STAM"]) == (None, "seen scenes, unseen frames")


def test_filters() -> None:
    assert {table.dataset for table in published("limu")} == {"LIMU"}
    found = [table for table in published("CDnet2014", method="GMM(S-G)") if table.paper == "BMN-BSN"]
    assert [[row.method for row in table.rows] for table in found] == [["GMM(S-G)"]]
    everywhere = {table.source for table in published(method="gmm(s-g)")}
    assert {"CrossNet, table II", "CDN-MEDAL-net, table V"} <= everywhere  # other spellings of it


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "CDnet"}, "^dataset: .*'CDnet'. Did you mean .*CDnet2014"),
        ({"method": "SubSens"}, "^method: .*'SubSens'. Did you mean SuBSENSE"),
        ({"dataset": "zzz"}, "^dataset: .*'zzz'. There are: CDnet2014"),
    ],
)
def test_names_that_are_not_there(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        published(**arguments)


def f_of(numbers: Mapping[tuple[str, str], Printed], part: str) -> float | None:
    """F-measure of the printed precision and recall."""
    there = [numbers.get((part, metric)) for metric in ("precision", "recall")]
    if None in there:
        return None
    precision, recall = (number.value for number in there if number)
    return 2 * precision * recall / (precision + recall)


def test_each_row_states_its_averaging_and_the_printed_numbers_bear_it_out() -> None:
    """A mean over the parts is ``video``; F of the overall precision and recall, which no mean is, ``frames``."""
    checked = {"video": 0, "pooled": 0, "frames": 0}
    for table in published():
        for row in table.rows:
            printed = row.numbers.get((OVERALL, "f_measure"))
            if printed is None or row.averaging is None or "slip" in " ".join(table.notes):
                continue
            parts = [n.value for (part, metric), n in row.numbers.items() if metric == "f_measure" and part != OVERALL]
            mean, ratio = np.mean(parts) if parts else None, f_of(row.numbers, OVERALL)
            rounding = 0.6 * 10**-printed.digits + 1e-4
            where = (table.source, row.method)
            if mean is not None:
                assert (abs(mean - printed.value) < rounding) == (row.averaging == "video"), where
            elif ratio is not None:
                assert (abs(ratio - printed.value) < rounding) == (row.averaging == "frames"), where
            checked[row.averaging] += mean is not None or ratio is not None
    assert checked["video"] > 10
    assert checked["frames"] > 10


def test_figures_that_no_mean_over_categories_gives() -> None:
    """CrossNet and the siamese paper average no category."""
    crossnet = next(row for row in OF_SOURCE["CrossNet, table II"].rows if row.method == "CrossNet-HOFAM")
    assert round(f_of(crossnet.numbers, OVERALL) or 0, 5) == 0.97756
    assert crossnet.numbers[OVERALL, "f_measure"].text == "0.9776"
    lasiesta = next(row for row in OF_SOURCE["CrossNet, table IV"].rows if row.method == "CrossNet-HOFAM")
    subsets = [n.value for (part, _), n in lasiesta.numbers.items() if part != OVERALL]
    assert (round(np.mean(subsets), 4), lasiesta.numbers[OVERALL, "f_measure"].text) == (0.7968, "0.8072")
    (siamese,) = OF_SOURCE["Siamese, table 1"].rows
    recalls = [n.value for (part, name), n in siamese.numbers.items() if name == "recall" and part != OVERALL]
    assert (round(np.mean(recalls), 4), siamese.numbers[OVERALL, "recall"].text) == (0.9865, "0.97993")
    assert {lasiesta.averaging, crossnet.averaging, siamese.averaging} == {"frames"}
