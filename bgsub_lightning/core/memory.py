"""How the process holds its memory."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_NEVER = 2**31 - 1
_MOST = 32 << 20  # what glibc before 2.35 takes as the threshold, at most


def keep_freed_memory() -> None:
    """Keep memory that is freed for what is allocated next, instead of returning it to the system at once.

    glibc maps each large block again, and a network on a CPU spends much of its time in page faults: the features of
    every layer are blocks of this kind (``benchmarks/cdn_medal.py`` measures it). Other systems are left as they are.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return
    # the first that is taken; without one the other threshold would fix this one at its low default
    if libc.mallopt(_MMAP_THRESHOLD, _NEVER) or libc.mallopt(_MMAP_THRESHOLD, _MOST):
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)
