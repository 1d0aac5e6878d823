"""Several tests together: parts of a dataset merged into one, the same frames compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.text import join_some
from bgsub_lightning.evaluation.extent import protocol_name, with_folds
from bgsub_lightning.evaluation.testresult import TestResult
from bgsub_lightning.splits.leaks import worst


def merged(results: Sequence[TestResult], name: str) -> TestResult:
    """Unite tests of disjoint videos, such as the folds of a cross-validation, into one result.

    The counts of a video stay what they are, the leakage is the worst, frames shown and seconds are added up, if known
    of all. ``fold`` is 0 if there were several, which the protocol names; several checkpoints or devices
    are listed with commas between; ``threshold``, and what a system costs, are ``None`` if there were several.

    Args:
        results: At least one, of the same system under the same protocol, but for the fold.
        name: Name of the whole.

    Raises:
        UserError: If they differ in what must agree, or have tested the same video.
    """
    first, *others = results
    videos = dict(first.videos)
    for other in others:
        ours, theirs = _identity(first), _identity(other)
        if different := [f"{key}: {ours[key]} and {theirs[key]}" for key in ours if ours[key] != theirs[key]]:
            raise UserError(
                f"{first.name} and {other.name} cannot be merged, because they differ ({'; '.join(different)})."
            )
        if both := sorted(videos.keys() & other.videos.keys()):
            raise UserError(
                f"{other.name} cannot be merged with the others, because {join_some(both)} "
                f"{'were' if len(both) > 1 else 'was'} tested twice. Compare these runs: `report` without --merge."
            )
        videos |= other.videos
    is_timed = all(each.seconds for each in results)
    folds = sorted({each.fold for each in results})
    return replace(
        first,
        name=name,
        protocol=first.protocol if len(folds) == 1 else with_folds(first.protocol, folds),
        fold=folds[0] if len(folds) == 1 else 0,
        leakage=worst(each.leakage for each in results),
        checkpoint=_joined([each.checkpoint for each in results if each.checkpoint]) or None,
        videos=dict(sorted(videos.items())),
        frames_shown=sum(each.frames_shown for each in results) if is_timed else 0,
        seconds=sum(each.seconds for each in results) if is_timed else 0.0,
        threshold=first.threshold if len({each.threshold for each in results}) == 1 else None,
        threshold_from=first.threshold_from if len({each.threshold_from for each in results}) == 1 else "",
        parameters=first.parameters if len({each.parameters for each in results}) == 1 else None,
        flop_per_frame=first.flop_per_frame if len({each.flop_per_frame for each in results}) == 1 else None,
        missing={key: count for each in results for key, count in each.missing.items()},
        device=_joined([each.device for each in results]),
        versions={
            package: _joined([each.versions[package] for each in results if package in each.versions])
            for package in dict.fromkeys(package for each in results for package in each.versions)
        },
    )


def require_same_frames(results: Sequence[TestResult]) -> None:
    """Check that metrics can be compared.

    Raises:
        UserError: If one was tested on other frames than the first.
    """
    first, *others = results
    for other in others:
        names = f"{first.name} and {other.name}"
        require_equal_frames(names, (first.dataset, other.dataset), (first.frames, other.frames))


def require_equal_frames(names: str, datasets: tuple[str, str], frames: tuple[Mapping[str, int], ...]) -> None:
    """Check that two systems were tested on one dataset, and on as many frames of each video.

    Args:
        names: What messages call them.
        datasets: The dataset of each.
        frames: Of each, ``category/name`` → number of scored frames.

    Raises:
        UserError: If they were not.
    """
    if datasets[0] != datasets[1]:
        raise UserError(f"{names} were tested on different datasets ({', '.join(datasets)}).")
    first, second = frames
    if different := sorted(key for key in {**first, **second} if first.get(key) != second.get(key)):
        raise UserError(
            f"{names} were not tested on the same frames ({join_some(different)}), so their metrics cannot be "
            f"compared. Test both under one protocol, on the same scenes."
        )


def tested(paths: Sequence[Path], merge: bool) -> list[TestResult]:
    """Read tests on the same frames.

    Args:
        paths: Run directories, or scores.json files.
        merge: Whether they are parts of one result, which is named by the folder that holds all of them.

    Raises:
        UserError: If one cannot be read, they cannot be merged, or were not tested on the same frames.
    """
    results = [TestResult.load(path) for path in paths]
    if merge:
        parents = {(path if path.is_dir() else path.parent).resolve().parent for path in paths}
        name = parents.pop().name if len(parents) == 1 else ", ".join(result.name for result in results)
        results = [merged(results, name)]
    require_same_frames(results)
    return results


def _identity(result: TestResult) -> dict[str, object]:
    """Properties that results must share to be parts of a whole."""
    return {
        "dataset": result.dataset,
        "system": result.system,
        "protocol": protocol_name(result.protocol),
        "seed": result.seed,
    }


def _joined(texts: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(texts))
