"""Cost of a training step beyond its arithmetic: more processes, its data, its checkpoint, and a new start.

BMN-BSN is trained by the real command line: samples per second by the number of processes, the part of a step that
waits for data, the time that a checkpoint takes, and how long it is from a start to its first step, fresh and resumed.

    python benchmarks/scaling.py --root FOLDER --store FOLDER                          # an eighth of the width, on CPUs
    python benchmarks/scaling.py --root FOLDER --store FOLDER --accelerator gpu --width 64 --processes 1 2 4 8

`--count` counts instead what the paper's system asks of a machine, which docs/scaling.md reckons with.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from measure import ROOT, run_program, table_of
from torch.utils.flop_counter import FlopCounterMode

from bgsub_lightning.core.console import console
from bgsub_lightning.core.run_info import device_name
from bgsub_lightning.systems.bmn_bsn.network import BmnBsnNetwork
from bgsub_lightning.systems.weights import damage

WIDTH, HEIGHT, REFERENCES = 320, 240, 16
LEFT_OUT = 5
"""Steps at the start of a training that are not measured."""


class Clock(Callback):
    """Takes the time of steps, of their wait for data, and of checkpoints; the first process writes it down.

    Args:
        file: Where to.
        checkpoints: Checkpoints to write at the end.
    """

    def __init__(self, file: str, checkpoints: int = 0) -> None:
        self.file = Path(file)
        self.checkpoints = checkpoints
        self.begun: float | None = None
        self.steps: list[float] = []
        self.waits: list[float] = []
        self.ended: float | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note how long the batch was waited for."""
        if self.ended is not None:
            self.waits.append(time.perf_counter() - self.ended)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note how long the step took, with its wait."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self.ended is None:
            self.begun = time.time()
        else:
            self.steps.append(now - self.ended)
        self.ended = now

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write checkpoints, then what was noted."""
        path = self.file.with_suffix(".ckpt")
        saved, checked = [], []
        for _ in range(self.checkpoints):
            begin = time.perf_counter()
            trainer.save_checkpoint(path)
            saved.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            damage(path)
            checked.append(time.perf_counter() - begin)
        if trainer.is_global_zero:
            times = {
                "first": self.begun,
                "step": self.steps[LEFT_OUT:],
                "wait": self.waits[LEFT_OUT:],
                "save": saved,
                "check": checked,
                "bytes": path.stat().st_size if self.checkpoints else 0,
                "device": device_name(pl_module.device),
            }
            self.file.write_text(json.dumps(times))


def fit(options: argparse.Namespace, run_dir: Path, processes: int, steps: int, *more: str, **clock: int) -> Any:
    """Train, and return the times of the clock, with the seconds from the start to the end of the first step."""
    file = run_dir.parent / f"{run_dir.name}.json"
    callback = {"class_path": "scaling.Clock", "init_args": {"file": str(file), **clock}}
    begin = time.time()
    run_program(
        *("fit", "--config", str(ROOT / "experiments/bmn_bsn_fold1.yaml"), f"--run_dir={run_dir}", "--wandb=disabled"),
        *(f"--data.init_args.root={options.root}", f"--data.init_args.store={options.store}"),
        *(f"--data.init_args.batch_size={options.batch}", f"--data.init_args.num_workers={options.workers}"),
        *(f"--model.init_args.channels={options.width}", f"--trainer.max_steps={steps}", "--trainer.max_epochs=-1"),
        *(f"--trainer.accelerator={options.accelerator}", f"--trainer.devices={processes}"),
        *("--trainer.limit_val_batches=0", "--trainer.enable_progress_bar=false", "--last.every_n_train_steps=100000"),
        f"--trainer.callbacks={json.dumps([callback])}",
        *more,
    )
    times = json.loads(file.read_text())
    return times | {"start": times["first"] - begin}


def measure(options: argparse.Namespace, folder: Path) -> None:
    rates: dict[int, list[float]] = {}
    shares: dict[int, list[float]] = {}
    starts: dict[str, list[float]] = {"fresh": [], "resumed": []}
    saves, steps, checks = [], [], []
    for turn in range(options.rounds):
        for processes in options.processes:  # they take turns, so that what disturbs the machine disturbs all
            times = fit(options, folder / f"{processes}_{turn}", processes, options.steps, checkpoints=5)
            step = statistics.median(times["step"])
            rates.setdefault(processes, []).append(processes * options.batch / step)
            shares.setdefault(processes, []).append(sum(times["wait"]) / sum(times["step"]))
            if processes == options.processes[0]:
                steps.append(step)
                saves.append(statistics.median(times["save"]))
                checks.append(statistics.median(times["check"]))
                starts["fresh"].append(times["start"])
                more = fit(options, folder / f"{processes}_{turn}", processes, options.steps + 8, "--ckpt_path=last")
                starts["resumed"].append(more["start"])
    console.print(
        f"{times['device']} for each process; batches of {options.batch}, {options.workers} workers for each process, "
        f"width {options.width}, torch {torch.__version__}"
    )
    base = statistics.median(rates[options.processes[0]])
    rows = [
        (
            str(n),
            f"{(found := statistics.median(rates[n])):.2f}",
            f"{found / base:.2f}",
            f"{statistics.median(shares[n]):.1%}",
        )
        for n in options.processes
    ]
    console.print(
        table_of("Training", ("processes", "samples/s", f"times {options.processes[0]}", "waits for data"), rows)
    )
    step, save, check = (statistics.median(found) for found in (steps, saves, checks))
    console.print(
        f"A step takes {step:.3f} s, a checkpoint of {times['bytes'] / 2**20:.1f} MiB {save:.3f} s, as much as "
        f"{save / step:.2f} steps: one after each 500th adds {save / step / 500:.2%}. "
        f"Reading all of it to look for damage takes {check:.3f} s.",
        soft_wrap=True,
    )
    fresh, resumed = (statistics.median(starts[name]) for name in ("fresh", "resumed"))
    console.print(
        f"From the start to the end of the first step: {fresh:.1f} s fresh, {resumed:.1f} s resumed "
        f"({resumed / fresh:.2f} times as long).",
        soft_wrap=True,
    )


def count() -> None:
    """Print the operations of a training step of the paper's system on one sample; nothing is computed."""
    with torch.device("meta"):
        network = BmnBsnNetwork()
        references = torch.empty(1, REFERENCES, 3, HEIGHT, WIDTH)
        image, target = torch.empty(1, 3, HEIGHT, WIDTH), torch.zeros(1, HEIGHT, WIDTH, dtype=torch.long)
    flops = {}
    with FlopCounterMode(display=False) as counter:
        logits = network(references, image)
    flops["forward"] = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.cross_entropy(logits, target).backward()
    flops["backward"] = counter.get_total_flops()
    parameters = sum(each.numel() for each in network.parameters())
    sample = WIDTH * HEIGHT * (3 * (REFERENCES + 1) + 1)
    rows = [
        ("parameters", f"{parameters:,}", ""),
        ("forward, of a sample", f"{flops['forward'] / 1e9:,.1f}", "GFLOP"),
        ("backward, of a sample", f"{flops['backward'] / 1e9:,.1f}", "GFLOP"),
        ("step, of a sample", f"{sum(flops.values()) / 1e9:,.1f}", "GFLOP"),
        ("gradients, float32", f"{4 * parameters / 1e6:,.1f}", "MB"),
        ("checkpoint: weights and two moments of Adam", f"{12 * parameters / 1e6:,.1f}", "MB"),
        ("input, of a sample: 16 references, a frame, a mask, uint8", f"{sample / 1e6:,.3f}", "MB"),
    ]
    console.print(table_of("A training step of BMN-BSN at the paper's size", ("", "", "unit"), rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a dataset in CDnet2014's layout")
    parser.add_argument("--store", type=Path, help="folder of the frame store")
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--width", type=int, default=8, help="channels of the first layers; 64 is the paper's")
    parser.add_argument("--batch", type=int, default=1, help="samples per process and step")
    parser.add_argument("--workers", type=int, default=1, help="that load data, per process")
    parser.add_argument("--steps", type=int, default=30, help="steps of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each number of processes, in turn")
    parser.add_argument("--count", action="store_true", help="count the operations of a step, and measure nothing")
    options = parser.parse_args()
    if options.count:
        count()
        return
    if options.root is None or options.store is None:
        parser.error("name --root and --store, or --count")
    if options.steps <= LEFT_OUT:
        parser.error(f"--steps: the first {LEFT_OUT} are not measured; got {options.steps}. Name more.")
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


if __name__ == "__main__":
    main()
