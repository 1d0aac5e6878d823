"""The page of the results of tests."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, claimed, is_partial, refuse_links, remove_partials
from bgsub_lightning.core.records import read_text
from bgsub_lightning.core.text import sentence
from bgsub_lightning.core.version import __version__
from bgsub_lightning.datasets.checks import some
from bgsub_lightning.evaluation.drawing import BLACK, GREEN, PINK, RED
from bgsub_lightning.report.datasets import dataset_remarks, dataset_title
from bgsub_lightning.report.page.drawings import draw_curves, draw_learning
from bgsub_lightning.report.page.gallery import gallery_of
from bgsub_lightning.report.page.rendering import Pages
from bgsub_lightning.report.page.systems import FOLDER as SYSTEMS
from bgsub_lightning.report.page.systems import page_systems, ranked_videos, write_system_page
from bgsub_lightning.report.paper_tables import file_name, tables_of
from bgsub_lightning.report.results import Results, load_results
from bgsub_lightning.report.resulttable import ResultTable
from bgsub_lightning.report.series import Series, tests_of
from bgsub_lightning.report.statistics import compare, comparison_table, comparisons_table, require_same_test
from bgsub_lightning.report.writers import as_csv, as_latex, as_markdown

PAGE = "index.html"
_UNFINISHED = (
    f'<!doctype html><meta charset="utf-8"><meta name="generator" content="bgsub_lightning {__version__}">'
    "<title>Unfinished report</title><p>This report was not finished. Run the same command again."
)
_OWNED = ("figures", "tables", SYSTEMS)
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
        Section("categories", "Categories", main, [each for each in of("by_part") if each not in main]),
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
    """Write ``index.html``, a page of each system in ``systems/``, ``figures/`` as SVG, and ``tables/``.

    Each page holds all that it shows.

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
    systems, gallery, pages = page_systems(series), gallery_of(series), Pages()
    content = {
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
        },
        "systems": systems,
        "parts": parts,
        "videos": ranked_videos(series),
        "video_tables": video_tables,
        "curves": draw_curves(folder / "figures", series, datasets),
        "learning": draw_learning(folder / "figures", series),
        "confusion_colours": _CONFUSION_COLOURS,
        "gallery": gallery,
        "files": "tables as CSV, Markdown and LaTeX in tables/, figures as SVG in figures/" if files else "",
    }
    for name, text in (files or {}).items():
        with atomic_write(folder / "tables" / name, within=folder) as file:
            file.write(text)
    for system, pictures in zip(systems, gallery.systems, strict=True):
        write_system_page(folder, pages, system, pictures, PAGE, _CONFUSION_COLOURS)
    with atomic_write(folder / PAGE) as file:
        file.write(pages.render("report.html", content))
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


def _lead(series: Sequence[Series]) -> str:
    runs = [run.result for each in series for run in each.runs]
    videos = {(run.dataset, key) for run in runs for key in run.videos}
    most = max(sum(whole.frames.values()) for each in series for whole in each.per_seed)
    counts = ", ".join([some(len(series), "system"), some(len(runs), "test"), some(len(videos), "video")])
    return f"{counts}; up to {some(most, 'tested frame')} each"
