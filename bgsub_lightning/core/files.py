"""Files that are whole or not there, and folders that one process at a time works in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from bgsub_lightning.core.errors import UserError

Mode = Literal["w", "wb"]

PARTIAL = ".partial"
"""The ending of files that are being written, which a killed process leaves."""

_LOCK = "BGSUB_LIGHTNING_LOCK"
"""The variable by which a process inherits the lock of its run directory: the number of its file descriptor."""

_locks: set[int] = set()
"""Descriptors of the locks that this process holds."""


class PartialFile:
    """A file that is written under a random name next to its own, which it gets when it is published.

    Args:
        path: The file; its folder is made.
        mode: ``w`` writes text in UTF-8 with the line endings that it is given; ``wb`` writes bytes.
        within: Folder below which no folder on the way to the file may be a symbolic link.

    Attributes:
        path: The file.
        partial: Where it is written until then.
        file: The open file.

    Raises:
        UserError: If the folder cannot be made or written to, or is a link.
    """

    def __init__(self, path: Path, mode: Mode = "w", within: Path | None = None) -> None:
        make_folder(path.parent, within)
        self.path = path
        self.partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        text: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
        with _one_line(path):
            self.file: IO[Any] = os.fdopen(
                os.open(self.partial, flags, 0o666), f"{mode}+", **text if mode == "w" else {}
            )

    def show(self) -> None:
        """Give the file its name while more is written to it."""
        self.partial.replace(self.path)
        self.partial = self.path

    def publish(self, sync: bool = True) -> None:
        """Give the file its name.

        Args:
            sync: Wait until the disk has it, so that a power cut leaves no empty file under the name.
        """
        self.file.flush()
        if sync:
            os.fsync(self.file.fileno())
        self.file.close()
        self.partial.replace(self.path)

    def close(self) -> None:
        """Leave the file under its random name."""
        with contextlib.suppress(OSError):  # of what does not fit onto the disk
            self.file.close()

    def discard(self) -> None:
        """Delete what was written."""
        self.close()
        with contextlib.suppress(OSError):
            self.partial.unlink()


@contextmanager
def atomic_write(path: Path, mode: Mode = "w", within: Path | None = None, sync: bool = True) -> Iterator[IO[Any]]:
    """Open a file to be written, which appears under its name when it is whole.

    Several processes may write one file: the last one wins. A link that lies under the name is replaced.

    Args:
        path: The file; its folder is made. What ends the process, or is raised inside, leaves it as it was.
        mode: As in :class:`PartialFile`.
        within: As in :class:`PartialFile`.
        sync: As in :meth:`PartialFile.publish`; not worth the time for one of many files.

    Raises:
        UserError: If the disk is full, the folder cannot be made or written to, or is a link.
    """
    partial = PartialFile(path, mode, within)
    with _one_line(path):
        try:
            yield partial.file
            partial.publish(sync)
        except BaseException:
            partial.discard()
            raise


def second_name(path: Path, name: Path) -> None:
    """Give a file a second name, which takes no room; where the file system has no links, the first is lost.

    Raises:
        OSError: If neither can be done.
    """
    link = name.with_name(f".{name.name}.{secrets.token_hex(8)}{PARTIAL}")
    try:
        link.hardlink_to(path)
        link.replace(name)
    except OSError:
        path.replace(name)
    finally:
        link.unlink(missing_ok=True)  # a link that replaces one of the same file stays


def make_folder(folder: Path, within: Path | None = None) -> Path:
    """Make a folder, and those above it.

    Args:
        folder: The folder.
        within: Folder below which no folder may be a symbolic link, through which files would go elsewhere;
            ``None``: the user has named the folder, and links are the user's.

    Raises:
        UserError: If it cannot be made, or is a link.
    """
    if within is not None:
        refuse_links(folder, within)
    with _one_line(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def refuse_links(path: Path, within: Path) -> None:
    """Check that neither a path nor a folder on its way is a symbolic link.

    Args:
        path: The path.
        within: Folder above it from which on it is checked; that one may be a link.

    Raises:
        UserError: If one is.
    """
    for part in (path, *path.parents):
        if part == within:
            return
        if part.is_symlink():
            raise UserError(
                f"{part}: is a symbolic link, through which files would be written elsewhere; got a link to "
                f"{part.readlink()}. Remove it."
            )


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a text file, of its last 64 KiB, however long it is."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65_536))
        return file.read().decode("utf-8", "replace").splitlines()[-count:]


def is_partial(path: Path) -> bool:
    """Return whether a path is a file that a writer has not finished, by its name."""
    return path.name.startswith(".") and path.name.endswith(PARTIAL) and not path.is_dir()


def remove_partials(folder: Path) -> None:
    """Delete what killed writers have left in a folder that is locked, and below it."""
    for partial in folder.rglob(f".*{PARTIAL}"):
        if is_partial(partial):
            with contextlib.suppress(OSError):
                partial.unlink()


def remove_empty(folder: Path, within: Path) -> None:
    """Remove a folder that holds nothing, and those above it up to another one that then hold nothing."""
    with contextlib.suppress(OSError):  # it holds something, or is not there
        while within in folder.parents:
            folder.rmdir()
            folder = folder.parent


def remove_files(files: Iterable[Path], folder: Path) -> None:
    """Delete files below a folder, in this order, and the folders that then hold nothing.

    Raises:
        UserError: If one is reached through a symbolic link, before any is deleted, or cannot be deleted.
    """
    files = list(files)
    for path in files:
        refuse_links(path.parent, folder)
    for path in files:
        with _one_line(path):
            path.unlink()
        remove_empty(path.parent, folder.parent)


@contextmanager
def folder_lock(folder: Path, wait: bool = False) -> Iterator[int | None]:
    """Lock a folder for this process and those that it passes the lock on to.

    A run whose command was killed may still be active in another process; a second process must not join it.

    Args:
        folder: The folder; made if need be.
        wait: Wait for other processes to end.

    Yields:
        The file descriptor of the lock; ``None`` if another process holds it.

    Raises:
        UserError: If the folder cannot be made.
    """
    make_folder(folder)
    with _one_line(folder):
        handle = os.open(folder, os.O_RDONLY)
    _locks.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
            return
        except OSError:  # a file system that has no locks
            pass
        yield handle
    finally:
        _locks.discard(handle)
        os.close(handle)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Lock a folder for this process; one that was made for it and stays empty is removed.

    Nothing is to be done where this process has its lock, or was started with it.

    Raises:
        UserError: If another process works in it, or it cannot be made.
    """
    if _holds(folder):
        yield
        return
    is_new = not folder.exists()
    with folder_lock(folder) as lock:
        if lock is None:
            raise UserError(f"{folder}: another process works in this folder. Wait for it, or name another folder.")
        try:
            yield
        finally:
            if is_new:
                with contextlib.suppress(OSError):
                    folder.rmdir()


@contextmanager
def whole_folder(out: Path, key: str = "--out") -> Iterator[Path]:
    """Make a folder that appears under its name when it is complete.

    Args:
        out: The folder.
        key: The option that names it, for messages.

    Yields:
        Where it is written until then. What a killed process has left there is removed.

    Raises:
        UserError: If there is something under the name, another process writes it, or it cannot be written.
    """
    is_free = not out.exists() and not out.is_symlink()
    if not is_free and (out.is_symlink() or not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{key}: {out}: must be a new or an empty folder. Name another, or remove it.")
    partial = out.resolve().with_name(f".{out.resolve().name}{PARTIAL}")
    with claimed(partial):
        for left in partial.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        try:
            yield partial
            partial.rename(out)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def lock_environment(lock: int) -> dict[str, str]:
    """Return the variable that passes a lock on to a process, which must inherit the descriptor as well."""
    return {_LOCK: str(lock)}


def _holds(folder: Path) -> bool:
    """Whether this process has the lock of a folder."""
    with contextlib.suppress(KeyError, ValueError, OSError):
        inherited = int(os.environ[_LOCK])
        if os.path.samestat(os.fstat(inherited), folder.stat()):
            _locks.add(inherited)
    return folder.is_dir() and any(os.path.samestat(os.fstat(handle), folder.stat()) for handle in _locks)


def _release_in_child() -> None:
    """Close the locks in a forked worker, which may outlive a killed process by seconds."""
    for handle in _locks:
        with contextlib.suppress(OSError):
            os.close(handle)
    _locks.clear()


os.register_at_fork(after_in_child=_release_in_child)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}).") from error
