"""Fetch a dataset from where its authors publish it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from rich.progress import Progress

from bgsub_lightning.commands.prepare import READERS, prepare
from bgsub_lightning.core.console import byte_bar, console, progress_bar
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.fetching import describe
from bgsub_lightning.core.files import claimed, remove_empty
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.core.text import refuse_passwords
from bgsub_lightning.core.unpacking import unpack
from bgsub_lightning.datasets.checks import folders, some
from bgsub_lightning.datasets.downloads import Archive, Publication, find_publication
from bgsub_lightning.datasets.receiving import Depot


def download(
    name: str,
    out: Path = Path("data"),
    accept_terms: bool = False,
    scene: list[str] | None = None,
    mirror: str | None = None,
    accept_digest: str | None = None,
    keep_archives: bool = False,
) -> None:
    """Download a dataset from its authors' site, unpack it, check it, and print what to set.

    CDnet2014 comes as one archive, or by --scene as archives of single videos: `download CDnet2014 --scene
    baseline/highway --accept_terms`. LASIESTA comes as RAR archives, which you unpack by the command that is printed.
    Wallflower, SBI2015 and LIMU have no address that stays: the page to get them from is printed; Wallflower's archives
    are also taken from a --mirror.

    The disk space is asked first: for the archives and for what they hold. A download that was interrupted continues
    when the same command runs again. An archive is compared with its published digest, or, where none is published,
    with that of its first download, which NAME.download.json in the folder --out keeps.

    Args:
        name: The dataset: CDnet2014, LASIESTA, Wallflower, SBI2015 or LIMU.
        out: Folder to put the dataset's folder into.
        accept_terms: Accept the terms of the dataset's authors, which are printed.
        scene: Only these categories, videos or patterns of category/video, such as 'baseline,shadow/c*'; of LASIESTA
            sequences, such as 'I_SI_01'.
        mirror: Another address that the archives are below, such as https://host/cdnet/, which then holds
            dataset2014.zip or baseline/highway.zip.
        accept_digest: Accept an archive of this digest, as it is printed where it differs from the known one.
        keep_archives: Keep archives that are unpacked.

    Raises:
        UserError: If the dataset must be got by its page, its terms are not accepted, the disk has no room, an archive
            cannot be downloaded or is another than before, or the dataset has errors.
    """
    name, publication = find_publication(name)
    archives = publication.archives(scene)
    base = _base(name, publication, archives, mirror)
    console.print(
        f"{name}: {publication.citation}\nTerms: {publication.terms}\nPage: {publication.page}", soft_wrap=True
    )
    if publication.note:
        console.print(publication.note, soft_wrap=True)
    if not accept_terms:
        raise UserError(f"--accept_terms: the terms of {name} must be accepted, as printed above. Add the option.")
    out = out.expanduser()
    with claimed(out):
        depot = Depot(out, name, base)
        is_whole = publication.whole and all(map(depot.has, publication.whole))
        todo = [] if is_whole else [archive for archive in archives if not depot.has(archive)]
        try:
            if todo:
                depot.require_free(todo)
                _require_room(out, depot, todo, base)
                _receive(depot, todo, accept_digest, keep_archives)
        except KeyboardInterrupt:
            console.print("Interrupted. The same command continues where it stopped.")
            raise
        except OSError as error:
            raise UserError(
                f"{error.filename or out}: cannot be written ({error.strerror or error}). Make room, or the folder "
                f"writable, and run the same command again: it continues where it stopped."
            ) from error
    if packed := [archive for archive in archives if not archive.is_zip]:
        console.print(
            f"{some(len(packed), 'archive')} of {name} in {depot.store}; RAR is not unpacked here.", soft_wrap=True
        )
        if not depot.folder.is_dir():
            _print_how_to_unpack(depot)
            return
    _check(name, depot.folder)


def _base(name: str, publication: Publication, archives: Sequence[Archive], mirror: str | None) -> str:
    """Return the address that the archives are below."""
    if mirror is not None:
        refuse_passwords(mirror, "--mirror", f"{name}.download.json")
        if urlsplit(mirror).scheme not in {"http", "https"}:
            raise UserError(f"--mirror: must be an http:// or https:// address; got {mirror!r}.")
    if not archives or not (base := mirror or publication.base):
        also = ", or take its archives from a --mirror" if archives else ""
        variable = READERS[name].root_variable
        raise UserError(
            f"{name}: has no address for programs. Get it from {publication.page} and set {variable}=FOLDER{also}."
        )
    return f"{base.rstrip('/')}/"


def _require_room(out: Path, depot: Depot, archives: Sequence[Archive], base: str) -> None:
    """Ask for disk space before anything is downloaded."""
    packed, unpacked, unknown = 0, 0, 0
    for archive in archives:
        size = archive.size or describe(base + archive.path).size
        unknown += size is None
        packed += max(0, (size or 0) - depot.received(archive))
        unpacked += int((size or 0) * archive.grows)
    free = shutil.disk_usage(out).free
    if packed + unpacked > free:
        raise UserError(
            f"--out: {out}: needs about {_bytes(packed + unpacked)} ({_bytes(packed)} to download, "
            f"{_bytes(unpacked)} unpacked); got {_bytes(free)} free. Make room, or name another folder."
        )
    sizes = f"{_bytes(packed)} to download, about {_bytes(unpacked)} unpacked; {_bytes(free)} free."
    more = f" The size of {some(unknown, 'archive')} is not known." if unknown else ""
    console.print(f"{some(len(archives), 'archive')}: {sizes}{more}", soft_wrap=True)


def _receive(depot: Depot, archives: Sequence[Archive], accept_digest: str | None, keep_archives: bool) -> None:
    """Download and unpack archives, one after the other."""
    for archive in archives:
        with byte_bar() as bar:
            depot.fetch(archive, accept_digest, _Moves(bar, archive.path))
        console.print(f"{archive.path}: sha256 {depot.digest(archive)}", soft_wrap=True)
        if not archive.is_zip:
            continue
        folder = depot.folder / archive.folder
        try:
            with progress_bar() as bar:
                unpack(
                    depot.archive(archive),
                    folder,
                    strip=archive.into is None,
                    room=lambda size: _require_unpacked_room(depot.store, size),
                    moved=_Moves(bar, f"Unpacking {archive.path}"),
                )
        except BaseException:
            remove_empty(folder.parent, depot.folder.parent)  # a category without videos is an error to readers
            raise
        depot.close(archive, keep_archives)


class _Moves:
    """Moves a task of a progress bar to so much of a total."""

    def __init__(self, bar: Progress, title: str) -> None:
        self._bar = bar
        self._task = bar.add_task(title, total=None)

    def __call__(self, done: int, total: int | None) -> None:
        self._bar.update(self._task, completed=done, total=total)


def _require_unpacked_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"--out: unpacked files need {_bytes(size)}; got {_bytes(free)} free. Make room, and run the same "
            f"command again: nothing is downloaded twice."
        )


def _print_how_to_unpack(depot: Depot) -> None:
    console.print(
        f"Unpack them by one of\n"
        f'  mkdir -p "{depot.folder}" && for f in "{depot.store}"/*.rar; do unrar x "$f" "{depot.folder}/"; done\n'
        f'  mkdir -p "{depot.folder}" && for f in "{depot.store}"/*.rar; do bsdtar -xf "$f" -C "{depot.folder}"; done\n'
        f"Then run the same command again, which checks them.",
        soft_wrap=True,
    )


def _check(name: str, folder: Path) -> None:
    """Check the dataset as `prepare` does, and print what to set."""
    root = _root(name, folder)
    try:
        prepare(root=root, dataset=name)  # type: ignore[arg-type]
    finally:
        console.print(f"Set: export {READERS[name].root_variable}={root.resolve()}", soft_wrap=True)
    console.print(f"Next: {PROGRAM} prepare --dataset {name} --store FOLDER", soft_wrap=True)


def _root(name: str, folder: Path) -> Path:
    """Return the folder that a reader takes, up to two levels below, as archives have folders around it."""
    inner = folders(folder)
    for root in (folder, *inner, *(deeper for each in inner for deeper in folders(each))):
        with suppress(UserError):
            READERS[name]().scenes(root)
            return root
    return folder


def _bytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
