"""A run of two processes of which one fails ends at once, and reports why once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from two_processes import TwoProcesses

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.training.failures import end_all

TESTS = Path(__file__).parents[1]


class Failing(Callback):
    """Fails in some of the processes before the second step."""

    def __init__(self, ranks: list[int], mistake: bool) -> None:
        self.ranks = ranks
        self.error: Exception = UserError("the disk is full") if mistake else ValueError("the disk is full")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1 and trainer.global_rank in self.ranks:
            raise self.error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "mistake", "status"),
    [([0], True, {2}), ([1], True, {1, 2, -9}), ([0, 1], True, {2, -9}), ([0], False, {1}), ([1], False, {1, -9})],
)
def test_the_error_is_shown_once(tiny: Path, tmp_path: Path, ranks: list[int], mistake: bool, status: set[int]) -> None:
    """Where the second process fails, the first, which started it, may be ended by Lightning: by signal 9."""
    more = tmp_path / "failing.yaml"
    path = f"{Path(__file__).stem}.Failing"
    more.write_text(
        f"trainer: {{callbacks: [{{class_path: {path}, init_args: {{ranks: {ranks}, mistake: {mistake}}}}}]}}"
    )
    options = ["--config", str(tiny), "--config", str(more), f"--run_dir={tmp_path / 'run'}", "--trainer.devices=2"]
    paths = os.pathsep.join([*sys.path, str(TESTS), str(Path(__file__).parent)])
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    command = [sys.executable, "-m", "bgsub_lightning", "fit", *options]
    ended = subprocess.run(command, env=environment, timeout=300, check=False, capture_output=True, text=True)
    assert ended.returncode in status
    output = ended.stderr
    assert output.count("the disk is full") == 1
    assert output.count("Traceback") == (0 if mistake else 1)
    assert ("error: the disk is full" in output) == mistake
    assert "Connection closed" not in output
    assert not (tmp_path / "run/finished.json").exists()
    assert not list(tmp_path.rglob("*.partial"))


def end(rank: int) -> str:
    """Fail in turn, the second process first; return how each ends."""
    trainer = cast("Trainer", SimpleNamespace(strategy=SimpleNamespace(launcher=None)))
    if rank == 0:
        dist.barrier()
    try:
        end_all(trainer, UserError("of a mistake") if rank == 0 else ValueError("of a fault"))
    except ValueError as error:
        dist.barrier()
        return str(error)
    except SystemExit as exit_:
        return f"status {exit_.code}"


def test_the_first_to_fail_reports_why(two_processes: TwoProcesses) -> None:
    assert two_processes(end) == ["status 2", "of a fault"]


def test_alone_it_reports_why() -> None:
    trainer = cast("Trainer", SimpleNamespace(strategy=SimpleNamespace(launcher=None)))
    with pytest.raises(UserError, match="of a mistake"):
        end_all(trainer, UserError("of a mistake"))


def test_those_who_are_started_are_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    trainer = cast("Trainer", SimpleNamespace(strategy=SimpleNamespace(launcher=SimpleNamespace(procs=[process]))))
    with pytest.raises(ValueError, match="of a fault"):
        end_all(trainer, ValueError("of a fault"))
    assert process.wait(60) != 0
