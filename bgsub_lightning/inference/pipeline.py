"""Decoding, the networks and writing at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar, cast

_FAREWELL = 1.0
"""Seconds that a thread is waited for when nobody takes its items any more: it may be waiting for a camera itself."""

T = TypeVar("T")


class _End:
    """What ends a queue: with the exception that was raised, if there was one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterable[T], steps: int, dropped: Callable[[T], None] | None = None) -> Iterator[T]:
    """Iterate in a thread, some steps ahead.

    Args:
        items: What is gone through. What it raises is raised where the items are taken.
        steps: How far ahead at most.
        dropped: Called with each item that was dropped, the oldest first, because nobody took it in time; ``None``: no
            item is dropped, and the thread waits.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(steps)
    stopped = threading.Event()

    def put(item: T | _End) -> bool:
        drops = dropped is not None and not isinstance(item, _End)
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0 if drops else 0.1)
                return True
            except queue.Full:
                if drops and dropped is not None:
                    with suppress(queue.Empty):
                        dropped(cast("T", waiting.get_nowait()))
        return False

    def run() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(_End())
        except BaseException as error:
            put(_End(error))

    thread = threading.Thread(target=run, name="prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        thread.join(_FAREWELL)


class WriterThread(Generic[T]):
    """Hands items to a function in a thread, as a context manager.

    At the end of the context it waits until all are done; what the function raises is raised by :meth:`put` or there.

    Args:
        function: What takes the items, in their order.
        steps: How many may wait.
    """

    def __init__(self, function: Callable[[T], None], steps: int) -> None:
        self._function = function
        self._waiting: queue.Queue[T | _End] = queue.Queue(steps)
        self._error: BaseException | None = None
        self._is_raised = False  # once is enough; what is still in the queue stays undone
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def put(self, item: T) -> None:
        """Hand over an item; wait where too many are waiting."""
        self._raise()
        self._waiting.put(item)

    def __enter__(self) -> WriterThread[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        interrupted: KeyboardInterrupt | None = None
        while True:
            try:
                self._end()
                break
            except KeyboardInterrupt as error:  # which must not leave the thread at work
                interrupted = error
        self._raise()
        if interrupted is not None:
            raise interrupted

    def _end(self) -> None:
        if not self._done.is_set():
            self._waiting.put(_End())
        self._done.wait()  # Thread.join, interrupted, takes the thread for ended

    def _run(self) -> None:
        while not isinstance(item := self._waiting.get(), _End):
            if self._error is None:  # or go on emptying the queue, so that nobody waits for ever
                try:
                    self._function(item)
                except BaseException as error:
                    self._error = error
        self._done.set()

    def _raise(self) -> None:
        if self._error is not None and not self._is_raised:
            self._is_raised = True
            raise self._error
