"""The command that renders a synthetic twin of CDnet2014."""

from __future__ import annotations

import os
from pathlib import Path

from bgsub_lightning.console import console, progress_bar
from bgsub_lightning.scenes import synthetic


def synthesize(
    out: Path,
    videos_per_category: int = 3,
    categories: list[str] | None = None,
    width: int = 320,
    height: int = 240,
    unlabelled: int = 60,
    labelled: int = 60,
    seed: int = 0,
    workers: int | None = None,
) -> None:
    """Render a synthetic twin of CDnet2014 in its layout on disk, to try everything without the dataset.

    Videos that are there already are left alone, so an interrupted run goes on where it stopped.

    Args:
        out: Folder of the twin; created if need be.
        videos_per_category: How many videos each category has.
        categories: Categories to render; all eleven by default.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.
        unlabelled: Number of frames of each video without a mask, for reference frames.
        labelled: Number of frames of each video with a mask.
        seed: The same seed gives the same files; another seed gives other scenes, with other names.
        workers: Number of processes; one per processor by default.
    """
    total = len(synthetic.plan(videos_per_category, categories, seed))
    folders = synthetic.synthesize(
        out,
        videos_per_category=videos_per_category,
        categories=categories,
        size=(width, height),
        unlabelled=unlabelled,
        labelled=labelled,
        seed=seed,
        workers=min(os.cpu_count() or 1, total) if workers is None else workers,
    )
    with progress_bar() as progress:
        task = progress.add_task("Rendering", total=total)
        for folder in folders:
            progress.update(task, advance=1, description=f"{folder.parent.name}/{folder.name}")
        progress.update(task, description="Rendered")
    frames = total * (unlabelled + labelled)
    console.print(f"{total} videos with {frames} frames are in {out}.", soft_wrap=True)
    console.print(f"Next: python -m bgsub_lightning prepare --root {out}", markup=False, soft_wrap=True)
