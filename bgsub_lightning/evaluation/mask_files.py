"""Masks that some system has written to files: found, checked, and counted by CDnet's official rule.

The rule is that of :func:`bgsub_lightning.metrics.confusion_counts`, here without torch: worker processes that had to
import it would take longer to start than to count.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.console import progress_bar
from bgsub_lightning.core.decoding import decode_pixels, read_content
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.parallel import in_processes
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.datasets.checks import is_cut_off
from bgsub_lightning.datasets.labels import MOVING, SHADOW, UNKNOWN
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.evaluation.frame_scores import FrameScore
from bgsub_lightning.frames.file_patterns import placeholders
from bgsub_lightning.frames.images import is_hidden_in_alpha, read_mask, read_roi

_CHUNK = 32  # frames of a task
_WORTH_A_PROCESS = 500  # frames: a process takes as long to start as to count some hundreds
_PLACES = {"dataset", "category", "video", "number"}

Fault = Literal["missing", "unreadable", "of another size", "of 16 bits", "in its alpha channel", "not binary"]
"""Problems of a mask. A mask that is not binary is scored: foreground is where it is exactly 255."""


@dataclass(frozen=True)
class MaskFiles:
    """A folder of masks.

    Attributes:
        folder: The folder.
        pattern: Where the mask of a frame lies below it. It may use ``{dataset}``, ``{category}``, ``{video}`` and
            ``{number}``, the number with a width such as ``{number:06d}``; it must use the last, and ``{video}`` where
            there are several videos. The default is CDnet's layout of results.
        threshold: Share of white above which a pixel is foreground, of masks of 8 or 16 bits; ``None``: masks have 8
            bits, and foreground is 255 alone, as CDnet's rule has it.
        is_inverted: Whether foreground is black.

    Raises:
        UserError: If there is no such folder, the pattern is not like that, or the threshold is no share.
    """

    folder: Path
    pattern: str = "{category}/{video}/bin{number:06d}.png"
    threshold: float | None = None
    is_inverted: bool = False

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise UserError(f"--threshold: must lie in [0, 1); got {self.threshold}. Masks are black at 0, white at 1.")
        if not self.folder.is_dir():
            raise UserError(f"--masks: {self.folder}: there is no such folder of masks.")
        try:
            if "number" not in placeholders(self.pattern, _PLACES):
                raise ValueError("a placeholder is missing")
        except ValueError as error:
            raise UserError(
                f"--pattern: {self.pattern!r} cannot be used ({error}). It may hold "
                f"{', '.join(f'{{{name}}}' for name in sorted(_PLACES))}, and must hold {{video}} and {{number}} (the "
                f"first may be missing for one video), such as {MaskFiles.pattern}."
            ) from None

    def path(self, scene: Scene, number: int) -> Path:
        """Return where the mask of a frame lies."""
        return self.folder / self.pattern.format(
            dataset=scene.dataset, category=scene.category, video=scene.name, number=number
        )

    @property
    def is_plain(self) -> bool:
        """Whether masks are taken as they are."""
        return self.threshold is None and not self.is_inverted

    def read(self, scene: Scene, number: int) -> NDArray[np.uint8] | tuple[Fault, str]:
        """Decode the mask of a frame, and apply the threshold.

        Returns:
            Shape ``(H, W)``, uint8, foreground where it is 255; or what is wrong with it.
        """
        found = read_result(self.path(scene, number), scene.size, is_soft=self.threshold is not None)
        if isinstance(found, tuple):
            return found
        mask = np.asarray(found, np.uint8) if self.threshold is None else _above(found, self.threshold)
        return np.asarray(cv2.bitwise_not(mask), np.uint8) if self.is_inverted else mask

    def holds_any(self, scene: Scene, numbers: Iterable[int]) -> bool:
        """Whether one of these frames has a file."""
        return any(self.path(scene, number).is_file() for number in numbers)

    def unexpected_files(self, scenes: Iterable[Scene]) -> dict[Path, list[str]]:
        """Return the names that belong to no frame, by their folder: of those folders alone that hold masks."""
        known: dict[Path, set[str]] = {}
        for scene in scenes:
            for number in scene.frames:
                path = self.path(scene, number)
                known.setdefault(path.parent, set()).add(path.name)
        for folder in list(known):  # one that holds masks may lie in another
            for below, above in pairwise([folder, *folder.parents]):
                if above in known:
                    known[above].add(below.name)
        found = {}
        for folder, names in known.items():
            if folder.is_dir():
                others = {path.name for path in folder.iterdir()} - names
                found[folder] = sorted(name for name in others if name[0] != ".")
        return {folder: names for folder, names in found.items() if names}


class InvalidMask(NamedTuple):
    """A mask with which something is wrong.

    Attributes:
        number: Frame number.
        path: The file.
        fault: What is wrong.
        detail: In which way; empty where there is no more to say.
    """

    number: int
    path: Path
    fault: Fault
    detail: str = ""


@dataclass(frozen=True)
class MaskCounts:
    """The counts of one scene's frames.

    Attributes:
        frames: Those that have a mask which can be scored.
        invalid: The masks with which something is wrong.
    """

    frames: list[FrameScore]
    invalid: list[InvalidMask]

    @property
    def missing(self) -> int:
        """Number of frames that could not be scored."""
        return sum(mask.fault != "not binary" for mask in self.invalid)


def official_counts(mask: NDArray[np.uint8], truth: NDArray[np.uint8], roi: NDArray[np.bool_] | None) -> list[int]:
    """Count pixels by CDnet's official rule.

    Args:
        mask: The mask that a system wrote, shape ``(H, W)``, uint8: foreground where it is exactly 255.
        truth: CDnet2014's grey levels, of the same shape.
        roi: The region of interest, of the same shape, bool; ``None``: the whole frame.

    Returns:
        TP, FP, FN, TN and shadow errors.

    Example:
        >>> truth = np.array([[0, 50, 85, 170, 255, 255]], np.uint8)
        >>> official_counts(np.array([[254, 255, 0, 255, 255, 0]], np.uint8), truth, None)
        [1, 1, 1, 2, 1]
    """
    valid = truth != UNKNOWN
    if roi is not None:
        valid &= roi
    called, moving = valid & (mask == MOVING), valid & (truth == MOVING)
    areas = (called & moving, called, moving, valid, called & (truth == SHADOW))
    both, positive, foreground, counted, shadow_errors = (int(np.count_nonzero(area)) for area in areas)
    fp, fn = positive - both, foreground - both
    return [both, fp, fn, counted - both - fp - fn, shadow_errors]


def read_result(path: Path, size: tuple[int, int] | None, is_soft: bool = False) -> NDArray[Any] | tuple[Fault, str]:
    """Decode a mask that a system wrote.

    Args:
        path: The file.
        size: Width and height that it must have; ``None``: any.
        is_soft: Whether it may have 16 bits.

    Returns:
        Shape ``(H, W)``, uint8 or uint16; or what is wrong with it.
    """
    try:
        data = read_content(path)
    except FileNotFoundError:
        return "missing", ""
    except OSError as error:
        return "unreadable", str(error.strerror)
    if is_cut_off(path, data):
        return "unreadable", "truncated"
    image = decode_pixels(data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if image is None:
        return "unreadable", "no image"
    if image.dtype != np.uint8 and not (is_soft and image.dtype == np.uint16):
        return ("of 16 bits", "") if image.dtype == np.uint16 else ("unreadable", f"{image.dtype} instead of 8 bits")
    if size is not None and (found := (image.shape[1], image.shape[0])) != size:
        return "of another size", f"{found[0]}×{found[1]} instead of {size[0]}×{size[1]}"
    if is_hidden_in_alpha(data):
        return "in its alpha channel", "its colours are the same everywhere"
    return image


def _above(mask: NDArray[Any], threshold: float) -> NDArray[np.uint8]:
    white = np.iinfo(mask.dtype).max
    return np.where(mask > threshold * white, MOVING, 0).astype(np.uint8)


def grey_levels(mask: NDArray[np.uint8]) -> list[int]:
    """Return the levels of a mask that are neither 0 nor 255, in ascending order."""
    if cv2.countNonZero(mask) == np.count_nonzero(mask == MOVING):
        return []
    return [level for level in np.unique(mask).tolist() if level not in (0, MOVING)]


def count_masks(
    frames: Sequence[tuple[Scene, Sequence[int]]], files: MaskFiles, workers: int | None = None
) -> dict[str, MaskCounts]:
    """Count the masks of frames by the official rule, with a progress bar.

    What is found does not depend on the number of processes.

    Args:
        frames: Scenes with the labelled frames that are scored.
        files: The masks.
        workers: Processes; 1 counts in this one. ``None``: one for each processor, or fewer for few frames.

    Returns:
        ``category/name`` → what was counted.

    Raises:
        UserError: If a ground-truth mask or an ROI cannot be used, or a process was killed.
    """
    total = sum(len(numbers) for _, numbers in frames)
    workers = workers or min(os.cpu_count() or 1, max(1, total // _WORTH_A_PROCESS))
    # processes need the paths of what they read, and of nothing else
    scenes = [
        replace(scene, frames={}, references=(), masks={number: scene.masks[number] for number in numbers})
        for scene, numbers in frames
    ]
    tasks = (
        (position, numbers[start : start + _CHUNK])
        for position, (_, numbers) in enumerate(frames)
        for start in range(0, len(numbers), _CHUNK)
    )
    counted = {scene.key: MaskCounts([], []) for scene in scenes}
    fix = f"Count with fewer: `{PROGRAM} evaluate --workers N`."
    with progress_bar() as bar, closing(in_processes(_count, (files, scenes), tasks, workers, fix)) as parts:
        task = bar.add_task("Counting", total=total)
        for position, part in parts:
            whole = counted[scenes[position].key]
            whole.frames.extend(part.frames)
            whole.invalid.extend(part.invalid)
            bar.update(task, advance=len(part.frames) + part.missing, description=f"Counting: {scenes[position].key}")
        bar.update(task, description="Counted")
    return counted


def _count(shared: tuple[MaskFiles, Sequence[Scene]], task: tuple[int, Sequence[int]]) -> tuple[int, MaskCounts]:
    (files, scenes), (position, numbers) = shared, task
    scene, part = scenes[position], MaskCounts([], [])
    for number in numbers:
        path = files.path(scene, number)
        mask = files.read(scene, number)
        if isinstance(mask, tuple):
            part.invalid.append(InvalidMask(number, path, *mask))
            continue
        if levels := grey_levels(mask):
            shown = ", ".join(map(str, levels[:4])) + (", …" if len(levels) > 4 else "")
            kind = "0 and 1 for 0 and 255" if levels == [1] else "a soft map" if len(levels) > 4 else "labels"
            part.invalid.append(InvalidMask(number, path, "not binary", f"holds {shown}, like {kind}"))
        truth = read_mask(scene.masks[number], scene.size, code=scene.mask_code)
        unknown = bool((truth == UNKNOWN).any())
        part.frames.append(FrameScore(scene.key, number, official_counts(mask, truth, _roi(scene)), True, unknown))
    return position, part


@lru_cache(maxsize=1)
def _roi(scene: Scene) -> NDArray[np.bool_] | None:
    return None if scene.roi is None else read_roi(scene)
