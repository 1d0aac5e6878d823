"""``masks.json``: who made a folder of masks, and what its makers were trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.records import read_json
from bgsub_lightning.splits import Leakage
from bgsub_lightning.splits.frameset import FrameSet
from bgsub_lightning.splits.leaks import joined_records, leakage, worst

_FILE = "masks.json"
_PLAIN = {"results", "masks"}
"""Names of folders that say nothing of who made the masks."""

FrameRange = Annotated[list[Annotated[int, Field(ge=0, le=999_999)]], Field(min_length=2, max_length=2)]


@dataclass(frozen=True, kw_only=True)
class MaskRecord:
    """Who made a folder of masks.

    Attributes:
        maker: What tables call it.
        trained_on: The frames that its makers were trained or selected on, as checkpoints record them.
        is_complete: Whether these are all; not so if one of several makers has no record.
        folders: The folders that have voted; empty for masks of a system.
    """

    maker: str
    trained_on: dict[str, list[FrameRange]]
    is_complete: bool = True
    folders: list[str] = field(default_factory=list)
    version: Literal[1] = 1

    @classmethod
    def load(cls, folder: Path) -> MaskRecord | None:
        """Read the record of a folder; ``None`` where there is none.

        Raises:
            UserError: If it is damaged.
        """
        try:
            return read_json(folder / _FILE, cls, "Remove it: what training has seen is then unknown.")
        except FileNotFoundError:
            return None

    def save(self, folder: Path, within: Path | None = None) -> None:
        """Write it into a folder.

        Args:
            folder: The folder.
            within: Folder below which no folder on the way may be a symbolic link.
        """
        with atomic_write(folder / _FILE, within=within) as file:
            file.write(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def of_system(cls, name: str, trained_on: dict[str, list[list[int]]], folder: Path) -> MaskRecord:
        """Return the record of masks of a system in a folder that may hold those of another."""
        others = [before] if (before := cls.load(folder)) else []
        return cls(
            maker=", ".join(dict.fromkeys([*(record.maker for record in others), name])),
            trained_on=joined_records(trained_on, *(record.trained_on for record in others)),
            is_complete=all(record.is_complete for record in others),
        )

    @classmethod
    def of_vote(cls, folders: Sequence[Path], least: int) -> MaskRecord:
        """Return the record of masks that folders have voted on: it has seen what any of their makers has.

        Raises:
            UserError: If one of their records is damaged.
        """
        records = [cls.load(folder) for folder in folders]
        known = [record for record in records if record]
        makers = [_maker(record, folder) for record, folder in zip(records, folders, strict=True)]
        return cls(
            maker=f"{least} of {len(folders)} votes of {', '.join(makers)}",
            trained_on=joined_records(*(record.trained_on for record in known)),
            is_complete=len(known) == len(folders) and all(record.is_complete for record in known),
            folders=[str(folder) for folder in folders],
        )

    def leakage(self, tested: FrameSet) -> dict[str, Leakage]:
        """Return, for each scene that is tested, what the makers have seen of it: of several, the least honest."""
        found = leakage(self.trained_on, tested)
        return found if self.is_complete else {key: worst([each, "unknown"]) for key, each in found.items()}


def _maker(record: MaskRecord | None, folder: Path) -> str:
    if record:
        return f"({record.maker})" if record.folders else record.maker
    whole = folder.resolve()
    return whole.parent.name if whole.name in _PLAIN else whole.name
