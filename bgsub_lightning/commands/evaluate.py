"""Score masks, whoever made them."""

from __future__ import annotations

import csv
import difflib
import platform
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import cv2
import numpy
from numpy.typing import NDArray

from bgsub_lightning.commands.prepare import reader_of
from bgsub_lightning.core.console import console, mark
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, claimed, refuse_links
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.core.text import csv_cell
from bgsub_lightning.core.version import __version__
from bgsub_lightning.datasets import CDnet2014, Problem, Reader, Scene, require_sound, with_mask_code
from bgsub_lightning.datasets.cdnet2014 import published_videos
from bgsub_lightning.datasets.checks import folders, some
from bgsub_lightning.datasets.labels import MOVING, MaskCode
from bgsub_lightning.evaluation import (
    FrameScore,
    MaskFiles,
    SceneCounts,
    TestResult,
    VideoResult,
    count_masks,
    dataset_of,
    read_frames,
    video_of,
    write_frames,
    write_statistics,
    write_videos,
)
from bgsub_lightning.evaluation.mask_files import Fault, results_of
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.metrics import metrics
from bgsub_lightning.report import gallery, table
from bgsub_lightning.report.gallery import Frame
from bgsub_lightning.splits import Leakage

_CURES: dict[Fault, str] = {
    "missing": "Not scored.",
    "unreadable": "Not scored: write it again.",
    "of another size": "Not scored: masks must have their frames' size.",
    "of 16 bits": "Not scored: --threshold 0.5 takes what is above half of white.",
    "in its alpha channel": "Not scored: save that channel as a grey image.",
    "not binary": "Scored by the official rule: only 255 is foreground. --threshold T takes what is above T of white.",
}


_FLAT = "bin{number:06d}.png"  # in the folder masks/ of `segment`


def evaluate(
    masks: Path,
    out: Path,
    root: Path | None = None,
    dataset: str = "CDnet2014",
    scene: list[str] | None = None,
    frames: Path | None = None,
    pattern: str = MaskFiles.pattern,
    protocol: str | None = None,
    leakage: Leakage = "unknown",
    allow_partial: bool = False,
    zip: Path | None = None,
    dataset_frames: str | None = None,
    dataset_masks: str | None = None,
    threshold: float | None = None,
    invert: bool = False,
    mask_code: MaskCode | None = None,
    workers: int | None = None,
) -> None:
    """Score a folder of masks by CDnet's official rule, whoever made them: scores.json, tables and statistics.

    A pixel is foreground where its mask is exactly 255. What is unknown (170) or lies outside the ROI is not counted.

    Masks that are missing, unreadable or of another size are named, the others are scored, and the result is marked as
    partial. The exit status is then 2, unless --allow_partial=true takes it as it is.

    Args:
        masks: The folder that holds CATEGORY/VIDEO/bin000001.png, as `predict` writes it: evaluate FOLDER.
        out: Folder for scores.json, per_video.csv, frames.csv, problems.csv, and CDnet's statistics in stats/;
            `report` takes it as a run.
        root: The dataset's folder. Default: the reader's environment variable, such as CDNET2014_ROOT.
        dataset: The dataset, in whose layout the folder is, such as CDnet2014 or LASIESTA.
        scene: Only these categories, videos or patterns of category/video, such as baseline,shadow/c*. Of one video
            the folder may be that which `segment` writes.
        frames: The frames.csv of a test, or its run directory: score exactly the frames that it scored, those of the
            training part apart as it did. Default: all labelled frames.
        pattern: Where a frame's mask lies below the folder, with {category}, {video} and {number}.
        protocol: What the masks' maker trained and tested on, in words, for the tables.
        leakage: What the masks' maker had seen of these videos, for the tables.
        allow_partial: Take a partial result as it is; and pack a partial archive.
        zip: File for the archive that changedetection.net takes: results/CATEGORY/VIDEO/bin000001.png for all frames
            of the temporal ROI of all 53 videos. What is missing is told before anything is done.
        dataset_frames: Pattern of the dataset's frames, for a copy of LIMU or SBI2015 that lies otherwise than by
            default: see `prepare --frames`.
        dataset_masks: Pattern of the dataset's own masks, likewise.
        threshold: Share of white above which a pixel is foreground, for soft maps of 8 or 16 bits; 0 for masks of 0
            and 1. Default: 255 alone is foreground, as CDnet's rule has it.
        invert: Foreground is black.
        mask_code: How the dataset's own masks are written, as that of `prepare`.
        workers: Processes that count. Default: one for each processor, or fewer for few frames.

    Raises:
        UserError: If an option makes no sense, the dataset cannot be read, there is nothing to score, the archive would
            not be complete, or the result is partial.
    """
    check_range("--", least=1, most=256, workers=workers)
    reader = reader_of(dataset, "--dataset_", frames=dataset_frames, masks=dataset_masks)
    if zip is not None and not isinstance(reader, CDnet2014):
        raise UserError(f"--zip: changedetection.net takes results on CDnet2014, not on {reader.name}.")
    if zip is not None and scene is not None:
        raise UserError("--zip: the archive is of the whole dataset. Leave --scene out.")
    files = MaskFiles(masks.expanduser(), pattern, threshold, invert)
    folder = reader.locate(root)
    asked = _frames_of(frames) if frames else None
    scenes = reader.scenes(folder, scene if scene is not None or asked is None else list(asked.videos))
    require_sound(scenes)
    scenes = with_mask_code(scenes, mask_code)
    chosen = _chosen(scenes, asked, reader)
    whole = scene is None and asked is None
    files = _of_one_video(files, chosen)
    _require_nesting(files, chosen, reader)
    lacking = _lacking(files, scenes) if zip else {}
    if lacking and not allow_partial:
        raise UserError(
            f"--zip: the archive would not be complete, and nothing was done. {_told(lacking, scenes)}\n"
            f"Write them first; or set --allow_partial=true to pack what is there."
        )

    counted = count_masks(chosen, files, workers)
    rows = {key: _rows(key, counts, asked) for key, counts in counted.items()}
    strangers = _strangers(files, scenes, reader, whole)
    for problem in (*_faults(files, chosen, counted), *strangers):
        mark(problem.severity, str(problem))
    result = TestResult(
        name=out.name,
        system="masks",
        **dataset_of(scenes),
        protocol=protocol or f"masks of {files.folder.name}{f', frames of {frames}' if frames else ''}",
        fold=0,
        seed=0,
        leakage=leakage,
        checkpoint=None,
        videos={
            each.key: VideoResult(leakage=leakage, **video_of(rows[each.key], each))
            for each, _ in chosen
            if any(row.is_test for row in rows[each.key])
        },
        device="",
        versions={
            "bgsub_lightning": __version__,
            "opencv": cv2.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
        missing={key: counts.missing for key, counts in counted.items() if counts.missing},
    )
    with claimed(out):
        for owned in ("stats", "gallery"):  # before anything is written
            refuse_links(out / owned, out)
        _write_problems(out / "problems.csv", counted, strangers)
        trained_on = asked.trained_on if asked else lambda row: ""
        write_frames(out / "frames.csv", chain.from_iterable(rows.values()), trained_on)
        write_videos(out / "per_video.csv", result)
        write_statistics(out / "stats", result)
        _keep_frames(out / "gallery", chain.from_iterable(rows.values()), chosen, files)
        result.save(out / "scores.json")
    console.print(table([result]))
    console.print(
        f"{out / 'scores.json'}, per_video.csv, frames.csv and stats/ hold the counts, problems.csv what was wrong.",
        soft_wrap=True,
    )
    if zip is not None:
        _pack(zip, files, scenes, partial=bool(lacking))
    if result.partial and not allow_partial:
        raise UserError(
            f"The result is partial: {sum(result.missing.values())} frames of {some(len(result.missing), 'video')} "
            f"have no mask that can be scored; they are named above and in {out / 'problems.csv'}. What is there was "
            f"scored, and {out / 'scores.json'} says so. To take it as it is: --allow_partial=true; to leave videos "
            f"out: --scene."
        )


@dataclass(frozen=True)
class _Asked:
    """The frames that a test scored.

    Attributes:
        videos: ``category/name`` → frame number → whether it is a test frame, and not one of the training part.
        trained: ``category/name`` → frame number → 1 if it was trained on, 0, or empty.
    """

    videos: dict[str, dict[int, bool]] = field(default_factory=dict)
    trained: dict[str, dict[int, str]] = field(default_factory=dict)

    def trained_on(self, row: FrameScore) -> str:
        return self.trained[row.video][row.number]


def _frames_of(path: Path) -> _Asked:
    file = path / "frames.csv" if path.is_dir() else path
    asked = _Asked()
    try:
        frames = read_frames(file, "Name a frames.csv of `test`.")
    except FileNotFoundError:
        raise UserError(f"--frames: {file}: there is no such file. `test` writes it in its run directory.") from None
    except UserError as error:
        raise UserError(f"--frames: {error}") from error
    for key, number, is_test, trained_on in frames:
        asked.videos.setdefault(key, {})[number] = is_test
        asked.trained.setdefault(key, {})[number] = trained_on
    if not asked.videos:
        raise UserError(f"--frames: {file}: names no frame.")
    return asked


def _chosen(scenes: Sequence[Scene], asked: _Asked | None, reader: Reader) -> list[tuple[Scene, Sequence[int]]]:
    """Return the frames to score, of those scenes that have any."""
    chosen: list[tuple[Scene, Sequence[int]]] = []
    for scene in scenes:
        numbers = list(scene.masks) if asked is None else sorted(asked.videos.get(scene.key, ()))
        if unlabelled := [number for number in numbers if number not in scene.masks]:
            raise UserError(
                f"--frames: frame {unlabelled[0]} of {scene.key} has no ground truth in this copy of {reader.name}, as "
                f"have {len(unlabelled) - 1} others of it. Name the copy that was tested by --root."
            )
        if numbers:
            chosen.append((scene, numbers))
    if not chosen:
        names = ", ".join(scene.key for scene in scenes[:5])
        raise UserError(f"There is nothing to score: no frame that is asked for is labelled, of {names}.")
    return chosen


def _of_one_video(files: MaskFiles, chosen: Sequence[tuple[Scene, Sequence[int]]]) -> MaskFiles:
    """Take the folder that `segment` writes, where a single video is scored.

    Raises:
        UserError: If the pattern has no ``{video}`` and there are several.
    """
    if len(chosen) > 1 and "{video" not in files.pattern:
        raise UserError(
            f"--pattern: must hold {{video}} and {{number}} for {len(chosen)} videos; got {files.pattern!r}. Name one "
            f"video by --scene."
        )
    (scene, numbers), *others = chosen
    if others or files.pattern != MaskFiles.pattern or files.holds_any(scene, numbers):
        return files
    for folder in (files.folder, files.folder / "masks"):
        if folder.is_dir() and (flat := replace(files, folder=folder, pattern=_FLAT)).holds_any(scene, numbers):
            console.print(f"The masks of {folder} are taken as those of {scene.key}.", soft_wrap=True)
            return flat
    return files


def _require_nesting(files: MaskFiles, chosen: Sequence[tuple[Scene, Sequence[int]]], reader: Reader) -> None:
    """Check that the folder holds masks where they are looked for."""

    def holds(folder: Path, pattern: str = files.pattern) -> bool:
        return any(MaskFiles(folder, pattern).holds_any(scene, numbers) for scene, numbers in chosen)

    if holds(files.folder):
        return
    example = files.path(chosen[0][0], chosen[0][1][0])
    what = f"{files.folder}: holds none of the masks that are looked for, such as {example}."
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


def _lacking(files: MaskFiles, scenes: Sequence[Scene]) -> dict[str, int]:
    """Return how many masks an archive would lack, of those videos of which it would lack any."""
    here = {scene.key: scene for scene in scenes}
    lacking = {}
    for video in published_videos():
        key = f"{video['category']}/{video['video']}"
        numbers = range(int(video["temporal_roi_start"]), int(video["temporal_roi_end"]) + 1)
        if scene := here.get(key):
            numbers = range(scene.evaluated[0], scene.evaluated[1] + 1)
        lacking[key] = len(numbers) - sum(scene is not None and files.path(scene, n).is_file() for n in numbers)
    return {key: count for key, count in lacking.items() if count}


def _told(lacking: dict[str, int], scenes: Sequence[Scene]) -> str:
    here = {scene.key for scene in scenes}
    lines = [
        f"{key}: {some(count, 'mask')} of the temporal ROI missing" for key, count in lacking.items() if key in here
    ]
    if absent := [key for key in lacking if key not in here]:
        names = f"{', '.join(absent[:5])}{', …' if len(absent) > 5 else ''}"
        lines.append(f"The dataset's folder itself lacks {some(len(absent), 'video')}: {names}")
    return "\n".join(["", *lines])


def _pack(path: Path, files: MaskFiles, scenes: Sequence[Scene], partial: bool) -> None:
    """Write the archive."""
    evaluated = [(scene, range(scene.evaluated[0], scene.evaluated[1] + 1)) for scene in scenes]
    there = [(scene, [n for n in numbers if files.path(scene, n).is_file()]) for scene, numbers in evaluated]
    with atomic_write(path, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in results_of(files, there):  # stored: a PNG is compressed, and the time is always the same
            archive.writestr(zipfile.ZipInfo(f"results/{name}"), content)
    count = sum(len(numbers) for _, numbers in there)
    console.print(
        f"{path}: {count} masks of {some(sum(bool(numbers) for _, numbers in there), 'video')}, "
        f"{'INCOMPLETE, ' if partial else ''}for changedetection.net.",
        soft_wrap=True,
    )


def _rows(key: str, counts: SceneCounts, asked: _Asked | None) -> list[FrameScore]:
    is_test = asked.videos[key] if asked else {}
    return [FrameScore(key, row.number, row.counts, is_test.get(row.number, True), row.unknown) for row in counts.rows]


def _keep_frames(
    folder: Path, rows: Iterable[FrameScore], scenes: Sequence[tuple[Scene, Sequence[int]]], files: MaskFiles
) -> None:
    """Keep the frames that `report` shows."""
    pixels = {scene.key: SceneFrames(scene, None) for scene, _ in scenes}

    def prediction(frame: Frame) -> NDArray[numpy.bool_]:
        return numpy.asarray(files.read(pixels[frame.video].scene, frame.number) == MOVING)

    kept = gallery.chosen(Frame(row.video, row.number, tuple(row.counts)) for row in rows if row.is_test)
    gallery.clear_gallery(folder)
    gallery.write_pictures(folder, (frame for _, frame in kept), pixels, prediction)
    if kept:
        gallery.write_index(folder, kept)


def _faults(
    files: MaskFiles, chosen: Sequence[tuple[Scene, Sequence[int]]], counted: dict[str, SceneCounts]
) -> Iterator[Problem]:
    """Tell what is wrong with masks, in a line for each kind of fault in each video."""
    lying = [f"{one.name}/{other.name}" for one in folders(files.folder) for other in folders(one)]
    known = {scene.key for scene, _ in chosen}
    for scene, numbers in chosen:
        for fault, cure in _CURES.items():
            faulty = [mask for mask in counted[scene.key].faulty if mask.fault == fault]
            if not faulty:
                continue
            first = faulty[0]
            detail = f" ({first.detail})" if first.detail else ""
            what = f"is {fault}{detail}{_and_others(len(faulty) - 1)}"
            if fault == "missing" and len(faulty) == len(numbers):
                what = f"is missing, as are all {len(numbers)} masks of {scene.key}"
                others = [key for key in lying if key not in known]
                if close := difflib.get_close_matches(scene.key, others, n=1, cutoff=0.8):
                    cure = f"There is {files.folder / close[0]}: is it misspelt?"
            yield Problem("warning" if fault == "not binary" else "error", first.path, f"{what}, in {scene.key}", cure)
        tp, fp, fn, tn, _ = (sum(row.counts[place] for row in counted[scene.key].rows) for place in range(5))
        inverse, given = (metrics(counts)["f_measure"] for counts in ((fn, tn, tp, fp), (tp, fp, fn, tn)))
        if tp + fp > fn + tn and fn and inverse > given:
            yield Problem(
                "warning",
                files.path(scene, numbers[0]).parent,
                f"{(tp + fp) / (tp + fp + fn + tn):.0%} of {scene.key} is foreground, like masks that are inverted",
                f"--invert takes black as foreground: F {inverse:.4f} instead of {given:.4f}.",
            )
        of_no_use = [row for row in counted[scene.key].rows if row.counts[0] + row.counts[1]]
        grey = [mask for mask in counted[scene.key].faulty if mask.fault == "not binary"]
        if grey and not of_no_use:
            yield Problem(
                "error",
                grey[0].path.parent,
                f"no mask of {scene.key} has a 255 where it counts, though they are not black ({grey[0].detail})",
                "All was counted as background: write foreground as 255.",
            )


def _and_others(count: int) -> str:
    return f" (and {some(count, 'other')})" if count else ""


def _strangers(files: MaskFiles, scenes: Sequence[Scene], reader: Reader, whole: bool) -> list[Problem]:
    """Tell what lies among the masks and belongs to no frame, and folders that are no category or video."""
    found = []
    for folder, names in files.strangers(scenes).items():
        what = f"belongs to no frame{_and_others(len(names) - 1)}, in this folder"
        found.append(Problem("warning", folder / names[0], what, "Not looked at."))
    return [*found, *(_misspelt(files, scenes, reader) if whole else [])]


def _misspelt(files: MaskFiles, scenes: Sequence[Scene], reader: Reader) -> list[Problem]:
    """Tell of folders that are no category or video, under a pattern that has a folder for each."""
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
    lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(folder.name.lower(), lower, n=1)
    cure = f"Did you mean {lower[close[0]]}?" if close else "Not looked at."
    return Problem("warning", folder, f"is no {kind} of {reader.name}", cure)


def _write_problems(path: Path, counted: dict[str, SceneCounts], strangers: Sequence[Problem]) -> None:
    """Name every file with which something is wrong."""
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["video", "frame", "file", "problem", "detail"])
        for key, counts in counted.items():
            writer.writerows(
                [csv_cell(key), mask.number, csv_cell(str(mask.path)), mask.fault, mask.detail]
                for mask in counts.faulty
            )
        writer.writerows(
            ["", "", *map(csv_cell, map(str, (problem.file, problem.what, problem.cure)))] for problem in strangers
        )
