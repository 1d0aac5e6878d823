"""multiprocessing; written for Python 3.11 to 3.13."""

from __future__ import annotations

import multiprocessing


def is_starting() -> bool:
    """Whether this process is one that another starts, and imports what the other runs.

    A program without a main guard then does everything again. It must not wait for the other, which waits for it.
    multiprocessing finds it out by the same attribute, to refuse a third process.
    """
    return getattr(multiprocessing.current_process(), "_inheriting", False)
