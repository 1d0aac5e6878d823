"""A run that is killed and continued ends as one that never was: bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

CONFIG = """
trainer: {{accelerator: cpu, max_epochs: 3, val_check_interval: 4, num_sanity_val_steps: 0, log_every_n_steps: 1,
  use_distributed_sampler: false, enable_progress_bar: false, enable_model_summary: false}}
model:
  class_path: bgsub_lightning.systems.BmnBsn
  init_args: {{references: 3, maps: 2, channels: 2, depth: 2, lr: 1.0e-3, decay_steps: 30}}
data:
  class_path: bgsub_lightning.data.ScenesDataModule
  init_args:
    root: {root}
    store: {store}
    size: [32, 24]
    batch_size: 2
    num_workers: 2
    flip: 0.5
    augment:
      class_path: albumentations.Compose
      init_args:
        transforms:
          - class_path: albumentations.RandomBrightnessContrast
            init_args: {{p: 1.0}}
    transforms:
      - class_path: bgsub_lightning.data.SensorNoise
        init_args: {{p: 0.5}}
      - class_path: bgsub_lightning.data.Jpeg
        init_args: {{p: 0.5}}
      - class_path: bgsub_lightning.data.LightChange
        init_args: {{p: 0.5, frames: all}}
    protocol:
      class_path: bgsub_lightning.splits.Subset
      init_args: {{train: [baseline], test: [shadow], validation: {{frames: 4}}}}
last: {{every_n_train_steps: 1}}
"""

STAGES = """
trainer: {{accelerator: cpu, max_epochs: 1, val_check_interval: 5, num_sanity_val_steps: 0, log_every_n_steps: 1,
  use_distributed_sampler: false, enable_progress_bar: false, enable_model_summary: false}}
model:
  class_path: bgsub_lightning.systems.CdnMedal
  init_args:
    density: {{steps: 6, batch_size: 64, lr: 1.0e-2, decay: cosine, repeat: 2}}
    difference: {{steps: 14, batch_size: 2, lr: 1.0e-2, decay: cosine}}
data:
  class_path: bgsub_lightning.data.ScenesDataModule
  init_args:
    root: {root}
    store: {store}
    size: [32, 24]
    num_workers: 2
    flip: 0.5
    protocol:
      class_path: bgsub_lightning.splits.LabelBudget
      init_args: {{frames: 3, drawn: random, validation: {{frames: 4}}}}
last: {{every_n_train_steps: 1}}
"""


def start(folder: Path, config: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bgsub_lightning", "fit", "--config", str(config), "--run_dir", str(folder)]
    return subprocess.Popen([*command, "--wandb=disabled", *more], env=os.environ | {"OMP_NUM_THREADS": "1"})


def state(folder: Path) -> dict[str, object]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "within", "end"),
    [(CONFIG, range(3, 15), 18), (STAGES, range(2, 6), 20), (STAGES, range(8, 17), 20)],
    ids=["an epoch", "the first stage", "the second stage"],
)
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, make_video: Callable[..., Path], text: str, within: range, end: int
) -> None:
    for name in ("a", "b"):
        make_video(tmp_path / "data", "baseline", name)
    make_video(tmp_path / "data", "shadow", "c")
    config = tmp_path / "tiny.yaml"
    config.write_text(text.format(root=tmp_path / "data", store=tmp_path / "store"))

    assert start(tmp_path / "whole", config).wait() == 0

    killed = start(tmp_path / "killed", config)
    last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    while not (last.exists() and state(tmp_path / "killed")["global_step"] in within):
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "finished.json").exists()
    assert start(tmp_path / "killed", config, "--ckpt_path=last").wait() == 0

    whole, resumed = state(tmp_path / "whole"), state(tmp_path / "killed")
    assert whole["global_step"] == resumed["global_step"] == end
    assert all(torch.equal(value, resumed["state_dict"][name]) for name, value in whole["state_dict"].items())
    best = [
        next(part for key, part in content["callbacks"].items() if key.startswith("BestCheckpoint"))
        for content in (whole, resumed)
    ]
    assert best[0]["best_model_score"] == best[1]["best_model_score"]
    optimizers = [content["optimizer_states"][0]["state"] for content in (whole, resumed)]
    assert all(torch.equal(optimizers[0][i][k], optimizers[1][i][k]) for i in optimizers[0] for k in optimizers[0][i])
