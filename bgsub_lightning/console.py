"""The terminal: one console, one style of progress bar."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
"""Where commands print."""


def progress_bar() -> Progress:
    """Return a progress bar with a count and the time left, to be used as a context manager."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    return Progress(*columns, console=console)
