"""Files behind a local HTTP server that continues downloads, or not, and breaks connections when asked to."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Site:
    """A server and what it was asked for.

    Attributes:
        files: Path → content.
        asked: Path of each GET.
        ranges: ``Range`` of each GET, empty for the whole file.
        continues: Whether it answers to ``Range``.
        heads: Whether it answers to HEAD.
        etag: The mark of all files.
        promised: Bytes more than there are.
        cuts: Bytes of the next answers, after which the connection breaks.
        busy: Number of the next answers that are 503.
        midway: Called when the first bytes of an answer were sent.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.continues = True
        self.heads = True
        self.etag = '"one"'
        self.promised = 0
        self.cuts: list[int] = []
        self.busy = 0
        self.midway: Callable[[], None] | None = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            content = site.files.get(self.path)
            if content is None or not site.heads:
                self.send_error(405 if content is not None else 404)
                return
            self._begin(200, len(content))

        def do_GET(self) -> None:
            site.asked.append(self.path)
            site.ranges.append(self.headers.get("Range", ""))
            content = site.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            if site.busy:
                site.busy -= 1
                self.send_error(503)
                return
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            is_same = self.headers.get("If-Range", site.etag) == site.etag
            start = int(asked[1]) if asked and site.continues and is_same else 0
            if start and start >= len(content):
                self._begin(416, 0, f"bytes */{len(content)}")
                return
            whole = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._begin(206 if start else 200, len(content) - start + site.promised, whole if start else "")
            sent = content[start : start + site.cuts.pop(0)] if site.cuts else content[start:]
            if site.midway:
                self.wfile.write(sent[: len(sent) // 2])
                site.midway()
                return
            self.wfile.write(sent)

        def _begin(self, status: int, length: int, content_range: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.send_header("ETag", site.etag)
            if content_range:
                self.send_header("Content-Range", content_range)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Serve a site, past every proxy, with no pause between tries."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("bgsub_lightning.core.fetching.PAUSE", 0)
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()
    thread.join()
