"""The terminal: one console, one style of progress bar."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")  # by which launchers tell a process which it is

console = Console(
    highlight=False,
    width=None if sys.stdout.isatty() else 110,
    quiet=any(os.environ.get(name, "0") != "0" for name in _RANKS),
)
"""Where commands print; of the processes of a run the first alone."""


def progress_bar() -> Progress:
    """Return a progress bar with a count and the time left, to be used as a context manager."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    return Progress(*columns, console=console)
