"""The command that renders a synthetic twin of a dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bgsub_lightning.console import console, progress_bar
from bgsub_lightning.errors import UserError
from bgsub_lightning.scenes import synthetic


def synthesize(
    out: Path,
    videos_per_category: int | None = None,
    categories: list[str] | None = None,
    width: int | None = None,
    height: int | None = None,
    unlabelled: int = 60,
    labelled: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    layout: Literal["CDnet2014", "Wallflower"] = "CDnet2014",
) -> None:
    """Render a synthetic twin of a dataset in its layout on disk, to try everything without the dataset.

    Videos that are there already are left alone, so an interrupted run goes on where it stopped.

    Args:
        out: Folder of the twin; created if need be.
        videos_per_category: How many videos each category of CDnet2014 has; 3 by default.
        categories: Categories of CDnet2014 to render; all eleven by default.
        width: Width of the frames in pixels; by default 320, for Wallflower 160.
        height: Height of the frames in pixels; by default 240, for Wallflower 120.
        unlabelled: Number of frames of each video without a mask, for reference frames.
        labelled: Number of frames of each video of CDnet2014 with a mask; 60 by default. Wallflower's have one.
        seed: The same seed gives the same files; another seed gives other scenes. CDnet2014's then have other names;
            Wallflower's names are fixed, so that another seed needs another folder.
        workers: Number of processes; one per processor by default.
        layout: The dataset.

    Raises:
        UserError: If an option makes no sense; before anything is rendered.
    """
    videos: Sequence[synthetic.Plan]
    if layout == "Wallflower":
        given = {"videos_per_category": videos_per_category, "categories": categories, "labelled": labelled}
        if senseless := [f"--{option}" for option, value in given.items() if value is not None]:
            raise UserError(
                f"--layout Wallflower: its seven sequences have no categories, and one mask each. "
                f"Leave {' and '.join(senseless)} out."
            )
        videos, size, labelled = synthetic.wallflower.plan(seed), (160, 120), 1
    else:
        videos = synthetic.plan(3 if videos_per_category is None else videos_per_category, categories, seed)
        size, labelled = (320, 240), 60 if labelled is None else labelled
    size = (size[0] if width is None else width, size[1] if height is None else height)
    workers = min(os.cpu_count() or 1, len(videos)) if workers is None else workers
    folders = synthetic.render_all(out, videos, size, unlabelled, labelled, workers)
    with progress_bar() as progress:
        task = progress.add_task("Rendering", total=len(videos))
        for folder in folders:
            progress.update(task, advance=1, description=str(folder.relative_to(out)))
        progress.update(task, description="Rendered")
    frames = len(videos) * (unlabelled + labelled)
    console.print(f"{len(videos)} videos with {frames} frames are in {out}.", soft_wrap=True)
    dataset = "" if layout == "CDnet2014" else f" --dataset {layout}"
    console.print(f"Next: python -m bgsub_lightning prepare{dataset} --root {out}", markup=False, soft_wrap=True)
