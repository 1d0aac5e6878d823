"""The leak guard: which test frames were trained on, and which scenes were seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from bgsub_lightning.datasets.cdnet2014 import CDnet2014, published_videos
from bgsub_lightning.splits.frameset import FrameSet

Leakage = Literal["unseen scenes", "seen scenes, unseen frames", "unknown", "includes training frames"]
"""How honest a test is, from the best to the worst. Unknown: masks whose maker does not say; they may be of
any kind, so that it is worse than all but the certainty of the worst."""

TrainingRecord = dict[str, list[list[int]]]
"""``dataset:category/video`` → ranges of frame numbers (first and last, inclusive) that were trained or selected on."""

_ORDER: tuple[Leakage, ...] = get_args(Leakage)


def training_record(*sets: FrameSet, before: TrainingRecord | None = None) -> TrainingRecord:
    """Record the frames that training sees, in a form that checkpoints can carry.

    Args:
        *sets: Frames to train on, and those that checkpoints are selected on.
        before: What the weights had seen already.

    Example:
        >>> training_record(FrameSet(), before={"CDnet2014:a/x": [[1, 3]]})
        {'CDnet2014:a/x': [[1, 3]]}
    """
    seen: dict[str, set[int]] = {key: _numbers(ranges) for key, ranges in (before or {}).items()}
    for frames in sets:
        for scene, numbers in frames:
            seen.setdefault(f"{scene.dataset}:{scene.key}", set()).update(numbers)
    return {key: _ranges(numbers) for key, numbers in sorted(seen.items())}


def joined_records(*records: TrainingRecord) -> TrainingRecord:
    """Return the record of what any of several makers has seen.

    Example:
        >>> joined_records({"CDnet2014:a/x": [[1, 3]]}, {"CDnet2014:a/x": [[3, 5]]}, {})
        {'CDnet2014:a/x': [[1, 5]]}
    """
    seen: dict[str, set[int]] = {}
    for record in records:
        for key, ranges in record.items():
            seen.setdefault(key, set()).update(_numbers(ranges))
    return {key: _ranges(numbers) for key, numbers in sorted(seen.items())}


def published_record() -> TrainingRecord:
    """Return the record of weights that were trained on all frames of all videos of CDnet2014, as far as is known."""
    return {
        f"{CDnet2014.name}:{row['category']}/{row['video']}": [[1, int(row["temporal_roi_end"])]]
        for row in published_videos()
    }


def trained_frames(record: TrainingRecord, dataset: str, key: str) -> set[int]:
    """Return the frame numbers of a scene that were trained on."""
    return _numbers(record.get(f"{dataset}:{key}", []))


def leakage(record: TrainingRecord, test: FrameSet) -> dict[str, Leakage]:
    """Return, for each scene that is tested, what the record has seen of it."""
    found: dict[str, Leakage] = {}
    for scene, numbers in test:
        if f"{scene.dataset}:{scene.key}" not in record:
            found[scene.key] = "unseen scenes"
        elif trained_frames(record, scene.dataset, scene.key).isdisjoint(numbers):
            found[scene.key] = "seen scenes, unseen frames"
        else:
            found[scene.key] = "includes training frames"
    return found


def worst(found: Iterable[Leakage]) -> Leakage:
    """Return the least honest of several."""
    return max(found, key=_ORDER.index, default=_ORDER[0])


def _numbers(ranges: list[list[int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def _ranges(numbers: set[int]) -> list[list[int]]:
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges
