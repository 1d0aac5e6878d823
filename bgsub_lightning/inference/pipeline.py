"""Decoding, the networks and writing at the same time."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar, cast

_FAREWELL = 1.0
"""Seconds that a thread is waited for when nobody takes its items any more: it may be waiting for a camera itself."""

T = TypeVar("T")


class _End:
    """End of a queue, with the exception that was raised, if there was one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Prefetch(Generic[T]):
    """Iterates in a thread, some steps ahead.

    Args:
        items: What is gone through; ``None`` is no item.
        steps: How far ahead at most.
        dropped: Called with each item that was dropped, the oldest first, because nobody took it in time; ``None``: no
            item is dropped, and the thread waits.
        changed: Notified of each item, and of the end; several can share one.
    """

    def __init__(
        self,
        items: Iterable[T],
        steps: int,
        dropped: Callable[[T], None] | None = None,
        changed: threading.Condition | None = None,
    ) -> None:
        self.changed = changed or threading.Condition()
        self._items = items
        self._dropped = dropped
        self._room = threading.Semaphore(steps)
        self._waiting: deque[T | _End] = deque()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether :meth:`take` need not wait."""
        return bool(self._waiting)

    def take(self) -> T | None:
        """Return the next item, or ``None`` at the end; raise what going through the items has raised."""
        with self.changed:
            self.changed.wait_for(lambda: self.is_ready)
            item = self._waiting.popleft()
        if not isinstance(item, _End):
            self._room.release()
            return item
        if item.error is not None:
            raise item.error
        return None

    def __iter__(self) -> Iterator[T]:
        try:
            while (item := self.take()) is not None:
                yield item
        finally:
            self.close()

    def stop(self) -> None:
        """Ask the thread to end after its item."""
        self._stopped.set()

    def close(self) -> None:
        """End the thread."""
        self.stop()
        self._thread.join(_FAREWELL)

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._has_room():
                    return
                self._put(item)
            self._put(_End())
        except BaseException as error:
            self._put(_End(error))

    def _put(self, item: T | _End) -> None:
        with self.changed:
            self._waiting.append(item)
            self.changed.notify_all()

    def _has_room(self) -> bool:
        """Wait for room, or make it; ``False``: nobody takes items any more."""
        while not self._stopped.is_set():
            if self._room.acquire(timeout=0 if self._dropped else 0.1):
                return True
            if self._dropped:
                with self.changed:
                    oldest = self._waiting.popleft() if self._waiting else None
                if oldest is not None:
                    self._room.release()
                    self._dropped(cast("T", oldest))
        return False


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
            if self._error is None:  # or keep emptying the queue, so that nobody waits for ever
                try:
                    self._function(item)
                except BaseException as error:
                    self._error = error
        self._done.set()

    def _raise(self) -> None:
        if self._error is not None and not self._is_raised:
            self._is_raised = True
            raise self._error
