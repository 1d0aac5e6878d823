"""How this program is called from here: what messages and help print, to be pasted."""

from __future__ import annotations

import sys
from pathlib import Path


def python() -> str:
    """Return what calls this Python: `.venv/bin/python` in a clone, where `make` activates no environment."""
    program = Path(sys.executable)
    return str(program.relative_to(Path.cwd())) if program.is_relative_to(Path.cwd()) else "python"


PROGRAM = f"{python()} -m bgsub_lightning"
