"""Compare finished tests."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bgsub_lightning.console import console
from bgsub_lightning.errors import UserError
from bgsub_lightning.results import (
    TestResult,
    curves_picture,
    curves_table,
    merged,
    require_same_frames,
    spread,
    table,
)


def report(
    runs: list[Path],
    by_video: bool = False,
    averaging: Literal["video", "pooled"] = "video",
    merge: bool = False,
    curve: Path | None = None,
    curve_to: float = 1.0,
) -> None:
    """Compare the scores of finished tests in one table: the first by category, the F-measures of the others beside it.

    Args:
        runs: Run directories with a scores.json, or such files: RUN [RUN ...].
        by_video: Show each video as well.
        averaging: How a category's figures come about: as the mean over its videos, which is CDnet's way, or from the
            counts of all its frames together.
        merge: The runs have tested parts of one dataset, such as the folds of a cross-validation: show them as one
            result.
        curve: File for a picture of F-measure against threshold: .png, .pdf or .svg.
        curve_to: The largest threshold that it shows, and that a best one is looked for up to.

    Raises:
        UserError: If there is none, they were not tested on the same frames, they cannot be merged, or the picture
            cannot be made.
    """
    if not runs:
        raise UserError("Name at least one run directory, such as `report runs/bmn_bsn_small runs/mog2`.")
    results = [TestResult.load(run) for run in runs]
    if merge:
        results = [merged(results, _name_of_all(runs, results))]
    require_same_frames(results)
    console.print(table(results, by_video, averaging))
    if line := spread(results, averaging):
        console.print(line, soft_wrap=True)
    if curve:
        curves_picture(curve, results, averaging, curve_to)
        console.print(curves_table(results, averaging, curve_to))
        console.print(f"{curve} shows F-measure against threshold.", soft_wrap=True)


def _name_of_all(runs: list[Path], results: list[TestResult]) -> str:
    """Return the name of the folder that holds all the runs, or their names if there is none."""
    parents = {(run if run.is_dir() else run.parent).resolve().parent for run in runs}
    return parents.pop().name if len(parents) == 1 else ", ".join(result.name for result in results)
