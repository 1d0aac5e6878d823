"""Compute optical flow ahead, into the frame store."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.commands.prepare import reader_of, scenes_of
from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets import raise_for_errors
from bgsub_lightning.datasets.depth import parsed_range, with_range
from bgsub_lightning.evaluation.drawing import comparison_panel
from bgsub_lightning.frames import (
    DisFlow,
    FarnebackFlow,
    FlowFiles,
    FlowMethod,
    FrameStore,
    LucasKanadeFlow,
    SceneFrames,
    fill_flow,
    write_png,
)
from bgsub_lightning.frames.flow import require_motion


def flow(
    root: Path | None = None,
    store: Path | None = None,
    dataset: str = "CDnet2014",
    scene: list[str] | None = None,
    method: Literal["dis", "farneback", "lucas_kanade", "files", "raft"] = "dis",
    files: Path | None = None,
    pattern: str | None = None,
    settings: FlowMethod | None = None,
    taus: list[int] = [1, 5, 10],  # noqa: B006 (it is not changed)
    width: int = 256,
    height: int = 256,
    workers: int | None = None,
    pictures: Path | None = None,
    range: str | None = None,
) -> None:
    """Compute the optical flow of a dataset's frames ahead, into the frame store.

    Each video and interval has its own file. Existing files are kept, so an interrupted run continues where it
    stopped.

    Args:
        root: The dataset's folder. Default: the reader's environment variable, such as CDNET2014_ROOT.
        store: Folder of the frame store; that of the experiments.
        dataset: The dataset, in whose layout the folder is, such as CDnet2014 or Wallflower.
        scene: Only these categories, videos or patterns of category/video, such as 'baseline,shadow/c*'.
        method: What computes the flow, with its default settings. 'files' reads what another program has computed.
        files: Folder of the flow files of --method files.
        pattern: Where a file lies below it. Default: '{category}/{video}/tau{tau}/{number:06d}.flo'.
        settings: A method with its own settings, in place of --method: --settings DisFlow --settings.preset fast.
        taus: The intervals between the two frames of a flow, in frames.
        width: Width of the stored flow in pixels; that of the experiments.
        height: Its height.
        workers: Processes. Default: one for each processor.
        pictures: Folder to write a picture of each video's liveliest frame to. Default: none.
        range: Grey levels of frames of 16 bits that become 0 and 255, as that of `prepare`.

    Raises:
        UserError: If the dataset is not there, a video or a file cannot be used, an option makes no sense, or the store
            cannot be written.
    """
    if store is None:
        raise UserError("--store: name the folder that keeps the flow, as data.init_args.store of the experiment does.")
    if not taus or min(taus) < 1 or len(set(taus)) < len(taus):
        raise UserError(f"--taus: must be different numbers of frames, each at least 1; got {taus}.")
    check_range("--", most=10_000, taus=taus)
    check_range("--", least=16, most=8192, width=width, height=height)
    check_range("--", least=1, most=256, workers=workers)
    if settings is not None and (method != "dis" or files is not None or pattern is not None):
        raise UserError("--settings: names a method with its settings; leave --method, --files and --pattern out.")
    chosen = settings or _method(method, files, pattern)
    reader = reader_of(dataset)
    scenes = with_range(scenes_of(reader, root, scene), parsed_range(range))
    raise_for_errors(scenes)
    for each in scenes:
        require_motion(each, taus)

    def pixels() -> list[SceneFrames]:
        return [SceneFrames(each, (width, height), FrameStore(store), chosen) for each in scenes]

    written = fill_flow(pixels(), taus, workers)
    there = len(scenes) * len(taus) - written
    console.print(
        f"{chosen.name}: {len(scenes)} videos × {len(taus)} intervals (τ = {', '.join(map(str, sorted(taus)))}) at "
        f"{width}×{height} are in {store}: {written} computed, {there} there already.",
        soft_wrap=True,
    )
    if pictures is not None:
        for shown in pixels():
            path = pictures / f"{shown.scene.category}_{shown.scene.name}.png"
            write_png(path, _picture(shown, sorted(taus)))
            console.print(f"Picture: {path}", soft_wrap=True)


def _method(method: str, files: Path | None, pattern: str | None) -> FlowMethod:
    if method == "files":
        if files is None:
            raise UserError("--method files: name the folder of the flow files by --files FOLDER.")
        return FlowFiles(files) if pattern is None else FlowFiles(files, pattern)
    if files is not None or pattern is not None:
        raise UserError(f"--files and --pattern: --method {method} reads no flow files. Set --method files.")
    if method == "raft":
        from bgsub_lightning.systems.crossnet.raft import RaftFlow

        return RaftFlow()
    kinds: dict[str, type[FlowMethod]] = {"dis": DisFlow, "farneback": FarnebackFlow, "lucas_kanade": LucasKanadeFlow}
    return kinds[method]()


def _picture(pixels: SceneFrames, taus: list[int]) -> NDArray[np.uint8]:
    """Draw the frame with the most motion: the frame, each channel, and three channels as one picture."""
    numbers = tuple(pixels.scene.frames)
    number = max(numbers, key=lambda number: float(pixels.hop(number, taus).mean()))
    hop = pixels.hop(number, taus)
    columns = [("frame", pixels.image(number))]
    columns += [(f"tau = {tau}", hop[..., len(taus) - 1 - place]) for place, tau in enumerate(taus)]
    if len(taus) == 3:
        columns.append((f"HOP: R, G, B = tau {', '.join(map(str, taus[::-1]))}", hop))
    titles, images = zip(*columns, strict=True)
    return comparison_panel([(f"{pixels.scene.key}, frame {number}", images)], titles)
