"""Cost of training each system: samples per second of each stage, in one run.

Each small experiment is trained for a few steps of each stage by the real command line, with its data loaded in the
same process, on rendered scenes of 320×240. All take turns; on a CPU ratios are what counts. `speed.py` has the frames
per second of what is trained.

    python benchmarks/systems.py
    python benchmarks/systems.py --paper --accelerator gpu                        # the papers' sizes
    python benchmarks/systems.py --systems seqfeednet --steps 3 --rounds 1
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from measure import ROOT, run_program, synchronize, table_of

from bgsub_lightning.core.console import console
from bgsub_lightning.core.memory import keep_freed_memory
from bgsub_lightning.data import ScenesDataModule
from bgsub_lightning.synthetic import plan, render_all
from bgsub_lightning.systems.kinds import StagedSystem

STAGES: dict[str, tuple[str, ...]] = {
    "bmn_bsn": (),
    "ae_ne": ("learn", "settle"),
    "any_scene": (),
    "bsuv_net": (),
    "cdn_medal": ("density", "difference"),
    "crossnet": (),
    "fgsegnet": (),
    "recon_mcfcn": ("reconstruct", "segment", "joint"),
    "seqfeednet": (),
    "siamese": ("metric", "segment"),
}
"""Experiment → its stages; the first is what the training of the others is compared with."""


class Pace(Callback):
    """Writes down how many samples a second each stage learns from, without its first steps, and the parameters.

    Args:
        file: Where to.
        first: Steps of each stage that are left out.
    """

    def __init__(self, file: str, first: int = 1) -> None:
        self.file = Path(file)
        self.first = first
        self.ended: float | None = None
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.samples: dict[str, int] = {}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the stage of the step."""
        datamodule: ScenesDataModule = trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(pl_module, StagedSystem):
            self.stage, samples = pl_module.span.name, pl_module.span.stage.batch_size
        else:
            self.stage, samples = "", datamodule.batch_size
        self.samples[self.stage] = samples

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note how long the step took, with its wait for data."""
        synchronize(pl_module.device.type)
        now = time.perf_counter()
        if self.ended is not None:
            self.seconds[self.stage].append(now - self.ended)
        self.ended = now

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it."""
        rates = {
            stage: self.samples[stage] / statistics.median(seconds[self.first :])
            for stage, seconds in self.seconds.items()
        }
        parameters = sum(each.numel() for each in pl_module.parameters())
        self.file.write_text(json.dumps({"rates": rates, "parameters": parameters}))


def experiment_of(name: str, is_paper: bool) -> Path:
    small = "any_scene_quick" if name == "any_scene" else f"{name}_small"
    return ROOT / f"experiments/{name if is_paper else small}.yaml"


def train(
    name: str,
    is_paper: bool,
    run: Path,
    folder: Path,
    callback: dict[str, Any],
    steps: int,
    accelerator: str,
    *more: str,
) -> None:
    """Train a system for some steps of each stage by the command line, with its data loaded in the same process.

    Args:
        name: The experiment.
        is_paper: Whether it has the paper's size.
        run: The run directory.
        folder: What holds the scenes, in ``scenes``, and the frame store.
        callback: What watches.
        steps: Steps of each stage.
        accelerator: Lightning's name of the device.
        *more: More options, which beat these.
    """
    stages = STAGES[name]
    protocol = {
        "class_path": "bgsub_lightning.splits.LabelBudget",
        "init_args": {"frames": 12, "drawn": "balanced", "validation": {"scenes": 0, "frames": 2}},
    }
    run_program(
        *("fit", "--config", str(experiment_of(name, is_paper)), f"--run_dir={run}", "--wandb=disabled"),
        *("--data.init_args.reader=CDnet2014", f"--data.init_args.root={folder / 'scenes'}"),
        *(f"--data.init_args.store={folder / 'store'}", "--data.init_args.num_workers=0"),
        *(f"--data.init_args.protocol={json.dumps(protocol)}", "--checkpoint=last"),
        *(f"--model.init_args.{stage}.steps={steps}" for stage in stages),
        *([] if stages else [f"--trainer.max_steps={steps}", "--trainer.max_epochs=-1"]),
        *(f"--trainer.accelerator={accelerator}", "--trainer.devices=1", "--trainer.limit_val_batches=0"),
        *("--trainer.enable_progress_bar=false", f"--trainer.callbacks+={json.dumps(callback)}", *more),
    )


def fit(name: str, options: argparse.Namespace, folder: Path, turn: int) -> Any:
    """Train for a few steps; return what :class:`Pace` has written."""
    run = folder / f"{name}_{turn}"
    file = run.with_suffix(".json")
    callback = {"class_path": "systems.Pace", "init_args": {"file": str(file)}}
    train(name, options.paper, run, folder, callback, options.steps + 1, options.accelerator)
    return json.loads(file.read_text())


def table(options: argparse.Namespace, folder: Path) -> None:
    list(render_all(folder / "scenes", plan(1, ["baseline", "shadow"]), (320, 240), 30, 30, 1))
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in options.systems}
    parameters: dict[str, int] = {}
    for turn in range(options.rounds):
        for name in options.systems:
            pace = fit(name, options, folder, turn)
            parameters[name] = pace["parameters"]
            for stage, each in pace["rates"].items():
                found[name][stage].append(each)
    rates = {name: {stage: statistics.median(each) for stage, each in of.items()} for name, of in found.items()}
    base = next(iter(rates[options.systems[0]].values()))
    on_card = options.accelerator == "gpu"  # absolute figures only where the card can be named
    card = torch.cuda.get_device_name() if on_card else f"{os.cpu_count()} CPUs"
    console.print(f"{card}, torch {torch.__version__}, one thread")
    rows = []
    for name, of in rates.items():
        for number, (stage, each) in enumerate(of.items()):
            trained = f"{each:,.1f}" if on_card else f"{each / base:,.2f}"
            first = (name, f"{parameters[name]:,}") if number == 0 else ("", "")
            rows.append((*first, stage, trained))
    unit = "samples/s" if on_card else f"samples/s, × {options.systems[0]}"
    title = "At the papers' sizes" if options.paper else "Small, for CPUs"
    console.print(table_of(title, ("system", "parameters", "stage", unit), rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--paper", action="store_true", help="the papers' sizes")
    parser.add_argument("--accelerator", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--steps", type=int, default=12, help="steps of each stage, after the first")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, in turn")
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        table(options, Path(folder))


if __name__ == "__main__":
    main()
