"""Where datasets are published, under which terms: the table that `download` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import Field

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import parse_json, parse_yaml
from bgsub_lightning.core.text import suggestion
from bgsub_lightning.datasets.scene import select

_TABLE = "downloads.yaml"


@dataclass(frozen=True)
class Archive:
    """An archive of a dataset.

    Attributes:
        path: Its address below the dataset's.
        into: The folder of the dataset that it is unpacked into; ``None``: its path without the ending.
        size: Its bytes, about.
        grows: Bytes of its files by its own, roughly.
        md5: Its digest, where it is published.
        sha256: Likewise.
    """

    path: Annotated[str, Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*\.(zip|rar|7z)$")]
    into: str | None = None
    size: Annotated[int, Field(gt=0)] | None = None
    grows: Annotated[float, Field(ge=1)] = 1.5
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

    @property
    def scene(self) -> str:
        """What it holds, such as ``baseline/highway``."""
        return str(PurePosixPath(self.path).with_suffix(""))

    @property
    def folder(self) -> str:
        """Where it belongs in the dataset's folder."""
        return self.scene if self.into is None else self.into

    @property
    def is_zip(self) -> bool:
        """Whether Python can unpack it."""
        return self.path.endswith(".zip")


@dataclass(frozen=True)
class Publication:
    """Where a dataset is published.

    Attributes:
        page: Its page.
        terms: What its authors ask for.
        citation: How to cite it.
        note: What else must be known.
        base: The address that its archives are below; ``None``: they have none that stays, and its page leads to them.
        whole: Archives of everything.
        scenes: Archives of single videos.
    """

    page: str
    terms: str
    citation: str
    note: str = ""
    base: str | None = None
    whole: list[Archive] = field(default_factory=list)
    scenes: list[Archive] = field(default_factory=list)

    def archives(self, patterns: Iterable[str] | None = None) -> list[Archive]:
        """Return the archives of some videos, or of all.

        Args:
            patterns: The videos; see :func:`bgsub_lightning.datasets.scene.select`.

        Raises:
            UserError: If a pattern matches none.
        """
        if patterns is None:
            return self.whole or self.scenes
        by_scene = {archive.scene: archive for archive in self.scenes}
        return [by_scene[key] for key in select(list(by_scene), patterns, "--scene")]


@cache
def publications() -> dict[str, Publication]:
    """The table: name of a dataset → where it is published."""
    text = (resources.files(__package__ or "") / _TABLE).read_text(encoding="utf-8")
    plain = json.dumps(parse_yaml(text, _TABLE))
    return parse_json(plain, dict[str, Publication], _TABLE, "Correct the table.")


def find_publication(name: str) -> tuple[str, Publication]:
    """Return a dataset's name as the table has it, and where it is published.

    Args:
        name: The name, in capitals or not.

    Raises:
        UserError: If the table does not have it.
    """
    for known, publication in publications().items():
        if known.lower() == name.lower():
            return known, publication
    raise UserError(f"--name: there is no dataset {name!r}. {suggestion(name, publications(), 1)}")
