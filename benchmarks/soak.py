"""Memory of a subtractor over a long stream: it must not grow.

Frames are small, so that many of them pass; a thread rebuilds the background at an interval, as for a
camera. Systems are tiny, with random weights. The table lists the process's memory after each tenth.

    python benchmarks/soak.py --frames 100000
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch
from rich import box
from rich.table import Table

from bgsub_lightning.core.console import console
from bgsub_lightning.inference import Subtractor, System, load_system
from bgsub_lightning.inference.system import build

SIZE = (32, 24)
SYSTEMS = {
    "BmnBsn": {"references": 4, "maps": 2, "channels": 2, "depth": 2},
    "CdnMedal": {},
    "Siamese": {"width": 1, "channels": 2, "depth": 2},
}


def memory() -> float:
    """MiB that the process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def system_of(name: str) -> System:
    if name not in SYSTEMS:
        return load_system(name)
    model = {"class_path": f"bgsub_lightning.systems.{name}", "init_args": SYSTEMS[name]}
    return build({"model": model, "size": None, "flow": None}, Path(name))


def soak(name: str, count: int, batch: int) -> list[tuple[float, float]]:
    """Memory (MiB) and frames per second at each tenth."""
    subtractor = Subtractor(system_of(name), "cpu", stride=25, refresh_interval=500, batch_size=batch, blocking=False)
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (500, SIZE[1], SIZE[0], 3), np.uint8)
    found = []
    for tenth in range(10):
        begin = time.perf_counter()
        for start in range(0, count // 10, batch):
            masks = subtractor.push([frames[(tenth + start + i) % 500] for i in range(batch)])
            assert len(masks) == batch
        gc.collect()
        found.append((memory(), count / 10 / (time.perf_counter() - begin)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--systems", nargs="+", default=[*SYSTEMS, "MOG2"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    console.print(
        f"{options.frames:,} frames of {SIZE[0]}×{SIZE[1]}, the background rebuilt every 500; {platform.machine()}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )
    shown = Table(
        title="MiB after each tenth", title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False
    )
    shown.add_column("system")
    for tenth in range(1, 11):
        shown.add_column(f"{tenth}", justify="right")
    shown.add_column("speed, last : second", justify="right")
    for name in options.systems:
        found = soak(name, options.frames, options.batch)
        shown.add_row(name, *(f"{each:.0f}" for each, _ in found), f"{found[-1][1] / found[1][1]:.2f}")
    console.print(shown)


if __name__ == "__main__":
    main()
