"""Cost of scoring masks: against merely decoding the same files, against plain numpy, by processes; and its memory.

Rates are of labelled frames, each with its mask; the ratios of one run are the claim. Without `--root` the frames are a
synthetic twin's, and without `--masks` the masks are the ground truth, moved.

    python benchmarks/evaluate.py --root FOLDER --masks FOLDER
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from bgsub_lightning import synthetic
from bgsub_lightning.core.console import console
from bgsub_lightning.datasets import CDnet2014, Scene
from bgsub_lightning.evaluation import MaskFiles, count_masks
from bgsub_lightning.frames import read_roi, write_png

Frames = Sequence[tuple[Scene, Sequence[int]]]


def decode(frames: Frames, files: MaskFiles) -> None:
    for scene, numbers in frames:
        for number in numbers:
            for path in (scene.masks[number], files.path(scene, number)):
                cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def plain_numpy(frames: Frames, files: MaskFiles) -> None:
    for scene, numbers in frames:
        counts, roi = np.zeros(5, np.int64), read_roi(scene)
        for number in numbers:
            truth = cv2.imread(str(scene.masks[number]), cv2.IMREAD_GRAYSCALE)
            said = cv2.imread(str(files.path(scene, number)), cv2.IMREAD_GRAYSCALE)
            counted = roi & (truth != 170)
            truth, said = truth[counted], said[counted]
            counts += [
                ((said == 255) & (truth == 255)).sum(),
                ((said == 255) & (truth != 255)).sum(),
                ((said != 255) & (truth == 255)).sum(),
                ((said != 255) & (truth != 255)).sum(),
                ((said == 255) & (truth == 50)).sum(),
            ]


def rate(way: Callable[[], object], frames: int) -> float:
    begin = time.perf_counter()
    way()
    return frames / (time.perf_counter() - begin)


def cpu_seconds(way: Callable[[], object]) -> float:
    """Seconds of processors, in this process and in those that it starts: they hardly depend on what runs beside."""

    def used() -> float:
        found = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(each.ru_utime + each.ru_stime for each in found)

    begin = used()
    way()
    return used() - begin


def peak(frames: Frames, files: MaskFiles) -> float:
    """Peak memory of a separate process that counts, in MiB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_count_and_report_memory, (frames, files))


def _count_and_report_memory(frames: Frames, files: MaskFiles) -> float:
    cv2.setNumThreads(1)
    count_masks(frames, files, workers=1)
    status = Path("/proc/self/status").read_text()  # getrusage would count the parent, too
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def make_masks(frames: Frames, folder: Path) -> None:
    for scene, numbers in frames:
        for number in numbers:
            truth = cv2.imread(str(scene.masks[number]), cv2.IMREAD_GRAYSCALE)
            moved = np.roll(truth >= 170, 3, 1)
            write_png(MaskFiles(folder).path(scene, number), np.where(moved, np.uint8(255), np.uint8(0)))


def main() -> None:
    from measure import interleaved, show  # not at the top: the processes import this file, and need no torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a dataset in CDnet2014's layout; default: a synthetic twin")
    parser.add_argument("--masks", type=Path, help="masks in CDnet's layout of results; default: from the ground truth")
    parser.add_argument("--scene", nargs="*", help="patterns of its scenes; default: all")
    parser.add_argument("--frames", type=int, help="labelled frames of each, the first ones; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, in turn; the median counts")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = options.root or Path(folder) / "twin"
        if options.root is None:
            list(synthetic.render_all(root, synthetic.plan(2, ["baseline"], 0), (320, 240), 20, 300, 1))
        frames = [(scene, list(scene.masks)) for scene in CDnet2014().scenes(root, options.scene)]
        if options.masks is None:
            make_masks(frames, Path(folder) / "masks")
        files = MaskFiles(options.masks or Path(folder) / "masks")
        frames = [(s, [n for n in numbers if files.path(s, n).is_file()][: options.frames]) for s, numbers in frames]
        total = sum(len(numbers) for _, numbers in frames)
        console.print(
            f"{total} frames of {len(frames)} videos; {platform.machine()}, OpenCV {cv2.__version__}, NumPy "
            f"{np.__version__}, Python {platform.python_version()}"
        )
        decode(frames, files)  # the files are in the system's cache from here on
        ways: dict[str, Callable[[], object]] = {
            "decoding alone": lambda: decode(frames, files),
            "plain numpy": lambda: plain_numpy(frames, files),
            "evaluate, 1 process": lambda: count_masks(frames, files, 1),
            "evaluate, 2 processes": lambda: count_masks(frames, files, 2),
        }
        console.quiet = True
        rates = interleaved({name: lambda way=way: rate(way, total) for name, way in ways.items()}, options.rounds)
        seconds = {name: cpu_seconds(way) for name, way in ways.items()}
        few = [(scene, numbers[: len(numbers) // 4]) for scene, numbers in frames]
        memory = [peak(part, files) for part in (few, frames)]
        console.quiet = False
        show("Frames per second", rates, "decoding alone", "frames/s")
        for name, value in rates.items():
            console.print(
                f"{name}: {total / value:.2f} s, {rates['decoding alone'] / value:.2f} times decoding alone; "
                f"{seconds[name]:.2f} s of processors, {seconds[name] / seconds['decoding alone']:.2f} times"
            )
        console.print(
            f"Peak memory of a process: {memory[0]:.0f} MiB for {sum(len(n) for _, n in few)} frames, {memory[1]:.0f} "
            f"MiB for {total}."
        )


if __name__ == "__main__":
    main()
