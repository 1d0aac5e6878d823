"""The command that renders a synthetic twin of a dataset."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from bgsub_lightning import synthetic
from bgsub_lightning.core.console import console, progress_bar
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import claimed
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets.checks import folders as inner_folders

_SIZES = {"Wallflower": (160, 120), "LASIESTA": (352, 288)}
_LABELLED = {"CDnet2014": 60, "LASIESTA": 100, "LIMU": 12, "SBI2015": 100, "Wallflower": 1}
_SENSELESS = {
    "CDnet2014": ("", ()),
    "LASIESTA": ("each of its frames has a mask", ("unlabelled",)),
    "LIMU": ("its three sequences have no categories", ("videos_per_category", "categories")),
    "SBI2015": (
        "its fourteen sequences have no categories, and each frame a mask",
        ("videos_per_category", "categories", "unlabelled"),
    ),
    "Wallflower": (
        "its seven sequences have no categories, and one mask each",
        ("videos_per_category", "categories", "labelled"),
    ),
}
"""Layout → options that make no sense for it, and why."""


def synthesize(
    out: Path,
    videos_per_category: int | None = None,
    categories: list[str] | None = None,
    width: int | None = None,
    height: int | None = None,
    unlabelled: int | None = None,
    labelled: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    layout: Literal["CDnet2014", "LASIESTA", "LIMU", "SBI2015", "Wallflower"] = "CDnet2014",
) -> None:
    """Render a synthetic twin of a dataset in its layout on disk, to try everything without the dataset.

    Existing videos are kept, so an interrupted run continues where it stopped.

    Args:
        out: Folder of the twin; created if need be.
        videos_per_category: How many videos each category of CDnet2014 or LASIESTA has; by default 3 and 2.
        categories: Categories of CDnet2014 or LASIESTA to render; all by default.
        width: Width of the frames in pixels; by default 320, for LASIESTA 352, for Wallflower 160.
        height: Height of the frames in pixels; by default 240, for LASIESTA 288, for Wallflower 120.
        unlabelled: Number of frames of each video before the labelled part, for reference frames; 60 by default.
            LASIESTA and SBI2015 have none.
        labelled: Number of frames of each video with a mask; by default 60, for LASIESTA and SBI2015 100, for LIMU 12,
            of which each is the fifth after the one before. Wallflower's have one.
        seed: The same seed gives the same files; another seed gives other scenes. CDnet2014's then have other names;
            the names of the others are fixed, so that another seed needs another folder.
        workers: Number of processes; one per processor by default.
        layout: The dataset.

    Raises:
        UserError: If an option makes no sense; before anything is rendered.
    """
    given = {
        "videos_per_category": videos_per_category,
        "categories": categories,
        "unlabelled": unlabelled,
        "labelled": labelled,
    }
    why, options = _SENSELESS[layout]
    if senseless := [f"--{option}" for option in options if given[option] is not None]:
        raise UserError(f"--layout {layout}: {why}. Leave {' and '.join(senseless)} out.")
    check_range("--", least=0, below=2**63, seed=seed)
    before, after = _parts(layout, 60 if unlabelled is None else unlabelled, labelled)
    videos = _plan(layout, videos_per_category, categories, seed)
    size = _SIZES.get(layout, (320, 240))
    size = (size[0] if width is None else width, size[1] if height is None else height)
    workers = min(os.cpu_count() or 1, len(videos)) if workers is None else workers
    try:
        with _cleared(out), claimed(out), progress_bar() as progress:
            folders = synthetic.render_all(out, videos, size, before, after, workers)
            task = progress.add_task("Rendering", total=len(videos))
            for folder in folders:
                progress.update(task, advance=1, description=str(folder.relative_to(out)))
            progress.update(task, description="Rendered")
    except OSError as error:
        raise UserError(
            f"--out: {out}: cannot be written ({error.strerror or error}). Complete videos are kept. Free "
            f"space or make the folder writable, and run the same command again."
        ) from error
    frames = len(videos) * (before + after)
    console.print(f"{len(videos)} videos with {frames} frames are in {out}.", soft_wrap=True)
    dataset = "" if layout == "CDnet2014" else f" --dataset {layout}"
    console.print(f"Next: {PROGRAM} prepare{dataset} --root {out}", soft_wrap=True)


@contextmanager
def _cleared(out: Path) -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, and leave no empty category, which a reader would trip over."""
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        for folder in inner_folders(out) if out.is_dir() else []:
            with suppress(OSError):  # it holds something
                folder.rmdir()


def _plan(
    layout: str, videos_per_category: int | None, categories: list[str] | None, seed: int
) -> Sequence[synthetic.Plan]:
    match layout:
        case "LASIESTA":
            return synthetic.lasiesta.plan(2 if videos_per_category is None else videos_per_category, categories, seed)
        case "LIMU":
            return synthetic.limu.plan(seed)
        case "SBI2015":
            return synthetic.sbi2015.plan(seed)
        case "Wallflower":
            return synthetic.wallflower.plan(seed)
        case _:
            return synthetic.plan(3 if videos_per_category is None else videos_per_category, categories, seed)


def _parts(layout: str, unlabelled: int, labelled: int | None) -> tuple[int, int]:
    """Return how many frames are rendered before the middle of what happens, and from there on."""
    check_range("--", most=100_000 // (synthetic.limu.EVERY if layout == "LIMU" else 1), labelled=labelled)
    count = _LABELLED[layout] if labelled is None else labelled
    if layout == "LIMU":
        return unlabelled, count * synthetic.limu.EVERY
    if layout in {"LASIESTA", "SBI2015"}:  # which label all
        if count < 2:
            raise UserError(f"--labelled must be 2 or more frames for the layout {layout}, not {count}.")
        return count // 2, count - count // 2
    return unlabelled, count
