"""The page of a report: its structure, what it needs, what it says where something is missing."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from message_parts import in_order
from PIL import Image

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation import TestResult, VideoResult
from bgsub_lightning.evaluation.gallery import GalleryFrame, chosen, write_index
from bgsub_lightning.report.page import Section, report_page, write_page
from bgsub_lightning.report.results import load_results
from bgsub_lightning.report.resulttable import Cell, Column, ResultTable, TableRow

VIDEOS = ("baseline/highway", "baseline/office", "shadow/bungalows")
EVIL = "<script>alert('$x$')</script>"


class Page(HTMLParser):
    """Content of a page, and that its tags are closed in order."""

    VOID = frozenset({"meta", "img", "br", "wbr", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in {"th", "td"}:
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            if self.tags and self.tags[-1][0] == "wbr":
                self.words[-1] += data
            else:
                self.words.append(data)
        if {"th", "td"} & set(self.open):
            self.cells[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def video(scale: float) -> VideoResult:
    counts = []
    for i in range(101):
        fp, fn = round(300 * scale * (100 - i) / 100), round(100 * scale * i / 100)
        counts.append([100 - fn, fp, fn, 900 - fp])
    return VideoResult([*counts[50], 0], 6, "unseen scenes", threshold_counts=counts)


def make_run(
    folder: Path, name: str, scales: Sequence[float] = (0.1, 0.3, 0.2), gallery: bool = True, **changes: object
) -> Path:
    """Write what `fit` and `test` leave behind, as far as a page reads it."""
    run = folder / name.replace("/", "_")
    run.mkdir(parents=True)
    videos = {key: video(scale) for key, scale in zip(VIDEOS, scales, strict=True)}
    result = TestResult(
        name=name,
        system="BmnBsn",
        dataset="CDnet2014",
        protocol="fold 1 of 1",
        fold=1,
        seed=0,
        leakage="unseen scenes",
        checkpoint="/home/someone/secret/place/run/checkpoints/last.ckpt",
        videos=videos,
        device="cpu, 2 threads",
        versions={"torch": "2.6"},
        threshold=0.5,
        frames_shown=100,
        seconds=1 / scales[0],
    )
    replace(result, **changes).save(run / "scores.json")  # type: ignore[arg-type]
    log = run / "csv/version_0/metrics.csv"
    log.parent.mkdir(parents=True)
    log.write_text("epoch,step,train/loss/total,val/f_measure\n0,0,2.0,\n0,10,1.0,\n0,10,,0.4\n1,20,0.5,\n1,20,,0.6\n")
    if gallery:
        make_gallery(run, np.random.default_rng(len(name)))
    return run


def make_gallery(run: Path, generator: np.random.Generator) -> None:
    frames = [
        GalleryFrame(key, n, (n, int(generator.integers(1, 9)), 20 - n, 900, 0)) for key in VIDEOS for n in range(1, 9)
    ]
    write_index(run / "gallery", chosen(frames))
    for _, frame in chosen(frames):
        for kind in ("frame.jpg", "truth.png", "prediction.png", "confusion.png"):
            path = run / "gallery" / frame.video / f"{frame.number:06d}_{kind}"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            cv2.imwrite(str(path), image if kind.endswith("jpg") else (image > 127) * np.uint8(255))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Page]:
    def call(*runs: Path, parts: Sequence[Section] = (), **options: object) -> Page:
        path = write_page(tmp_path / "out", load_results(list(runs)), parts, **options)  # type: ignore[arg-type]
        return Page(path.read_text())

    return call


def system_page(folder: Path, name: str) -> Page:
    return Page((folder / f"out/systems/{name}.html").read_text())


def decoded(source: str) -> tuple[str, bytes]:
    kind, data = source.removeprefix("data:").split(";base64,")
    return kind, base64.b64decode(data)


def test_everything_lies_in_the_pages(write: Callable[..., Page], tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "one"), make_run(tmp_path, "two", (0.5, 0.2, 0.4), system="CrossNet")]
    write(*runs)
    for file in ("index.html", "systems/one.html", "systems/two.html"):
        text = (tmp_path / "out" / file).read_text()
        page = Page(text)
        assert not [tag for tag, _ in page.tags if tag in {"link", "iframe", "object", "embed"}]
        sources = [attributes["src"] for _, attributes in page.tags if "src" in attributes]
        assert sources
        assert all(source.startswith("data:image/") for source in sources)
        style = text.split("<style>")[1].split("</style>")[0]
        assert "url(" not in style
        assert "@import" not in style
        for source in sources:
            kind, data = decoded(source)
            if kind == "image/svg+xml":
                assert ET.fromstring(data).tag.endswith("svg")
            else:
                assert Image.open(io.BytesIO(data)).width <= 320
        assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
        assert all(image["alt"] for image in page.all("img"))
        assert "/home/someone" not in text
    assert "…/run/checkpoints/last.ckpt" in system_page(tmp_path, "one").text


def test_links_lead_somewhere(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "one"), make_run(tmp_path, "two", (0.5, 0.2, 0.4), system="CrossNet")]
    index = report_page(tmp_path / "out", runs)
    pages = {index, *(tmp_path / "out/systems").iterdir()}
    assert {path.name for path in pages} == {"index.html", "one.html", "two.html"}
    led = set()
    for path in pages:
        page = Page(path.read_text())
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        links = [link["href"] for link in page.all("a")]
        inner = [link[1:] for link in links if link.startswith("#")]
        assert inner == [each["id"] for each in page.all("section")]
        others = {(path.parent / link).resolve() for link in links if not link.startswith("#")}
        assert others == (pages - {index} if path == index else {index})
        led |= others
    assert led == pages


def test_systems_of_like_names_have_separate_pages(write: Callable[..., Page], tmp_path: Path) -> None:
    runs = [make_run(tmp_path / folder, name, system=name) for folder, name in (("a", "one/x"), ("b", "One x"))]
    page = write(*runs)
    links = [link["href"] for link in page.all("a") if link["href"].startswith("systems/")]
    assert len(set(links)) == 2
    for link, name in zip(links, ("one/x", "One x"), strict=True):
        assert name in Page((tmp_path / "out" / link).read_text()).words


def test_a_systems_page_has_its_metrics(write: Callable[..., Page], tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "one"), make_run(tmp_path, "two", (0.5, 0.2, 0.4), system="CrossNet")]
    write(*runs)
    scores = TestResult.load(runs[1]).scores()
    page = system_page(tmp_path, "two")
    rows = {row[0]: row for row in page.cells if row}
    for key, found in {**scores.videos, **scores.categories}.items():
        assert f"{found['f_measure']:.4f}" in rows[key], key
    assert rows["overall"][2] == f"{scores.overall['f_measure']:.4f}"
    assert "one" not in page.words


def test_columns_are_sorted_by_their_numbers_in_full(write: Callable[..., Page], tmp_path: Path) -> None:
    columns = (Column("system", "system", None), Column("f_measure", "F-measure", 2, "higher"))
    columns += (Column("pwc", "PWC (%)", 1, "lower"),)
    rows = tuple(
        TableRow((Cell(text=name), Cell(value), Cell()))
        for name, value in (("b", 0.12345), ("a", 0.12344), ("c", None))
    )
    page = write(make_run(tmp_path, "x"), parts=[Section("overall", "Overall", [ResultTable("t", "T", columns, rows)])])
    at = next(i for i, (_, attributes) in enumerate(page.tags) if attributes.get("id") == "table-t")
    cells = [attributes for tag, attributes in page.tags[at:] if tag in {"td", "th"}][:12]
    assert [each.get("data-first") for each in cells[:3]] == [None, "descending", "ascending"]
    assert [each.get("data-sort") for each in cells[3:]] == [
        "b", "0.12345", None, "a", "0.12344", None, "c", None, None,
    ]  # fmt: skip
    assert "sortable" in page.tags[at][1]["class"].split()
    (script,) = re.findall(r"<script>(.*?)</script>", (tmp_path / "out/index.html").read_text(), re.DOTALL)
    for part in ("table.sortable", "aria-sort", "dataset.sort", "dataset.first"):
        assert part in script


def test_averages_of_one_system_are_headed_not_repeated(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "one"), make_run(tmp_path, "two", (0.5, 0.2, 0.4), system="CrossNet")]
    page = Page(report_page(tmp_path / "out", runs).read_text())
    at = next(i for i, row in enumerate(page.cells) if row[:2] == ["system", "F-measure"])
    end = next(i for i, row in enumerate(page.cells) if i > at and row[0] == "system")
    found = [[re.sub(r"^(one|two).*", r"\1", row[0]), *row[1:]] for row in page.cells[at + 1 : end]]
    headings = [row[0] for row in found if len(row) == 1]
    assert len(headings) == len(set(headings)) == 3
    ours = [row[0] for row in found if len(row) == 1 or row[0] in {"one", "two"}]
    assert ours == [each for heading in headings for each in (heading, "one", "two")]
    values = [row[1] for row in found if row[0] == "one"]
    result = TestResult.load(runs[0])
    expected = [result.scores(averaging).overall["f_measure"] for averaging in ("video", "pooled", "frames")]
    assert values == [f"{value:.4f}" for value in expected]


def test_figures_are_there_as_files_too(write: Callable[..., Page], tmp_path: Path) -> None:
    page = write(make_run(tmp_path, "one"), make_run(tmp_path, "two", (0.5, 0.2, 0.4), system="CrossNet"))
    files = sorted((tmp_path / "out/figures").iterdir())
    assert [path.stem for path in files] == [
        "learning_f_measure_1", "learning_total_1", "precision_recall", "speed", "threshold",
    ]  # fmt: skip
    shown = {decoded(image["src"])[1] for image in page.all("img") if image["src"].startswith("data:image/svg")}
    assert shown == {path.read_bytes() for path in files}
    for heading in ("F-measure against threshold", "Precision against recall", "Speed against F-measure"):
        assert heading in page.text


def test_the_same_tests_give_the_same_page(write: Callable[..., Page], tmp_path: Path) -> None:
    run = make_run(tmp_path, "one")
    write(run)
    first = (tmp_path / "out/index.html").read_bytes()
    write(run)
    assert (tmp_path / "out/index.html").read_bytes() == first


@pytest.mark.parametrize("name", [EVIL, "_hidden & $\\frac{1}$", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}"])
def test_names_are_escaped(write: Callable[..., Page], tmp_path: Path, name: str) -> None:
    evil = make_run(tmp_path / "a", "x", protocol=name, device=name, remark=f"`{name}`", versions={name: name})
    result = replace(TestResult.load(evil), name=name)
    result.save(evil / "scores.json")
    table = ResultTable(
        "overall",
        name,
        (Column("a", name, None), Column("f", name)),
        (TableRow((Cell(text=name), Cell(0.5, footnotes=("*",)))),),
        {"*": name},
        (name,),
    )
    other = make_run(tmp_path / "b", "two", system="CrossNet")
    page = write(evil, other, parts=[Section("overall", name, [table], messages=[name], intro=name)])
    assert len(page.all("script")) == 1
    assert not [attributes for _, attributes in page.tags if "onerror" in attributes or attributes.get("src") == "x"]
    assert name in " ".join(page.words)
    assert "49" not in re.findall(r"\d+", page.cells[1][0])
    drawn = b"".join(path.read_bytes() for path in (tmp_path / "out/figures").iterdir())
    assert b"<script" not in drawn


def test_videos_are_shown_worst_first(write: Callable[..., Page], tmp_path: Path) -> None:
    page = write(
        make_run(tmp_path, "one", (0.1, 0.9, 0.2)), make_run(tmp_path, "two", (0.3, 0.1, 0.9), system="CrossNet")
    )
    mean = {
        key: np.mean([TestResult.load(tmp_path / name).scores().videos[key]["f_measure"] for name in ("one", "two")])
        for key in VIDEOS
    }
    order = sorted(VIDEOS, key=mean.__getitem__)
    places = [page.words.index(key) for key in order]
    assert places == sorted(places)
    widths = [
        float(each["style"].split("width:")[1].split("%")[0])
        for each in page.all("i")
        if "width" in each.get("style", "")
    ]
    own = [
        TestResult.load(tmp_path / name).scores().videos[key]["f_measure"] for key in order for name in ("one", "two")
    ]
    assert widths == pytest.approx([100 * value for value in own], abs=0.01)


def test_tables_have_their_digits_spreads_and_marks(write: Callable[..., Page], tmp_path: Path) -> None:
    columns = (Column("system", "system", None), Column("leakage", "seen", None, is_context=True))
    columns += (Column("f", "F-measure"), Column("pwc", "PWC (%)", 3))
    both, names = Cell(text="unseen scenes"), ("pooled", "other")
    worse, printed = Cell(text="includes training frames"), Cell(0.9, text=".90", footnotes=names)
    rows = (
        TableRow((Cell(text="ours"), both, Cell(0.87654, 0.01, 3), Cell(1.5)), "overall"),
        TableRow((Cell(text="theirs"), worse, printed, Cell())),
    )
    notes = {"never": "not used", "other": "another thing", "pooled": "counts pooled"}
    part = Section("overall", "Overall", [ResultTable("overall", "All", columns, rows, notes)])
    page = write(make_run(tmp_path, "one"), parts=[part])
    at = next(i for i, row in enumerate(page.cells) if row == ["system", "F-measure", "PWC (%)"])
    assert page.cells[at + 1] == ["ours unseen scenes", "0.8765 ± 0.0100", "1.500"]
    assert page.cells[at + 2] == ["theirs includes training frames", ".901,2", "–"]
    spans = [attributes for tag, attributes in page.tags if tag == "span"]
    assert [each["data-pad"] for each in spans if "data-pad" in each] == ["00 ± 0.0100"]  # what keeps decimals in line
    assert {"mark unseen", "mark trained"} <= {each.get("class") for each in spans}
    assert "1 counts pooled. 2 another thing." in page.text
    assert "not used" not in page.text


def test_tables_scroll_within_the_page(write: Callable[..., Page], tmp_path: Path) -> None:
    """By touch and by keys; the leak guard takes no column, and is said once where all rows agree."""
    columns = (Column("system", "system", None), Column("leakage", "seen", None, is_context=True), Column("f", "F"))
    rows = [TableRow((Cell(text=name), Cell(text="unseen scenes"), Cell(0.5))) for name in ("ours", "theirs")]
    part = Section("overall", "Overall", [ResultTable("overall", "All", columns, tuple(rows))])
    page = write(make_run(tmp_path, "one"), parts=[part])
    at = page.cells.index(["system", "F"])
    assert page.cells[at + 1 : at + 3] == [["ours", "0.5000"], ["theirs", "0.5000"]]
    assert "All unseen scenes" in page.text
    around = [page.tags[i - 1] for i, (tag, _) in enumerate(page.tags) if tag == "table"]
    assert len(around) == 2  # of the systems, and this one
    for tag, attributes in around:
        assert (tag, attributes["role"], attributes["tabindex"]) == ("div", "region", "0")
        assert "table" in attributes["class"].split()
        assert attributes["aria-label"]
    style = (tmp_path / "out/index.html").read_text().split("<style>")[1].split("</style>")[0]
    rules = dict(re.findall(r"^(\.table[^{]*) \{(.*)\}$", style, re.MULTILINE))
    assert "overflow-x: auto" in rules[".table"]
    assert "position: sticky; left: 0" in rules[".table tr > :first-child"]


def test_gallery_shows_what_was_kept(write: Callable[..., Page], tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "one"), make_run(tmp_path, "two", (0.5, 0.2, 0.4), system="CrossNet")]
    page = write(*runs)
    own = [system_page(tmp_path, name) for name in ("one", "two")]
    for category, of_category in (("baseline", VIDEOS[:2]), ("shadow", VIDEOS[2:])):
        for rule in ("best", "median", "worst"):
            assert re.search(
                rf"{of_category[0].split('/')[0]}/\w+, frame \d: [\w, ]*{rule}[\w, ]* of {category}, F 0\.\d{{4}}",
                own[0].text,
            )
    for each in own:
        captions = [word for word in each.words if word in {"frame", "truth", "prediction", "confusion"}]
        assert [captions.count(kind) for kind in ("frame", "truth", "prediction", "confusion")] == [2 * 3] * 4
    captions = [word for word in page.words if word in {"frame", "truth", "prediction", "confusion"}]
    assert captions == ["frame", "truth"] * 2  # two categories side by side
    assert re.search(r"one : F 0\.\d{4}|one: F 0\.\d{4}", page.text)


def test_what_is_missing_is_named(write: Callable[..., Page], tmp_path: Path) -> None:
    run = make_run(tmp_path, "bare", gallery=False)
    shutil.rmtree(run / "csv")
    old = TestResult.load(run)
    replace(old, videos={key: replace(v, threshold_counts=[]) for key, v in old.videos.items()}).save(
        run / "scores.json"
    )
    page = write(run)
    assert re.search(r"No frames .*\bbare: .*test", page.text)
    assert re.search(r"No frames .*test", system_page(tmp_path, "bare").text)
    assert re.search(r"No training .*\bbare\b", page.text)
    assert re.search(r"\bbare .*no curves", page.text)


def test_a_lost_picture_is_reported_and_not_shown_broken(write: Callable[..., Page], tmp_path: Path) -> None:
    run = make_run(tmp_path, "one")
    for path in (run / "gallery").rglob("*_truth.png"):
        path.unlink()
    for path in (run / "gallery").rglob("*_frame.jpg"):
        path.write_bytes(b"no picture")
    write(run)
    page = system_page(tmp_path, "one")
    assert page.text.count("The picture is not there. Run test again.") == 2 * 2 * 3
    assert all(image["src"] for image in page.all("img"))


def test_a_picture_that_is_a_link_is_not_embedded(write: Callable[..., Page], tmp_path: Path) -> None:
    run = make_run(tmp_path, "one")
    picture = next((run / "gallery").rglob("*_frame.jpg"))
    picture.replace(tmp_path / "secret.jpg")
    picture.symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(UserError, match=rf"{picture.name}: is a symbolic link"):
        write(run)


def test_incomplete_folds_have_curves_and_no_overall(write: Callable[..., Page], tmp_path: Path) -> None:
    page = write(
        make_run(tmp_path, "cv_fold1", protocol="fold 1 of 3", fold=1),
        make_run(tmp_path, "whole", system="CrossNet"),
    )
    note = ("cv_fold1", "fold 2 of 3, fold 3 of 3")
    assert in_order(page.text.partition("Systems")[0], *note)
    assert in_order(page.text.partition("Systems")[2], "tested part", *note)
    assert {path.name for path in (tmp_path / "out/figures").iterdir()} >= {"threshold.svg", "precision_recall.svg"}


def test_earlier_reports_are_replaced_and_other_folders_refused(write: Callable[..., Page], tmp_path: Path) -> None:
    run = make_run(tmp_path, "one")
    write(run, files={"old.csv": "1\n"})
    assert (tmp_path / "out/tables/old.csv").read_text() == "1\n"
    (tmp_path / "out/notes.txt").write_text("mine")
    write(run, files={"new.csv": "2\n"})
    assert [path.name for path in (tmp_path / "out/tables").iterdir()] == ["new.csv"]
    assert (tmp_path / "out/notes.txt").read_text() == "mine"
    results = load_results([run])
    with pytest.raises(UserError, match=r"--out: .*other files"):
        write_page(run, results, [])
    with pytest.raises(UserError, match=r"--out: .*scores\.json is a file"):
        write_page(run / "scores.json", results, [])


def test_a_report_that_was_killed_at_its_first_file_can_be_repeated(write: Callable[..., Page], tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal; from bgsub_lightning.core.files import atomic_write\n"
        f"with atomic_write(pathlib.Path({str(tmp_path / 'out/index.html')!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert len([*(tmp_path / "out").iterdir()]) == 1
    write(make_run(tmp_path, "one"))
    assert not [*(tmp_path / "out").glob(".*")]


def test_panels_of_backgrounds_are_shown(write: Callable[..., Page], tmp_path: Path) -> None:
    run = make_run(tmp_path, "one")
    (run / "pictures").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (90, 1600, 3), dtype=np.uint8)
    cv2.imwrite(str(run / "pictures/test_background.png"), noise)
    (run / "pictures/test_inner.png").write_bytes(b"no picture")
    write(run)
    page = system_page(tmp_path, "one")
    assert "one: background model" in page.text
    assert "The picture cannot be read." in page.text
    wide = [image for image in page.all("img") if image["alt"] == "one: background model"]
    assert Image.open(io.BytesIO(decoded(wide[0]["src"])[1])).size == (1300, 73)
