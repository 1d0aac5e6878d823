"""Optical flow, computed ahead by several processes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.console import progress_bar
from bgsub_lightning.core.parallel import in_processes
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.frames.source import SceneFrames, require_room

_CHUNK = 16  # frames of a task: few, so that little is lost by Ctrl-C; each decodes up to τ frames that another has too

_Task = tuple[int, int, list[int]]
"""Position of the scene, interval, frames."""


def fill_flow(scenes: Sequence[SceneFrames], taus: Sequence[int], workers: int | None = None) -> int:
    """Write the flow that the store lacks, with a progress bar; each scene and interval has its own array.

    What is written does not depend on the number of processes. An interrupted run has written whole arrays only;
    the next run continues with the others.

    Args:
        scenes: The scenes, all of one store and with a flow method.
        taus: The intervals, in frames.
        workers: Processes; 1 computes in this one. ``None``: one for each processor.

    Returns:
        How many arrays were written.

    Raises:
        UserError: If there is not enough room on the disk, a file cannot be used, the store cannot be written, or a
            process was killed.
    """
    jobs = [(position, tau) for position, scene in enumerate(scenes) for tau in scene.missing_motion(taus)]
    if not jobs:
        return 0
    frames = [len(scenes[position].scene.frames) for position, _ in jobs]
    store = next(scene.store for scene in scenes if scene.store)
    sizes = [math.prod(scenes[position].size) for position, _ in jobs]
    require_room(store, sum(count * size for count, size in zip(frames, sizes, strict=True)))
    workers = min(workers or os.cpu_count() or 2, -(-sum(frames) // _CHUNK))
    tasks = (
        (position, tau, numbers[start : start + _CHUNK])
        for position, tau in jobs
        for numbers in [list(scenes[position].scene.frames)]
        for start in range(0, len(numbers), _CHUNK)
    )
    fix = f"Written arrays are kept. Continue with fewer: `{PROGRAM} flow --workers N`."
    found = in_processes(_rows, scenes, tasks, workers, fix)
    rows = chain.from_iterable(found)
    with progress_bar() as bar:
        task = bar.add_task("Computing optical flow", total=sum(frames))
        try:
            for position, tau in jobs:
                name = f"{scenes[position].scene.key}, τ = {tau}"
                bar.update(task, description=f"Computing optical flow: {name}")
                for _ in scenes[position].write_motion(tau, rows):
                    bar.advance(task)
        finally:
            found.close()
        bar.update(task, description="Computed optical flow")
    return len(jobs)


def _rows(scenes: Sequence[SceneFrames], task: _Task) -> NDArray[np.uint8]:
    position, tau, numbers = task
    return np.stack([scenes[position].motion(number, tau) for number in numbers])
