"""Commands that messages print can be pasted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bgsub_lightning.core.program import python


@pytest.mark.parametrize(
    ("program", "shown"), [(".venv/bin/python", ".venv/bin/python"), ("/opt/bin/python", "python")]
)
def test_it_calls_this_python(program: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / program))
    assert python() == shown
