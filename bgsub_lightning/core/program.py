"""How this program is called from here: what messages and help print, to be pasted."""

from __future__ import annotations

import sys
from pathlib import Path


def python(elsewhere: str = "python") -> str:
    """Return what calls this Python: `.venv/bin/python` in a clone, where `make` activates no environment.

    Args:
        elsewhere: What calls one that is not below the working directory.
    """
    program = Path(sys.executable)
    return str(program.relative_to(Path.cwd())) if program.is_relative_to(Path.cwd()) else elsewhere


PROGRAM = f"{python()} -m bgsub_lightning"
