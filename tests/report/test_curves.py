"""F-measure against threshold, precision against recall: tables, pictures and the command that makes them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from rich.console import Console

from bgsub_lightning.cli import main
from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation import TestResult, VideoResult
from bgsub_lightning.metrics import THRESHOLDS, metrics
from bgsub_lightning.report.curves import (
    best_thresholds,
    precision_recall_figure,
    precision_recall_table,
    threshold_figure,
)
from bgsub_lightning.report.merge import merged
from bgsub_lightning.report.paper_tables import overall
from bgsub_lightning.report.results import load_results
from bgsub_lightning.report.resulttable import ResultTable
from bgsub_lightning.report.terminal import table
from bgsub_lightning.report.thresholds import ThresholdCurve
from bgsub_lightning.report.writers import as_rich
from tests.made_results import result_of

POSITIVE, NEGATIVE = 100, 900


def video(best: int, worst: float = 0.0) -> VideoResult:
    """Counts that make F-measure 1 at threshold ``best`` and less at the others."""
    counts = []
    for i in range(101):
        fp = round(NEGATIVE * max(0, best - i) / 100 + worst * NEGATIVE)
        fn = round(POSITIVE * max(0, i - best) / 100)
        counts.append([POSITIVE - fn, fp, fn, NEGATIVE - fp])
    return VideoResult([*counts[50], 0], 10, "unseen scenes", threshold_counts=counts)


def result(name: str, **videos: VideoResult) -> TestResult:
    own = {"system": "ThresholdedDifference", "protocol": "the first half for training"}
    return result_of(name, {key.replace("_", "/"): each for key, each in videos.items()}, **own)


def curves_of(results: Sequence[TestResult], averaging: Any = "video") -> list[ThresholdCurve]:
    return [ThresholdCurve.of(each, averaging, place) for place, each in enumerate(results)]


def shown(
    results: Sequence[TestResult],
    averaging: Any = "video",
    largest: float = 1.0,
    lay_out: Callable[..., ResultTable] = best_thresholds,
) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(as_rich(lay_out(curves_of(results, averaging), largest), 200))
    return capture.get()


def of_two_classes(separation: float) -> VideoResult:
    """Counts of scores that are normally distributed in both classes, of which one's mean is larger."""
    levels = np.linspace(-3, 3, 101)
    tp = [round(1000 * (1 - NormalDist(separation).cdf(level))) for level in levels[:-1]]
    fp = [round(9000 * (1 - NormalDist().cdf(level))) for level in levels[:-1]]
    counts = [[one, other, 1000 - one, 9000 - other] for one, other in zip([*tp, 0], [*fp, 0], strict=True)]
    return VideoResult([*counts[40], 0], 10, "unseen scenes", threshold_counts=counts)


def yes_or_no() -> VideoResult:
    counts = [[60, 30, 40, 870]] * 100 + [[0, 0, 100, 900]]
    return VideoResult([60, 30, 40, 870, 0], 10, "unseen scenes", threshold_counts=counts)


def test_scores_at_thresholds_are_those_of_their_counts(tmp_path: Path) -> None:
    both = result("x", a_one=video(20), a_two=video(40, 0.1), b_one=video(60))
    both.save(tmp_path / "scores.json")
    assert TestResult.load(tmp_path) == both
    for averaging in ("video", "pooled"):
        at = both.scores_at_thresholds(averaging)  # type: ignore[arg-type]
        assert len(at) == len(THRESHOLDS)
        assert at[50].overall == both.scores(averaging).overall  # type: ignore[arg-type]
        for i in (0, 20, 70):
            one, two, three = (each.threshold_counts[i] for each in both.videos.values())
            joined = metrics(np.add(one, two).tolist())["f_measure"]
            mean = (metrics(one)["f_measure"] + metrics(two)["f_measure"]) / 2
            category = mean if averaging == "video" else joined
            assert at[i].overall["f_measure"] == pytest.approx((category + metrics(three)["f_measure"]) / 2)


def test_lists_of_numbers_are_written_in_lines(tmp_path: Path) -> None:
    odd = replace(result("x[01]\n[1,\n2]", a_one=video(20)), protocol="[ 1, 2]")
    odd.save(tmp_path / "scores.json")
    text = (tmp_path / "scores.json").read_text()
    assert len(text.splitlines()) < 101 + 120
    assert f'"counts": {video(20).counts}' in text
    assert TestResult.load(tmp_path) == odd
    assert json.loads(text)["videos"]["a/one"]["threshold_counts"] == video(20).threshold_counts


def test_parts_keep_their_counts_when_they_are_merged() -> None:
    whole = merged([result("x", a_one=video(20)), result("y", b_one=video(40))], "both")
    assert whole.scores_at_thresholds()[20].videos["a/one"]["f_measure"] == 1
    assert whole.scores_at_thresholds()[40].videos["b/one"]["f_measure"] == 1


def test_table_names_the_best_threshold_and_how_it_was_chosen() -> None:
    results = [result("median", a_one=video(20)), result("pca", a_one=video(70))]
    output = shown(results)
    assert "test frames" in output
    own = [each.scores().overall["f_measure"] for each in results]
    lines = [line.split() for line in output.splitlines()]
    assert ["median", "ThresholdedDifference", "0.20", "1.0000", f"{own[0]:.4f}"] in lines
    assert ["pca", "ThresholdedDifference", "0.70", "1.0000", f"{own[1]:.4f}"] in lines
    up_to_half = shown(results, "video", 0.5).splitlines()[-2].split()
    assert up_to_half[:3] == ["pca", "ThresholdedDifference", "0.50"]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_picture(tmp_path: Path, count: int) -> None:
    results = [result(f"run {i}", a_one=video(10 * i + 5)) for i in range(count)]
    for ending in ("png", "svg", "PDF"):
        threshold_figure(tmp_path / f"new/curve.{ending}", curves_of(results, "pooled"), 0.5)
    image = cv2.imread(str(tmp_path / "new/curve.png"))
    assert image.shape == (660, 960, 3)
    colours = {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}
    assert len(colours) > 20 * count
    assert (tmp_path / "new/curve.PDF").read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["curve.PDF", "curve.png", "curve.svg"]


@pytest.mark.parametrize(
    ("name", "changes", "largest", "message"),
    [
        ("curve.jpg", {}, 1.0, r"curve.jpg: must end in .png, .pdf, .svg; got .\.jpg"),
        ("curve.png", {}, 0.0, r"--curve_to: .* 0\.01 to 1; got 0\.0"),
        ("curve.png", {}, 1.5, r"--curve_to: .* 0\.01 to 1; got 1\.5"),
        ("curve.png", {"videos": {}}, 1.0, "old: no frame was scored, so there is no curve. Run the test to its end."),
        (
            "curve.png",
            {"videos": {"a/one": replace(video(20), threshold_counts=[])}},
            1.0,
            "old: its scores.json has no counts at other thresholds than its own, because .* Run the test again.",
        ),
    ],
)
def test_what_cannot_be_drawn(tmp_path: Path, name: str, changes: dict[str, Any], largest: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        threshold_figure(tmp_path / name, curves_of([replace(result("old", a_one=video(20)), **changes)]), largest)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("averaging", ["video", "pooled"])
def test_average_precision_is_the_area_of_the_steps(averaging: Any) -> None:
    results = [replace(result("own", a_one=of_two_classes(2), a_two=of_two_classes(1)), threshold=0.4)]
    results.append(result("older", a_one=of_two_classes(0.5), a_two=yes_or_no()))
    lines = [line.split() for line in shown(results, averaging, 0.5, lay_out=precision_recall_table).splitlines()]
    for each, own in zip(results, ("0.40", "own"), strict=True):
        at = [scores.overall for scores in each.scores_at_thresholds(averaging)]
        at_own = each.scores_at_thresholds(averaging, skip_silent=True)
        precision = np.array([row.overall.get("precision", 0.0) for row in at_own])
        recall = np.array([row["recall"] for row in at])
        area = 0.0
        for r in (
            np.linspace(0, 1, 100_001)[:-1] + 5e-6
        ):  # of each recall, precision at the largest threshold that has it
            area += precision[np.flatnonzero(recall >= r)[-1]] / 100_000 if recall[0] >= r else 0.0
        (line,) = (line for line in lines if line[:1] == [each.name])
        assert line[1] == own
        found = each.scores(averaging, skip_silent=True).overall
        assert line[2:5] == [f"{found[key]:.4f}" for key in ("precision", "recall", "f_measure")]
        assert float(line[5]) == pytest.approx(area, abs=2e-4)
        best = max(range(51), key=lambda i: at[i]["f_measure"])
        expected = [f"{at[best][key]:.4f}" for key in ("precision", "recall", "f_measure")]
        assert [f"{THRESHOLDS[best]:.2f},", "best", "*", *expected] in lines


def test_there_is_no_precision_where_nothing_is_called_foreground(tmp_path: Path) -> None:
    """One of two videos is silent at every threshold; the other has 100 hits and 100 false alarms below 0.5."""
    silent = VideoResult([0, 0, 100, 900, 0], 10, "unseen scenes", threshold_counts=[[0, 0, 100, 900]] * 101)
    half = [[100, 100, 0, 800]] * 50 + [[0, 0, 100, 900]] * 51
    speaks = VideoResult([100, 100, 0, 800, 0], 10, "unseen scenes", threshold_counts=half)
    results = [
        replace(result(name), videos={"a/x": silent, "a/y": each}) for name, each in (("one", speaks), ("none", silent))
    ]
    lines = [line.split() for line in shown(results, lay_out=precision_recall_table).splitlines()]
    assert ["one", "own", "0.5000", "0.5000", "0.3333", "0.2500"] in lines
    assert ["none", "own", "–", "0.0000", "0.0000", "–"] in lines
    precision_recall_figure(tmp_path / "curve.svg", curves_of(results))


def test_a_system_that_says_yes_or_no_has_a_point_and_no_curve(tmp_path: Path) -> None:
    output = shown([result("mog2", a_one=yes_or_no())], lay_out=precision_recall_table)
    assert ["mog2", "own", "0.6667", "0.6000", "0.6316", "–"] in [line.split() for line in output.splitlines()]
    assert "best *" not in output
    both = [result("mog2", a_one=yes_or_no()), result("median", a_one=of_two_classes(2))]
    precision_recall_figure(tmp_path / "point.svg", curves_of(both))
    precision_recall_figure(tmp_path / "curve.svg", curves_of(both[1:]))
    sizes = {}
    for name in ("point", "curve"):
        paths = ET.parse(tmp_path / f"{name}.svg").getroot().iter("{http://www.w3.org/2000/svg}path")
        sizes[name] = [path.get("d", "").count("L") for path in paths if "clip-path" in path.attrib]
    assert max(sizes["curve"]) > 100
    assert sizes["point"] == sizes["curve"]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_precision_recall_picture(tmp_path: Path, count: int) -> None:
    results = [result(f"run {i}", a_one=of_two_classes(i / 3)) for i in range(count)]
    for ending in ("png", "svg", "PDF"):
        precision_recall_figure(tmp_path / f"new/pr.{ending}", curves_of(results, "pooled"))
    image = cv2.imread(str(tmp_path / "new/pr.png"))
    assert image.shape == (660, 960, 3)
    assert len({tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}) > 20 * count
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["pr.PDF", "pr.png", "pr.svg"]


@pytest.mark.parametrize(
    ("name", "changes", "largest", "message"),
    [
        ("pr.gif", {}, 1.0, r"pr.gif: must end in .png, .pdf, .svg; got .\.gif"),
        ("pr.png", {}, 2.0, r"--curve_to: .* 0\.01 to 1; got 2\.0"),
        ("pr.png", {"videos": {}}, 1.0, "old: no frame was scored, so there is no curve."),
        ("pr.png", {"videos": {"a/one": replace(video(20), threshold_counts=[])}}, 1.0, "old: .* Run the test again."),
    ],
)
def test_what_has_no_precision_recall_curve(
    tmp_path: Path, name: str, changes: dict[str, Any], largest: float, message: str
) -> None:
    results = [replace(result("old", a_one=video(20)), **changes)]
    with pytest.raises(UserError, match=message):
        precision_recall_figure(tmp_path / name, curves_of(results), largest)
    if name == "pr.png":
        with pytest.raises(UserError, match=message):
            precision_recall_table(curves_of(results), largest)
    assert list(tmp_path.iterdir()) == []


def test_report_draws_the_runs_that_were_tested(
    tiny: Path, tmp_path: Path, fails: Callable[[int], str], capfd: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load(tiny.read_text())
    runs = []
    for background in ("TemporalMedian", "Eigenbackground"):
        source = {"class_path": f"bgsub_lightning.backgrounds.{background}"}
        content["model"] = {
            "class_path": "bgsub_lightning.systems.ThresholdedDifference",
            "init_args": {"background": source, "threshold": 0.9},
        }
        (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
        runs.append(str(tmp_path / background.lower()))
        options = [f"--run_dir={runs[-1]}", "--pictures.scenes=0", "--scores.show=false"]
        assert main(["test", "--config", str(tmp_path / "x.yaml"), *options]) == 0
    curve = tmp_path / "pictures/curve.png"
    capfd.readouterr()
    assert main(["report", *runs, "--curve", str(curve), "--curve_to=0.5", "--averaging=pooled"]) == 0
    output = " ".join(capfd.readouterr().out.split())
    for run in runs:
        at = [scores.overall["f_measure"] for scores in TestResult.load(Path(run)).scores_at_thresholds("pooled")]
        best = int(np.argmax(at[:51]))
        assert at[best] > 0.8
        assert f"{Path(run).name} ThresholdedDifference {THRESHOLDS[best]:.2f} {at[best]:.4f} {at[90]:.4f}" in output
    assert f"{curve} shows F-measure against threshold." in output
    assert cv2.imread(str(curve)) is not None
    assert main(["report", *runs, f"--precision_recall={tmp_path / 'pr.svg'}"]) == 0
    assert f"{tmp_path / 'pr.svg'} shows precision against recall." in " ".join(capfd.readouterr().out.split())
    assert (tmp_path / "pr.svg").is_file()
    assert "must end in" in fails(main(["report", *runs, "--curve=curve.txt"]))
    older = json.loads((Path(runs[0]) / "scores.json").read_text())
    for each in older["videos"].values():
        del each["threshold_counts"]
    (tmp_path / "older.json").write_text(json.dumps(older))
    assert main(["report", str(tmp_path / "older.json"), runs[1]]) == 0
    capfd.readouterr()
    assert "Run the test again" in fails(main(["report", str(tmp_path / "older.json"), f"--curve={curve}"]))


@pytest.mark.parametrize(
    ("protocol", "is_whole"), [("fold 1 of 3", False), ("folds 1, 2, 3 of 3", True), ("all", True)]
)
def test_the_terminal_calls_overall_what_the_page_does(protocol: str, is_whole: bool, tmp_path: Path) -> None:
    """One rule decides: the table, the curves and the page never disagree."""
    one = replace(result("cv", a_x=of_two_classes(1.0)), protocol=protocol)
    one.save(tmp_path / "cv/scores.json")
    (series,) = load_results([tmp_path / "cv"]).series
    assert series.extent == one.extent
    cell = overall([series], against=[]).rows[0].cells[1]
    assert (cell.value is not None) is is_whole
    with console.capture() as capture:
        console.print(table([one]))
    texts = [capture.get(), shown([one]), shown([one], lay_out=precision_recall_table)]
    for text in (" ".join(text.split()) for text in texts):
        assert ("overall" in text.replace("no overall metric", "")) is is_whole
        assert ("tested part" in text) is not is_whole
        assert ("fold 2 of 3, fold 3 of 3" in text) is not is_whole
