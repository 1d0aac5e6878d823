"""Time and size of a page of 53 videos × 5 systems × 3 folds, of made-up tests.

Each system has one run directory for each fold of CDnet2014, with a scores.json of counts at 101 thresholds, a
frames.csv of its 29,634 frames, a log of 2,000 steps, and the kept frames with their pictures, 320×240, of noise and
discs: noise is what compresses least. Times are of the whole command, its imports included.

    python benchmarks/report.py
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from rich import box
from rich.table import Table

from bgsub_lightning.core.console import console
from bgsub_lightning.evaluation import TestResult, VideoResult
from bgsub_lightning.evaluation.drawing import confusion_image
from bgsub_lightning.evaluation.gallery import GalleryFrame, Kept, chosen, write_index
from bgsub_lightning.metrics import COUNTS
from bgsub_lightning.splits.folds import published_folds

SYSTEMS, FOLDS, FRAMES = ("BmnBsn", "CdnMedal", "ReconMcfcn", "CrossNet", "Siamese"), 3, 88_902
WIDTH, HEIGHT = 320, 240
MOST_SECONDS, MOST_MIB = 60, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder to keep what is made in")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="report-"))
    generator = np.random.default_rng(0)
    runs = [make_run(folder, system, fold, generator) for system in SYSTEMS for fold in range(1, FOLDS + 1)]
    command = [sys.executable, "-m", "bgsub_lightning", "report", *map(str, runs), "--out", str(folder / "page")]
    begin, cpu = time.perf_counter(), _cpu()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds, busy = time.perf_counter() - begin, _cpu() - cpu
    size = (folder / "page/index.html").stat().st_size / 2**20
    table = Table(title="A page of 53 videos, 5 systems, 3 folds", title_justify="left", box=box.SIMPLE, pad_edge=False)
    for heading in ("", "measured", "at most"):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row("seconds, whole command", f"{seconds:.1f}", f"{MOST_SECONDS}")
    table.add_row("seconds of a processor", f"{busy:.1f}", "")
    table.add_row("size of the page, MiB", f"{size:.1f}", f"{MOST_MIB}")
    console.print(
        f"CPU ({platform.machine()}), {os.cpu_count()} cores, {os.getloadavg()[0]:.0f} processes that want one"
    )
    console.print(table)
    if not options.keep:
        shutil.rmtree(folder)


def make_run(folder: Path, system: str, fold: int, generator: np.random.Generator) -> Path:
    run = folder / system.lower() / f"fold{fold}"
    run.mkdir(parents=True)
    keys = [key for key, its in published_folds(FOLDS).items() if its == fold]
    each = FRAMES // FOLDS // len(keys)
    videos, frames = {}, []
    for key in keys:
        error = generator.uniform(0.02, 0.6)
        foreground = generator.integers(0, 4000, each)
        missed = (foreground * generator.uniform(0, error, each)).astype(int)
        alarms = (foreground * generator.uniform(0, error, each)).astype(int)
        rows = np.stack([foreground - missed, alarms, missed, WIDTH * HEIGHT - foreground - alarms, alarms // 9], 1)
        frames += [GalleryFrame(key, number + 471, tuple(row)) for number, row in enumerate(rows.tolist())]
        tp, fp, fn, tn, _ = total = rows.sum(0).tolist()
        levels = np.linspace(-1, 1, 101)
        at = [(min(tp + fn, int(tp * (1 - t * 0.3))), int(fp * (1 - t * 0.5))) for t in levels]
        counts = [[a, b, tp + fn - a, fp + tn - b] for a, b in at]
        videos[key] = VideoResult(total, each, "unseen scenes", threshold_counts=counts)
    TestResult(
        name=f"fold{fold}",
        system=system,
        dataset="CDnet2014",
        protocol=f"fold {fold} of {FOLDS}",
        fold=fold,
        seed=0,
        leakage="unseen scenes",
        checkpoint="last.ckpt",
        videos=videos,
        device="made up",
        versions={"bgsub_lightning": "0"},
        threshold=0.5,
        frames_shown=FRAMES,
        seconds=FRAMES / generator.uniform(5, 200),
    ).save(run / "scores.json")
    with (run / "frames.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["video", "frame", *COUNTS, "trained_on", "is_test"])
        writer.writerows([frame.video, frame.number, *frame.counts, 0, 1] for frame in frames)
    log = run / "csv/version_0/metrics.csv"
    log.parent.mkdir(parents=True)
    lines = [f"0,{step},{generator.uniform(0.1, 1) / (step + 1) ** 0.2},\n" for step in range(2000)]
    lines += [f"0,{step},,{generator.uniform(0.5, 0.9)}\n" for step in range(99, 2000, 100)]
    log.write_text("epoch,step,train/loss/total,val/f_measure\n" + "".join(lines))
    kept = chosen(frames)
    write_index(run / "gallery", kept)
    for rule, frame in kept:
        draw(Kept(frame.video, frame.number, frame.counts, rule, run / "gallery"), generator)
    return run


def draw(kept: Kept, generator: np.random.Generator) -> None:
    kept.picture("frame").parent.mkdir(parents=True, exist_ok=True)
    smooth = cv2.resize(generator.integers(0, 256, (24, 32, 3), np.uint8), (WIDTH, HEIGHT))
    frame = cv2.add(smooth, generator.integers(0, 24, (HEIGHT, WIDTH, 3), np.uint8))
    truth, said = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    for _ in range(12):
        centre = generator.integers(0, 240, 2)
        cv2.circle(truth, centre.tolist(), 15, 255, -1)
        cv2.circle(said, (centre + generator.integers(-5, 5, 2)).tolist(), 15, 255, -1)
    said[generator.random(said.shape) < 0.002] = 255
    cv2.imwrite(str(kept.picture("frame")), frame)
    cv2.imwrite(str(kept.picture("truth")), truth)
    cv2.imwrite(str(kept.picture("prediction")), said)
    confusion = confusion_image(said == 255, truth, np.ones_like(said, np.bool_))
    cv2.imwrite(str(kept.picture("confusion")), confusion[..., ::-1])


def _cpu() -> float:
    """Seconds of a processor that commands have taken which are over."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
