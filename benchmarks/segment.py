"""Frames per second of `segment`, of each system beside MOG2 and KNN: end to end, and each part alone.

The parts are decoding, subtracting (the network with what belongs to it) and writing; they run side by side, so that
end to end should be as fast as the slowest alone. Systems are those of the small experiments with weights as they are
drawn, whose speed is that of trained ones; `--experiments` names others. Each runs in a process of its own, which tells
its peak memory. Without `--source` the video is a synthetic twin's.

    python benchmarks/segment.py --source street.mp4
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from rich import box
from rich.table import Table

from bgsub_lightning.commands.includes import merged
from bgsub_lightning.console import console
from bgsub_lightning.frames import read_image
from bgsub_lightning.live import BASELINES, Frame, Subtractor, System, load_system, open_outputs, open_source
from bgsub_lightning.live.segmenting import segment_frames
from bgsub_lightning.live.sources import Source
from bgsub_lightning.live.system import build
from bgsub_lightning.provenance import describe_system
from bgsub_lightning.scenes import CDnet2014, synthetic

EXPERIMENTS = ("bmn_bsn_small", "cdn_medal_small", "recon_mcfcn_small", "crossnet_small", "siamese_small")


class Kept(Source):
    """Frames that are in memory."""

    def __init__(self, frames: list[Frame], rate: Fraction) -> None:
        super().__init__()
        self.name, self.rate, self.count, self.frames = "memory", rate, len(frames), frames

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def spread(self, count: int) -> list:  # type: ignore[type-arg]  # noqa: D102
        return [frame.image for frame in self.frames[:: max(1, len(self.frames) // count)]]


def system_of(name: str) -> System:
    if name in BASELINES:
        return load_system(name)
    torch.manual_seed(0)
    return build(yaml.safe_load(describe_system(merged(Path(f"experiments/{name}.yaml")))), Path(name))


def seconds_of(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def measure(name: str, source: str, count: int, batch: int, device: str, threads: int) -> dict[str, float]:
    """Frames per second of each part and of all together, and MiB of memory at most."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    opened = open_source(source)
    frames = list(islice(opened, count))
    memory = Kept(frames, opened.rate)
    system = system_of(name)

    def subtractor() -> Subtractor:
        return Subtractor(system, device, memory.first(25) if system.module.inputs[1:] else (), batch_size=batch)

    segment_frames(subtractor(), memory, [], limit=2 * batch)  # warm
    masks = [np.where(frame.image[..., 0] > 128, np.uint8(255), np.uint8(0)) for frame in frames]
    with tempfile.TemporaryDirectory() as folder:

        def write() -> None:
            outputs = open_outputs(Path(folder), ["mask_video"], "h264", opened.rate, 50)
            for frame, mask in zip(frames, masks, strict=True):
                outputs[0].write(frame, mask)
            outputs[0].close()

        def whole() -> None:
            outputs = open_outputs(Path(folder), ["mask_video"], "h264", opened.rate, 50)
            segment_frames(subtractor(), open_source(source), outputs, limit=count)

        found = {
            "decoding": len(frames) / seconds_of(lambda: list(islice(open_source(source), count))),
            "writing": len(frames) / seconds_of(write),
            "subtracting": len(frames) / seconds_of(lambda: segment_frames(subtractor(), memory, [])),
            "end to end": len(frames) / seconds_of(whole),
        }
    return found | {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="a video or images; default: a synthetic twin's, at 320×240")
    parser.add_argument("--experiments", nargs="+", default=list(EXPERIMENTS), help="names in experiments/")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="of the networks")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, in turn; the best counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = options.source or str(twin(Path(folder), options.frames))
        where = torch.cuda.get_device_name() if options.device != "cpu" else platform.machine()
        console.print(
            f"{options.frames} frames, batches of {options.batch}, {where}, {options.threads} threads, torch "
            f"{torch.__version__}, Python {platform.python_version()}"
        )
        names = [*options.experiments, "MOG2", "KNN"]
        best: dict[str, dict[str, float]] = {}
        given = (source, options.frames, options.batch, options.device, options.threads)
        for _ in range(options.rounds):
            for name in names:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    found = pool.apply(measure, (name, *given))
                best[name] = {key: max(value, best.get(name, {}).get(key, 0)) for key, value in found.items()}
        console.print(table(best, absolute=options.device != "cpu"))


def table(best: dict[str, dict[str, float]], absolute: bool) -> Table:
    shown = Table(title="Frames per second", title_justify="left", title_style="bold", box=box.SIMPLE, pad_edge=False)
    shown.add_column("system")
    for heading in ("network", "end to end", "of the slowest part", "MiB"):
        shown.add_column(heading, justify="right")
    base = best["MOG2"]
    for name, found in best.items():
        slowest = min(found[part] for part in ("decoding", "writing", "subtracting"))
        rates = [
            f"{found[key]:.1f}" if absolute else f"{found[key] / base[key]:.3f}"
            for key in ("subtracting", "end to end")
        ]
        shown.add_row(name, *rates, f"{found['end to end'] / slowest:.2f}", f"{found['memory']:.0f}")
    shown.caption = "" if absolute else "network and end to end: times those of MOG2"
    return shown


def twin(folder: Path, frames: int) -> Path:
    """Write a synthetic video."""
    list(synthetic.render_all(folder / "twin", synthetic.plan(1, ["baseline"], 0), (320, 240), 60, frames, 1))
    scene = CDnet2014().scenes(folder / "twin", ["baseline"])[0]
    outputs = open_outputs(folder, ["overlay"], "h264", Fraction(25), 50)
    for number, file in enumerate(list(scene.frames.values())[:frames], 1):
        image = read_image(file)
        outputs[0].write(Frame(number, number / 25, image), image[..., 0] * 0)
    outputs[0].close()
    return folder / "overlay.mp4"


if __name__ == "__main__":
    main()
