"""Which dataset tests are of: its own videos, others in its layout, or rendered ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bgsub_lightning.core.text import join_some, sentence
from bgsub_lightning.evaluation.extent import OVERALL
from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.report.published import PublishedTable


def departures(results: Iterable[TestResult]) -> dict[str, str]:
    """Return ``category/name`` of each video that is not the dataset's own → what shows it."""
    return {key: video.departure for each in results for key, video in each.videos.items() if video.departure}


def dataset_title(results: Sequence[TestResult]) -> str:
    """Name the dataset of tests on one dataset, so that nobody takes other videos for its own."""
    name, other = results[0].dataset, departures(results)
    if any(each.origin for each in results):
        return name if name.startswith("synthetic ") else f"synthetic scenes ({name})"
    if not other:
        return name
    return f"{name} and other videos" if _own(results) else f"videos that are not {name}'s own"


def dataset_remarks(results: Sequence[TestResult]) -> list[str]:
    """Say who rendered the videos, or which of them are the dataset's own and which are not; empty if all are."""
    name = results[0].dataset
    if origins := dict.fromkeys(each.origin for each in results if each.origin):
        made_by = sentence("; ".join(origins))
        return [f"{made_by} Published numbers are of real videos and are not shown next to them."]
    other = departures(results)
    if not other:
        return []
    named = [f"{key} ({why})" for key, why in sorted(other.items())]
    own = join_some(sorted(_own(results)))
    return [
        f"Not {name}'s own videos: {join_some(named)}. {name}'s own: {own}. "
        f"Published numbers are shown only next to its own."
    ]


def comparable(against: Iterable[PublishedTable], results: Sequence[TestResult]) -> list[PublishedTable]:
    """Leave out published numbers that do not belong next to these tests.

    Figures of other datasets do not; nor those of a part, a category or the whole, of which a tested video is not the
    dataset's own.
    """
    tables = [table for table in against if table.dataset == results[0].dataset and table.rows]
    other = departures(results)
    if not other:
        return tables
    if not _own(results):
        return []
    spoiled = {OVERALL, *(part for key in other for part in (key.split("/")[0], key.partition("/")[2]))}
    kept = []
    for table in tables:
        rows = [
            replace(row, numbers={key: number for key, number in row.numbers.items() if key[0] not in spoiled})
            for row in table.rows
        ]
        if rows := [row for row in rows if row.numbers]:
            parts = tuple(part for part in table.parts if part not in spoiled)
            kept.append(replace(table, rows=tuple(rows), parts=parts))
    return kept


def _own(results: Iterable[TestResult]) -> set[str]:
    return {key for each in results for key, video in each.videos.items() if not video.departure}
