"""Work that several processes share."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from typing import Any, TypeVar

import cv2

from bgsub_lightning.errors import UserError

_AHEAD = 3  # tasks per process that are worked on or wait to be taken

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Found = TypeVar("Found")

_shared: Any = None
"""What the tasks of a worker process share."""


def in_processes(
    work: Callable[[Shared, Task], Found], shared: Shared, tasks: Iterable[Task], workers: int, cure: str
) -> Generator[Found, None, None]:
    """Do tasks side by side, and yield what they give in their order; no more is under way than can be kept.

    Args:
        work: A function of a module, which other processes can import.
        shared: Its first argument, the same for all tasks.
        tasks: Its second.
        workers: Processes; 1 works in this one.
        cure: What a user can do if a process is killed.

    Raises:
        UserError: If a process was killed, or the work raises it.
    """
    if workers == 1:
        yield from (work(shared, task) for task in tasks)
        return
    # not forked: this process may hold threads, and a graphics card
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(shared,))
    # a thread of its own starts them: Ctrl-C interrupts the first thread, which must not leave one half begun
    starter = ThreadPoolExecutor(1, initializer=_hold_ctrl_c_back)
    begun: deque[Future[Found]] = deque()
    try:
        for task in tasks:
            begun.append(starter.submit(pool.submit, _work_here, work, task).result())
            if len(begun) == _AHEAD * workers:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    except BrokenProcessPool:
        raise UserError(
            f"A process ended before its time: it was killed, perhaps because the memory ran out, or it could not "
            f"start, as in a program without `if __name__ == '__main__':`. {cure}"
        ) from None
    finally:
        starter.shutdown()
        pool.shutdown(cancel_futures=True)


def _hold_ctrl_c_back() -> None:
    """Keep Ctrl-C from this thread and from the processes that it starts, which ignore it as soon as they can."""
    resource_tracker.ensure_running()  # else it is started later, and lets Ctrl-C through again when it is
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _begin(shared: object) -> None:
    global _shared
    _shared = shared
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's processes would wait for ever for a parent that was killed."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _work_here(work: Callable[[Any, Task], Found], task: Task) -> Found:
    return work(_shared, task)
