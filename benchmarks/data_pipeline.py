"""Samples per second from the frame store against decoding each file, in the same loader, in one run.

A sample is what BMN-BSN trains on: a target frame, 16 references and a mask at 320×240. `--plain` adds PyTorch's own
way of handing batches over, in place of slots of shared memory.

    python benchmarks/data_pipeline.py --root FOLDER --store FOLDER
"""

from __future__ import annotations

import argparse
import gc
import platform
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch.utils.data import DataLoader

from bgsub_lightning.core.console import console
from bgsub_lightning.data import Image, References
from bgsub_lightning.data.batches import TrainingBatches
from bgsub_lightning.data.dataset import TrainingDataset
from bgsub_lightning.data.shared_memory import SharedMemoryLoader
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.frames import FrameStore, SceneFrames, fill
from bgsub_lightning.splits import FrameSet

SIZE, REFERENCES, BATCH = (320, 240), 16, 4


def loader(frames: FrameSet, store: FrameStore | None, workers: int, plain: bool) -> DataLoader[dict[str, Any]]:
    pixels = [SceneFrames(scene, SIZE, store) for scene in frames.scenes]
    dataset = TrainingDataset(pixels, (Image(), References(REFERENCES)), None, 0.5)
    batches = TrainingBatches(frames, BATCH)
    if plain:
        return DataLoader(dataset, batch_size=None, sampler=batches, num_workers=workers)
    size = BATCH * SIZE[0] * SIZE[1] * (3 * (REFERENCES + 1) + 1)
    return SharedMemoryLoader(dataset, batches, size, workers, pin_memory=False)


def rate(batches: Iterator[Any], seconds: float) -> float:
    for _ in islice(batches, 8):  # workers start, pages are mapped
        pass
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        next(batches)
        count += BATCH
    return count / (time.perf_counter() - begin)


def private_memory() -> list[float]:
    """MiB of memory of each child process that it shares with no other."""
    found = []
    for children in Path("/proc/self/task").glob("*/children"):
        for process in children.read_text().split():
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            found.append(sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1024)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a dataset in CDnet2014's layout")
    parser.add_argument("--store", type=Path, required=True, help="folder of the frame store")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=8, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, the two ways in turn")
    parser.add_argument("--plain", action="store_true", help="also PyTorch's own handing over of batches")
    options = parser.parse_args()
    scenes = CDnet2014().scenes(options.root)
    store = FrameStore(options.store)
    fill([SceneFrames(scene, SIZE, store) for scene in scenes])
    frames = FrameSet.labelled(scenes)
    stored = sum(path.stat().st_size for path in options.store.rglob("*.npy")) / 2**20
    console.print(
        f"{len(frames)} labelled frames of {len(frames.scenes)} videos; store of {stored:,.0f} MiB; "
        f"{platform.machine()}, torch {torch.__version__}, Python {platform.python_version()}"
    )
    table = Table(title="Training samples per second, median of rounds")
    for heading in ("workers", "handing over", "files", "store", "store / files"):
        table.add_column(heading, justify="right")
    for workers in options.workers:
        for plain in (False, True) if options.plain and workers else (False,):
            rates: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(options.rounds):
                for from_store in (False, True):
                    batches = loader(frames, store if from_store else None, workers, plain)
                    rates[from_store].append(rate(cycle_of(batches), options.seconds))
                    del batches
                    gc.collect()
            files, kept = (sorted(rates[key])[options.rounds // 2] for key in (False, True))
            how = "PyTorch" if plain else "ring" if workers else "none"
            table.add_row(str(workers), how, f"{files:.0f}", f"{kept:.0f}", f"{kept / files:.1f}")
    console.print(table)
    memory(frames, store)


def memory(frames: FrameSet, store: FrameStore) -> None:
    """Print the private memory of a worker after a quarter of an epoch, and after four times as much."""
    batches = cycle_of(loader(frames, store, 1, plain=False))
    quarter = len(frames) // BATCH // 4
    held = []
    for count in (quarter, 3 * quarter):
        for _ in islice(batches, count):
            pass
        held.append(max(private_memory()))
    console.print(f"Private memory of a worker: {held[0]:.0f} MiB after 1/4 epoch, {held[1]:.0f} MiB after an epoch.")


def cycle_of(batches: DataLoader[dict[str, Any]]) -> Iterator[Any]:
    return (batch for epoch in cycle([batches]) for batch in epoch)


if __name__ == "__main__":
    main()
