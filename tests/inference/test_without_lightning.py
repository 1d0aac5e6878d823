"""Inference imports neither Lightning nor what trains, and its systems are those that were trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from live_systems import TINY, moving_square, save, tiny_system, with_trainer, write_video

TRAINING = {"lightning", "torchmetrics", "albumentations", "pandas", "matplotlib", "scipy.signal", "torch._dynamo"}

PROGRAM = """
import sys
from pathlib import Path

import numpy as np

import cv2

import bgsub_lightning
from bgsub_lightning.cli import main
from bgsub_lightning.frames.opencv import CONTRIB
from bgsub_lightning.inference import BASELINES

folder = Path(sys.argv[1])
for source in (*sorted(folder.glob("*.ckpt")), "AnyScene", *BASELINES):
    if source in CONTRIB and not hasattr(cv2, "bgsegm"):
        continue
    subtractor = bgsub_lightning.load(source)
    assert subtractor.apply(np.zeros((32, 32, 3), np.uint8)).shape == (32, 32)
for result in bgsub_lightning.stream(folder / "video.mp4", checkpoint=str(folder / "BmnBsn.ckpt"), frames=3):
    assert result.mask.shape == (24, 32)
assert main(["segment", str(folder / "video.mp4")]) == 0
print(*sys.modules)
"""


def test_no_system_imports_lightning(tmp_path: Path) -> None:
    for name in TINY:
        save(tiny_system(name), tmp_path / f"{name}.ckpt")
    write_video(tmp_path / "video.mp4", moving_square(5))
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    modules = {*done.stdout.splitlines()[-1].split()}
    assert "torch" in modules
    assert not modules & TRAINING


@pytest.mark.parametrize("name", TINY)
def test_a_system_is_the_same_with_and_without_a_trainer(name: str) -> None:
    system = tiny_system(name)
    half, whole = system.module, with_trainer(system)
    assert (half.kind, half.device, half.dtype) == (whole.kind, whole.device, whole.dtype)
    assert half.hparams == dict(whole.hparams)
    shapes = [{key: value.shape for key, value in each.state_dict().items()} for each in (half, whole)]
    assert shapes[0] == shapes[1]
    assert half.kind == name
    assert half.to(torch.float64).dtype == torch.float64
