"""Frames per second of `segment`, of each system beside MOG2 and KNN: end to end, and each part alone.

The parts are decoding, subtracting (the network with what belongs to it) and writing. They run side by side, so that
end to end should be as fast as the slowest alone, where there are cores for all (`--threads 1` leaves some). Alone each
part has all the cores: "what the cores allow" is the slowest part, or else all that the parts ask of processors, spread
over the cores.

The first table compares `segment` with what a user of OpenCV writes (`benchmarks/ten_lines.py`), with the same outputs:
by the clock, which on a busy machine favours what has more threads, and by the time of processors. `growth` is the peak
of the memory in that of a tenth of the frames. AnyScene subtracts at `--work_size 480`.

Systems are those of the small experiments with weights as they are drawn, whose speed is that of trained ones;
`--experiments` names others. Each runs in its own process, whose peak memory is measured. A third table compares
ways in which the networks alone run. Without `--source` the video is a synthetic twin's.

The last table is `segment` of a list of `--streams` synthetic streams against `segment` of one after the other, with
its usual outputs, both in a process that has started already.

    python benchmarks/segment.py --source street.mp4
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import yaml
from measure import table_of
from rich.table import Table

from bgsub_lightning import synthetic
from bgsub_lightning.cli import main as command
from bgsub_lightning.core.config import merged_config
from bgsub_lightning.core.console import console
from bgsub_lightning.core.memory import keep_freed_memory
from bgsub_lightning.core.run_info import model_config
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.frames import read_image
from bgsub_lightning.inference import (
    BASELINES,
    Frame,
    Result,
    Subtractor,
    System,
    load_system,
    open_outputs,
    open_source,
)
from bgsub_lightning.inference.onnx import export_system, load_onnx
from bgsub_lightning.inference.segmenting import segment_frames
from bgsub_lightning.inference.sources import Source
from bgsub_lightning.inference.system import build

TABLES = ("opencv", "parts", "ways", "streams")
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


TEN_LINES = Path(__file__).with_name("ten_lines.py")
OUTPUTS = {
    "boxes": ("boxes_csv", "h264"),
    "and masks, FFV1": ("boxes_csv,mask_video", "ffv1"),
    "and masks, H.264": ("boxes_csv,mask_video", "h264"),
    "and overlay, H.264": ("boxes_csv,overlay", "h264"),
}
"""Outputs of `segment` and of ten lines of OpenCV, and the codec."""


def system_of(name: str) -> System:
    if name in BASELINES:
        return load_system(name)
    torch.manual_seed(0)
    system = build(yaml.safe_load(model_config(merged_config(Path(f"experiments/{name}.yaml")))), Path(name))
    system.module.threshold_from_validation = False  # there was none
    return system


def seconds_of(action: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of processors."""
    begin, spent = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - begin, time.process_time() - spent


class Given(NamedTuple):
    """Settings of the measurement, the same for all systems."""

    source: str
    count: int
    batch: int
    device: str
    threads: int | None


def prepared(name: str, given: Given) -> tuple[System, Kept, Callable[..., Subtractor]]:
    """Return the system, the frames in memory, and what makes subtractors of the system, with its background."""
    keep_freed_memory()
    if given.threads:
        torch.set_num_threads(given.threads)
        cv2.setNumThreads(given.threads)
    opened = open_source(given.source)
    memory = Kept(list(islice(opened, given.count)), opened.rate)
    system = system_of(name)

    def subtractor(of: System = system, batch: int = given.batch, **options: Any) -> Subtractor:
        pool = memory.first(25) if of.needs_pool else ()
        made = Subtractor(of, given.device, pool, batch_size=batch, threshold=0.5, **options)
        segment_frames(made, memory, [], limit=3 * given.batch)  # warm
        return made

    return system, memory, subtractor


def parts(name: str, given: Given) -> dict[str, float]:
    """Frames per second of each part and of all together, and MiB of memory at most."""
    _, memory, subtractor = prepared(name, given)
    frames = memory.frames
    masks = [np.where(frame.image[..., 0] > 128, np.uint8(255), np.uint8(0)) for frame in frames]
    with tempfile.TemporaryDirectory() as folder:

        def write() -> None:
            outputs = open_outputs(Path(folder), ["mask_video"], "h264", memory.rate)
            for frame, mask in zip(frames, masks, strict=True):
                outputs[0].write(Result(frame.number, frame.time, frame.image, mask))
            outputs[0].close()

        def whole() -> tuple[float, float]:
            made = subtractor()
            outputs = open_outputs(Path(folder), ["mask_video"], "h264", memory.rate)
            return seconds_of(lambda: segment_frames(made, open_source(given.source), outputs, limit=given.count))

        alone = subtractor()
        seconds = {
            "decoding": seconds_of(lambda: list(islice(open_source(given.source), given.count))),
            "writing": seconds_of(write),
            "subtracting": seconds_of(lambda: segment_frames(alone, memory, [])),
            "end to end": whole(),
        }
    end_to_end, _ = seconds.pop("end to end")
    slowest = max(seconds, key=lambda part: seconds[part][0])
    processors = sum(spent for _, spent in seconds.values()) / len(os.sched_getaffinity(0))
    return {
        "network": len(frames) / seconds["subtracting"][0],
        "end to end": len(frames) / end_to_end,
        "of the slowest part": seconds[slowest][0] / end_to_end,
        "of what the cores allow": max(seconds[slowest][0], processors) / end_to_end,
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def ways(name: str, given: Given) -> dict[str, float]:
    """Frames per second of the network alone, in each of the ways in which it can run."""
    system, memory, subtractor = prepared(name, given)

    def own() -> System:  # a system keeps the state of one stream
        return replace(system, module=copy.deepcopy(system.module))

    first = own()
    first.module.to(memory_format=torch.contiguous_format)
    with tempfile.TemporaryDirectory() as folder:
        export_system(system, Path(folder) / "system.onnx")
        loaded = load_onnx(Path(folder) / "system.onnx")
        made = {
            "batches": subtractor(own()),
            "one at a time": subtractor(own(), batch=1),
            "channels first": subtractor(first),
            "compiled": subtractor(own(), compiled=True),
            "ONNX Runtime": subtractor(loaded),
        }

    def rate(each: Subtractor) -> float:
        return len(memory.frames) / seconds_of(lambda: segment_frames(each, memory, []))[0]

    return {way: rate(each) for way, each in made.items()}


def streams(name: str, way: str, folder: Path, threads: int | None) -> dict[str, float]:
    """Frames per second of all streams of a folder, and MiB of memory at most, by a command for all or for each."""
    if threads:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    console.quiet = True  # of the commands; this process is the pool's
    videos = sorted(folder.glob("*/overlay.mp4"))
    lists = folder / "cam.yaml"
    lists.write_text("".join(f"'{video.parent.name}': {video}\n" for video in videos))
    sources = [lists] if way == "together" else videos
    with tempfile.TemporaryDirectory() as out:

        def segment(source: Path, number: int, *options: str) -> None:
            made = command(["segment", str(source), f"--checkpoint={name}", f"--out={out}/{number}", *options])
            assert made == 0, f"{source}: segment failed"

        segment(videos[0], 0, "--frames=20")  # a process that has started already
        seconds, spent = seconds_of(lambda: [segment(source, number) for number, source in enumerate(sources, 1)])
    frames = sum(open_source(str(video)).count or 0 for video in videos)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"by the clock": frames / seconds, "of processors": frames / spent, "MiB": memory}


def of_streams(count: int, frames: int, threads: int | None, rounds: int) -> Table:
    """Measure streams together and one after the other, in turn; the best of each counts, and the most memory."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            twin(Path(folder) / f"camera{number}", frames, number)
        for name in ("AnyScene", "MOG2"):
            found: dict[str, list[dict[str, float]]] = {"together": [], "one by one": []}
            for _ in range(rounds):
                for way, each in found.items():
                    with multiprocessing.get_context("spawn").Pool(1) as pool:
                        each.append(pool.apply(streams, (name, way, Path(folder), threads)))
            best = {
                key: [max(one[key] for one in each) for each in found.values()]
                for key in ("by the clock", "of processors", "MiB")
            }
            ratios = [f"{best[key][0] / best[key][1]:.2f}" for key in ("by the clock", "of processors")]
            rows.append([name, f"{best['by the clock'][0]:.1f}", *ratios, *(f"{each:.0f}" for each in best["MiB"])])
    headings = ["system", "frames/s", "times one by one", "per processor s", "MiB", "MiB one by one"]
    title = f"{count} streams of 320×240 in one process"
    return table_of(title, headings, rows)


def against_opencv(sizes: Sequence[str], frames: int, threads: int | None, rounds: range) -> Table:
    """Compare `segment` with ten lines of OpenCV, in turn; the larger the frames, the fewer."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        original = [frame.image for frame in open_source(str(twin(Path(folder), 200)))]
        for size in sizes:
            width, height = map(int, size.split("x"))
            count = min(frames, max(24, round(frames * 320 * 240 / (width * height))))
            video = scaled(Path(folder) / size, original, (width, height), count)
            for outputs, (write, codec) in OUTPUTS.items():
                ways: dict[str, list[str]] = {"OpenCV": [], "MOG2": []}
                if (size, write) == ("1920x1080", "boxes_csv,overlay"):
                    ways["AnyScene"] = ["--work-size", "480"]
                given = [str(video), write, "--codec", codec, "--frames", str(count)]
                given += ["--threads", str(threads)] if threads else []
                best = ten_lines({way: [way, *given, *more] for way, more in ways.items()}, rounds)
                base = best.pop("OpenCV")
                for way, ours in best.items():
                    rates = [f"{ours[key] / base[key]:.2f}" for key in ("rate", "per processor")]
                    growth = f"{ours['growth']:.2f}" if count >= 1000 else ""
                    memory = [f"{ours['MiB']:.0f}", f"{base['MiB']:.0f}", growth]
                    rows.append([size, outputs, way, *rates, *memory])
    headings = ["frames", "outputs", "system", "a second", "a CPU second", "MiB", "OpenCV's", "growth"]
    return table_of("Frames of `segment`, times those of ten lines of OpenCV", headings, rows)


def ten_lines(ways: dict[str, list[str]], rounds: range) -> dict[str, dict[str, float]]:
    """Run ways in turn, each in its own process, and return the best of each figure."""
    best: dict[str, dict[str, float]] = {}
    for _ in rounds:
        for way, words in ways.items():
            done = subprocess.run([sys.executable, str(TEN_LINES), *words], check=True, stdout=subprocess.PIPE)
            found: dict[str, float] = json.loads(done.stdout)
            best[way] = {key: max(value, best.get(way, {}).get(key, 0)) for key, value in found.items()}
    return best


def scaled(folder: Path, frames: Sequence[np.ndarray], size: tuple[int, int], count: int) -> Path:
    """Write a video of so many frames: those that are given, forwards and backwards."""
    output = open_outputs(folder, ["overlay"], "h264", Fraction(25))[0]
    for number, frame in enumerate(islice(cycle([*frames, *reversed(frames)]), count), 1):
        image = np.asarray(cv2.resize(frame, size), np.uint8)
        output.write(Result(number, number / 25, image, image[..., 0] * 0))
    output.close()
    return output.path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="a video or images; default: a synthetic twin's, at 320×240")
    parser.add_argument("--experiments", nargs="+", default=list(EXPERIMENTS), help="names in experiments/")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="of the networks; default: as `segment` has them")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, in turn; the best counts")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="default: all")
    parser.add_argument(
        "--sizes", nargs="*", default=["320x240", "1920x1080", "3840x2160"], help="for ten lines of OpenCV"
    )
    parser.add_argument("--small-frames", type=int, default=2000, help="of them, at 320×240")
    parser.add_argument("--streams", type=int, default=8, help="streams in one process")
    options = parser.parse_args()
    on_gpu = options.device != "cpu"
    with tempfile.TemporaryDirectory() as folder:
        source = options.source or str(twin(Path(folder), options.frames))
        where = torch.cuda.get_device_name() if on_gpu else platform.machine()
        threads = options.threads or torch.get_num_threads()
        console.print(
            f"{options.frames} frames, batches of {options.batch}, {where}, {threads} threads, torch "
            f"{torch.__version__}, Python {platform.python_version()}"
        )
        given = Given(source, options.frames, options.batch, options.device, options.threads)
        rounds = range(options.rounds)
        if "opencv" in options.tables:
            console.print(against_opencv(options.sizes, options.small_frames, options.threads, rounds))
        if "parts" in options.tables:
            console.print(of_parts(in_turn(parts, [*options.experiments, "MOG2", "KNN"], given, rounds), on_gpu))
        if "ways" in options.tables:
            console.print(of_ways(in_turn(ways, options.experiments, given, rounds)))
        if "streams" in options.tables:
            console.print(of_streams(options.streams, options.frames, options.threads, options.rounds))


def in_turn(
    measure: Callable[[str, Given], dict[str, float]], names: Sequence[str], given: Given, rounds: range
) -> dict[str, dict[str, float]]:
    """Measure all systems several times, each in its own process, and return the best of each figure."""
    best: dict[str, dict[str, float]] = {}
    for _ in rounds:
        for name in names:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = pool.apply(measure, (name, given))
            best[name] = {key: max(value, best.get(name, {}).get(key, 0)) for key, value in found.items()}
    return best


def of_parts(best: dict[str, dict[str, float]], absolute: bool) -> Table:
    base = best["MOG2"]
    rows = []
    for name, found in best.items():
        rates = [
            f"{found[key]:.1f}" if absolute else f"{found[key] / base[key]:.3f}" for key in ("network", "end to end")
        ]
        shares = [f"{found[key]:.2f}" for key in ("of the slowest part", "of what the cores allow")]
        rows.append([name, *rates, *shares, f"{found['MiB']:.0f}"])
    title = "Frames per second" if absolute else "Frames per second, times those of MOG2"
    return table_of(title, ["system", *base], rows)


def of_ways(best: dict[str, dict[str, float]]) -> Table:
    headings = ["one at a time", "channels first", "compiled", "ONNX Runtime"]
    rows = [[name, *(f"{found[way] / found['batches']:.2f}" for way in headings)] for name, found in best.items()]
    return table_of("The network, times its frames per second in batches by PyTorch", ["system", *headings], rows)


def twin(folder: Path, frames: int, seed: int = 0) -> Path:
    """Write a synthetic video."""
    list(synthetic.render_all(folder / "twin", synthetic.plan(1, ["baseline"], seed), (320, 240), 60, frames, 1))
    scene = CDnet2014().scenes(folder / "twin", ["baseline"])[0]
    outputs = open_outputs(folder, ["overlay"], "h264", Fraction(25))
    for number, file in enumerate(list(scene.frames.values())[:frames], 1):
        image = read_image(file)
        outputs[0].write(Result(number, number / 25, image, image[..., 0] * 0))
    outputs[0].close()
    return folder / "overlay.mp4"


if __name__ == "__main__":
    main()
