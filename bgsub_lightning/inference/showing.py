"""The overlay as it is made: in a window, or in a browser."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference.serving import FrameServer

Show = Callable[[NDArray[np.uint8]], bool]
"""Takes a picture, RGB, shape ``(h, w, 3)``, uint8; returns whether the user has closed the window or pressed ``q``."""


@contextmanager
def shown(window: bool, serve: str | None, title: str, cameras: Sequence[str] = ("",)) -> Iterator[list[Show]]:
    """Open a window or a server, and close it at the end.

    Args:
        window: Whether a window is wanted, where OpenCV has any and there is one camera.
        serve: ``PORT`` or ``HOST:PORT`` of the server; ``None``: any free port, where there is no window.
        title: Of the window.
        cameras: The cameras' names; one without a name by default.

    Yields:
        What takes the pictures of each camera, all in one thread.

    Raises:
        UserError: If ``serve`` is no port, or is in use.
    """
    if window and serve is None and len(cameras) == 1 and _has_window():
        yield [lambda image: _show(title, image)]
        return
    host, port = address("0" if serve is None else serve)
    with FrameServer(port, host, cameras) as server:
        if window and serve is None:
            which = "OpenCV has no windows here" if len(cameras) == 1 else "There are several cameras"
            console.print(f"{which}, so that a browser shows the overlay.")
        console.print(f"Watch at {server.url}", soft_wrap=True)

        def show(camera: str, image: NDArray[np.uint8]) -> bool:
            server.show(image, camera)
            return False

        yield [partial(show, camera) for camera in cameras]


def address(serve: str) -> tuple[str, int]:
    """Return host and port.

    Example:
        >>> address("8080"), address("0.0.0.0:80")
        (('127.0.0.1', 8080), ('0.0.0.0', 80))
        >>> address("[::1]:80")
        ('::1', 80)

    Raises:
        UserError: If it is none.
    """
    host, _, port = serve.rpartition(":")
    is_bare = ":" in host and not (host.startswith("[") and host.endswith("]"))  # of which the port cannot be known
    if not port.isdecimal() or int(port) > 65535 or is_bare:
        raise UserError(f"--serve: must be a port from 0 to 65535, or HOST:PORT; got {serve!r}.")
    return host.strip("[]") or "127.0.0.1", int(port)


def _has_window() -> bool:
    """Try in another process: where there is no display, some builds of OpenCV abort theirs."""
    program = "import cv2; cv2.namedWindow('w'); cv2.waitKey(1); cv2.destroyAllWindows()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    return done.returncode == 0


def _show(title: str, image: NDArray[np.uint8]) -> bool:
    cv2.imshow(title, image[..., ::-1])
    return cv2.waitKey(1) & 0xFF in {ord("q"), 27} or cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1
