"""Compare finished tests."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bgsub_lightning.console import console
from bgsub_lightning.errors import UserError
from bgsub_lightning.results import TestResult, table


def report(runs: list[Path], by_video: bool = False, averaging: Literal["video", "pooled"] = "video") -> None:
    """Compare the scores of finished tests in one table: the first by category, the F-measures of the others beside it.

    Args:
        runs: Run directories with a scores.json, or such files: RUN [RUN ...].
        by_video: Show each video as well.
        averaging: How a category's figures come about: as the mean over its videos, which is CDnet's way, or from the
            counts of all its frames together.

    Raises:
        UserError: If there is none, or they were not tested on the same frames.
    """
    if not runs:
        raise UserError("Name at least one run directory, such as `report runs/bmn_bsn_small runs/mog2`.")
    results = [TestResult.load(run) for run in runs]
    first = {key: video.frames for key, video in results[0].videos.items()}
    for other in results[1:]:
        frames = {key: video.frames for key, video in other.videos.items()}
        if (other.dataset, frames) != (results[0].dataset, first):
            different = sorted(key for key in first.keys() | frames.keys() if first.get(key) != frames.get(key))
            raise UserError(
                f"{results[0].name} and {other.name} were not tested on the same frames ({', '.join(different[:5])}), "
                f"so their figures cannot be compared."
            )
    console.print(table(results, by_video, averaging))
