"""What has come of a dataset's archives: whole ones, one that is half there, and a record of their digests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.fetching import Remote, digest_of, fetch
from bgsub_lightning.core.files import atomic_write, make_folder, remove_empty
from bgsub_lightning.core.records import read_json
from bgsub_lightning.datasets.downloads import Archive

_TRIES = 5


@dataclass(frozen=True)
class Received:
    """An archive that has come whole.

    Attributes:
        url: Where it came from.
        size: Its bytes.
        sha256: Its digest.
        unpacked: Whether its files are in the dataset's folder.
    """

    url: str
    size: int
    sha256: str
    unpacked: bool = False


class Depot:
    """The archives of a dataset in a folder.

    Args:
        out: The folder, which this process has locked.
        name: The dataset.
        base: The address that the archives are below, with a ``/`` at its end.

    Attributes:
        folder: The dataset's folder.
        store: That of its archives.

    Raises:
        UserError: If the record of what has come cannot be read.
    """

    def __init__(self, out: Path, name: str, base: str) -> None:
        self.folder = out / name
        self.store = out / f"{name}.archives"
        self._base = base
        self._record = out / f"{name}.download.json"
        self._received: dict[str, Received] = {}
        with suppress(FileNotFoundError):
            self._received = read_json(self._record, dict[str, Received], "Remove the file to begin again.")

    def has(self, archive: Archive) -> bool:
        """Whether nothing is left to do for an archive."""
        known = self._received.get(archive.path)
        if known is None:
            return False
        if archive.is_zip:
            return known.unpacked and (self.folder / archive.folder).is_dir()
        path = self.archive(archive)
        return path.is_file() and path.stat().st_size == known.size

    def require_free(self, archives: Iterable[Archive]) -> None:
        """Check that archives are unpacked into new or empty folders.

        Raises:
            UserError: If one is in use.
        """
        for folder in (self.folder / archive.folder for archive in archives if archive.is_zip):
            if folder.is_dir() and any(folder.iterdir()):
                raise UserError(f"--out: {folder}: must be a new or an empty folder. Remove it, or name another --out.")

    def received(self, archive: Archive) -> int:
        """Return how many bytes of an archive are there."""
        return max((p.stat().st_size for p in (self.archive(archive), self.part(archive)) if p.is_file()), default=0)

    def archive(self, archive: Archive) -> Path:
        """Return where an archive is when it is whole."""
        return self.store / archive.path

    def part(self, archive: Archive) -> Path:
        """Return where it is while it is received."""
        path = self.archive(archive)
        return path.with_name(f"{path.name}.part")

    def digest(self, archive: Archive) -> str:
        """Return the SHA-256 digest of an archive that has come."""
        return self._received[archive.path].sha256

    def fetch(self, archive: Archive, accept: str | None, moved: Callable[[int, int | None], None]) -> None:
        """Download an archive, or what is missing of it; nothing if it is there.

        Args:
            archive: The archive.
            accept: A digest that is accepted, whatever is known.
            moved: Called with the bytes that are there, and all of them if known.

        Raises:
            UserError: If it cannot be downloaded, or has another digest than is published or than before; the part that
                has come stays.
            OSError: If it cannot be written.
        """
        path, part = self.archive(archive), self.part(archive)
        url = self._base + archive.path
        if not path.is_file():
            make_folder(path.parent)
            mark = part.with_name(f"{part.name}.mark")
            size: list[int | None] = [None]

            def began(remote: Remote, start: int) -> None:
                size[0] = remote.size
                mark.write_text(remote.mark, encoding="utf-8")

            with part.open("ab") as file:
                before = mark.read_text(encoding="utf-8") if mark.is_file() else ""
                fetch(url, file, before, _TRIES, began=began, moved=lambda done: moved(done, size[0]))
        there = path if path.is_file() else part
        sha256 = self._checked(archive, there, (accept or "").lower())
        there.replace(path)
        part.with_name(f"{part.name}.mark").unlink(missing_ok=True)
        self._note(archive, Received(url, path.stat().st_size, sha256))

    def close(self, archive: Archive, keep: bool) -> None:
        """Note that an archive is unpacked, and delete it.

        Args:
            archive: The archive.
            keep: Keep it.
        """
        self._note(archive, replace(self._received[archive.path], unpacked=True))
        if not keep:
            path = self.archive(archive)
            path.unlink(missing_ok=True)
            remove_empty(path.parent, self.store.parent)

    def _checked(self, archive: Archive, path: Path, accept: str) -> str:
        """Return the SHA-256 digest of an archive, which is compared with what is known of it."""
        sha256 = digest_of(path)
        before = self._received.get(archive.path)
        known = [("sha256", archive.sha256, sha256), ("sha256", before.sha256 if before else None, sha256)]
        if archive.md5 is not None:
            known.append(("md5", archive.md5, digest_of(path, "md5")))
        if accept != sha256:
            for algorithm, expected, found in known:
                if expected not in {None, found} and accept != found:
                    raise UserError(
                        f"{path}: {algorithm}: must be {expected}; got {found}. It is damaged or another version: "
                        f"delete it and run the same command again, or accept it by --accept_digest {sha256}."
                    )
        return sha256

    def _note(self, archive: Archive, received: Received) -> None:
        self._received[archive.path] = received
        with atomic_write(self._record) as file:
            file.write(json.dumps({path: asdict(each) for path, each in self._received.items()}, indent=1) + "\n")
