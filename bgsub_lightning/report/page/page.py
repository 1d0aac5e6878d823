"""The page of the results of tests."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, claimed, is_partial, refuse_links, remove_partials
from bgsub_lightning.core.records import read_text
from bgsub_lightning.core.text import sentence
from bgsub_lightning.core.version import __version__
from bgsub_lightning.datasets.checks import some
from bgsub_lightning.evaluation.drawing import BLACK, GREEN, PINK, RED
from bgsub_lightning.report.datasets import dataset_remarks, dataset_title
from bgsub_lightning.report.figures import colour
from bgsub_lightning.report.page.drawings import draw_curves, draw_learning
from bgsub_lightning.report.page.gallery import gallery_of
from bgsub_lightning.report.page.tables import LEAK_CLASSES, laid_out
from bgsub_lightning.report.paper_tables import file_name, tables_of
from bgsub_lightning.report.results import Results, load_results
from bgsub_lightning.report.resulttable import ResultTable
from bgsub_lightning.report.series import FinishedRun, Series, tests_of
from bgsub_lightning.report.statistics import compare, comparison_table, comparisons_table, require_same_test
from bgsub_lightning.report.writers import as_csv, as_latex, as_markdown

PAGE = "index.html"
_UNFINISHED = (
    f'<!doctype html><meta charset="utf-8"><meta name="generator" content="bgsub_lightning {__version__}">'
    "<title>Unfinished report</title><p>This report was not finished. Run the same command again."
)
_OWNED = ("figures", "tables")
_MOST_REASONS = 5
_CONFUSION_COLOURS = {
    "true positive": "#{:02x}{:02x}{:02x}".format(*GREEN),
    "false positive": "#{:02x}{:02x}{:02x}".format(*RED),
    "false negative (missed)": "#{:02x}{:02x}{:02x}".format(*PINK),
    "true negative": "#{:02x}{:02x}{:02x}".format(*BLACK),
    "ignored": "#888",
}


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
    parts = [part for part in parts if part.tables or part.collapsed or part.messages]
    with claimed(folder):
        return write_page(folder, results, parts, of("by_video"), files)


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
    _clear(folder)
    series, datasets = results.series, {name: tests_of(each) for name, each in results.datasets.items()}
    content = {
        "version": __version__,
        "css": Markup(_resource("report.css")),
        "title": f"Background subtraction on {' and '.join(map(dataset_title, datasets.values()))}",
        "lead": _lead(series),
        "warnings": [
            *(remark for tests in datasets.values() for remark in dataset_remarks(tests)),
            *(sentence(each.extent.note) for each in series if not each.extent.is_whole),
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
        "systems": series,
        "parts": parts,
        "videos": _videos(series),
        "video_tables": video_tables,
        "curves": draw_curves(folder / "figures", series, datasets),
        "learning": draw_learning(folder / "figures", series),
        "confusion_colours": _CONFUSION_COLOURS,
        "gallery": gallery_of(series),
        "files": "tables as CSV, Markdown and LaTeX in tables/, figures as SVG in figures/" if files else "",
    }
    for name, text in (files or {}).items():
        with atomic_write(folder / "tables" / name, within=folder) as file:
            file.write(text)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"code": _code, "laid_out": laid_out, "facts": _facts}
    environment.globals |= {"leak_class": LEAK_CLASSES.__getitem__, "colour": colour}
    page = environment.from_string(_resource("report.html")).render(content)
    with atomic_write(folder / PAGE) as file:
        file.write(page)
    return folder / PAGE


def _clear(folder: Path) -> None:
    """Delete an earlier report, and mark the folder as ours."""
    require_ours(folder)
    for owned in _OWNED:
        refuse_links(folder / owned, folder)
    remove_partials(folder)
    if not (folder / PAGE).is_file():  # by which a report that is killed is known as ours
        with atomic_write(folder / PAGE) as file:
            file.write(_UNFINISHED)
    for owned in _OWNED:
        shutil.rmtree(folder / owned, ignore_errors=True)


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
    if len(results.series) < 2:
        return Section("comparison", "Comparison")
    tables, collapsed = [], []
    for number, group in enumerate(group for group in groups if len(group) > 1):
        comparisons = [compare(group[0], other) for other in group[1:]]
        together = comparisons_table(comparisons)
        tables.append(replace(together, key=file_name(f"{together.key}{f'_{number + 1}' if number else ''}")))
        for one in comparisons:
            alone = comparison_table(one)
            collapsed.append(replace(alone, key=file_name(f"{alone.key}_{one.first}_{one.second}")))
    messages = [reasons[group[0].name] for group in groups if len(group) == 1 and group[0].name in reasons]
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


def _lead(series: Sequence[Series]) -> str:
    runs = [run.result for each in series for run in each.runs]
    videos = {(run.dataset, key) for run in runs for key in run.videos}
    most = max(sum(whole.frames.values()) for each in series for whole in each.per_seed)
    counts = ", ".join([some(len(series), "system"), some(len(runs), "test"), some(len(videos), "video")])
    return f"{counts}; up to {some(most, 'tested frame')} each"


def _videos(series: Sequence[Series]) -> list[tuple[str, list[tuple[int, float]]]]:
    """Name of each video, the worst first, and the F-measure of each system at its place."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for place, each in enumerate(series):
        for key, metrics in each.by_video().items():
            found.setdefault((each.dataset, key), []).append((place, metrics["f_measure"].mean))
    has_several_datasets = len({dataset for dataset, _ in found}) > 1
    ranked = sorted(found.items(), key=lambda item: (statistics.fmean(value for _, value in item[1]), item[0]))
    return [(f"{dataset}: {key}" if has_several_datasets else key, bars) for (dataset, key), bars in ranked]


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
        "parameters": f"{result.parameters:,}" if result.parameters else "",
        "GFLOP per frame at 320×240": f"{result.gflop_per_frame:.2f}" if result.gflop_per_frame else "",
        "versions": ", ".join(f"{package} {version}" for package, version in result.versions.items()),
        "command": f"python -m bgsub_lightning test --config {_short(str(test))}{weights}" if test.is_file() else "",
    }
    return {name: value for name, value in facts.items() if value}


def _short(path: str) -> str:
    parts = Path(os.path.relpath(path)).parts
    return str(Path(*parts)) if ".." not in parts and len(parts) <= 4 else "/".join(("…", *parts[-3:]))
