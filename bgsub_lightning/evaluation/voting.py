"""A vote over folders of masks, pixel by pixel."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.console import progress_bar
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.parallel import in_processes
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.datasets.labels import MOVING
from bgsub_lightning.datasets.scene import select
from bgsub_lightning.evaluation.mask_files import grey_levels, read_result
from bgsub_lightning.frames import write_png

_CHUNK = 32  # frames of a task
_WORTH_A_PROCESS = 500  # frames
_MASK = re.compile(r"bin\d{6}\.png")


class GreyMasks(NamedTuple):
    """Masks of a folder that hold something else than 0 and 255.

    Attributes:
        first: One of them, below the folder.
        levels: What it holds.
        total: Their number.
    """

    first: str
    levels: list[int]
    total: int


class _Task(NamedTuple):
    folders: Sequence[Path]
    least: int
    out: Path


def masks_of_all(folders: Sequence[Path], scene: Sequence[str] | None = None) -> list[str]:
    """Return the masks that the folders hold: ``CATEGORY/VIDEO/bin000001.png``, or ``bin000001.png`` of one video.

    Args:
        folders: The folders.
        scene: Only these categories, videos or patterns of category/video.

    Returns:
        Paths below each folder, in ascending order.

    Raises:
        UserError: If a folder holds none, or lacks one that another has.
    """
    held = [_masks(folder) for folder in folders]
    if scene is not None:
        videos = sorted({_video(name) for names in held for name in names} - {""})
        chosen = set(select(videos, scene, "--scene"))
        held = [{name for name in names if _video(name) in chosen} for names in held]
    wanted = set.union(*held)
    for folder, names in zip(folders, held, strict=True):
        if missing := sorted(wanted - names):
            other = next(other for other, has in zip(folders, held, strict=True) if missing[0] in has)
            more = f", as are {len(missing) - 1:,} others" if len(missing) > 1 else ""
            raise UserError(
                f"{folder / missing[0]}: is missing{more}; {other} has a mask of this frame. Write it, or name videos "
                f"that all folders hold by --scene."
            )
    return sorted(wanted)


def _masks(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder of masks.")
    found = [*folder.glob("bin*.png"), *folder.glob("*/*/bin*.png")]
    names = {path.relative_to(folder).as_posix() for path in found if _MASK.fullmatch(path.name)}
    if not names:
        raise UserError(
            f"{folder}: holds no mask, such as {folder / 'baseline/highway/bin000001.png'}. Name the folder above the "
            f"categories, as `predict` writes it: results."
        )
    return names


def _video(name: str) -> str:
    return name.rpartition("/")[0]


def vote(
    folders: Sequence[Path], names: Sequence[str], least: int, out: Path, workers: int | None = None
) -> list[GreyMasks | None]:
    """Write masks of what enough of the folders call foreground, which is where their masks are exactly 255.

    Args:
        folders: The folders.
        names: The masks, below each of them; see :func:`masks_of_all`.
        least: Number of folders that must agree.
        out: Folder to write to.
        workers: Processes; ``None``: one for each processor, or fewer for few frames.

    Returns:
        Of each folder the masks that are not binary.

    Raises:
        UserError: If a mask cannot be read, has another size than those of the other folders, or cannot be written.
    """
    workers = workers or min(os.cpu_count() or 1, max(1, len(names) // _WORTH_A_PROCESS))
    tasks = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]
    found: list[GreyMasks | None] = [None] * len(folders)
    shared, fix = _Task(folders, least, out), f"Vote with fewer: `{PROGRAM} combine --workers N`."
    with progress_bar() as bar, closing(in_processes(_vote, shared, tasks, workers, fix)) as parts:
        progress = bar.add_task("Voting", total=len(names))
        for task, part in zip(tasks, parts, strict=True):
            for place, grey in part.items():
                before = found[place]
                found[place] = before._replace(total=before.total + grey.total) if before else grey
            bar.update(progress, advance=len(task))
    return found


def _vote(shared: _Task, names: Sequence[str]) -> dict[int, GreyMasks]:
    found: dict[int, GreyMasks] = {}
    for name in names:
        votes: NDArray[np.uint16] | None = None
        for place, folder in enumerate(shared.folders):
            size = None if votes is None else (votes.shape[1], votes.shape[0])
            mask = read_result(folder / name, size)
            if isinstance(mask, tuple):
                raise UserError(f"{folder / name}: is {': '.join(filter(None, mask))}. Write it again.")
            if levels := grey_levels(mask):
                before = found.get(place, GreyMasks(name, levels, 0))
                found[place] = before._replace(total=before.total + 1)
            votes = np.zeros(mask.shape, np.uint16) if votes is None else votes
            votes += mask == MOVING
        assert votes is not None
        write_png(shared.out / name, np.where(votes >= shared.least, np.uint8(MOVING), np.uint8(0)), shared.out)
    return found
