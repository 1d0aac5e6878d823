"""Checks of many files, remembered: files that have not changed since are not opened again.

Opening each file of CDnet2014 takes a good part of a start, on a network file system most of it. What a check found is
kept in the user's cache, ``BGSUB_LIGHTNING_CACHE`` or ``~/.cache/bgsub_lightning``, one small file for each video and
check, and counts as long as names, sizes and times of change of all its files are the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write

THREADS = 16  # the checks wait for the disk, not for the processor

_VERSION = 1
"""Raised when a check changes: what was found before does not count."""


def cache_folder() -> Path:
    """Return the folder of what is remembered between runs; deleting it costs time, and nothing else."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("BGSUB_LIGHTNING_CACHE") or Path(base) / "bgsub_lightning").expanduser()


def verdicts(name: str, check: Callable[[Path], bool], paths: Iterable[Path], pool: ThreadPoolExecutor) -> list[bool]:
    """Check files in parallel, unless none of them has changed since the last time.

    Args:
        name: Which check it is, with its settings.
        check: The check.
        paths: The frames or the masks of a video.
        pool: Its threads.
    """
    files = list(paths)
    state = _state(files)
    record = _record(name, files) if state else None
    if record and (known := _read(record, state, len(files))):
        return known
    step = max(1, -(-len(files) // THREADS))  # a slice of them per task: a task costs more than a check
    slices = [files[i : i + step] for i in range(0, len(files), step)]
    found = [verdict for part in pool.map(lambda part: [check(path) for path in part], slices) for verdict in part]
    if record:
        with suppress(UserError), atomic_write(record, sync=False) as file:  # a cache that cannot be written is none
            file.write(f"{state}\n{''.join('01'[verdict] for verdict in found)}\n")
    return found


def _state(files: Sequence[Path]) -> str:
    """Return a digest of names, sizes and times of change; empty if there are no files, or one has vanished."""
    digest = hashlib.sha256()
    for path in files:
        try:
            status = path.stat()
        except OSError:
            return ""
        line = f"{path.name}\0{status.st_mode}\0{status.st_size}\0{status.st_mtime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest() if files else ""


def _record(name: str, files: Sequence[Path]) -> Path:
    about = f"{_VERSION}\0{name}\0{files[0].absolute()}"
    return cache_folder() / "verdicts" / hashlib.sha256(about.encode(errors="surrogateescape")).hexdigest()


def _read(record: Path, state: str, count: int) -> list[bool]:
    """Return what was found; empty if it was another state, or what is there is no record."""
    try:
        before, found = record.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []
    return [each == "1" for each in found] if before == state and len(found) == count and {*found} <= {*"01"} else []
