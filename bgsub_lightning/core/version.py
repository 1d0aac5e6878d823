"""The version of the package, apart from its face, so that any room can name it."""

from __future__ import annotations

import platform

__version__ = "0.2.0"


def versions(**packages: str) -> dict[str, str]:
    """Return package → version of what decides over numbers: ours, these packages, Python."""
    return {"bgsub_lightning": __version__, **packages, "python": platform.python_version()}
