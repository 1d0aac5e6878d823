"""Score masks, whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bgsub_lightning.commands.prepare import reader_of, scenes_of
from bgsub_lightning.core.console import console, mark
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets import Problem, raise_for_errors, with_mask_code
from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.evaluation import MaskFiles, TestResult, count_masks
from bgsub_lightning.evaluation.mask_checks import located, problems_of, unexpected_files
from bgsub_lightning.evaluation.mask_evaluation import (
    ScoredMasks,
    frames_file,
    frames_to_score,
    listed_frames,
    require_all,
)
from bgsub_lightning.evaluation.mask_record import MaskRecord
from bgsub_lightning.evaluation.submission import missing_masks, pack, require_complete, require_whole_dataset
from bgsub_lightning.report.terminal import table
from bgsub_lightning.splits import Leakage


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
        protocol: What the masks' maker trained and tested on, in words, for the tables. Default: the maker that
            masks.json names, which `predict` and `combine` write into the folder, or else the folder's name.
        leakage: What the masks' maker had seen of these videos, for the tables. What masks.json says of it stands,
            unless this is worse.
        allow_partial: Take a partial result as it is; and pack a partial archive.
        zip: File for the archive that changedetection.net takes: results/CATEGORY/VIDEO/bin000001.png for all frames
            of the temporal ROI of all 53 videos. What is missing is listed before anything is done.
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
    if zip:
        require_whole_dataset(reader, scene)
    files = MaskFiles(masks.expanduser(), pattern, threshold, invert)
    listed = listed_frames(frames) if frames else None
    if frames and listed and scene is None:
        scenes = scenes_of(reader, root, list(listed), f"--frames: {frames_file(frames)}")
    else:
        scenes = scenes_of(reader, root, scene)
    raise_for_errors(scenes)
    scenes = with_mask_code(scenes, mask_code)
    chosen = frames_to_score(scenes, listed, reader)
    files = located(files, chosen, reader)
    record = MaskRecord.load(files.folder)
    missing = missing_masks(files, scenes) if zip else {}
    if not allow_partial:
        require_complete(missing, scenes)

    scored = ScoredMasks(files, chosen, listed, count_masks(chosen, files, workers))
    unexpected = unexpected_files(files, scenes, reader, is_whole=scene is None and frames is None)
    of_frames = f", frames of {frames}" if frames else ""
    maker = record.maker if record else files.folder.name
    result = scored.result(out.name, protocol or f"masks of {maker}{of_frames}", leakage, record)
    _write(scored, result, unexpected, out)
    if zip:
        packed = pack(zip, files, scenes)
        console.print(f"{zip}: {packed}, {'INCOMPLETE, ' if missing else ''}for changedetection.net.", soft_wrap=True)
    if not allow_partial:
        require_all(result, out)


def _write(scored: ScoredMasks, result: TestResult, unexpected: Sequence[Problem], out: Path) -> None:
    """Print what is wrong and the table, and write the files."""
    for problem in (*problems_of(scored.files, scored.chosen, scored.counted), *unexpected):
        mark(problem.severity, str(problem))
    scored.write(out, result, unexpected)
    console.print(table([result]))
    console.print(
        f"{out / 'scores.json'}, per_video.csv, frames.csv and stats/ hold the counts, problems.csv what was wrong.",
        soft_wrap=True,
    )
