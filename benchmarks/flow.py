"""Cost of hierarchical optical flow: each method on one core, one and two processes, stored against on the fly.

Rates are of HOP frames at 256×256 with τ = 1, 5, 10, that is of three flows each; the ratios of one run are the claim.
Without `--root` the frames are a synthetic twin's.

    python benchmarks/flow.py --root FOLDER --scene baseline/highway
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import cv2
import torch
from measure import interleaved, show

from bgsub_lightning import synthetic
from bgsub_lightning.core.console import console
from bgsub_lightning.data import Hop, Image
from bgsub_lightning.data.batches import TrainingBatches
from bgsub_lightning.data.dataset import TrainingDataset
from bgsub_lightning.data.shared_memory import SharedMemoryLoader
from bgsub_lightning.datasets import CDnet2014, Scene
from bgsub_lightning.frames import (
    DisFlow,
    FarnebackFlow,
    FlowMethod,
    FrameStore,
    LucasKanadeFlow,
    SceneFrames,
    fill,
    fill_flow,
)
from bgsub_lightning.splits import FrameSet

SIZE, TAUS, BATCH = (256, 256), (1, 5, 10), 4
METHODS = (DisFlow("ultrafast"), DisFlow("fast"), DisFlow(), FarnebackFlow(), LucasKanadeFlow())


def part_of(scene: Scene, count: int) -> Scene:
    """Return the last frames of a scene, and their masks."""
    numbers = list(scene.frames)[-count:]
    return replace(
        scene,
        frames={number: scene.frames[number] for number in numbers},
        masks={number: scene.masks[number] for number in numbers if number in scene.masks},
    )


def on_one_core(scene: Scene, flow: FlowMethod, seconds: float) -> float:
    pixels = SceneFrames(scene, SIZE, flow=flow)
    numbers = cycle(list(scene.frames)[max(TAUS) :])
    pixels.hop(next(numbers), TAUS)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        pixels.hop(next(numbers), TAUS)
        count += 1
    return count / (time.perf_counter() - begin)


def ahead(scene: Scene, workers: int) -> float:
    """Return the rate of :func:`fill_flow`; its processes' start is measured with a tiny part, and taken off."""
    times = []
    for part in (part_of(scene, 40), scene):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            fill_flow([SceneFrames(part, SIZE, FrameStore(Path(folder)), DisFlow())], TAUS, workers)
            times.append(time.perf_counter() - begin)
    return (len(scene.frames) - 40) / (times[1] - times[0])


def training(scene: Scene, store: FrameStore | None, workers: int, seconds: float) -> float:
    frames = FrameSet.labelled([scene])
    pixels = [SceneFrames(scene, SIZE, store, DisFlow())]
    dataset = TrainingDataset(pixels, (Image(), Hop(TAUS)), None, 0.5)
    bytes_of = BATCH * SIZE[0] * SIZE[1] * (3 + len(TAUS) + 1)
    loader = SharedMemoryLoader(dataset, TrainingBatches(frames, BATCH), bytes_of, workers, pin_memory=False)
    batches: Iterator[object] = (batch for epoch in cycle([loader]) for batch in epoch)
    for _ in islice(batches, 4):
        pass
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        next(batches)
        count += BATCH
    return count / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a dataset in CDnet2014's layout; default: a synthetic twin")
    parser.add_argument("--scene", default="baseline", help="pattern of its scenes, of which the first is used")
    parser.add_argument("--frames", type=int, default=240, help="frames of it, the last ones")
    parser.add_argument("--seconds", type=float, default=4, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, in turn; the median counts")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = options.root or Path(folder) / "twin"
        if options.root is None:
            list(synthetic.render_all(root, synthetic.plan(1, ["baseline"], 0), (320, 240), 60, 180, 1))
        scene = part_of(CDnet2014().scenes(root, [options.scene])[0], options.frames)
        store = FrameStore(Path(folder) / "store")
        console.print(
            f"{len(scene.frames)} frames of {scene.key}, {scene.size[0]}×{scene.size[1]}; {platform.machine()}, OpenCV "
            f"{cv2.__version__}, torch {torch.__version__}, Python {platform.python_version()}"
        )

        seconds, rounds = options.seconds, options.rounds
        methods = {flow.name: lambda flow=flow: on_one_core(scene, flow, seconds) for flow in METHODS}
        show("HOP frames on one core", interleaved(methods, rounds), "dis_medium", None)
        processes = {f"{count}": lambda count=count: ahead(scene, count) for count in (1, 2)}
        show("HOP frames ahead, by processes, dis_medium", interleaved(processes, rounds), "1", None)
        pixels = [SceneFrames(scene, SIZE, store, DisFlow())]
        fill(pixels)
        fill_flow(pixels, TAUS)
        loaders = {
            f"{how}, {workers} workers": lambda kept=kept, workers=workers: training(scene, kept, workers, seconds)
            for workers in (0, 2)
            for how, kept in (("on the fly", None), ("stored", store))
        }
        rates = interleaved(loaders, rounds)
        show("Training samples of image and hop, dis_medium", rates, "on the fly, 0 workers", None)


if __name__ == "__main__":
    main()
