"""Results as files for other programs: a CSV by video, and the statistics of CDnet's own comparator."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from bgsub_lightning.core.files import atomic_write, remove_files
from bgsub_lightning.core.text import csv_cell
from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.metrics import COUNTS, METRICS

_HEADINGS = ("Recall", "Specificity", "FPR", "FNR", "PBC", "Precision", "FMeasure")
_CM = "# cm: true positives, false positives, false negatives, true negatives, shadow errors"


def write_videos(path: Path, result: TestResult) -> None:
    """Write a row for each video: frames scored and missing, counts, metrics, and which of these are 0/0.

    A video without any scored frame has neither counts nor metrics.
    """
    scores = result.scores()
    names = list(next(iter(scores.videos.values()), dict.fromkeys(METRICS)))
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["category", "video", "frames", "missing", *COUNTS, *names, "undefined"])
        for key in sorted(result.videos.keys() | result.missing.keys()):
            row: list[object] = [*map(csv_cell, key.split("/")), 0, result.missing.get(key, 0)]
            if video := result.videos.get(key):
                row[2] = video.frames
                row += [*video.counts, *scores.videos[key].values(), " ".join(scores.undefined.get(key, []))]
            writer.writerow(row + [""] * (5 + len(COUNTS) + len(names) - len(row)))


def write_statistics(folder: Path, result: TestResult) -> None:
    """Write ``stats.txt`` of all, of each category and of each video, as CDnet's comparator and its scripts do.

    Counts stand in lines that begin with ``cm``: TP, FP, FN, TN and shadow errors; the metrics follow, PBC being PWC.
    What the comparator's scripts divide by zero is here as :func:`bgsub_lightning.metrics.metrics` says; these
    videos are named in a comment. Statistics that an earlier evaluation has left are deleted first.

    Args:
        folder: Where ``stats.txt``, ``CATEGORY/stats.txt`` and ``CATEGORY/VIDEO/stats.txt`` go.
        result: The result of a test.

    Raises:
        UserError: If a folder cannot be written to, or is a symbolic link.
    """
    places = [path for place in ("", "*/", "*/*/") for path in folder.glob(f"{place}stats.txt")]
    remove_files((path for path in places if _is_ours(path)), folder)
    scores = result.scores()
    whole = [*_comments(result, result.videos.keys() | result.missing.keys())]
    for category, metrics in scores.categories.items():
        keys = [key for key in result.videos if key.split("/")[0] == category]
        lines = [f"cm video {key.replace('/', ' ')} {_counts(result, [key])}" for key in keys]
        lines += [f"cm category {category} {_counts(result, keys)}", ""]
        whole += lines
        among = {key for key in (*keys, *result.missing) if key.split("/")[0] == category}
        _write(folder, f"{category}/stats.txt", [*_comments(result, among), *lines, _headings(), _metrics(metrics)])
        for key in keys:
            _write(folder, f"{key}/stats.txt", [f"cm: {_counts(result, [key])}"])
    whole += ["", f"cm overall {_counts(result, list(result.videos))}", "", "", f"\t\t\t{_headings()}"]
    whole += [f"{category} :\t{_metrics(metrics)}" for category, metrics in scores.categories.items()]
    if scores.overall:
        whole += ["", f"Overall :\t{_metrics(scores.overall)}"]
    _write(folder, "stats.txt", whole)


def _is_ours(path: Path) -> bool:
    """Whether :func:`write_statistics` has written a file; others of its name are left alone."""
    head = path.read_bytes()[:10_000].decode(errors="replace") if path.is_file() else ""
    return head.startswith("cm: ") or f"\n{_CM}\n" in head


def _comments(result: TestResult, keys: Iterable[str]) -> list[str]:
    notes = [
        f"# Partial: {key} lacks {result.missing[key]} of its frames." for key in sorted(keys) if key in result.missing
    ]
    undefined = result.scores().undefined
    notes += [f"# 0/0 in {key}: {', '.join(undefined[key])}." for key in sorted(keys) if key in undefined]
    dataset = f"# {result.dataset}{result.origin and f': {result.origin}'}"
    return [
        dataset,
        _CM,
        *notes,
        "",
    ]


def _counts(result: TestResult, keys: list[str]) -> str:
    rows = [result.videos[key].counts for key in keys]
    return " ".join(str(sum(column)) for column in zip(*rows, strict=True))


def _headings() -> str:
    return "\t\t\t".join(_HEADINGS)


def _metrics(metrics: dict[str, float]) -> str:
    return "\t".join(f"{metrics[name]:.10f}" for name in METRICS)


def _write(folder: Path, name: str, lines: list[str]) -> None:
    with atomic_write(folder / name, within=folder.parent) as file:
        file.write("\n".join(lines) + "\n")
