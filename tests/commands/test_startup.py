"""Imports of the command line; which room may import which is in pyproject.toml, and `make test` checks it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

HEAVY = {"torch", "torchmetrics", "lightning", "scipy", "matplotlib", "albumentations", "wandb", "optuna"}


def imported(*words: str) -> tuple[str, set[str]]:
    """Run a command in a new process, and return what it prints and the packages that it has imported."""
    return imported_by(
        "from bgsub_lightning.cli import main\n"
        f"try: main({list(words)!r})\n"
        "except SystemExit as end: assert not end.code"
    )


def imported_by(program: str) -> tuple[str, set[str]]:
    program = f"import sys\n{program}\nprint(*(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    shown, _, modules = done.stdout.rstrip("\n").rpartition("\n")
    return shown, set(modules.split())


def test_help_imports_nothing_heavy() -> None:
    shown, modules = imported("--help")
    assert not modules & {*HEAVY, "numpy", "cv2", "jsonargparse", "rich"}
    assert "fit --config experiments/bmn_bsn_fold1.yaml" in shown


@pytest.mark.parametrize(
    "command",
    [
        "report",
        "evaluate",
        "combine",
        "segment",
        "download",
        "prepare",
        "synthesize",
        "flow",
        "campaign",
        "sweep",
        "submit",
    ],
)
def test_help_of_commands_that_train_nothing_themselves_is_instant(command: str) -> None:
    shown, modules = imported(command, "--help")
    assert f"bgsub_lightning {command}" in shown
    assert not modules & HEAVY


def test_mog2_loads_without_pytorch() -> None:
    _, modules = imported_by("import bgsub_lightning; bgsub_lightning.load('MOG2')")
    assert "cv2" in modules
    assert not modules & HEAVY


def test_mog2_segments_without_pytorch(tmp_path: Path) -> None:
    for number in range(8):
        image = np.full((48, 64, 3), 90, np.uint8)
        image[8:24, 6 * number : 6 * number + 16] = 255
        cv2.imwrite(str(tmp_path / f"in{number:06d}.png"), image)
    _, modules = imported("segment", str(tmp_path), "--checkpoint=MOG2", f"--out={tmp_path / 'out'}")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"overlay.mp4", "boxes.csv"}
    assert not modules & (HEAVY - {"scipy"})  # which matches objects
