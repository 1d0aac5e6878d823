"""Networks as ONNX files."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.inference import Subtractor, System, load_system, named_modules, open_source
from bgsub_lightning.inference.onnx import Written, difference, export_system, load_onnx
from bgsub_lightning.inference.quantised import quantise


def export(
    checkpoint: str, out: Path, source: str | None = None, frames: int = 50, int8: bool = False, modules: str = ""
) -> None:
    """Write the networks of a checkpoint as ONNX, and check them against PyTorch.

    Args:
        checkpoint: Checkpoint of any system; or an experiment, .yaml, that names its authors' weights.
        out: The file, .onnx; a system of several networks has further ones next to it. `segment --checkpoint` takes it.
        source: A video or images on which both are compared and timed as well, as `segment --source`.
        frames: Number of its frames.
        int8: Quantise weights and activations to 8 bits, by their ranges on the frames of --source: faster on many
            CPUs, with nearly the same masks.
        modules: As in `segment --modules`.

    Raises:
        UserError: If the checkpoint cannot be used, or a network cannot be written.
    """
    check_range("--", least=1, most=100_000, frames=frames)
    if out.suffix != ".onnx":
        raise UserError(f"--out: must end in .onnx; got {out}. Name a file such as system.onnx.")
    if Path(checkpoint).suffix == ".onnx":
        raise UserError(f"--checkpoint: {checkpoint}: is ONNX already.")
    if int8 and source is None:
        raise UserError("--int8: needs frames to measure ranges on; got none. Name them by --source VIDEO.")
    system = load_system(checkpoint, named_modules(modules))
    opened = None if source is None else open_source(source)
    images = [] if opened is None else [frame.image for frame in itertools.islice(opened, frames)]
    if opened is not None and not images:
        raise UserError(f"--source: {opened.name}: has no frame that can be decoded.")
    console.print(_table(system, export_system(system, out)))
    if int8:
        quantise(out, images, system.modules)
        console.print("The networks were quantised to 8 bits after that comparison.")
    if images:
        _compare(system, load_onnx(out, system.modules), images)
    console.print(
        f"To use it: {PROGRAM} segment --checkpoint {out} --source VIDEO --out FOLDER",
        soft_wrap=True,
    )


def _table(system: System, written: list[Written]) -> Table:
    shown = Table(
        title=f"{system.module.kind} ({system.name})",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE,
        pad_edge=False,
    )
    shown.add_column("network")
    shown.add_column("file", overflow="fold")
    shown.add_column("inputs")
    shown.add_column("difference", justify="right")
    for each in written:
        inputs = ", ".join("×".join(map(str, shape)) for shape in each.inputs)
        shown.add_row(each.part, str(each.file), inputs, f"{each.difference:.1e}")
    shown.caption = (
        "difference: the largest from PyTorch's answer, on random frames.\nNames among the inputs stand for any size."
    )
    shown.caption_justify = "left"
    return shown


def _compare(system: System, loaded: System, images: list[NDArray[np.uint8]]) -> None:
    """Compare both on real frames, and time them one after the other."""
    subtractors = [Subtractor(each, "cpu", images[:25]) for each in (system, loaded)]
    found = difference(subtractors[0], subtractors[1], images)
    seconds = [_seconds(each, images) for each in subtractors]
    console.print(
        f"On {len(images)} frames of the source probabilities differ by {found.probability:.1e} at most, and "
        f"{found.pixels:.2%} of the mask's pixels differ; ONNX Runtime gives "
        f"{seconds[0] / seconds[1]:.2f} times PyTorch's frames per second on this CPU.",
        soft_wrap=True,
    )


def _seconds(subtractor: Subtractor, images: list[NDArray[np.uint8]]) -> float:
    started = time.perf_counter()
    for image in images:
        subtractor.probability([image])
    return time.perf_counter() - started
