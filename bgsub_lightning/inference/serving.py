"""The overlay in a browser, as motion JPEG: for machines without a screen."""

from __future__ import annotations

import html
import io
import math
import socket
import threading
import time
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError

CLIENTS = 16
"""Connections at once; more are refused."""
_PATIENCE = 10.0
"""Seconds that a browser may take for a picture, before it is disconnected."""
_OLD = 5.0
"""Seconds after which a picture is not the newest any more, as where a camera has ended."""
_BOUNDARY = "frame"
_LOCAL = ("127.0.0.1", "localhost", "::1")
_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>bgsub_lightning</title>
"""
_PAGE = f"""{_HEAD}<style>body{{margin:0;background:#111;display:grid;place-items:center;min-height:100vh}}
img{{max-width:100vw;max-height:100vh}}
</style><img src="stream" alt="live overlay"></html>
"""
_PAGE_OF_SEVERAL = f"""{_HEAD}<style>body{{margin:0;background:#111;color:#ddd;font:14px sans-serif}}
main{{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:8px;padding:8px}}
figure{{margin:0}}img{{width:100%}}a{{color:inherit}}
.old img{{opacity:.3}}.old figcaption::after{{content:" – no picture"}}</style><main>FIGURES</main><script>
// newest frames, one after the other: a browser keeps six connections to a host, and streams would hold them
for (const image of document.images) {{
  const show = async () => {{
    let answer = null;
    try {{ answer = await fetch(image.dataset.frame, {{cache: "no-store"}}); }} catch {{ }}
    image.parentElement.classList.toggle("old", !answer?.ok);
    if (answer?.ok) {{
      const url = URL.createObjectURL(await answer.blob());
      image.onload = () => URL.revokeObjectURL(url);
      image.src = url;
    }}
    setTimeout(show, answer?.ok ? 100 : 1000);
  }};
  show();
}}</script></html>
"""


class _Deadline(io.BufferedReader):
    """Reads a request, whose whole head must have come by a time: one who sends a line now and then holds a place."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        super().__init__(socket.SocketIO(connection, "r"))
        self.connection, self.until = connection, until

    def readline(self, size: int | None = -1, /) -> bytes:
        line = b""
        while not line.endswith(b"\n") and (size is None or size < 0 or len(line) < size):
            left = self.until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.connection.settimeout(left)
            if not (byte := self.read(1)):
                break
            line += byte
        self.connection.settimeout(_PATIENCE)
        return line


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE
    protocol_version = "HTTP/1.0"

    def setup(self) -> None:
        super().setup()
        self.rfile = _Deadline(self.connection, time.monotonic() + _PATIENCE)

    def do_GET(self) -> None:
        owner = self.server.owner
        camera, _, path = unquote(self.path.partition("?")[0])[1:].rpartition("/")
        name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        is_foreign = self.headers.get("Sec-Fetch-Site", "none") == "cross-site"  # a page that embeds this one
        if is_foreign or (owner.is_local and name not in _LOCAL):  # or calls this machine by its own name
            self.send_error(HTTPStatus.FORBIDDEN)
        elif not path and not camera:
            self._send("text/html; charset=utf-8", owner.page.encode())
        elif (newest := owner.newest.get(camera)) is None or path not in {"frame.jpg", "stream"}:
            self.send_error(HTTPStatus.NOT_FOUND)
        elif path == "stream":
            self._stream(newest)
        elif newest.is_old or (content := newest.picture(after=0)[1]) is None:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "no new frame")
        else:
            self._send("image/jpeg", content)

    def do_HEAD(self) -> None:
        self.do_GET()  # which sends no body then

    def _send(self, kind: str, content: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _stream(self, newest: _Newest) -> None:
        try:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            number = 0
            while (
                self.command != "HEAD" and not newest.is_closed
            ):  # a camera may stall, and a model take a minute to be compiled
                number, content = newest.picture(after=number)
                if content is None:
                    continue
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
                self.wfile.write(head.encode() + content + b"\r\n")
        except OSError:  # the browser has left, or is too slow
            pass

    def log_message(self, *_: object) -> None:
        """Print nothing for a request."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: FrameServer

    def __init__(self, address: tuple[str, int]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)
        self._places = threading.BoundedSemaphore(CLIENTS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing where a browser has left in the middle of a picture."""


class _Newest:
    """The newest picture of a stream, encoded when somebody watches.

    Attributes:
        is_closed: Whether there will be no other.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._image: NDArray[np.uint8] | None = None
        self._encoded: bytes | None = None
        self._number = 0
        self._at = math.inf
        self.is_closed = False

    @property
    def is_old(self) -> bool:
        """Whether the newest picture is more than 5 s old."""
        return time.monotonic() - self._at > _OLD

    def show(self, image: NDArray[np.uint8]) -> None:
        """Take a picture: RGB, shape ``(h, w, 3)``, uint8. It must not be changed afterwards."""
        with self._changed:
            self._image, self._encoded = image, None
            self._number += 1
            self._at = time.monotonic()
            self._changed.notify_all()

    def picture(self, after: int) -> tuple[int, bytes | None]:
        """Wait for a picture that is newer than a number.

        Returns:
            Its number and it as JPEG; ``None`` in its place if the server has ended, or there was none for 10 s.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._number > after or self.is_closed, _PATIENCE)
            number, image, encoded = self._number, self._image, self._encoded
        if self.is_closed or number <= after or image is None:
            return after, None
        if encoded is None:  # without the lock, so that the next picture need not wait
            encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
            with self._changed:
                if self._number == number:
                    self._encoded = encoded
        return number, encoded

    def close(self) -> None:
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()


class FrameServer:
    """Serves the newest picture at ``/``, as a stream at ``/stream``, and alone at ``/frame.jpg``; takes nothing.

    Of several cameras ``/`` shows all, and each has its ``/NAME/stream`` and ``/NAME/frame.jpg``. Pictures are encoded
    when somebody watches. Slow browsers miss pictures, and delay nothing. Bound to this machine, it answers only those
    that call it 127.0.0.1 or localhost; it never answers pages of other sites. As a context manager it ends with its
    context.

    Args:
        port: TCP port; 0: any free one.
        host: Address to listen at; only this machine is served by ``127.0.0.1``.
        cameras: The cameras' names; one without a name by default.

    Attributes:
        url: Where it serves.

    Raises:
        UserError: If the port is in use, or the address is not this machine's.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1", cameras: Sequence[str] = ("",)) -> None:
        self.is_local = host in _LOCAL
        self.newest = {camera: _Newest() for camera in cameras}
        self.page = _PAGE if list(cameras) == [""] else _PAGE_OF_SEVERAL.replace("FIGURES", _figures(cameras))
        try:
            self._server = _Server((host, port))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"--serve: {host}:{port} cannot be listened at; got {getattr(error, 'strerror', None) or error}. "
                f"Take another port, or an address of this machine."
            ) from error
        self._server.owner = self
        shown = socket.gethostname() if host in {"", "0.0.0.0", "::"} else f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, name="serve", daemon=True)
        self._thread.start()

    def show(self, image: NDArray[np.uint8], camera: str = "") -> None:
        """Serve a picture from now on: RGB, shape ``(h, w, 3)``, uint8. It must not be changed afterwards."""
        self.newest[camera].show(image)

    def close(self) -> None:
        """End: the port is free again."""
        for each in self.newest.values():
            each.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> FrameServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _figures(cameras: Sequence[str]) -> str:
    return "".join(
        f'<figure><img data-frame="{quote(camera)}/frame.jpg" alt="{html.escape(camera)}">'
        f'<figcaption><a href="{quote(camera)}/stream">{html.escape(camera)}</a></figcaption></figure>'
        for camera in cameras
    )
