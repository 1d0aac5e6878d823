"""A tiny system on tiny videos, through the real command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bgsub_lightning.cli import main

TINY = """
trainer: {{accelerator: cpu, devices: 1, max_epochs: 2, num_sanity_val_steps: 0, use_distributed_sampler: false,
  enable_progress_bar: false, enable_model_summary: false, log_every_n_steps: 1}}
model:
  class_path: bgsub_lightning.modules.BmnBsn
  init_args: {{references: 3, maps: 4, channels: 4, depth: 2, lr: 1.0e-2, class_balanced: true}}
data:
  class_path: bgsub_lightning.data.ScenesDataModule
  init_args:
    root: {root}
    size: [32, 24]
    batch_size: 2
    num_workers: 0
    flip: 0.5
    protocol:
      class_path: bgsub_lightning.sampling.SceneWise
      init_args: {{val_frames: 4}}
wandb: disabled
"""


@pytest.fixture
def tiny(tmp_path: Path, cdnet: Path) -> Path:
    """A configuration file for the videos of ``cdnet``: fold 1 tests highway and bungalows."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.format(root=cdnet))
    return path


@pytest.fixture
def run(tiny: Path, tmp_path: Path) -> Callable[..., int]:
    """Runs a command on the configuration ``tiny``, in the run directory ``tmp_path/run``."""

    def call(command: str, *options: str, config: Path = tiny, run_dir: Path = tmp_path / "run") -> int:
        return main([command, "--config", str(config), f"--run_dir={run_dir}", *options])

    return call


@pytest.fixture
def fails(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Checks that a command fails as a user's mistake should, and returns the message."""

    def check(status: int) -> str:
        told = capfd.readouterr()
        assert status == 2
        assert "Traceback" not in told.err + told.out
        assert told.err.count("error: ") == 1
        return told.err

    return check
