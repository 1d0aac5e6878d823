"""The experiments and sweeps that ship: in a clone next to the package, in a wheel inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.text import suggestion

_PACKAGE = Path(__file__).parents[1]


def shipped(kind: Literal["experiments", "sweeps"]) -> Path:
    """Return the folder of the experiments or sweeps that ship."""
    inside = _PACKAGE / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind


def find_file(file: Path, kind: Literal["experiments", "sweeps"], within: Path = Path()) -> Path:
    """Return a file that exists, or else the one that ships under this name: ``mog2.yaml``, ``experiments/mog2.yaml``.

    Args:
        file: The file.
        kind: What it is.
        within: The folder that its path starts from.

    Raises:
        UserError: If there is neither.
    """
    given, folder = within / file, shipped(kind)
    for each in (given, folder / file, folder.parent / file if file.parts[:1] == (kind,) else given):
        if each.is_file():
            return each
    names = sorted(each.name for each in folder.glob("*.yaml"))
    raise UserError(
        f"{given}: there is no such file, and no file of this name in {kind}/. {suggestion(file.name, names)}"
    )
