"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bgsub_lightning.errors import UserError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name beside a file to write to, and rename it to the file at the end; the folder is made.

    Args:
        path: The file. What ends the process, or is raised inside, leaves it as it was.

    Raises:
        UserError: If the disk is full, or the folder cannot be made or written to.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # it would take the room that is wanting
            partial.unlink()
        if isinstance(error, OSError):
            raise UserError(f"{path}: cannot be written ({error.strerror or error}).") from error
        raise
