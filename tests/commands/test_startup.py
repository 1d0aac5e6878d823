"""What the command line imports; which room may import which is in pyproject.toml, and `make test` checks it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "torchmetrics", "lightning", "scipy", "matplotlib", "albumentations", "wandb", "optuna"}


def imported(*words: str) -> tuple[str, set[str]]:
    """Run a command in a new process, and return what it prints and the packages that it has imported."""
    program = (
        "import sys; from bgsub_lightning.cli import main\n"
        f"try: main({list(words)!r})\n"
        "except SystemExit: pass\n"
        "print(*(name for name in sys.modules if '.' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    shown, _, modules = done.stdout.rstrip("\n").rpartition("\n")
    return shown, set(modules.split())


def test_help_imports_nothing_heavy() -> None:
    shown, modules = imported("--help")
    assert not modules & {*HEAVY, "numpy", "cv2", "jsonargparse", "rich"}
    assert "fit --config experiments/bmn_bsn_fold1.yaml" in shown


@pytest.mark.parametrize(
    "command", ["report", "evaluate", "segment", "prepare", "synthesize", "flow", "campaign", "sweep", "submit"]
)
def test_help_of_commands_that_train_nothing_themselves_is_instant(command: str) -> None:
    shown, modules = imported(command, "--help")
    assert f"bgsub_lightning {command}" in shown
    assert not modules & HEAVY
