"""Every system through the real command line: in two processes, in half precision, with clipped gradients, compiled.

Two processes train, validate and test as one does with batches twice as large.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from tiny_training import content, quiet
from torch import Tensor, nn
from two_processes import TwoProcesses

from bgsub_lightning.frames.opencv import CONTRIB
from bgsub_lightning.systems.cdn_medal import CdnMedal
from bgsub_lightning.systems.cdn_medal.loss import mixture_nll
from bgsub_lightning.training.cli import run_trainer

pytestmark = quiet

Settings = dict[str, Any]


def stages(**of_stage: tuple[int, int]) -> Settings:
    """Two steps of each stage: name → batch size of one of two processes, and rate as a power of ten."""
    return {name: {"steps": 2, "batch_size": size, "lr": 10.0**rate} for name, (size, rate) in of_stage.items()}


SYSTEMS: dict[str, Settings] = {
    "AeNe": stages(learn=(2, -3), settle=(2, -4))
    | {
        "noise": 0.0,  # of a network that has learnt nothing, it would leave no foreground
        "background": {
            "class_path": "bgsub_lightning.systems.ae_ne.AutoencoderBackground",
            "init_args": {"size": [32, 24], "width": 8},
        },
    },
    "AnyScene": {"widths": [2, 3, 4, 5], "lr": 1e-3},
    "BmnBsn": {"references": 2, "maps": 2, "channels": 2, "depth": 2, "lr": 1e-2},
    "BmnBsn, class-balanced": {"references": 2, "maps": 2, "channels": 2, "depth": 2, "class_balanced": True},
    "BsuvNet": {"width": 4, "history": 4, "lr": 1e-3},
    "CdnMedal": stages(density=(8, -2), difference=(1, -2)),
    "CdnMedal, median": stages(difference=(1, -2))
    | {"background": {"class_path": "TemporalMedian", "init_args": {"history": 10, "every": 2}}},
    "FgSegNet": {"width": 2, "lr": 1e-3},
    "ReconMcfcn": stages(reconstruct=(2, -4), segment=(1, -3), joint=(1, -5))
    | {"bottleneck": 4, "width": 2, "mcfcn_width": 2, "size": 49},
    "FrameFcn": stages(segment=(1, -3)) | {"mcfcn_width": 2, "size": 49},
    "CrossNet": {"width": 2, "taus": [1], "norm": "batch", "dropout": 0, "lr": 1e-3},
    "SeqFeedNet": {"width": 2, "group": 2, "gap": [1, 2], "history": 4, "lr": 1e-6},
    "Siamese": stages(metric=(1, -3), segment=(1, -2)) | {"width": 2, "channels": 2, "depth": 2, "normalise": True},
}
"""Name → arguments of the module. What is drawn at random inside a network is not the same in a batch of two."""

UNTRAINED: dict[str, Settings] = {
    "ClassicalSubtractor, MOG2": {"method": "MOG2"},
    "ClassicalSubtractor, KNN": {"method": "KNN"},
    **{f"ClassicalSubtractor, {name}": {"method": name} for name in CONTRIB if hasattr(cv2, "bgsegm")},
    "ThresholdedDifference": {"background": {"class_path": "TemporalMedian", "init_args": {"history": 10, "every": 2}}},
}
"""Systems that have nothing to fit, and carry state from frame to frame."""

TRAINER = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1}


DOUBLE = ["--trainer.precision=64-true"]


class Witness(Callback):
    """Notes the frames and the gradients of each step; dropout is left out, as it differs between processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.frames: list[list[tuple[Any, ...]]] = []
        self.histories: list[Tensor] = []
        self.gradients: list[dict[str, Tensor]] = []
        self.clipped: list[dict[str, Tensor]] = []
        self.weights: dict[str, Tensor] = {}
        self.types: set[torch.dtype] = set()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.weights = {name: each.detach().clone() for name, each in pl_module.named_parameters()}
        for part in pl_module.modules():
            if isinstance(part, nn.Dropout | nn.Dropout2d):
                part.p = 0.0
            if isinstance(part, nn.Conv2d):
                part.register_forward_hook(lambda *given: self.types.add(given[-1].dtype))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        shown = batch.get("image", batch.get("frames", torch.zeros(len(batch["number"]), 1)))
        means = shown.double().flatten(1).mean(1)
        self.frames.append(list(zip(batch["number"].tolist(), means.tolist(), strict=True)))
        if "history" in batch:
            self.histories.append(batch["history"].clone())

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self.gradients.append(self._gradients(pl_module))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.clipped.append(self._gradients(pl_module))

    @staticmethod
    def _gradients(module: LightningModule) -> dict[str, Tensor]:
        return {name: each.grad.clone() for name, each in module.named_parameters() if each.grad is not None}

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seen = {"frames": self.frames, "gradients": self.gradients, "histories": self.histories}
        seen |= {"clipped": self.clipped, "weights": self.weights, "types": self.types}
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(seen, self.folder / f"rank{trainer.global_rank}.pt")


def command(rank: int, name: str, options: list[str]) -> dict[str, float]:
    """Run one of Lightning's commands; returns what it has logged last."""
    cli = run_trainer(name, options)
    return {key: float(value) for key, value in cli.trainer.callback_metrics.items()}


def marked(names: Iterable[str]) -> list[Any]:
    """Mark all but one system as slow: the one that has stages, batch normalisation and a base image."""
    return [name if name == "Siamese" else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """Four scenes, whose frames have very different numbers of pixels that are valid, and of foreground."""
    root = tmp_path_factory.mktemp("dataset")
    for category, name in (("baseline", "a"), ("baseline", "b"), ("shadow", "c"), ("shadow", "d")):
        folder = make_video(root, category, name, labelled=8)
        for number in range(21, 29):
            path = str(folder / f"groundtruth/gt{number:06d}.png")
            mask = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
            mask[: 5 * (number % 5)] = 170
            mask[40:, : 9 * (number % 4)] = 255
            cv2.imwrite(path, mask)
    return root


class Experiment:
    """Runs a system's commands in one process or in two."""

    def __init__(self, system: str, root: Path, folder: Path, pair: TwoProcesses) -> None:
        self.folder = folder
        self.pair = pair
        self.fits: set[int] = set()
        self.name = system.partition(",")[0]
        arguments = {**SYSTEMS, **UNTRAINED}[system]
        self.size = [256, 256] if self.name == "CrossNet" else [32, 24]
        self.model = {"class_path": self.name, "init_args": arguments}
        self.root = root

    def __call__(self, command_name: str, processes: int, *options: str, run: str = "") -> list[dict[str, float]]:
        """Return what each process has logged."""
        init_args = self.model["init_args"]
        if processes == 1:
            init_args = {key: _doubled(value) for key, value in init_args.items()}
        run_dir = self.folder / (run or f"run{processes}")
        config = {
            "trainer": TRAINER | {"max_epochs": 1, "devices": processes},
            "model": self.model | {"init_args": init_args},
            "data": {
                "class_path": "ScenesDataModule",
                "init_args": {
                    "root": str(self.root),
                    "size": self.size,
                    "num_workers": 0,
                    "flip": 0.5,
                    "batch_size": 4 // processes,
                    "eval_batch_size": 3,
                    "protocol": {"class_path": "LabelBudget", "init_args": {"frames": 3, "drawn": "random"}},
                },
            },
            "wandb": "disabled",
            "pictures": {"scenes": 1 if command_name == "test" else 0},
            "run_dir": str(run_dir),
        }
        if command_name == "fit":
            witness = {"class_path": f"{Witness.__module__}.Witness", "init_args": {"folder": str(run_dir)}}
            config["trainer"]["callbacks"] = [witness]
            config["trainer"]["limit_val_batches"] = 1
        path = self.folder / f"{command_name}{processes}.yaml"
        path.write_text(yaml.safe_dump(config))
        arguments = (command_name, ["--config", str(path), *options])
        return [command(0, *arguments)] if processes == 1 else self.pair(command, *arguments)

    def fitted(self, processes: int) -> list[dict[str, Any]]:
        """Fit unless that has been done; returns what the witness in each process has noted."""
        if processes not in self.fits:
            self("fit", processes, *DOUBLE)
            self.fits.add(processes)
        return self.seen(f"run{processes}", processes)

    def seen(self, run: str, processes: int) -> list[dict[str, Any]]:
        """Return what the witnesses of a run have noted."""
        return [torch.load(self.folder / run / f"rank{rank}.pt", weights_only=False) for rank in range(processes)]


def clipped_together(name: str) -> str:
    """The sub-network of a parameter, whose gradients are clipped together; of SeqFeedNet's network it is a part."""
    return name[: len("network.foreground")] if name.startswith("network.foreground.") else name.split(".")[0]


def _doubled(value: Any) -> Any:
    return value | {"batch_size": 2 * value["batch_size"]} if isinstance(value, dict) and "steps" in value else value


Make = Callable[[str], Experiment]


@pytest.fixture(scope="module")
def experiment(root: Path, tmp_path_factory: pytest.TempPathFactory, two_processes: TwoProcesses) -> Make:
    """Makes the experiment of a system, the same one for all tests."""
    return cache(lambda system: Experiment(system, root, tmp_path_factory.mktemp("runs"), two_processes))


@pytest.mark.parametrize("system", marked(name for name in SYSTEMS if name != "CdnMedal"))
def test_gradients_of_two_processes_are_those_of_the_doubled_batch(experiment: Make, system: str) -> None:
    """At each step of each stage, and so are the weights in the end; no frame is seen twice."""
    run = experiment(system)
    (one,), both = run.fitted(1), run.fitted(2)
    # Siamese's features and distances are in single precision always; SeqFeedNet's gradients, through normalisations of
    # few pixels at each frame of a group, multiply rounding by 10⁶, and by 10³ again at each step of a rate of 1e-3
    rounding = 1e-6 if run.name in ("Siamese", "SeqFeedNet") else 1e-10
    assert len(one["gradients"]) == len(both[0]["gradients"]) >= 2
    for step, expected in enumerate(one["gradients"]):
        drawn = [frame for each in both for frame in each["frames"][step]]
        np.testing.assert_allclose(sorted(drawn), sorted(one["frames"][step]), rtol=1e-12)
        assert len(set(drawn)) == len(drawn) >= 2
        largest = max(float(gradient.abs().max()) for gradient in expected.values())
        assert largest > 0
        tolerance = {"rtol": 100 * rounding, "atol": rounding * largest}  # a bias before a normalisation has none
        assert expected.keys() <= both[0]["gradients"][step].keys()
        for name, found in both[0]["gradients"][step].items():
            assert torch.equal(found, both[1]["gradients"][step][name])
            wanted = expected.get(name, torch.zeros_like(found))  # DDP has a gradient of 0 for what does not learn
            torch.testing.assert_close(found, wanted, **tolerance, msg=lambda text, name=name: f"{name}: {text}")
    last = [content(run.folder / f"run{processes}/checkpoints/last.ckpt") for processes in (1, 2)]
    assert last[0]["global_step"] == last[1]["global_step"]
    for name, value in last[0]["state_dict"].items():
        # Adam makes steps of gradients that are nothing but rounding
        torch.testing.assert_close(last[1]["state_dict"][name], value, rtol=100 * rounding, atol=100 * rounding)


@pytest.mark.slow
def test_each_process_has_a_window_of_its_own_in_the_density_stage(experiment: Make) -> None:
    """So that two are no doubled batch of one; the gradient is that of the histories of both."""
    both = experiment("CdnMedal").fitted(2)
    histories = [each["histories"][0] for each in both]
    assert not torch.equal(*histories)
    module = CdnMedal().double()
    module.load_state_dict(both[0]["weights"])
    network = module.background.network  # type: ignore[attr-defined]
    together = torch.cat(histories)
    mixture = network(together)
    mixture_nll(together, mixture.log_weights, network.deviations(mixture), mixture.means).backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(both[0]["gradients"][0][f"background.network.{name}"], parameter.grad)


@pytest.mark.parametrize("system", marked([*SYSTEMS, *UNTRAINED]))
def test_scores_of_two_processes_are_those_of_one(experiment: Make, system: str) -> None:
    """Counts exactly, whatever the batches; the files are written once, and hold each frame once."""
    run = experiment(system)
    if system in SYSTEMS:
        run.fitted(2)
        (alone,) = run("validate", 1, run="run2")
        for logged in run("validate", 2, "--data.init_args.eval_batch_size=5", run="run2"):
            assert logged.pop("val/loss") == pytest.approx(alone["val/loss"], rel=1e-6)  # a mean in single precision
            assert logged == {name: value for name, value in alone.items() if name != "val/loss"}
    found = []
    for processes, size in ((1, 3), (2, 3), (2, 5)):
        run("test", processes, *DOUBLE, f"--data.init_args.eval_batch_size={size}", run="run2")
        with (run.folder / "run2/frames.csv").open() as file:
            rows = list(csv.DictReader(file))
        found.append((json.loads((run.folder / "run2/scores.json").read_text())["videos"], rows))
        picture = run.folder / "run2/pictures/test.png"
        found[-1] += (picture.read_bytes(),)
        picture.unlink()
    assert found[0] == found[1] == found[2]
    assert list(found[0][0]) == ["baseline/a", "baseline/b", "shadow/c", "shadow/d"]
    assert len({(row["video"], row["frame"]) for row in found[0][1]}) == len(found[0][1]) > 0


# --- switches of the trainer ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_half_precision(experiment: Make, system: str) -> None:
    """The convolutions compute in 16 bits; weights, gradients and scores are not."""
    run = experiment(system)
    run("fit", 1, "--trainer.precision=bf16-mixed", run="half")
    (seen,) = run.seen("half", 1)
    assert torch.bfloat16 in seen["types"]
    for name, gradient in seen["gradients"][-1].items():
        assert gradient.dtype == torch.float32
        assert bool(gradient.isfinite().all()), name
    weights = content(run.folder / "half/checkpoints/last.ckpt")["state_dict"]
    assert all(bool(value.isfinite().all()) for value in weights.values())
    (logged,) = run("test", 1, "--trainer.precision=bf16-mixed", run="half")
    assert 0 <= logged["test/f_measure"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["norm", "value"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_gradients_are_clipped(experiment: Make, system: str, algorithm: str) -> None:
    run = experiment(system)
    options = ["--trainer.gradient_clip_val=1e-4", f"--trainer.gradient_clip_algorithm={algorithm}"]
    run("fit", 1, *options, run=f"clipped by {algorithm}")
    (seen,) = run.seen(f"clipped by {algorithm}", 1)
    changed = 0
    for before, after in zip(seen["gradients"], seen["clipped"], strict=True):
        assert before.keys() == after.keys()
        for network in {clipped_together(name) for name in after}:
            own = [gradient.flatten() for name, gradient in after.items() if clipped_together(name) == network]
            size = torch.cat(own).norm() if algorithm == "norm" else torch.cat(own).abs().max()
            assert size <= 1e-4 * (1 + 1e-5)
        changed += sum(not torch.equal(before[name], after[name]) for name in after)
    assert changed


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_compiled(experiment: Make, system: str) -> None:
    """The same weights, to rounding, under the same names; a checkpoint of either serves both."""
    run = experiment(system)
    compiled = ["--compile.backend=aot_eager"]
    (one,) = run.fitted(1)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    run("fit", 1, *DOUBLE, *compiled, run="compiled")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
    (seen,) = run.seen("compiled", 1)
    for expected, found in zip(one["gradients"], seen["gradients"], strict=True):
        largest = max(float(gradient.abs().max()) for gradient in expected.values())
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * max(1.0, largest))
    plain, kept = (content(run.folder / f"{name}/checkpoints/last.ckpt") for name in ("run1", "compiled"))
    assert list(kept["state_dict"]) == list(plain["state_dict"])
    found = []
    for options in ([], compiled):
        run("test", 1, *DOUBLE, *options, run="compiled")
        found.append(json.loads((run.folder / "compiled/scores.json").read_text())["videos"])
    assert found[0] == found[1]


@pytest.mark.slow
def test_inductor(experiment: Make) -> None:
    run = experiment("BmnBsn")
    (one,) = run.fitted(1)
    run("fit", 1, *DOUBLE, "--compile.backend=inductor", "--compile.mode=default", run="inductor")
    (seen,) = run.seen("inductor", 1)
    for expected, found in zip(one["gradients"], seen["gradients"], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)
