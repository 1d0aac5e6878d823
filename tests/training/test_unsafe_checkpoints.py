"""Commands that continue or use a run read tensors and plain values of its checkpoints, in any environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.training.callbacks import AtomicCheckpointIO


class Runs:
    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (self.mark,)


def test_every_command_refuses_it(run: Any, fails: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert run("fit", "--trainer.max_steps=1") == 0
    folder, mark = tmp_path / "run", tmp_path / "ran"
    (folder / "finished.json").unlink()
    for path in (folder / "checkpoints").glob("*.ckpt"):
        content = torch.load(path, weights_only=True)
        torch.save({**content, "optimizer_states": [Runs(mark)]}, path)
    before = (folder / "run.json").read_bytes()
    last = folder / "checkpoints/last.ckpt"
    for command, options in (
        ("fit", ["--ckpt_path=last"]),
        ("fit", [f"--ckpt_path={last}"]),
        ("test", []),
        ("validate", []),
        ("predict", [f"--ckpt_path={last}"]),
    ):
        assert f"{last}: " in fails(run(command, "--trainer.max_steps=2", *options))
    assert (folder / "run.json").read_bytes() == before
    with pytest.raises(UserError, match=f"{last}: "):
        AtomicCheckpointIO().load_checkpoint(last, weights_only=False)
    assert not mark.exists()
