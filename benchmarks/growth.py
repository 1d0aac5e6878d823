"""Growth: what each command costs at 10 to 1,000 videos, and at as many runs of a campaign and of a sweep.

Videos are links to a few rendered ones, of 30 frames of 64×48: small, so that what is measured is the handling of many
videos, and not their pixels. Runs and trials are made up, finished, so that what is measured is what the commands do
themselves: they look at each run, choose the next trial, read what was logged, and print the tables.

Each command is run as a process with one thread of computation; its processor time, with its start, and its
largest memory are read. Times are in units of the smallest number's. The last column compares what a further video or
run costs between the two largest numbers with what it costs between the two before: 1 is linear growth.

    python benchmarks/growth.py
    python benchmarks/growth.py --counts 2 4 6        # quick
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import yaml
from measure import ROOT, table_of

from bgsub_lightning.core.console import console
from bgsub_lightning.datasets.origin import mark
from bgsub_lightning.synthetic import plan, render_all

UNLABELLED, LABELLED = 10, 20
WIDTH, HEIGHT = 64, 48
CATEGORIES = ("baseline", "shadow")

DATA = {
    "size": [WIDTH, HEIGHT],
    "num_workers": 0,
    "protocol": {
        "class_path": "bgsub_lightning.splits.Subset",
        "init_args": {"train": ["baseline"], "test": ["shadow"], "validation": {"scenes": 0}},
    },
}
TRAINER = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--wandb=disabled")


@dataclass
class Cost:
    """Seconds of a processor, and MiB, of a command at each number."""

    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def cost_of(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command of the program; return its seconds of a processor, and its largest memory in MiB."""
    variables = {"OMP_NUM_THREADS": "1", **os.environ, "BGSUB_LIGHTNING_CACHE": str(folder / "cache")}
    log = folder / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bgsub_lightning", *command], cwd=ROOT, stdout=file, stderr=file, env=variables
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}\n{log.read_text()}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def make_videos(folder: Path, count: int) -> Path:
    """Make a dataset of so many videos, by links to rendered ones."""
    source = folder / "rendered"
    if not source.exists():
        list(render_all(source, plan(2, list(CATEGORIES)), (WIDTH, HEIGHT), UNLABELLED, LABELLED, 1))
    root = folder / f"videos_{count}"
    root.mkdir()
    mark(root, "CDnet2014", {0}, many=True, trusted=True)
    rendered = {name: cycle(sorted((source / name).iterdir())) for name in CATEGORIES}
    for number in range(count):
        category = CATEGORIES[number % 2]
        video = next(rendered[category])
        for file in video.rglob("*.*"):
            link = root / category / f"video{number:05}" / file.relative_to(video)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.hardlink_to(file)
    return root


def costs_of_videos(folder: Path, count: int) -> dict[str, tuple[float, float]]:
    """Return what each command costs with so many videos."""
    root, store, runs = make_videos(folder, count), folder / f"store_{count}", folder / f"runs_{count}"
    data = [f"--data.init_args.{name}={json.dumps(value)}" for name, value in DATA.items()]
    data += [f"--data.init_args.root={root}", f"--data.init_args.store={store}"]
    prepare = ["prepare", f"--root={root}", f"--store={store}", f"--width={WIDTH}", f"--height={HEIGHT}", "--workers=1"]
    fit = ["fit", "--config", "experiments/siamese_small.yaml", *data, f"--run_dir={runs / 'fit'}", *TRAINER]
    fit += ["--model.init_args.metric.steps=1", "--model.init_args.segment.steps=1", "--checkpoint=last"]
    fit += ["--trainer.limit_val_batches=0", "--model.init_args.threshold=0.5", "--early_stopping.patience=null"]
    mog2 = ["--config", "experiments/mog2.yaml", *data, f"--run_dir={runs / 'mog2'}", *TRAINER]
    return {
        "prepare": cost_of(prepare, folder),
        "prepare, nothing to do": cost_of(prepare, folder),
        "fit, two steps": cost_of(fit, folder),
        "test": cost_of(["test", *mog2], folder),
        "predict": cost_of(["predict", *mog2], folder),
        "evaluate": cost_of(
            [
                *("evaluate", f"--root={root}", f"--masks={runs / 'mog2/results'}", f"--out={runs / 'masks'}"),
                *("--scene=shadow", "--workers=1"),
            ],
            folder,
        ),
        "report": cost_of(["report", str(runs / "mog2"), str(runs / "masks"), f"--out={runs / 'page'}"], folder),
    }


def costs_of_runs(folder: Path, count: int) -> dict[str, tuple[float, float]]:
    """Return what a campaign and a sweep cost, all of whose runs are finished."""
    root, out = next(folder.glob("videos_*")), folder / f"finished_{count}"
    data = [f"--data.init_args.root={root}", "--data.init_args.scene=[shadow]"]
    first = folder / "one/scores.json"
    if not first.exists():
        cost_of(["test", "--config", "experiments/mog2.yaml", *data, f"--run_dir={first.parent}", *TRAINER], folder)
    scores = json.loads(first.read_text())
    for number in range(count):
        tested = out / f"campaign/seed_{number}/scores.json"
        tested.parent.mkdir(parents=True)
        tested.write_text(json.dumps({**scores, "name": f"seed_{number}", "seed": number}))
        log = out / f"sweep/trial_{number:03}/csv/version_0/metrics.csv"
        log.parent.mkdir(parents=True)
        lines = [f"{step},{0.5 + (number * 37 + step) % 101 / 250}" for step in range(10)]
        log.write_text("step,val/f_measure\n" + "\n".join(lines) + "\n")
        (out / f"sweep/trial_{number:03}/finished.json").write_text('{"steps": 10, "epochs": 1}')
    seeds = ",".join(map(str, range(count)))
    campaign = ["campaign", "experiments/mog2.yaml", f"--over=seed={seeds}", f"--out={out / 'campaign'}", *data]
    sweep = ["sweep", str(sweep_file(folder)), f"--trials={count}", f"--out={out / 'sweep'}", *data]
    return {
        "campaign, all done": cost_of(campaign, folder),
        "sweep (TPE), all done": cost_of(sweep, folder),
        "sweep, again": cost_of(sweep, folder),
    }


def sweep_file(folder: Path) -> Path:
    """Write a search over two parameters."""
    file = folder / "search.yaml"
    rates = {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2}
    batches = {"values": [1, 2, 4]}
    content = {
        "method": "bayes",
        "metric": {"name": "val/f_measure", "goal": "maximize"},
        "parameters": {"model.init_args.lr": rates, "data.init_args.batch_size": batches},
        "command": [
            *("${env}", "python", "-m", "bgsub_lightning", "fit"),
            *("--config", "experiments/bmn_bsn_small.yaml", "--config", "${args_json_file}"),
        ],
    }
    file.write_text(yaml.safe_dump(content))
    return file


def measured(
    counts: list[int], costs: Callable[[Path, int], dict[str, tuple[float, float]]], folder: Path
) -> dict[str, Cost]:
    found: dict[str, Cost] = {}
    for count in counts:
        for name, (seconds, memory) in costs(folder, count).items():
            cost = found.setdefault(name, Cost())
            cost.seconds.append(seconds)
            cost.memory.append(memory)
    return found


def rows(counts: list[int], found: dict[str, Cost]) -> list[tuple[str, ...]]:
    low, middle, high = counts[-3:]
    shown = []
    for name, cost in found.items():
        first, second, third = cost.seconds[-3:]
        further = (third - second) / (high - middle), (second - first) / (middle - low)
        is_clear = second - first > 0.1 * cost.seconds[0]  # else it is the noise of starts
        growth = f"{further[0] / further[1]:.2f}" if is_clear else "–"
        times = [f"{seconds / cost.seconds[0]:.2f}" for seconds in cost.seconds]
        shown.append((name, *times, *(f"{memory:,.0f}" for memory in (cost.memory[0], cost.memory[-1])), growth))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--counts", nargs="+", type=int, default=[10, 100, 300, 1000], help="three numbers or more, ascending"
    )
    options = parser.parse_args()
    counts: list[int] = options.counts
    if len(counts) < 3 or counts[0] < 2 or counts != sorted({*counts}):
        parser.error(f"--counts: must be three or more that ascend from 2; got {counts}.")
    headings = ["", *(f"at {count:,}" for count in counts), *(f"MiB at {each:,}" for each in (counts[0], counts[-1]))]
    for title, costs in (("Videos, processor time", costs_of_videos), ("Runs, processor time", costs_of_runs)):
        with tempfile.TemporaryDirectory() as folder:
            if costs is costs_of_runs:
                make_videos(Path(folder), 2)
            console.print(table_of(title, [*headings, "growth"], rows(counts, measured(counts, costs, Path(folder)))))


if __name__ == "__main__":
    main()
