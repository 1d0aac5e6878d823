"""Backends that cannot compile are refused before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.training.callbacks import Compile


def test_an_unknown_backend() -> None:
    with pytest.raises(UserError, match=r"compile\.backend: .*gcc.*inductor"):
        Compile("gcc")


@pytest.mark.parametrize("backend", [None, "aot_eager"])
def test_a_mode_of_another_backend(backend: str | None) -> None:
    with pytest.raises(UserError, match=r"compile\.mode: max-autotune is inductor's\. Set --compile\.backend=inductor"):
        Compile(backend, "max-autotune")


def test_without_a_compiler(
    run: Callable[..., int], fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    message = fails(run("fit", "--compile.backend=inductor"))
    assert re.search(r"compile\.backend: .*C\+\+ compiler", " ".join(message.split()))
    assert not list(tmp_path.rglob("*.ckpt"))
