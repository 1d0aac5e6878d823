"""Checks of a folder of masks: its place, missing masks, files that belong to no frame."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.text import closest, csv_cell
from bgsub_lightning.datasets import CDnet2014, Problem, Reader, Scene
from bgsub_lightning.datasets.cdnet2014 import published_videos
from bgsub_lightning.datasets.checks import folders, some
from bgsub_lightning.evaluation.mask_files import Fault, MaskCounts, MaskFiles
from bgsub_lightning.metrics import metrics

Chosen = Sequence[tuple[Scene, Sequence[int]]]
"""Scenes with the frames that are scored."""

_FIXES: dict[Fault, str] = {
    "missing": "Not scored.",
    "unreadable": "Not scored: write it again.",
    "of another size": "Not scored: masks must have their frames' size.",
    "of 16 bits": "Not scored: --threshold 0.5 takes what is above half of white.",
    "in its alpha channel": "Not scored: save that channel as a grey image.",
    "not binary": "Scored by the official rule: only 255 is foreground. --threshold T takes what is above T of white.",
}

_FLAT = "bin{number:06d}.png"  # in the folder masks/ of `segment`


def located(files: MaskFiles, chosen: Chosen, reader: Reader) -> MaskFiles:
    """Check that the folder holds masks where they are looked for.

    Returns:
        The masks; where a single video is scored, those that `segment` writes into such a folder.

    Raises:
        UserError: If there is none, with a guess where they are; or the pattern has no ``{video}`` for several videos.
    """
    if len(chosen) > 1 and "{video" not in files.pattern:
        raise UserError(
            f"--pattern: must hold {{video}} and {{number}} for {len(chosen)} videos; got {files.pattern!r}. Name one "
            f"video by --scene."
        )

    def holds(folder: Path, pattern: str = files.pattern) -> bool:
        return any(MaskFiles(folder, pattern).holds_any(scene, numbers) for scene, numbers in chosen)

    if holds(files.folder):
        return files
    if len(chosen) == 1 and files.pattern == MaskFiles.pattern:
        for folder in (files.folder, files.folder / "masks"):
            if folder.is_dir() and holds(folder, _FLAT):
                console.print(f"The masks of {folder} are taken as those of {chosen[0][0].key}.", soft_wrap=True)
                return replace(files, folder=folder, pattern=_FLAT)
    example = files.path(chosen[0][0], chosen[0][1][0])
    what = f"{files.folder}: holds no expected mask, such as {example}."
    above, below = files.folder.resolve().parents[:2], folders(files.folder)
    below += [deeper for inner in below for deeper in folders(inner)]
    if right := next((folder for folder in (*below, *above) if holds(folder)), None):
        raise UserError(f"{what} Did you mean --masks {right}?")
    for pattern in ("{video}/bin{number:06d}.png", "{category}/{video}/{number:06d}.png", "{video}/{number:06d}.png"):
        if holds(files.folder, pattern):
            raise UserError(f"{what} Did you mean --pattern '{pattern}'?")
    if hints := [str(problem) for problem in _misspelt(files, [scene for scene, _ in chosen], reader)]:
        raise UserError("\n".join([what, *hints[:5]]))
    raise UserError(f"{what} Name the folder by --masks, or by --pattern where masks lie in it.")


def problems_of(files: MaskFiles, chosen: Chosen, counted: Mapping[str, MaskCounts]) -> Iterator[Problem]:
    """Report what is wrong with masks, in a line for each kind of fault in each video."""
    lying = [f"{one.name}/{other.name}" for one in folders(files.folder) for other in folders(one)]
    known = {scene.key for scene, _ in chosen}
    for scene, numbers in chosen:
        for fault, fix in _FIXES.items():
            invalid = [mask for mask in counted[scene.key].invalid if mask.fault == fault]
            if not invalid:
                continue
            first = invalid[0]
            detail = f" ({first.detail})" if first.detail else ""
            what = f"is {fault}{detail}{_and_others(len(invalid) - 1)}"
            if fault == "missing" and len(invalid) == len(numbers):
                what = f"is missing, as are all {len(numbers)} masks of {scene.key}"
                others = [key for key in lying if key not in known]
                if close := closest(scene.key, others, cutoff=0.8):
                    fix = f"There is {files.folder / close[0]}: is it misspelt?"
            yield Problem("warning" if fault == "not binary" else "error", first.path, f"{what}, in {scene.key}", fix)
        tp, fp, fn, tn, _ = (sum(row.counts[place] for row in counted[scene.key].frames) for place in range(5))
        inverse, given = (metrics(counts)["f_measure"] for counts in ((fn, tn, tp, fp), (tp, fp, fn, tn)))
        if tp + fp > fn + tn and fn and inverse > given:
            yield Problem(
                "warning",
                files.path(scene, numbers[0]).parent,
                f"{(tp + fp) / (tp + fp + fn + tn):.0%} of {scene.key} is foreground, like masks that are inverted",
                f"--invert takes black as foreground: F {inverse:.4f} instead of {given:.4f}.",
            )
        of_no_use = [row for row in counted[scene.key].frames if row.counts[0] + row.counts[1]]
        grey = [mask for mask in counted[scene.key].invalid if mask.fault == "not binary"]
        if grey and not of_no_use:
            yield Problem(
                "error",
                grey[0].path.parent,
                f"no mask of {scene.key} has a 255 where it counts, though they are not black ({grey[0].detail})",
                "All was counted as background: write foreground as 255.",
            )


def _and_others(count: int) -> str:
    return f" (and {some(count, 'other')})" if count else ""


def unexpected_files(files: MaskFiles, scenes: Sequence[Scene], reader: Reader, is_whole: bool) -> list[Problem]:
    """List files among the masks that belong to no frame, and folders that are no category or video."""
    found = []
    for folder, names in files.unexpected_files(scenes).items():
        what = f"belongs to no frame{_and_others(len(names) - 1)}, in this folder"
        found.append(Problem("warning", folder / names[0], what, "Not looked at."))
    return [*found, *(_misspelt(files, scenes, reader) if is_whole else [])]


def _misspelt(files: MaskFiles, scenes: Sequence[Scene], reader: Reader) -> list[Problem]:
    """List folders that are no category or video, under a pattern that has a folder for each."""
    found: list[Problem] = []
    if not files.pattern.startswith("{category}/{video}/"):
        return found
    categories = {scene.category for scene in scenes} | set(reader.categories)
    videos = {scene.key for scene in scenes}
    if isinstance(reader, CDnet2014):
        videos |= {f"{video['category']}/{video['video']}" for video in published_videos()}
    for category in folders(files.folder):
        if category.name not in categories:
            found.append(_unknown(category, categories, "category", reader))
            continue
        known = {key.partition("/")[2] for key in videos if key.partition("/")[0] == category.name}
        found += [
            _unknown(video, known, f"video of {category.name}", reader)
            for video in folders(category)
            if video.name not in known
        ]
    return found


def _unknown(folder: Path, known: set[str], kind: str, reader: Reader) -> Problem:
    close = closest(folder.name, known, cutoff=0.6)
    fix = f"Did you mean {close[0]}?" if close else "Not looked at."
    return Problem("warning", folder, f"is no {kind} of {reader.name}", fix)


def write_problems(path: Path, counted: Mapping[str, MaskCounts], unexpected: Sequence[Problem]) -> None:
    """Name every file with which something is wrong."""
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["video", "frame", "file", "problem", "detail"])
        for key, counts in counted.items():
            writer.writerows(
                [csv_cell(key), mask.number, csv_cell(str(mask.path)), mask.fault, mask.detail]
                for mask in counts.invalid
            )
        writer.writerows(
            ["", "", *map(csv_cell, map(str, (problem.file, problem.what, problem.fix)))] for problem in unexpected
        )
