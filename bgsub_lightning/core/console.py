"""The terminal: one console, one style of progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.segment import Segment
from rich.text import Text

from bgsub_lightning.core.text import printable

_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")  # set by launchers


class _Console(Console):
    """Prints square brackets as they are, and nothing that a terminal would obey but its own styles."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, str):  # whole, before it is broken into lines
            renderable = printable(renderable)
        elif isinstance(renderable, Text) and (shown := printable(renderable.plain)) != renderable.plain:
            renderable = renderable.blank_copy(shown)
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def is_first_process() -> bool:
    """Whether this is the first of the processes of a run, or the only one."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


console = _Console(
    highlight=False,
    markup=False,
    emoji=False,
    width=None if sys.stdout.isatty() else 110,
    quiet=not is_first_process(),
)
"""Where commands print; of the processes of a run the first alone."""


def warn(text: str) -> None:
    """Print a warning, in a line."""
    mark("warning", text)


def mark(severity: Literal["error", "warning"], text: str) -> None:
    """Print what is wrong, in a line that begins with its severity, in colour."""
    style = "red" if severity == "error" else "yellow"
    console.print(Text.assemble((severity, style), f" {text}"), soft_wrap=True)


def progress_bar() -> Progress:
    """Return a progress bar with a count and the time left, to be used as a context manager."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    return Progress(*columns, console=console)


def byte_bar() -> Progress:
    """Return a progress bar of a download: bytes, bytes per second and the time left; a context manager."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    return Progress(*columns, console=console)
