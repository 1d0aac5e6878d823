"""Which job is at which run: ``job.json`` of its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.records import read_json

FILE = "job.json"


@dataclass(frozen=True)
class Job:
    """A job that was submitted.

    Attributes:
        number: SLURM's number of it.
        command: What it runs, as a line.
        log: Its log, with ``%a`` for the task of an array.
        submitted: When, in ISO format.
        runs: For each of its tasks the directory of the run; a single job has one.
        is_array: Whether it is an array.
        report: The job that makes the table of an array, and its log.
    """

    number: Annotated[str, StringConstraints(pattern=r"^\d+$")]
    command: Annotated[str, StringConstraints(pattern=r"\S")]
    log: str
    submitted: str
    runs: tuple[str, ...]
    is_array: bool = False
    report: tuple[str, str] | None = None

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        with atomic_write(folder / FILE) as file:
            file.write(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def load(folder: Path) -> Job | None:
        """Read that of a folder; ``None`` if there is none.

        Raises:
            UserError: If the file is damaged.
        """
        try:
            return read_json(folder / FILE, Job, "Delete it.")
        except FileNotFoundError:
            return None

    def task(self, index: int) -> str:
        """Return SLURM's number of a task."""
        return f"{self.number}_{index}" if self.is_array else self.number

    def log_of(self, index: int) -> Path:
        """Return the log of a task."""
        return Path(self.log.replace("%a", str(index)))


def find_jobs(folder: Path) -> list[Job]:
    """Find the jobs of a run, of a campaign, or of all runs beneath a folder.

    Raises:
        UserError: If there is none.
    """
    files = [folder / FILE] if (folder / FILE).is_file() else sorted(folder.rglob(FILE))
    jobs = [job for file in files if (job := Job.load(file.parent))]
    if not jobs:
        raise UserError(f"{folder}: no job was submitted for a run here (there is no {FILE}).")
    return jobs
