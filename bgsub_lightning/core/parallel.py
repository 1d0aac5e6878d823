"""Work that several processes share."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import resource_tracker
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, TypeVar

import cv2

from bgsub_lightning.core.errors import UserError

_AHEAD = 3  # tasks per process that are worked on or wait to be taken

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Found = TypeVar("Found")

_shared: Any = None
"""Shared by the tasks of a worker process."""

_works = False
"""Whether a worker process is at a task."""

_interrupted = False
"""Whether Ctrl-C has come to a worker process."""


def in_processes(
    work: Callable[[Shared, Task], Found], shared: Shared, tasks: Iterable[Task], workers: int, fix: str
) -> Generator[Found, None, None]:
    """Do tasks side by side, and yield what they give in their order; no more is under way than can be kept.

    Ctrl-C, which a terminal sends to all processes, ends the tasks where they are.

    Args:
        work: A function of a module, which other processes can import.
        shared: Its first argument, the same for all tasks.
        tasks: Its second.
        workers: Processes; 1 works in this one.
        fix: What a user can do if a process is killed.

    Raises:
        UserError: If a process was killed, or the work raises it.
    """
    if workers == 1:
        yield from (work(shared, task) for task in tasks)
        return
    begun: deque[Future[Found]] = deque()
    with ExitStack() as stack:
        # in a file: a process that dies while it starts would leave this one writing for ever
        file = Path(stack.enter_context(TemporaryDirectory(prefix="bgsub_lightning_"))) / "shared"
        file.write_bytes(pickle.dumps(shared))
        # not forked: this process may hold threads, and a graphics card
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(file,))
        stack.callback(pool.shutdown, cancel_futures=True)
        # a separate thread starts them: Ctrl-C interrupts the first thread, which must not leave one half begun
        starter = stack.enter_context(ThreadPoolExecutor(1, initializer=_hold_ctrl_c_back))
        try:
            for task in tasks:
                begun.append(starter.submit(pool.submit, _work_here, work, task).result())
                if len(begun) == _AHEAD * workers:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                f"A worker process died: it was killed, perhaps for lack of memory, or it could not start, as in a "
                f"program without `if __name__ == '__main__':`. {fix}"
            ) from None


def _hold_ctrl_c_back() -> None:
    """Keep Ctrl-C from this thread, and from the processes that it starts until they can do with it."""
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        resource_tracker.ensure_running()  # else it is started later, and lets Ctrl-C through again when it is
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _begin(file: Path) -> None:
    global _shared
    _shared = pickle.loads(file.read_bytes())
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, _interrupt)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End the task, and with it all that wait; between tasks an exception would end in a traceback."""
    global _interrupted
    _interrupted = True
    if _works:
        raise KeyboardInterrupt


def _end_with_parent() -> None:
    """A pool's processes would wait for ever for a parent that was killed."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _work_here(work: Callable[[Any, Task], Found], task: Task) -> Found:
    global _works
    _works = True
    try:
        if _interrupted:
            raise KeyboardInterrupt
        return work(_shared, task)
    finally:
        _works = False
