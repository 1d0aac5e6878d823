"""ZIP archives of others, unpacked within a folder that appears when it is whole."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import whole_folder


def unpack(
    archive: Path,
    folder: Path,
    strip: bool = False,
    room: Callable[[int], None] = lambda size: None,
    moved: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Unpack a ZIP archive into a folder that appears when all of it is there.

    Args:
        archive: The archive.
        folder: The folder; new or empty.
        strip: Leave out the folders that all files of the archive are in.
        room: Called with the bytes of all files, before the first one is written. What it raises ends the work.
        moved: Called with the number of files that are unpacked, and of all.

    Raises:
        UserError: If it is no ZIP archive, is damaged or encrypted, has a file that would lie outside the folder, or
            the folder is in use or cannot be written. Nothing is left of the folder then.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            for entry in entries:
                _check(archive, entry)
            names = [PurePosixPath(entry.filename) for entry in entries]
            skip = len(_shared(names)) if strip else 0
            room(sum(entry.file_size for entry in entries))
            with whole_folder(folder, str(archive)) as partial:
                for done, (entry, name) in enumerate(zip(entries, names, strict=True), start=1):
                    path = partial.joinpath(*name.parts[skip:])
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(entry) as source, path.open("xb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
                    moved(done, len(entries))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UserError(
            f"{archive}: is no ZIP archive, or a damaged one ({error}). Delete it, and fetch it again."
        ) from error
    except FileExistsError as error:
        raise UserError(f"{archive}: holds {error.filename} twice. Fetch it from another place.") from error


def _check(archive: Path, entry: zipfile.ZipInfo) -> None:
    name, parts = entry.filename, PurePosixPath(entry.filename).parts
    if name.startswith("/") or ".." in parts or "\\" in entry.orig_filename or ":" in parts[0]:
        raise UserError(f"{archive}: a file would lie outside the folder; got {name!r}. Fetch it from another place.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise UserError(f"{archive}: {name!r}: is a symbolic link. Fetch it from another place.")
    if entry.flag_bits & 1:
        raise UserError(f"{archive}: {name!r}: is encrypted. Unpack it by hand.")


def _shared(names: list[PurePosixPath]) -> tuple[str, ...]:
    """Return the folders that all files are in."""
    shared: list[str] = []
    for parts in zip(*(name.parent.parts for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return tuple(shared)
