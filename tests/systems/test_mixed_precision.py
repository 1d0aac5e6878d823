"""Training steps and tests in bfloat16, as ``trainer.precision: bf16-mixed`` has them, by the real command line."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from bgsub_lightning.cli import main
from bgsub_lightning.systems.siamese import Siamese
from bgsub_lightning.systems.siamese.loss import contrastive
from bgsub_lightning.systems.siamese.network import SiameseNetwork

STAGE = {"steps": 1, "batch_size": 2}
SYSTEMS: dict[str, tuple[dict[str, Any], set[str]]] = {  # arguments that make it tiny, and the losses that it logs
    "BmnBsn": ({"references": 3, "maps": 2, "channels": 2, "depth": 2}, {"segmentation"}),
    "FrameFcn": ({"mcfcn_width": 4, "size": 49, "segment": STAGE}, {"segmentation"}),
    "Siamese": (
        {"width": 2, "channels": 2, "depth": 2, "metric": STAGE, "segment": STAGE},
        {"contrast", "segmentation"},
    ),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_step_and_a_test_are_finite(name: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, losses = SYSTEMS[name]
    content = yaml.safe_load(tiny.read_text())
    content["model"] = {"class_path": f"bgsub_lightning.systems.{name}", "init_args": settings}
    is_staged = name != "BmnBsn"
    content["trainer"] |= {"precision": "bf16-mixed", "max_epochs": 1, "max_steps": -1 if is_staged else 1}
    content["trainer"] |= {"val_check_interval": 1.0, "log_every_n_steps": 1}
    config = tmp_path / "mixed.yaml"
    config.write_text(yaml.safe_dump(content))

    types: set[torch.dtype] = set()
    compare = SiameseNetwork.forward

    def spy(network: SiameseNetwork, image: Tensor, base: Tensor) -> Tensor:
        assert torch.is_autocast_enabled("cpu")
        distances = compare(network, image, base)
        types.add(distances.dtype)
        return distances

    monkeypatch.setattr(SiameseNetwork, "forward", spy)
    options = ["--config", str(config), f"--run_dir={tmp_path / 'run'}", "--pictures.scenes=0"]
    assert main(["fit", *options]) == 0
    assert types == ({torch.float32} if name == "Siamese" else set())
    with next((tmp_path / "run/csv").rglob("metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    for loss in losses:
        values = [float(row[f"train/loss/{loss}"]) for row in rows if row.get(f"train/loss/{loss}")]
        assert values
        assert all(map(math.isfinite, values))
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(bool(value.isfinite().all()) for value in state.values())
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float32}

    assert main(["test", *options]) == 0
    metrics = json.loads((tmp_path / "run/scores.json").read_text())["metrics"]["overall"]
    assert math.isfinite(metrics["f_measure"])


def test_distances_and_their_loss_are_those_of_the_features_in_single_precision() -> None:
    """Features of bfloat16 that differ little would have no distance at all if they were squared in bfloat16."""
    torch.manual_seed(0)
    network = SiameseNetwork(2)
    images = torch.rand(2, 1, 3, 24, 32)
    with torch.autocast("cpu", torch.bfloat16):
        distances = network(*images)
        one, other = (network.features(image) for image in images)
        loss = contrastive(distances, torch.zeros(distances.shape, dtype=torch.uint8))
    assert distances.dtype == one.dtype == loss.dtype == torch.float32
    torch.testing.assert_close(one.norm(dim=1), torch.ones(1, 6, 8))
    torch.testing.assert_close(distances, (one.double() - other.double()).norm(dim=1).float(), rtol=1e-5, atol=1e-6)
    assert loss.isfinite()


def test_a_map_in_mixed_precision_is_near_that_in_single() -> None:
    torch.manual_seed(0)
    system = Siamese(width=2, channels=2, depth=2).eval()
    images = torch.rand(2, 2, 3, 24, 32)
    with torch.no_grad():
        single = system.siamese(*images)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = system.siamese(*images)
    assert (single - mixed).abs().max() < 0.1
