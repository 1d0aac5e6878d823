"""Files from the web: received whole, continued where a connection broke, and compared by their digests.

It is small enough to be our own: pooch and ``torch.hub`` begin again at the first byte when a connection breaks, delete
what has come, and take a short answer for a whole file.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, Literal, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.version import __version__

PAUSE = 1.0
"""Seconds before the second try; each further one waits twice as long."""

_TIMEOUT, _CHUNK = 60, 1 << 20  # seconds, bytes
_BUSY = {408, 425, 429, 500, 502, 503, 504}  # answers that another try may change

Algorithm = Literal["md5", "sha256"]


@dataclass(frozen=True)
class Remote:
    """A file on a server.

    Attributes:
        size: Its bytes; ``None``: the server does not state them.
        mark: What changes with its content, a strong ETag or the date; empty: the server states neither.
    """

    size: int | None
    mark: str


class _BrokenError(Exception):
    """The connection broke, or the server is busy: another try may help."""


class _RefusedError(Exception):
    """The file is not what is wanted."""


def describe(url: str) -> Remote:
    """Ask a server about a file.

    Raises:
        UserError: If there is no such file. The size is unknown where nobody answers, or not to this question.
    """
    try:
        with urlopen(Request(url, headers=_agent(), method="HEAD"), timeout=_TIMEOUT) as answer:
            return _remote(answer.headers, 0)
    except HTTPError as error:
        error.close()
        if error.code in {404, 410}:
            raise _failed(url, error) from error
    except (OSError, HTTPException):
        pass
    except ValueError as error:
        raise _failed(url, error) from error
    return Remote(None, "")


def fetch(
    url: str,
    file: IO[bytes],
    mark: str = "",
    tries: int = 1,
    largest: int | None = None,
    began: Callable[[Remote, int], None] = lambda remote, start: None,
    moved: Callable[[int], None] = lambda position: None,
) -> None:
    """Download a file, from where an open file ends.

    Args:
        url: Its address, ``https://`` or ``http://``.
        file: What has come of it; positioned at its end. A server that cannot continue sends all of it again.
        mark: What the server said of the file when that came (:attr:`Remote.mark`): another one begins again.
        tries: How often in a row a connection may bring nothing new.
        largest: Bytes that it may have.
        began: Called before bytes are received, with what the server says and the byte that it begins with. What it
            raises ends the download.
        moved: Called with the number of bytes that are there.

    Raises:
        UserError: If the server has no such file, it cannot be reached, it is too large, or fewer bytes come than the
            server promises. What has come stays in the file.
        OSError: If the file cannot be written.
    """
    download = _Download(url, file, mark, largest, began, moved)
    best, failures = file.tell(), 0
    while True:
        try:
            download.receive()
        except _BrokenError as error:
            failures = failures + 1 if file.tell() <= best else 1
            best = max(best, file.tell())
            if failures >= tries:
                raise _failed(url, error) from error
            time.sleep(PAUSE * 2 ** (failures - 1))
        except (_RefusedError, HTTPError, ValueError) as error:
            raise _failed(url, error) from error
        else:
            return


def digest_of(path: Path, algorithm: Algorithm = "sha256") -> str:
    """Return the digest of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(cast("Any", file), algorithm).hexdigest()


@dataclass
class _Download:
    url: str
    file: IO[bytes]
    mark: str
    largest: int | None
    began: Callable[[Remote, int], None]
    moved: Callable[[int], None]

    def receive(self) -> None:
        """Receive what the file does not hold, by one request; of another file, or from a simple server, all of it."""
        start = self.file.tell()
        try:
            answer = urlopen(self._request(start), timeout=_TIMEOUT)
        except HTTPError as error:
            error.close()
            if error.code == 416 and start:  # there is nothing behind the last byte
                if _remote(error.headers, 0).size != start:
                    self._begin_again()
                    self.receive()
                return
            if error.code in _BUSY:
                raise _BrokenError(error) from error
            raise
        except (OSError, HTTPException) as error:
            raise _BrokenError(error) from error
        with answer:
            if start and not (answer.status == 206 and _first_byte(answer.headers) == start):
                start = self._begin_again()
            remote = _remote(answer.headers, start)
            self._limit(remote.size or 0)
            self.mark = remote.mark
            self.began(remote, start)
            while chunk := _read(answer):
                self.file.write(chunk)
                self.moved(self.file.tell())
                self._limit(self.file.tell())
        if remote.size is not None and self.file.tell() != remote.size:
            raise _BrokenError(f"{self.file.tell():,} of {remote.size:,} bytes came")

    def _request(self, start: int) -> Request:
        headers = _agent()
        if start:
            headers["Range"] = f"bytes={start}-"
            if self.mark:
                headers["If-Range"] = self.mark
        return Request(self.url, headers=headers)

    def _begin_again(self) -> int:
        self.mark = ""
        self.file.seek(0)
        self.file.truncate()
        return 0

    def _limit(self, size: int) -> None:
        if self.largest is not None and size > self.largest:
            raise _RefusedError(f"it has {size:,} bytes or more; at most {self.largest:,} are taken")


def _read(answer: Any) -> bytes:
    try:
        return cast("bytes", answer.read1(_CHUNK))
    except (OSError, HTTPException) as error:
        raise _BrokenError(error) from error


def _agent() -> dict[str, str]:
    return {"User-Agent": f"bgsub_lightning/{__version__}"}


def _remote(headers: Message, start: int) -> Remote:
    etag, date = headers.get("ETag", ""), headers.get("Last-Modified", "")
    total = re.fullmatch(r"bytes .*/(\d+)", headers.get("Content-Range", ""))
    length = headers.get("Content-Length", "")
    size = int(total[1]) if total else start + int(length) if length.isdigit() else None
    return Remote(size, etag if etag.startswith('"') else date)


def _first_byte(headers: Message) -> int | None:
    found = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _failed(url: str, error: Exception) -> UserError:
    return UserError(f"{url}: could not be downloaded: {error}. Try again, or download it by hand and give the file.")
