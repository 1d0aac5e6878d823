"""Check a dataset and fill the frame store."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rich import box
from rich.table import Table

from bgsub_lightning.core.console import console, mark, progress_bar
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.core.text import suggestion
from bgsub_lightning.datasets import (
    LASIESTA,
    LIMU,
    SBI2015,
    CDnet2014,
    Problem,
    Reader,
    Scene,
    Wallflower,
    with_mask_code,
)
from bgsub_lightning.datasets.checks import some, stretched_frames
from bgsub_lightning.datasets.depth import parsed_range, with_range
from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.datasets.patterns import path_pattern
from bgsub_lightning.datasets.scene import UnknownSceneError
from bgsub_lightning.datasets.verdicts import THREADS
from bgsub_lightning.frames import FrameStore, SceneFrames, fill, read_mask

READERS: dict[str, type[Reader]] = {reader.name: reader for reader in (CDnet2014, LASIESTA, LIMU, SBI2015, Wallflower)}
"""Name of a dataset → its reader."""


def prepare(
    root: Path | None = None,
    store: Path | None = None,
    scene: list[str] | None = None,
    width: int = 320,
    height: int = 240,
    workers: int | None = None,
    dataset: Literal["CDnet2014", "LASIESTA", "LIMU", "SBI2015", "Wallflower"] = "CDnet2014",
    frames: str | None = None,
    masks: str | None = None,
    range: str | None = None,
    mask_code: MaskCode | None = None,
) -> None:
    """Check a dataset, list its videos and problems, and fill the frame store.

    Args:
        root: The dataset's folder. Default: the environment variable CDNET2014_ROOT, LASIESTA_ROOT and so on.
        store: Folder to keep decoded frames in. Default: check only.
        scene: Only these categories, videos or patterns of category/video, such as 'baseline,shadow/c*'.
        width: Width of the stored frames in pixels; that of the experiments.
        height: Their height.
        workers: Threads that decode. Default: one for each processor.
        dataset: The dataset, in whose layout the folder is.
        frames: Pattern of the frames' paths, such as '{sequence}/input/*{number}.*', for a copy of LIMU or SBI2015 that
            lies otherwise than by default.
        masks: Pattern of the masks' paths, likewise.
        range: Grey levels of frames of 16 bits that become 0 and 255, such as 51000,52000; give data.init_args.range
            the same. Default: by each video's first frames, as everywhere.
        mask_code: How the masks are written: BINARY for black and white, or 0 and 1; CDNET, SBI2015 or LASIESTA; give
            data.init_args.mask_code the same. Default: the dataset's.

    Raises:
        UserError: If the dataset is not there, a video cannot be used, or the store cannot be written.
    """
    check_range("--", least=16, most=8192, width=width, height=height)
    check_range("--", least=1, most=256, workers=workers)
    reader = reader_of(dataset, frames=frames, masks=masks)
    scenes = with_range(scenes_of(reader, root, scene), parsed_range(range))
    scenes = with_mask_code(scenes, mask_code)
    console.print(_videos(scenes))
    problems = [problem for each in scenes for problem in each.problems]
    problems += _stretched_frames(scenes) + _spoiled_masks(scenes)
    for problem in _grouped(problems):
        mark(problem.severity, str(problem))
    for each in scenes:
        if each.range is not None:
            low, high = each.range
            console.print(f"{each.key}: frames of 16 bits; grey levels {low:g} to {high:g} become 0 to 255.")
    for origin in dict.fromkeys(str(each.origin) for each in scenes if each.origin):
        console.print(f"{root or reader.locate(None)}: {origin}.", soft_wrap=True)
    for each in scenes:
        if each.departure:
            console.print(f"{each.key}: not {reader.name}'s own: {each.departure}.", soft_wrap=True)
    errors = sum(problem.severity == "error" for problem in problems)
    console.print(f"{len(scenes)} videos, {errors} errors, {len(problems) - errors} warnings.")
    if errors:
        raise UserError(f"{errors} errors keep videos from being used; they are named above.")
    if store is not None:
        fill([SceneFrames(each, (width, height), FrameStore(store)) for each in scenes], workers)
        console.print(f"The store {store} is complete for {width}×{height}.")


def _grouped(problems: Sequence[Problem]) -> list[Problem]:
    """Put those of one folder and one cause into one, with the first file and a count."""
    groups: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        cause = re.sub(r"\(.*?\)|\d+", "", f"{problem.what} {problem.fix}")
        groups.setdefault((problem.severity, str(problem.file.parent), cause), []).append(problem)
    return [
        replace(group[0], what=f"{group[0].what} (and {some(len(group) - 1, 'file')} more)")
        if len(group) > 1
        else group[0]
        for group in groups.values()
    ]


def reader_of(dataset: str, options: str = "--", **patterns: str | None) -> Reader:
    """Return the reader of a dataset.

    Args:
        dataset: Its name, in capitals or not.
        options: How the command's options begin that give the patterns, for messages.
        patterns: What some readers take: ``frames`` and ``masks``; ``None`` is the reader's own.

    Raises:
        UserError: If there is no such dataset, it takes no patterns, or one makes no sense.
    """
    named = {name.lower(): reader for name, reader in READERS.items()}
    if dataset.lower() not in named:
        raise UserError(f"--dataset: there is no dataset {dataset!r}. {suggestion(dataset, READERS, 1)}")
    reader = named[dataset.lower()]
    given = {name: pattern for name, pattern in patterns.items() if pattern is not None}
    if given and reader not in (LIMU, SBI2015):
        raise UserError(
            f"{' and '.join(options + name for name in given)}: the layout of {reader.name} is fixed; LIMU and SBI2015 "
            f"alone take patterns. Leave the option out."
        )
    for name, pattern in given.items():
        path_pattern(pattern, f"{options}{name}")
    return reader(**given)


def scenes_of(
    reader: Reader, root: Path | None, patterns: Sequence[str] | None, option: str = "--scene"
) -> list[Scene]:
    """Read the scenes that a command was asked for.

    Args:
        reader: The dataset's reader.
        root: The dataset's folder; ``None`` takes it from the reader's environment variable.
        patterns: Which scenes; ``None``: all.
        option: The option that names them, for the message.

    Raises:
        UserError: If the dataset is not there, or a pattern matches nothing.
    """
    try:
        return reader.scenes(reader.locate(root), patterns)
    except UnknownSceneError as error:
        raise UnknownSceneError(option, error.pattern, error.hint) from error


def _stretched_frames(scenes: list[Scene]) -> list[Problem]:
    """Look at the size of every frame, in its header."""
    with progress_bar() as bar, ThreadPoolExecutor(THREADS) as pool:
        sound = [scene for scene in scenes if not scene.errors]
        return [
            problem
            for scene in bar.track(sound, description="Checking the frames")
            for problem in stretched_frames(scene, pool)
        ]


def _spoiled_masks(scenes: list[Scene]) -> list[Problem]:
    """Decode every mask and look at its size and its grey levels."""
    files = [(path, scene) for scene in scenes if not scene.errors for path in scene.masks.values()]
    with progress_bar() as bar, ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        task = bar.add_task("Checking the masks", total=len(files))

        def check(item: tuple[Path, Scene]) -> Problem | None:
            bar.advance(task)
            path, scene = item
            try:
                read_mask(path, scene.size, code=scene.mask_code)
            except UserError as error:
                what, _, fix = str(error).removeprefix(f"{path}: ").partition(". ")
                return Problem("error", path, what, fix)
            return None

        return [problem for problem in pool.map(check, files) if problem]


def _videos(scenes: list[Scene]) -> Table:
    shown = Table(title="Videos", title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False)
    shown.add_column("video", overflow="fold")
    for heading in ("size", "frames", "refs", "labels", "evaluated", "ROI", "!"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for scene in scenes:
        first, last = scene.evaluated
        shown.add_row(
            scene.key,
            f"{scene.size[0]}×{scene.size[1]}",
            str(len(scene.frames)),
            str(len(scene.references)),
            str(len(scene.masks)),
            f"{first}–{last}" if first <= last else "?",
            "file" if scene.roi else "all",
            str(len(scene.problems) or ""),
        )
    shown.caption = "refs: frames that can be references; labels: frames with a mask; !: problems, listed below."
    shown.caption_justify = "left"
    shown.add_section()
    totals = (sum(len(scene.frames) for scene in scenes), sum(len(scene.masks) for scene in scenes))
    shown.add_row("in all", "", str(totals[0]), "", str(totals[1]), "", "", "")
    return shown
