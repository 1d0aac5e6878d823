"""How this program is called from here: what messages and help print, to be pasted."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path


def python(elsewhere: str = "python") -> str:
    """Return what calls this Python: `.venv/bin/python` in a clone, where `make` activates no environment.

    Args:
        elsewhere: What calls one that is not below the working directory.
    """
    with suppress(OSError, ValueError):  # there is no working directory, or it is not above
        return str(Path(sys.executable).relative_to(Path.cwd()))
    return elsewhere


PROGRAM = f"{python()} -m bgsub_lightning"
