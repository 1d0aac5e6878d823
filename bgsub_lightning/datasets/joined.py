"""Several datasets as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.scene import Reader, Scene, select


class Joined(Reader):
    """The scenes of several datasets together, as rendered scenes to train on next to real ones.

    ``data.init_args.root`` is the folder of the first; the others are found by their own environment variables.

    Args:
        readers: The datasets.

    Raises:
        UserError: If there is none.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        if not readers:
            raise UserError("data.init_args.reader.init_args.readers: needs at least 1 dataset; got [].")
        self.readers = tuple(readers)
        first = self.readers[0]
        self.name = " + ".join(reader.name for reader in self.readers)
        self.root_variable, self.homepage, self.layout = first.root_variable, first.homepage, first.layout
        self.categories = tuple(dict.fromkeys(name for reader in self.readers for name in reader.categories))

    def locate(self, root: Path | None) -> Path:
        """Return the folder of the first dataset."""
        return self.readers[0].locate(root)

    def scenes(self, root: Path, patterns: Sequence[str] | None = None) -> list[Scene]:
        """Read the scenes of all datasets, in the order of their keys.

        Args:
            root: The folder of the first.
            patterns: Which scenes; ``None``: all.

        Raises:
            UserError: If a dataset is not there, a pattern matches nothing, or two datasets have a scene of one name.
        """
        found: dict[str, Scene] = {}
        for reader in self.readers:
            for scene in reader.scenes(root if reader is self.readers[0] else reader.locate(None)):
                if other := found.get(scene.key):
                    raise UserError(
                        f"data.init_args.reader: {scene.key} is in {other.dataset} and in {scene.dataset}. Leave one "
                        f"of them out."
                    )
                found[scene.key] = scene
        keys = sorted(found)
        if patterns is not None:
            keys = select(keys, patterns, "data.init_args.scene", self.categories)
        return [found[key] for key in keys]
