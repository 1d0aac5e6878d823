"""Shared by tests of tiny trainings: the trainer, checkpoints and how they are compared, and runs that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from torch import Tensor

from bgsub_lightning.systems import BgsModule, StagedModule

quiet = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*was deprecated in v4",
    "ignore:.isinstance.treespec, LeafSpec.. is deprecated",
    "ignore:Checkpoint directory .* exists and is not empty",  # of Lightning's ModelCheckpoint, see each_step
    "ignore:The dirpath has changed from",
)
"""Warnings of Lightning in these trainings."""


def module_of(record: dict[str, Any]) -> BgsModule:
    """Build a system with its trainer's half from a class and its arguments, as the command line does."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(BgsModule, "model", fail_untyped=False)
    module = parser.instantiate(parser.parse_object({"model": record})).model
    assert isinstance(module, BgsModule)
    return module


def trainer(folder: Path, callbacks: Sequence[Callback] = (), **settings: Any) -> Trainer:
    return Trainer(
        **{
            "accelerator": "cpu",
            "devices": 1,
            "max_epochs": 1,
            "logger": False,
            "default_root_dir": folder,
            "callbacks": list(callbacks),
            "enable_checkpointing": any(isinstance(each, Checkpoint) for each in callbacks),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "use_distributed_sampler": False,
            "num_sanity_val_steps": 0,
            "limit_val_batches": 0,
            **settings,
        }
    )


def fit_whole(
    system: StagedModule,
    data: LightningDataModule,
    folder: Path,
    callbacks: Sequence[Callback] = (),
    **settings: Any,
) -> Trainer:
    """Train through all stages."""
    fitted = trainer(folder, callbacks, **settings)
    fitted.fit(system, data)
    assert fitted.global_step == len(system.plan)
    return fitted


def resume_whole(system: StagedModule, data: LightningDataModule, folder: Path, checkpoint: Path) -> Path:
    """Resume from a checkpoint to the end, and return the checkpoint of the last step."""
    resumed = trainer(folder, [each_step(folder)])
    resumed.fit(system, data, ckpt_path=checkpoint, weights_only=True)
    assert resumed.global_step == len(system.plan)
    return folder / f"step={len(system.plan)}.ckpt"


def each_step(folder: Path) -> ModelCheckpoint:
    return ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)


def content(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def weights(path: Path) -> dict[str, Tensor]:
    return content(path)["state_dict"]


def moved(before: dict[str, Tensor], after: dict[str, Tensor], network: str) -> set[str]:
    assert before.keys() == after.keys()
    return {key for key in before if key.startswith(network) and not torch.equal(before[key], after[key])}


def undecayed(networks: Sequence[str]) -> list[str]:
    """The names of the parameter groups of systems with weight decay: a network's weights, and its vectors."""
    return [name for network in networks for name in (network, f"{network}_undecayed")]


def assert_alike(expected: Path, found: Path) -> None:
    """Assert that two checkpoints have the same step, weights and moments, bit for bit."""
    one, other = content(expected), content(found)
    assert one["global_step"] == other["global_step"]
    assert not moved(one["state_dict"], other["state_dict"], "")
    moments = [each["optimizer_states"][0]["state"] for each in (one, other)]
    assert moments[0]
    assert moments[0].keys() == moments[1].keys()
    for index, state in moments[0].items():
        for name, value in state.items():
            assert torch.equal(value, moments[1][index][name])


class Watcher(Callback):
    """Notes what each step of a staged system sees and moves."""

    def __init__(self) -> None:
        self.keys: list[set[str]] = []
        self.sizes: list[int] = []
        self.rates: list[dict[str, float]] = []
        self.moments: list[int] = []
        self.steps: list[set[int]] = []
        self.modes: list[tuple[bool, ...]] = []
        self.gradients: list[dict[str, bool]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.keys.append(set(batch))
        self.sizes.append(len(batch["number"]))

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        assert isinstance(pl_module, StagedModule)
        self.rates.append({group["network"]: group["lr"] for group in optimizer.param_groups})
        self.moments.append(len(optimizer.state))
        self.steps.append({int(state["step"]) for state in optimizer.state.values() if "step" in state})
        self.modes.append(tuple(getattr(pl_module, name).training for name in pl_module.plan.networks))
        self.gradients.append({name: p.grad is not None for name, p in pl_module.named_parameters()})


TORCHVISION = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""The convolutions in the features of torchvision's vgg16."""


def random_vgg(file: Path, width: int) -> Path:
    """Write random weights under the names of torchvision's vgg16, whose first layers have so many channels."""
    generator = torch.Generator().manual_seed(5)
    widths = [width * factor for factor in (1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8)]
    state: dict[str, Tensor] = {}
    for index, inputs, outputs in zip(TORCHVISION, [3, *widths], widths, strict=False):
        scale = (2 / (9 * inputs)) ** 0.5
        state[f"features.{index}.weight"] = scale * torch.randn(outputs, inputs, 3, 3, generator=generator)
        state[f"features.{index}.bias"] = torch.rand(outputs, generator=generator)
    torch.save(state, file)
    return file


class Begins(Callback):
    """Keeps the weights that training begins with."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.weights = {name: value.clone() for name, value in pl_module.state_dict().items()}


# --- the real command line -------------------------------------------------------------------------------------------


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Begin a fit in its own process group."""
    command = [sys.executable, "-m", "bgsub_lightning", "fit", *options, f"--run_dir={folder}"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, start_new_session=True)


def kill_within(process: subprocess.Popen[bytes], folder: Path, steps: range) -> None:
    """End a run, and what it has started, as soon as its newest checkpoint is of one of these steps."""
    last = folder / "checkpoints/last.ckpt"
    try:
        while not (last.exists() and content(last)["global_step"] in steps):
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (folder / "finished.json").exists()


def assert_same_run(one: Path, other: Path, end: int, stages: Sequence[str] = ()) -> None:
    """Assert that two runs have ended alike: weights, moments, the best score, and the ends of their stages."""
    last = [folder / "checkpoints/last.ckpt" for folder in (one, other)]
    assert_alike(*last)
    assert content(last[0])["global_step"] == end
    best = [
        next(part for key, part in content(path)["callbacks"].items() if key.startswith("BestCheckpoint"))
        for path in last
    ]
    assert best[0]["best_model_score"] == best[1]["best_model_score"]
    for name in stages:
        assert not moved(*(weights(folder / f"checkpoints/after_{name}.ckpt") for folder in (one, other)), "")
