"""Frames per second of every system next to every peer, in one run: on one thread, and on all.

Systems answer frame by frame as of a camera, on rendered frames of 320×240: AnyScene with the weights that ship, in
PyTorch, compiled, in ONNX Runtime and in OpenVINO, both also quantised to 8 bits, and working at 128×96; the others
at their CPU size and at the paper's, with random weights, on which speed does not depend. Peers are called directly:
OpenCV's MOG2, KNN and, of its contrib build, CNT and GSOC; bgslibrary's SuBSENSE and LOBSTER. What is not installed is
left out and named. All take turns; ratios are what counts.

    python benchmarks/speed.py
    python benchmarks/speed.py --sizes small --seconds 1 --rounds 1 --threads 1
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from any_scene import SMALL
from measure import ROOT, interleaved, rate, table_of
from numpy.typing import NDArray
from systems import STAGES, experiment_of

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.memory import keep_freed_memory
from bgsub_lightning.core.run_info import read_system
from bgsub_lightning.frames import read_image
from bgsub_lightning.inference import Subtractor, System, load_system
from bgsub_lightning.inference.onnx import export_system, load_onnx
from bgsub_lightning.inference.quantised import quantise
from bgsub_lightning.inference.system import build
from bgsub_lightning.synthetic import VideoPlan, render_video
from bgsub_lightning.systems.baselines import BgsLibrarySubtractorSystem, ClassicalSubtractorSystem
from bgsub_lightning.systems.baselines.classical import StreamingSystem

Image = NDArray[np.uint8]
Push = Callable[[Image], object]

PEERS: dict[str, Callable[[], StreamingSystem]] = {
    "MOG2": lambda: ClassicalSubtractorSystem("MOG2"),
    "KNN": lambda: ClassicalSubtractorSystem("KNN"),
    "CNT": lambda: ClassicalSubtractorSystem("CNT"),
    "GSOC": lambda: ClassicalSubtractorSystem("GSOC"),
    "SuBSENSE": lambda: BgsLibrarySubtractorSystem("SuBSENSE"),
    "LOBSTER": lambda: BgsLibrarySubtractorSystem("LOBSTER"),
}
AHEAD = 48
"""Frames that each way has seen before it is measured."""


@dataclass
class Way:
    """A way to subtract.

    Attributes:
        push: Takes the next frame.
        parameters: Number of them; empty for what has none.
        ahead: Frames that it sees before it is measured.
    """

    push: Push
    parameters: str = ""
    ahead: int = AHEAD


def peer(system: StreamingSystem) -> Push:
    """Return what applies a subtractor of a library."""
    context = system.begin_scene({})

    def push(frame: Image) -> object:
        return context.subtractor.apply(np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), np.uint8))

    system.masks(context, np.zeros((1, 240, 320, 3), np.uint8))
    return push


def pushed(system: System, frames: list[Image], compiled: bool = False) -> Way:
    """Return what a system does with a frame of a camera."""
    subtractor = Subtractor(system, "cpu", frames[:25], threshold=0.5, compiled=compiled)
    count = sum(each.numel() for each in system.module.parameters())
    return Way(lambda frame: subtractor.push([frame]), f"{count:,}", AHEAD if system.streams else 2)


def untrained(name: str, is_paper: bool) -> System:
    """Build the system of an experiment, as `fit` would begin with it."""
    command = [sys.executable, "-m", "bgsub_lightning", "fit", "--print_config"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    options = ["--config", str(experiment_of(name, is_paper)), "--data.init_args.root=."]
    printed = subprocess.check_output([*command, *options], env={**os.environ, "PYTHONPATH": path})
    given: dict[str, Any] = yaml.safe_load(printed)
    data = given["data"]["init_args"]
    record = {"model": given["model"], "size": data.get("size"), "flow": data.get("flow")}
    return build(read_system(yaml.safe_dump(record), experiment_of(name, is_paper)), Path(name))


def of_any_scene(frames: list[Image], folder: Path) -> dict[str, Callable[[], Way]]:
    """Return what makes the ways in which AnyScene runs."""

    def exported(name: str, int8: bool = False) -> Path:
        path = folder / name
        if not path.is_file():
            export_system(load_system(), path)
            if int8:
                quantise(path, frames)
        return path

    return {
        "AnyScene": lambda: pushed(load_system(), frames),
        "  compiled": lambda: pushed(load_system(), frames, compiled=True),
        "  ONNX Runtime": lambda: pushed(load_onnx(exported("whole.onnx")), frames),
        "  ONNX Runtime, int8": lambda: pushed(load_onnx(exported("small.onnx", True)), frames),
        "  OpenVINO": lambda: pushed(in_open_vino(exported("whole.onnx")), frames),
        "  OpenVINO, int8": lambda: pushed(in_open_vino(exported("small.onnx", True)), frames),
        "  at 128×96": lambda: pushed(reduced(load_system()), frames),
        "  at 128×96, ONNX Runtime, int8": lambda: pushed(reduced(load_onnx(exported("small.onnx", True))), frames),
        "  at 128×96, OpenVINO, int8": lambda: pushed(reduced(in_open_vino(exported("small.onnx", True))), frames),
    }


def reduced(system: System) -> System:
    """Let AnyScene work at 128×96, as ``docs/any_scene.md`` describes it."""
    module: Any = system.module
    module.rules = replace(module.rules, **SMALL)
    return system


def in_open_vino(exported: Path) -> System:
    """Return AnyScene with its network in OpenVINO."""
    if not importlib.util.find_spec("openvino"):
        raise UserError("openvino is not installed: pip install openvino.")
    import openvino

    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": torch.get_num_threads()})
    compiled = core.compile_model(str(exported), "CPU")
    system = load_onnx(exported)
    network: Any = system.module.network
    network.forward = lambda planes: torch.from_numpy(compiled([planes.contiguous().numpy()])[0])
    return system


def ways(options: argparse.Namespace, frames: list[Image], folder: Path) -> tuple[dict[str, Way], list[str]]:
    """Return all ways that this machine has, and remarks on the others."""
    makers: dict[str, Callable[[], Way]] = {name: lambda make=make: Way(peer(make())) for name, make in PEERS.items()}  # type: ignore[misc]
    makers |= of_any_scene(frames, folder)
    for size in options.sizes:
        for name in options.systems:
            if name != "any_scene":
                makers[f"{name}, {size}"] = lambda name=name, size=size: pushed(
                    untrained(name, size == "paper"), frames
                )  # type: ignore[misc]
    made, remarks = {}, []
    for name, make in makers.items():
        try:
            made[name] = make()
        except UserError as error:
            remarks.append(f"{name.strip()}: left out. {error}")
    return made, remarks


def measure(options: argparse.Namespace, made: dict[str, Way], frames: list[Image]) -> dict[str, float]:
    """Return the frames per second of each way."""
    timed: dict[str, Callable[[], float]] = {}
    for name, way in made.items():
        stream = cycle([*frames, *reversed(frames)])
        for _ in range(way.ahead):
            way.push(next(stream))
        timed[name] = lambda way=way, stream=stream: rate(lambda: way.push(next(stream)), options.seconds)  # type: ignore[misc]
    return interleaved(timed, options.rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="*", choices=STAGES, default=list(STAGES))
    parser.add_argument("--sizes", nargs="*", choices=["small", "paper"], default=["small", "paper"])
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, os.cpu_count() or 1}))
    parser.add_argument("--seconds", type=float, default=2, help="length of each measurement; a frame at least")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, in turn; the median counts")
    options = parser.parse_args()
    keep_freed_memory()
    rates: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        render_video(VideoPlan("baseline", 0), Path(folder) / "video", size=(320, 240), unlabelled=1, labelled=120)
        frames = [read_image(path) for path in sorted((Path(folder) / "video/input").iterdir())]
        for count in options.threads:
            torch.set_num_threads(count)  # ONNX Runtime and OpenVINO are given as many
            cv2.setNumThreads(count)
            made, remarks = ways(options, frames, Path(folder))
            rates.append(measure(options, made, frames))
    console.print(f"{os.cpu_count()} CPUs, torch {torch.__version__}, OpenCV {cv2.__version__}")
    bases = [name for name in ("MOG2", "SuBSENSE") if name in made]
    headings = ["", "parameters"]
    headings += [f"× {base}, {count} thread{'s'[: count != 1]}" for count in options.threads for base in bases]
    rows = [
        [name, way.parameters, *(f"{of[name] / of[base]:.3g}" for of in rates for base in bases)]
        for name, way in made.items()
    ]
    console.print(table_of("Frames per second at 320×240", headings, rows))
    for remark in remarks:
        console.print(remark)


if __name__ == "__main__":
    main()
