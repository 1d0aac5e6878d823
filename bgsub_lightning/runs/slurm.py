"""What is asked of SLURM: take a job, and tell what has become of it."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import make_folder
from bgsub_lightning.runs.script import BatchScript

LIVE = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "REQUEUED", "RESIZING"}
"""States of jobs that are not over."""


class State(NamedTuple):
    """What SLURM says of a job.

    Attributes:
        name: Such as ``RUNNING``.
        detail: Its nodes, or why it waits.
        elapsed: How long it has run, as ``1:02:03``.
    """

    name: str
    detail: str = ""
    elapsed: str = ""

    @property
    def is_live(self) -> bool:
        """Whether it waits or runs."""
        return self.name in LIVE


def require_slurm() -> None:
    """Check that jobs can be submitted here.

    Raises:
        UserError: If there is no sbatch.
    """
    if shutil.which("sbatch") is None:
        raise UserError(
            "submit: there is no SLURM on this machine (no command `sbatch`). Run it on a login node of the cluster; "
            "--dry_run prints the batch script anywhere."
        )


def submit(script: BatchScript) -> str:
    """Hand a batch script to SLURM; it is kept in the folder of the log, as ``JOB_submission.sh``.

    Returns:
        The number of the job.

    Raises:
        UserError: If there is no SLURM, or it does not take the job.
    """
    require_slurm()
    make_folder(script.folder, within=script.folder.parent)
    executor = script.executor()
    from submitit.core.utils import FailedJobError

    try:
        with contextlib.redirect_stderr(io.StringIO()):  # what is wrong is in the exception as well
            job = executor._submit_command(script.command)
    except FailedJobError as error:
        said = [re.sub("sbatch: (error: )?", "", line) for line in str(error).splitlines() if "sbatch: " in line]
        raise UserError("SLURM does not take the job:\n  " + "\n  ".join(said or [str(error)])) from error
    finally:
        for left in script.folder.glob(".submission_file_*.sh"):
            left.unlink()
    return str(job.job_id)


def states(jobs: Iterable[str]) -> dict[str, State]:
    """Ask for the states of jobs.

    Args:
        jobs: Numbers of jobs; of an array the number alone.

    Returns:
        Number → state; ``NUMBER_TASK`` of each task of an array. Jobs that SLURM has forgotten are missing: it
        remembers them for some minutes, and for long only where it keeps accounts.
    """
    wanted = sorted(set(jobs))
    found: dict[str, State] = {}
    if not wanted:
        return found
    accounts = ("sacct", "-n", "-X", "-P", "-o", "JobID,State,NodeList,Elapsed", "-j", ",".join(wanted))
    for line in _told(*accounts):
        job, state, nodes, elapsed = line.split("|")
        found[job] = State(state.split()[0], nodes, elapsed)
    for each in wanted:  # one that is unknown would spoil the answer for all
        for line in _told("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%R|%M", "-j", each):
            job, state, detail, elapsed = line.split("|")
            found[job] = State(state, detail, elapsed)
    return found


def _told(*command: str) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):  # no such command, no accounts, or no such job
        return []
    return done.stdout.splitlines()
