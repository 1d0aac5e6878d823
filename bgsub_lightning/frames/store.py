"""Frames and masks, decoded once.

An array of the store is two files: ``<kind>.npy`` with the pixels and ``<kind>.json`` with the index. Both are written
under a temporary name and renamed, the index last, so that an array without a valid index is no array: what a crash
left half-written is never read. The index carries a fingerprint of the source files, so that a stale array is noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import refuse_links
from bgsub_lightning.core.records import read_json

VERSION = 1
"""Raised when the meaning of what is stored changes; arrays of other versions are written again."""


def fingerprint(files: Iterable[Path]) -> str:
    """Digest of the files' names, sizes and times of change.

    Raises:
        UserError: If one has vanished.
    """
    digest = hashlib.sha256()
    for path in files:
        try:
            status = path.stat()
        except FileNotFoundError:
            raise UserError(f"{path}: has vanished since the dataset was read. Run the command again.") from None
        digest.update(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


class StoredArray:
    """One array per number, read through the operating system's page cache, which all processes share.

    Rows are read, not memory-mapped: touching new pages of a map costs several times the copy (measured by
    ``benchmarks/data_pipeline.py``), a process's memory would seem to grow with the dataset, and a disk that fails
    would end the process instead of raising an error.

    Args:
        path: A ``.npy`` file of uint8.
        numbers: Number (of a frame) of each row.
        shape: Shape of a row.

    Raises:
        ValueError: If the file does not hold that.
    """

    def __init__(self, path: Path, numbers: Sequence[int], shape: tuple[int, ...]) -> None:
        if not path.is_file():  # a pipe would block
            raise ValueError(f"{path} is no regular file")
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            stored, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
            self._offset = file.tell()
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self._rows = {number: row for row, number in enumerate(numbers)}
        self._bytes = math.prod(shape)
        self.shape = shape
        size = os.fstat(self._descriptor).st_size
        if stored != (len(numbers), *shape) or dtype != np.uint8 or fortran_order:
            raise ValueError(f"{path} holds {dtype}{stored}, expected uint8{(len(numbers), *shape)}")
        if size != self._offset + len(numbers) * self._bytes:
            raise ValueError(f"{path} has {size} bytes, which is not what its header says")

    def read(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Read a row.

        Args:
            number: Its number.
            out: C-contiguous array of the row's shape to read into; ``None``: a new one.

        Returns:
            The row, shape ``shape``, uint8.
        """
        row = np.empty(self.shape, np.uint8) if out is None else out
        read = os.preadv(self._descriptor, [row.reshape(-1).data], self._offset + self._rows[number] * self._bytes)
        if read != self._bytes:
            raise OSError(f"the frame store's row {number} ended after {read} of {self._bytes} bytes")
        return row

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, number: int) -> bool:
        return number in self._rows


@dataclass(frozen=True)
class _Index:
    """Index of an array: its kind, its source files, and the numbers and the shape of its rows."""

    version: int
    source: str
    numbers: list[int]
    shape: tuple[int, ...]


class FrameStore:
    """A folder of arrays, each under a key and a kind.

    Args:
        root: The folder; it is made when the first array is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def open(self, key: str, kind: str, source: str) -> StoredArray | None:
        """Open an array.

        Args:
            key: Whose array, such as ``CDnet2014/baseline/highway``.
            kind: What it holds, such as ``frames_320x240``.
            source: The fingerprint that the source files have now.

        Returns:
            The array, or ``None`` if there is none, or only one that is damaged or stale.
        """
        index_file, array_file = self._files(key, kind)
        try:
            index = read_json(index_file, _Index, "Delete it.")
            if index.version != VERSION or index.source != source:
                return None
            return StoredArray(array_file, index.numbers, index.shape)
        except (OSError, ValueError, UserError):
            return None

    def write(
        self,
        key: str,
        kind: str,
        source: str,
        numbers: Sequence[int],
        produce: Callable[[int], NDArray[np.uint8]],
        shape: tuple[int, ...],
    ) -> Iterator[int]:
        """Write an array, row by row.

        Args:
            key: Whose array.
            kind: What it holds.
            source: Fingerprint of the files that it comes from.
            numbers: Numbers of the rows.
            produce: Gives the row of a number: shape ``shape``, uint8.
            shape: Shape of a row.

        Yields:
            Each number whose row was written. The array exists when the iteration has ended, not before.

        Raises:
            UserError: If the disk is full or the folder cannot be written.
        """
        index_file, array_file = self._files(key, kind)
        mark = f".partial-{uuid.uuid4().hex[:8]}"
        partial_array, partial_index = (path.with_name(path.name + mark) for path in (array_file, index_file))
        try:
            refuse_links(array_file.parent, within=self.root)
            array_file.parent.mkdir(parents=True, exist_ok=True)
            _remove_left_over(array_file.parent, kind)
            with partial_array.open("xb") as file:  # plain writes: a full disk is an OSError, not a bus error
                header = {"descr": "|u1", "fortran_order": False, "shape": (len(numbers), *shape)}
                np.lib.format.write_array_header_1_0(file, header)
                for number in numbers:
                    row = produce(number)
                    if row.shape != shape or row.dtype != np.uint8:
                        raise ValueError(f"{key}, {kind}, {number}: {row.dtype}{row.shape}, expected uint8{shape}")
                    file.write(np.ascontiguousarray(row).data)
                    yield number
                file.flush()
                os.fsync(file.fileno())
            index = _Index(VERSION, source, list(map(int, numbers)), shape)
            with partial_index.open("x") as file_of_index:
                file_of_index.write(json.dumps(asdict(index)))
            index_file.unlink(missing_ok=True)  # so that the old index never stands next to the new array
            partial_array.replace(array_file)
            partial_index.replace(index_file)
        except OSError as error:
            raise UserError(
                f"{error.filename or array_file}: the frame store could not be written ({error.strerror}). Name a "
                f"folder with {len(numbers) * int(np.prod(shape)) / 2**20:,.0f} MiB free by --data.init_args.store "
                f"(--store for `prepare`), or work without a store."
            ) from error
        finally:
            for partial in (partial_array, partial_index):
                with contextlib.suppress(OSError):
                    partial.unlink()

    def _files(self, key: str, kind: str) -> tuple[Path, Path]:
        return self.root / key / f"{kind}.json", self.root / key / f"{kind}.npy"


def _remove_left_over(folder: Path, kind: str) -> None:
    """Remove what killed writers left a day ago or longer; a younger file may be another process's, at work."""
    for partial in folder.glob(f"{kind}.*.partial-*"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > 86_400:
                partial.unlink()
