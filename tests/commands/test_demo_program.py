"""The demo's last line can be pasted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bgsub_lightning.commands.demo import _python


@pytest.mark.parametrize(
    ("program", "shown"), [(".venv/bin/python", ".venv/bin/python"), ("/opt/bin/python", "python")]
)
def test_it_calls_this_python(program: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / program))
    assert _python() == shown
