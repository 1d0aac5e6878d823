"""Where a dataset's frames come from: the marker in the folder of one that was rendered."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.records import parse_json, read_text
from bgsub_lightning.core.version import __version__

MARKER = "dataset.json"
"""Name of the marker in a dataset's folder."""

_KIND = "rendered"
_ABOVE = 3  # folders above that of some frames, of which one may be the dataset's: CATEGORY/VIDEO/input


@dataclass(frozen=True)
class Origin:
    """Who rendered the frames of a dataset.

    Attributes:
        renderer: Name of the program.
        version: Its version.
        layout: The dataset in whose layout they are.
        seeds: Seeds of the scenes.
    """

    renderer: str
    version: str
    layout: str
    seeds: tuple[int, ...]

    def __str__(self) -> str:
        seeds = f"seed{'' if len(self.seeds) == 1 else 's'} {', '.join(map(str, self.seeds)) or 'unknown'}"
        return f"synthetic scenes, rendered by {self.renderer} {self.version} ({seeds})"


def origin_of(folder: Path) -> Origin | None:
    """Read the marker of a dataset, from its folder or from one below; ``None`` if there is none.

    Raises:
        UserError: If the marker cannot be read.
    """
    folder = folder.absolute()
    for place in (folder, *folder.parents[:_ABOVE]):
        if (place / MARKER).is_file() and (origin := _read(place / MARKER)):
            return origin
    return None


def mark(root: Path, layout: str, seeds: Iterable[int], many: bool, trusted: bool = False) -> None:
    """Write the marker into a folder before scenes are rendered into it, or add their seeds.

    Args:
        root: The dataset's folder; created if need be.
        layout: The dataset in whose layout they will be.
        seeds: Their seeds.
        many: Whether the folder can hold scenes of several seeds, because each has its own name.
        trusted: Whether all that the folder holds is rendered, marker or not.

    Raises:
        UserError: If the folder holds something else, such as real videos, or it cannot be written.
    """
    marker = root / MARKER
    before = _read(marker) if marker.is_file() else None
    if before is None and not trusted and root.is_dir() and any(path.name[0] != "." for path in root.iterdir()):
        raise UserError(
            f"--out: must be a new or an empty folder, or hold a synthetic dataset; got {root}, which has files and no "
            f"{MARKER}. Name another."
        )
    own = Origin("bgsub_lightning", __version__, layout, tuple(sorted(set(seeds))))
    if before is not None:
        if before.layout != layout:
            raise UserError(f"--out: {root} holds a synthetic {before.layout}; got --layout {layout}. Name another.")
        if not many and before.seeds != own.seeds:
            raise UserError(
                f"--seed: {root} holds the scenes of seed {before.seeds[0]} under the same names; got {own.seeds[0]}. "
                f"Name another folder by --out."
            )
        own = replace(own, seeds=tuple(sorted({*before.seeds, *own.seeds})))
    if own != before:
        with atomic_write(marker) as file:
            file.write(json.dumps({"kind": _KIND, **asdict(own)}) + "\n")


def _read(marker: Path) -> Origin | None:
    """Read a marker; ``None`` for another program's file of that name."""
    text, fix = read_text(marker), "Run `synthesize` again, into a new folder."
    content = parse_json(text, object, str(marker), fix)
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        return None
    return parse_json(text, Origin, str(marker), fix, extra="ignore")
