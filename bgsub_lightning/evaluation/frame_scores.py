"""``frames.csv``: what was counted in each frame of a test; and what follows from its frames for a video."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.records import read_csv
from bgsub_lightning.core.text import csv_cell, from_csv_cell
from bgsub_lightning.datasets import Scene
from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.metrics import COUNTS, dice_sums

_SOME = 0.1  # of the frames with foreground: a few may have no foreground at a boundary


class FrameScore(NamedTuple):
    """The counts of one frame.

    Attributes:
        video: ``category/name``.
        number: Frame number.
        counts: TP, FP, FN, TN and shadow errors.
        is_test: Whether it is a test frame; other frames are of the training part.
        has_unknown: Whether its mask has a pixel that is unknown (170).
    """

    video: str
    number: int
    counts: list[int]
    is_test: bool
    has_unknown: bool


class ListedFrame(NamedTuple):
    """A line of ``frames.csv``.

    Attributes:
        is_test: Whether it is a test frame.
        trained_on: 1 if it was trained on, else 0; empty if that is not known.
    """

    is_test: bool
    trained_on: str


def write_frames(path: Path, frames: Iterable[FrameScore], trained_on: Callable[[FrameScore], str]) -> None:
    """Write ``frames.csv``.

    Args:
        path: The file.
        frames: The frames, in any order.
        trained_on: Returns :attr:`ListedFrame.trained_on` of a frame.
    """
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["video", "frame", *COUNTS, "trained_on", "is_test"])
        for each in sorted(frames):
            writer.writerow([csv_cell(each.video), each.number, *each.counts, trained_on(each), int(each.is_test)])


Listed = Mapping[str, Mapping[int, ListedFrame]]
"""``category/name`` → frame number → its line of ``frames.csv``."""


def read_frames(path: Path) -> Listed:
    """Read which frames ``frames.csv`` lists. Files of others need the columns ``video`` and ``frame`` alone.

    Raises:
        FileNotFoundError: If there is none.
        UserError: If it cannot be read, or an earlier version wrote it.
    """
    fix = "Name the frames.csv of a test, or run the test again."
    listed: dict[str, dict[int, ListedFrame]] = {}
    try:
        for row in read_csv(path, fix):
            if "headline" in row:  # as `is_test` was called: training frames would be taken for test frames
                raise UserError(f"{path}: headline: is a column of an earlier version. Run the test again.")
            frame = ListedFrame(row.get("is_test", "1") != "0", row.get("trained_on", ""))
            listed.setdefault(from_csv_cell(row["video"]), {})[int(row["frame"])] = frame
    except (ValueError, KeyError) as error:
        raise UserError(f"{path}: must have the columns video and frame, with a number ({error}). {fix}") from error
    return listed


def dataset_of(scenes: Iterable[Scene]) -> dict[str, Any]:
    """Return the name of the scenes' dataset, and who rendered it: fields of :class:`TestResult`.

    Raises:
        UserError: If they are of several datasets, whose metrics would be averaged under one name.
    """
    found = dict.fromkeys((scene.dataset, str(scene.origin or "")) for scene in scenes)
    if len(found) > 1:
        names = ", ".join(f"{dataset} ({origin})" if origin else dataset for dataset, origin in found)
        raise UserError(
            f"data.init_args.protocol: must test scenes of one dataset at a time; got {names}. "
            f"Test each dataset separately: name its scenes by --data.init_args.scene."
        )
    ((dataset, origin),) = found
    return {"dataset": dataset, "origin": origin}


def video_of(frames: Sequence[FrameScore], scene: Scene) -> dict[str, Any]:
    """Return what the frames of a video amount to, except for its leakage: fields of :class:`VideoResult`."""
    tested = [frame for frame in frames if frame.is_test]
    with_foreground = [frame for frame in tested if frame.counts[0] + frame.counts[2]]
    binary = sum(not frame.has_unknown for frame in with_foreground) if scene.mask_code is MaskCode.CDNET else 0
    counts, dice = _totals(tested)
    found: dict[str, Any] = {
        "counts": counts,
        "dice": dice,
        "frames": len(tested),
        "binary_truth": binary > _SOME * len(with_foreground),
        "departure": scene.departure,
    }
    if len(frames) > len(tested):
        found["counts_with_training"], found["dice_with_training"] = _totals(frames)
        found["frames_with_training"] = len(frames)
    return found


def _totals(frames: Sequence[FrameScore]) -> tuple[list[int], list[int]]:
    rows = [frame.counts for frame in frames]
    return [sum(column) for column in zip(*rows, strict=True)], dice_sums(rows)
