"""The page of the results of tests."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, claimed, is_partial, refuse_links, remove_partials
from bgsub_lightning.core.records import read_text
from bgsub_lightning.core.text import sentence
from bgsub_lightning.core.version import __version__
from bgsub_lightning.evaluation.drawing import BLACK, GREEN, PINK, RED
from bgsub_lightning.evaluation.gallery import Kept, joined, read_gallery
from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.report.curves import precision_recall_figure, threshold_figure
from bgsub_lightning.report.datasets import dataset_remarks, dataset_title
from bgsub_lightning.report.figures import colour, curves_figure, speed_figure
from bgsub_lightning.report.learning import Curve, learning_curves
from bgsub_lightning.report.page.pictures import Picture, drawing, picture
from bgsub_lightning.report.paper_tables import file_name, tables_of
from bgsub_lightning.report.results import FinishedRun, Results, Series, load_results
from bgsub_lightning.report.resulttable import Cell, Column, ResultTable, TableRow
from bgsub_lightning.report.statistics import compare, comparison_table, comparisons_table, require_same_test
from bgsub_lightning.report.thresholds import ThresholdCurve
from bgsub_lightning.report.writers import as_csv, as_latex, as_markdown

PAGE = "index.html"
_UNFINISHED = (
    f'<!doctype html><meta charset="utf-8"><meta name="generator" content="bgsub_lightning {__version__}">'
    "<title>Unfinished report</title><p>This report was not finished. Run the same command again."
)
_OWNED = ("figures", "tables")
_MARKS: dict[str, str] = {
    "unseen scenes": "unseen",
    "seen scenes, unseen frames": "seen",
    "unknown": "seen",
    "includes training frames": "trained",
}
_PANELS = (("test_background.png", "background model"), ("test_inner.png", "on the way to the answer"))
_MOST_PANELS = 3  # runs of a system whose panels are shown
_POOLED = ", counts pooled by category"
_TALL = 24  # rows, above which a table scrolls by itself
_MOST_REASONS = 5
_MOST_LINES = 10  # of a figure of learning curves, above which it is not legible


@dataclass(frozen=True)
class Section:
    """A section of tables.

    Attributes:
        name: Its name in addresses.
        heading: Its name for readers.
        tables: What it shows.
        collapsed: Tables that are shown when they are opened.
        intro: A sentence before them.
        messages: What must be said before them, such as why there is no table.
    """

    name: str
    heading: str
    tables: Sequence[ResultTable] = ()
    collapsed: Sequence[ResultTable] = ()
    intro: str = ""
    messages: Sequence[str] = ()


@dataclass
class _Drawings:
    """Figures, messages where one cannot be drawn, and notes below them."""

    figures: list[dict[str, str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, title: str, path: Path) -> None:
        self.figures.append({"title": title, "source": drawing(path)})


def require_ours(folder: Path) -> None:
    """Check that a folder is new, empty, or one that :func:`write_page` wrote, or was killed at its first file.

    Raises:
        UserError: If it holds anything else, which the page would lie among.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out: {folder} is a file. Name a folder.")
    if not folder.is_dir() or all(is_partial(path) for path in folder.iterdir()):
        return
    try:
        ours = 'name="generator" content="bgsub_lightning' in read_text(folder / PAGE)[:2000]
    except (OSError, UserError):
        ours = False
    if not ours:
        raise UserError(f"--out: {folder} holds other files than those of a report. Name a new or an empty folder.")


def report_page(folder: Path, paths: Sequence[Path]) -> Path:
    """Write the page of tests, with all tables that they can fill.

    Args:
        folder: Where: a new or an empty folder, or that of an earlier report, whose files are replaced.
        paths: Run directories, scores.json files, and folders of campaigns.

    Returns:
        The page.

    Raises:
        UserError: If the folder holds anything else, there is no test, or something of one cannot be read.
    """
    require_ours(folder)
    results = load_results(paths)
    comparison = _comparison(results)
    tables = [*tables_of(results), *comparison.tables, *comparison.collapsed]
    files = {
        f"{table.key}{ending}": writer(table)
        for table in tables
        for ending, writer in ((".csv", as_csv), (".md", as_markdown), (".tex", as_latex))
    }

    def of(*begins: str) -> list[ResultTable]:
        return [table for table in tables if table.key.startswith(begins)]

    main = of("by_part_f_measure")
    parts = [
        Section("overall", "Overall", of("overall")),
        Section("categories", "Categories", main, [each for each in of("by_part", "of_") if each not in main]),
        comparison,
        Section("settings", "Settings", of("ablation")),
        Section("speed", "Speed and thresholds", of("speed"), of("at_thresholds")),
    ]
    by_video = of("by_video")
    parts = [part for part in parts if part.tables or part.collapsed or part.messages]
    with claimed(folder):
        return write_page(folder, results, parts, by_video, files)


def write_page(
    folder: Path,
    results: Results,
    parts: Sequence[Section],
    video_tables: Sequence[ResultTable] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write ``index.html``, which holds all that it shows, ``figures/`` as SVG, and ``tables/``.

    Args:
        folder: Where: a folder that :func:`require_ours` lets pass.
        results: The tests.
        parts: Sections of tables.
        video_tables: Tables by video, which go with the bars.
        files: Name of a file in ``tables/`` → what is in it.

    Returns:
        The page.

    Raises:
        UserError: If the folder is not ours, or a log or a gallery cannot be read.
    """
    require_ours(folder)
    for owned in _OWNED:
        refuse_links(folder / owned, folder)
    remove_partials(folder)
    if not (folder / PAGE).is_file():  # by which a report that is killed is known as ours
        with atomic_write(folder / PAGE) as file:
            file.write(_UNFINISHED)
    for owned in _OWNED:
        shutil.rmtree(folder / owned, ignore_errors=True)
    series = results.series
    warnings = [sentence(each.extent.note) for each in series if not each.extent.is_whole]
    content = {
        "version": __version__,
        "css": Markup(_resource("report.css")),
        "title": _title(series),
        "lead": _lead(series),
        "warnings": [
            *(remark for results in _datasets(series).values() for remark in dataset_remarks(results)),
            *warnings,
            *results.remarks,
        ],
        "sections": {
            "systems": "Systems",
            **{part.name: part.heading for part in parts},
            "videos": "Videos",
            "curves": "Curves",
            "learning": "Learning",
            "gallery": "Gallery",
            "provenance": "Provenance",
        },
        "systems": [_system(i, each) for i, each in enumerate(series)],
        "parts": [
            {
                "name": part.name,
                "intro": part.intro,
                "messages": part.messages,
                "tables": [_table(each) for each in part.tables],
                "collapsed": [_table(each) for each in part.collapsed],
            }
            for part in parts
        ],
        "videos": _bars(series),
        "video_tables": [_table(each) for each in video_tables],
        "curves": _curves(folder / "figures", series),
        "learning": _learning(folder / "figures", series),
        "confusion_colours": {
            "true positive": _css(GREEN),
            "false positive": _css(RED),
            "false negative (missed)": _css(PINK),
            "true negative": _css(BLACK),
            "ignored": "#888",
        },
        "gallery": _gallery(series),
        "provenance": [
            {**_system(i, each), "runs": [{"name": run.result.name, "facts": _facts(run)} for run in each.runs]}
            for i, each in enumerate(series)
        ],
        "files": "tables as CSV, Markdown and LaTeX in tables/, figures as SVG in figures/" if files else "",
    }
    for name, text in (files or {}).items():
        with atomic_write(folder / "tables" / name, within=folder) as file:
            file.write(text)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["code"] = _code
    environment.globals["leak_class"] = _MARKS.__getitem__
    page = environment.from_string(_resource("report.html")).render(content)
    with atomic_write(folder / PAGE) as file:
        file.write(page)
    return folder / PAGE


def _comparison(results: Results) -> Section:
    """Compare systems pair by pair, where they were tested on the same frames: the first of them with each other."""
    groups: list[list[Series]] = []
    reasons: dict[str, str] = {}
    for each in results.series:
        for group in groups:
            try:
                require_same_test(group[0], each)
            except UserError as error:
                reasons[each.name] = str(error)
            else:
                group.append(each)
                break
        else:
            groups.append([each])
    tables, collapsed = [], []
    for number, group in enumerate(group for group in groups if len(group) > 1):
        comparisons = [compare(group[0], other) for other in group[1:]]
        suffix = f"_{number + 1}" if number else ""
        together = comparisons_table(comparisons)
        tables.append(replace(together, key=file_name(f"{together.key}{suffix}")))
        for one in comparisons:
            alone = comparison_table(one)
            collapsed.append(replace(alone, key=file_name(f"{alone.key}_{one.first}_{one.second}")))
    if len(results.series) < 2:
        return Section("comparison", "Comparison")
    alone_ones = {group[0].name for group in groups if len(group) == 1}
    messages = [reason for name, reason in reasons.items() if name in alone_ones]
    intro = "The difference is taken video by video, of systems that were tested on the same frames."
    return Section("comparison", "Comparison", tables, collapsed, intro, messages[:_MOST_REASONS])


def _resource(name: str) -> str:
    return (resources.files(__package__ or "") / name).read_text(encoding="utf-8")


def _code(text: str) -> Markup:
    """Set what stands between backquotes in the type of commands, everything escaped."""
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


# --- head -------------------------------------------------------------------------------------------------------------


def _title(series: Sequence[Series]) -> str:
    return f"Background subtraction on {' and '.join(dataset_title(results) for results in _datasets(series).values())}"


def _lead(series: Sequence[Series]) -> str:
    runs = [run.result for each in series for run in each.runs]
    videos = {(run.dataset, key) for run in runs for key in run.videos}
    most = max(sum(whole.frames.values()) for each in series for whole in each.per_seed)
    return (
        f"{_count(len(series), 'system')}, {_count(len(runs), 'test')}, {_count(len(videos), 'video')}; "
        f"up to {_count(most, 'tested frame')} each"
    )


def _datasets(series: Sequence[Series]) -> dict[str, list[TestResult]]:
    """Dataset → what was found on it, each seed by itself."""
    found: dict[str, list[TestResult]] = {}
    for each in series:
        found.setdefault(each.dataset, []).extend(each.per_seed)
    return found


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _system(place: int, series: Series) -> dict[str, Any]:
    seeds = sorted({run.result.seed for run in series.runs})
    return {
        "name": series.name,
        "colour": colour(place),
        "leakage": series.leakage,
        "protocol": series.protocol,
        "tests": len(series.runs),
        "seeds": ", ".join(map(str, seeds)),
        "missing": ", ".join(series.missing),
    }


# --- tables -----------------------------------------------------------------------------------------------------------


def _table(table: ResultTable) -> dict[str, Any]:
    """Lay a table out: decimals below each other, numbers of notes, rules between groups.

    The leak guard is not a column, which would push the numbers out of a small screen: it goes below the name of each
    row, or once into the caption where all rows agree.
    """
    numbers = table.numbers
    own_columns = [i for i, column in enumerate(table.columns) if column.key != "leakage"]
    columns = [table.columns[i] for i in own_columns]
    cells = [[row.cells[i] for i in own_columns] for row in table.rows]
    guards = [_guard(row, table) for row in table.rows]
    agreed = guards[0] if guards and all(guard == guards[0] for guard in guards) else None
    widths = [_widths([row[i] for row in cells], column.digits) for i, column in enumerate(columns)]
    has_parts = len({row.level for row in table.rows}) > 1
    rows, before = [], table.rows[0].group if table.rows else ""
    for row, own, guard in zip(table.rows, cells, guards, strict=True):
        kinds = [
            "total" * (row.level == "overall" and has_parts),
            "video" * (row.level == "video" and has_parts),
            "published" * row.published,
            "group" * (row.group != before),
        ]
        shown = [
            _cell(cell, column, width) | {"footnotes": _signs(cell, numbers)}
            for cell, column, width in zip(own, columns, widths, strict=True)
        ]
        twice = sum(other[0].text == own[0].text for other in cells) > 1
        averaging = [cell.text for cell, column in zip(own, columns, strict=True) if column.key == "averaging"]
        below = " ".join(averaging) if twice and not row.published else ""
        kind = " ".join(filter(None, kinds))
        rows.append({"cells": shown, "kind": kind, "guard": None if agreed else guard, "below": below})
        before = row.group
    return {
        "key": table.key,
        "title": table.title + _POOLED * (table.key.endswith("_pooled") and "pooled" not in table.title),
        "guard": agreed,
        "tall": len(rows) > _TALL,
        "columns": [
            {"heading": column.heading, "kind": "" if column.digits is None else "number"} for column in columns
        ],
        "rows": rows,
        "notes": {number: table.notes[name] for name, number in numbers.items()},
        "remarks": table.remarks,
    }


def _guard(row: TableRow, table: ResultTable) -> dict[str, str] | None:
    """What training has seen of what a row is of."""
    for cell, column in zip(row.cells, table.columns, strict=True):
        if column.key == "leakage":
            text = cell.text if cell.text in _MARKS else "not stated"
            return {"text": text, "kind": _MARKS.get(text, "other"), "footnotes": _signs(cell, table.numbers)}
    return None


def _signs(cell: Cell, numbers: Mapping[str, int]) -> str:
    return ",".join(str(numbers[name]) for name in dict.fromkeys(cell.footnotes))


def _cell(cell: Cell, column: Column, widths: tuple[int, str]) -> dict[str, Any]:
    if column.digits is None:
        return {
            "text": cell.text,
            "kind": "context" if column.is_context else "",
            **dict.fromkeys(("spread", "pad", "sort"), ""),
        }
    number = replace(cell, sd=None).shown(column.digits)
    decimals = _decimals(number)
    spread = "" if cell.sd is None or cell.text else f" ± {cell.sd:.{column.digits}f}"
    most, spreads = widths
    pad = "." * (decimals == 0 < most and cell.value is not None) + "0" * (most - decimals) * (cell.value is not None)
    return {
        "text": number,
        "kind": "number",
        "spread": spread,
        "pad": pad + ("" if spread else spreads),
        "sort": "" if cell.value is None else repr(cell.value),
    }


def _widths(cells: Sequence[Cell], digits: int | None) -> tuple[int, str]:
    """The most decimals of a column's numbers, and its first standard deviation: others are as wide."""
    if digits is None:
        return 0, ""
    shown = [_decimals(replace(cell, sd=None).shown(digits)) for cell in cells]
    return max(shown, default=0), next((f" ± {cell.sd:.{digits}f}" for cell in cells if cell.sd is not None), "")


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])


# --- videos -----------------------------------------------------------------------------------------------------------


def _bars(series: Sequence[Series]) -> list[dict[str, Any]]:
    """F-measure of each video and system, the worst video first."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for place, each in enumerate(series):
        for key, figures in each.by_video().items():
            found.setdefault((each.dataset, key), []).append((place, figures["f_measure"].mean))
    several_datasets = len({dataset for dataset, _ in found}) > 1
    ranked = sorted(found.items(), key=lambda item: (statistics.fmean(value for _, value in item[1]), item[0]))
    return [
        {
            "name": f"{dataset}: {key}" if several_datasets else key,
            "bars": [
                {
                    "name": series[place].name,
                    "colour": colour(place),
                    "percent": f"{100 * value:.2f}",
                    "value": f"{value:.4f}",
                }
                for place, value in bars
            ],
        }
        for (dataset, key), bars in ranked
    ]


# --- curves -----------------------------------------------------------------------------------------------------------


def _curves(folder: Path, series: Sequence[Series]) -> _Drawings:
    """F-measure against threshold, precision against recall, speed against F-measure; for each dataset."""
    shown = _Drawings()
    datasets = _datasets(series)
    for number, (dataset, results) in enumerate(datasets.items()):
        title = dataset_title(results)
        of = f" on {title}" if len(datasets) > 1 or title != dataset else ""
        suffix = f"_{number + 1}" if len(datasets) > 1 else ""
        curves: list[ThresholdCurve] = []
        speeds = []
        tested = set()
        extent = " or ".join(dict.fromkeys(each.extent.name for each in series if each.dataset == dataset))
        for place, each in enumerate(series):
            if each.dataset != dataset:
                continue
            part = ""
            if not each.extent.is_whole:
                part = f", {each.extent.name}"
                shown.messages.append(f"Curves of the tested part: {each.extent.note}.")
            for whole in each.per_seed:
                tested.add(tuple(sorted(whole.frames.items())))
                name = (each.name if len(each.per_seed) == 1 else f"{each.name}, seed {whole.seed}") + part
                if whole.frames_per_second:
                    f_measure = whole.scores().overall["f_measure"]
                    speeds.append((f"{name} ({whole.device})", place, whole.frames_per_second, f_measure))
                if not all(video.threshold_counts for video in whole.videos.values()):
                    shown.messages.append(f"{name} has no curves: its test kept no counts at thresholds.")
                    continue
                curve = ThresholdCurve.of(whole, place=place, name=name)
                curves.append(curve)
                if not curve.precision:
                    shown.messages.append(f"{name} has no precision: it calls nothing foreground at any threshold.")
        if curves:
            path = folder / f"threshold{suffix}.svg"
            threshold_figure(path, curves, within=folder.parent)
            shown.add(f"F-measure against threshold{of}", path)
            path = folder / f"precision_recall{suffix}.svg"
            precision_recall_figure(path, curves, within=folder.parent)
            shown.add(f"Precision against recall{of}", path)
        if speeds:
            path = folder / f"speed{suffix}.svg"
            speed_figure(path, speeds, f"F-measure, {extent}")
            shown.add(f"Speed against F-measure{of}", path)
        if len(tested) > 1:
            shown.notes.append(
                f"The systems{of} were not all tested on the same frames, so their curves are not strictly comparable."
            )
    if shown.figures:
        shown.notes.append(
            "CDnet's averaging. Dots: as tested; stars: best F-measure. A threshold that is read off these curves is "
            "chosen on the test frames: no measure of generalisation. AP: area under the steps of 101 thresholds. "
            "Frames per second include loading and counting, on the device that is named: they compare systems on one "
            "machine alone."
        )
    return shown


# --- learning ---------------------------------------------------------------------------------------------------------


def _learning(folder: Path, series: Sequence[Series]) -> _Drawings:
    """F-measure in validation and the loss of all systems; then the terms of each system's loss."""
    shown = _Drawings()
    logged: list[tuple[str, int, dict[str, Curve]]] = []
    for place, each in enumerate(series):
        found = [(_run_name(each, run), place, learning_curves(run.folder)) for run in each.runs]
        logged += [line for line in found if line[2]]
    without = [each.name for place, each in enumerate(series) if place not in {place for _, place, _ in logged}]
    if without:
        shown.messages.append(
            f"No training was logged beside the tests of {', '.join(without)}: systems without training have none, and "
            f"`test` with another --run_dir than `fit` leaves the logs there."
        )
    for key, label, title in (
        ("val/f_measure", "F-measure in validation", "Validation"),
        ("train/loss/total", "loss in training", "Training"),
    ):
        having = [(name, place, curves[key]) for name, place, curves in logged if key in curves]
        for part in range(0, len(having), _MOST_LINES):
            lines = {name: (place, curve) for name, place, curve in having[part : part + _MOST_LINES]}
            path = folder / f"learning_{key.split('/')[-1]}_{part // _MOST_LINES + 1}.svg"
            curves_figure(path, lines, label, unit=key.startswith("val"), logarithmic=key.startswith("train"))
            shown.add(title, path)
    seen = set()
    for name, place, curves in logged:
        terms = {key: (i, c) for i, (key, c) in enumerate(curves.items()) if key.startswith("train/loss/")}
        if place not in seen and len(terms) > 2:  # one term is the total
            seen.add(place)
            path = folder / f"learning_terms_{place + 1}.svg"
            labelled = {key.removeprefix("train/loss/"): line for key, line in terms.items()}
            curves_figure(path, labelled, "loss in training", logarithmic=True)
            shown.add(f"Terms of the loss: {name}", path)
    if shown.figures:
        shown.notes.append("Long curves are averaged to 300 points. Validation sees no test frame.")
    return shown


def _run_name(series: Series, run: FinishedRun) -> str:
    return series.name if len(series.runs) == 1 else f"{series.name}: {run.result.name}"


# --- gallery ----------------------------------------------------------------------------------------------------------


def _gallery(series: Sequence[Series]) -> dict[str, Any]:
    galleries = [joined([read_gallery(run.folder / "gallery") for run in each.runs]) for each in series]
    without = [each.name for each, gallery in zip(series, galleries, strict=True) if not gallery]
    messages = []
    if without:
        messages.append(
            f"No frames were kept of {', '.join(without)}: run `test` (or `evaluate`) again, which keeps some."
        )
    systems = []
    for place, (each, gallery) in enumerate(zip(series, galleries, strict=True)):
        by_frame: dict[Kept, list[str]] = {}
        for kept in gallery:
            if kept.rule != "most foreground":
                same = next((k for k in by_frame if (k.video, k.number) == (kept.video, kept.number)), kept)
                by_frame.setdefault(same, []).append(kept.rule)
        rows = [
            {
                "title": f"{_shown_in(each, kept.video)}, frame {kept.number}: {', '.join(rules)} of {kept.category}, "
                f"F {kept.f_measure:.4f}",
                "pictures": [
                    {**vars(picture(kept.picture("frame"), "frame")), "caption": "frame"},
                    {**vars(picture(kept.picture("truth"), "truth")), "caption": "truth"},
                    {**vars(picture(kept.picture("prediction"), "prediction")), "caption": "prediction"},
                    {**vars(picture(kept.picture("confusion"), "confusion")), "caption": "confusion"},
                ],
            }
            for kept, rules in by_frame.items()
        ]
        if rows:
            systems.append({"name": each.name, "colour": colour(place), "rows": rows})
    return {
        "messages": messages,
        "beside": _beside(series, galleries),
        "systems": systems,
        "panels": [panel for each in series for panel in _panels(each)],
    }


def _beside(series: Sequence[Series], galleries: Sequence[Sequence[Kept]]) -> list[dict[str, Any]]:
    """The frames that several systems have kept, because they have the most foreground."""
    frames: dict[tuple[str, str, int], list[tuple[Series, Kept]]] = {}
    for each, gallery in zip(series, galleries, strict=True):
        for kept in gallery:
            if kept.rule == "most foreground":
                frames.setdefault((each.dataset, kept.video, kept.number), []).append((each, kept))
    rows = []
    for (_, video, number), systems in sorted(frames.items()):
        if len(systems) < 2:
            continue
        one, first = systems[0]
        pictures = [
            {**vars(picture(first.picture("frame"), "frame")), "caption": "frame"},
            {**vars(picture(first.picture("truth"), "truth")), "caption": "truth"},
        ]
        pictures += [
            {
                **vars(picture(kept.picture("confusion"), f"confusion of {each.name}")),
                "caption": f"{each.name}: F {kept.f_measure:.4f}",
            }
            for each, kept in systems
        ]
        rows.append({"title": f"{_shown_in(one, video)}, frame {number}", "pictures": pictures})
    return rows


def _shown_in(series: Series, video: str) -> str:
    return f"synthetic {video}" if series.per_seed[0].origin else video


def _panels(series: Series) -> Iterable[dict[str, Any]]:
    """The pictures that tests draw of backgrounds, flow, and what else systems make on their way."""
    shown = 0
    for run in series.runs:
        paths = [(run.folder / "pictures" / name, what) for name, what in _PANELS]
        there = [(path, what) for path, what in paths if path.is_file()]
        shown += bool(there)
        if shown <= _MOST_PANELS:
            for path, what in there:
                yield {"caption": f"{_run_name(series, run)}: {what}", "picture": _panel(path)}


def _panel(path: Path) -> Picture:
    return picture(path, path.stem, 1300)


# --- provenance -------------------------------------------------------------------------------------------------------


def _facts(run: FinishedRun) -> dict[str, str]:
    """What a run's number rests on; places of the machine are cut short, because pages are passed on."""
    result = run.result
    test = run.folder / "test.yaml"
    weights = f" --ckpt_path {_short(result.checkpoint)}" if result.checkpoint else ""
    facts = {
        "system": result.system,
        "dataset": result.dataset,
        "origin": result.origin,
        "protocol": result.protocol,
        "tested on": result.leakage,
        "videos, frames": f"{len(result.videos)}, {sum(result.frames.values()):,}",
        "fold": str(result.fold),
        "seed": str(result.seed),
        "missing masks": f"{sum(result.missing.values()):,}" if result.missing else "",
        "threshold": "" if result.threshold is None else f"{result.threshold:g}",
        "checkpoint": _short(result.checkpoint) if result.checkpoint else "none",
        "remark": result.remark,
        "device": result.device,
        "frames per second": f"{result.frames_per_second:.1f}" if result.frames_per_second else "",
        "versions": ", ".join(f"{package} {version}" for package, version in result.versions.items()),
        "command": f"python -m bgsub_lightning test --config {_short(str(test))}{weights}" if test.is_file() else "",
    }
    return {name: value for name, value in facts.items() if value}


def _short(path: str) -> str:
    parts = Path(os.path.relpath(path)).parts
    return str(Path(*parts)) if ".." not in parts and len(parts) <= 4 else "/".join(("…", *parts[-3:]))
