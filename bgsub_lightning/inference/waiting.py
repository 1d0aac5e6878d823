"""Cameras and streams that are not up yet when they are to be opened."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from bgsub_lightning.inference.sources import NotUpError, Source

_PAUSE = 0.5
"""Seconds between two tries."""


def open_when_up(
    opened: Callable[[], Source],
    seconds: float,
    say: Callable[[str], None],
    stop: threading.Event | None = None,
) -> Source:
    """Open a source; a camera or a stream that is not up yet is tried again and again.

    Args:
        opened: Opens it, as :func:`bgsub_lightning.inference.open_source` does.
        seconds: For which it is tried.
        say: Takes the message, once, that it is being waited for.
        stop: Ends the waiting when it is set.

    Raises:
        UserError: If it cannot be opened, or was not up in time.
    """
    until, has_said = time.monotonic() + seconds, False
    stop = stop or threading.Event()
    while True:
        try:
            return opened()
        except NotUpError as error:
            if time.monotonic() >= until or stop.is_set():
                raise
            if not has_said:
                has_said = True
                say(f"{error.what}; waiting for it for {seconds:g} s.")
        stop.wait(min(_PAUSE, max(0.0, until - time.monotonic())))
