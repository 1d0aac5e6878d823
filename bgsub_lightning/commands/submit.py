"""A command as a job of a SLURM cluster, a campaign as an array of jobs, and their states."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bgsub_lightning.commands import COMMANDS
from bgsub_lightning.commands.campaign import parse_campaign
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.runs.arguments import OptionParser, count
from bgsub_lightning.runs.campaign import plan_campaign
from bgsub_lightning.runs.jobs import show_status, submit_campaign, submit_command
from bgsub_lightning.runs.slurm import Request, require_slurm

_HELP = f"""\
Submit a command to a SLURM cluster. Its options are checked before it is queued.

  {PROGRAM} submit --partition gpu --gpus 4 --nodes 2 --time 12:00:00 -- fit --config experiments/bmn_bsn_fold1.yaml
  {PROGRAM} submit --partition gpu --time 6:00:00 -- campaign experiments/bmn_bsn.yaml --over fold=1,2,3
  {PROGRAM} submit --dry_run …        prints the batch script, and submits nothing
  {PROGRAM} submit --status runs      lists the job, the state and the log of each run

A fit that hits the time limit, or is preempted, saves its state and is requeued until it is done. The trainer's
accelerator, devices and nodes are those of the job. Each run of a campaign is one task of an array, with the GPUs that
are asked for; finished runs are left out, and a job that waits for all others makes the table.
"""


def run_submit(command: str, options: Sequence[str]) -> None:
    """Submit a command, or print the states of jobs.

    Args:
        command: ``submit``.
        options: Its own options, then ``--`` and the command that is to be run.

    Raises:
        UserError: If the options do not fit, there is no SLURM, or it refuses the job.
    """
    at = list(options).index("--") if "--" in options else len(options)
    given, words = vars(_parser().parse_args(options[:at])), list(options[at + 1 :])
    if folder := given.pop("status"):
        if words:
            raise UserError(f"--status: takes no command; got {words[0]!r}. Leave it out.")
        show_status(folder)
        return
    request = Request(**given)
    if not words:
        raise UserError("submit: missing command after `--`. Example: submit -- fit --config FILE")
    if words[0] not in COMMANDS or words[0] == command:
        raise UserError(f"submit: {words[0]!r} is no command that can be submitted; see {PROGRAM} --help.")
    if not request.dry_run:
        require_slurm()
    if request.at_once and not request.array and words[0] != "campaign":
        raise UserError(f"--at_once: needs an array; got {request.at_once}. Set --array N as well, or leave it out.")
    if request.tasks and request.gpus:
        raise UserError(f"--tasks: needs --gpus 0, as each GPU has one process; got {request.tasks}. Leave it out.")
    if words[0] != "campaign":
        submit_command(request, words)
        return
    campaign = parse_campaign(words[1:])
    if campaign.dry_run or campaign.results:
        raise UserError("campaign: give --dry_run to submit, before `--`; --results needs no cluster.")
    submit_campaign(request, plan_campaign(campaign), words)


def _parser() -> OptionParser:
    parser = OptionParser("submit", "[OPTIONS] -- COMMAND [OPTIONS]\n       %(prog)s --status FOLDER", _HELP)

    def add(name: str, text: str, **settings: Any) -> None:
        parser.add_argument(name, help=text, **settings)

    add("--partition", "where the job waits. Default: the cluster's")
    add("--gpus", "GPUs of each node, with a process each; 0: CPUs alone. Default: 1", type=count(0), default=1)
    add("--nodes", "nodes of the job, or of each task of an array. Default: 1", type=count(), default=1)
    add("--tasks", "processes of each node where --gpus is 0. Default: 1", type=count())
    add("--cpus", "CPU cores of each process: the loader's workers and one more", type=count())
    add("--mem", "memory of each node, such as 64G", metavar="SIZE")
    add(
        "--time",
        "limit, such as 12:00:00 or 2-00:00:00, after which a fit is requeued. Default: the partition's",
        type=_time,
    )
    add(
        "--signal_delay",
        "how long before the limit a fit gets the signal to save its state; a validation must fit in. Default: 120",
        type=count(10, 86_400),
        default=120,
        metavar="SECONDS",
    )
    add(
        "--array",
        "run the command N times at once, such as workers of a search; a campaign has a task for each run",
        type=count(2),
        metavar="N",
    )
    add("--at_once", "tasks of an array that run at the same time, at most", type=count(), metavar="N")
    add("--name", "name of the job. Default: that of the run or the campaign")
    add(
        "--sbatch",
        "another option of sbatch, such as account=vision, constraint=a100 or dependency=afterok:17; may be repeated",
        action="append",
        default=[],
        type=_pair,
        metavar="KEY=VALUE",
    )
    add(
        "--setup",
        "a line of bash that comes first, such as 'module load cuda'; may be repeated",
        action="append",
        default=[],
        metavar="LINE",
    )
    add("--dry_run", "print the batch script, and submit nothing", action="store_true")
    add("--status", "the states of the run, of the campaign, or of all runs there", type=Path, metavar="FOLDER")
    return parser


def _time(text: str) -> str:
    if not re.fullmatch(r"\d+|\d+:\d\d(:\d\d)?|\d+-\d+(:\d\d){0,2}", text):
        raise argparse.ArgumentTypeError(f"must be such as 90 (minutes), 12:00:00 or 2-00:00:00; got {text!r}")
    return text


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.removeprefix("--").partition("=")
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, such as account=vision; got {text!r}")
    if not re.fullmatch(r"[a-zA-Z][\w-]*", key):
        raise argparse.ArgumentTypeError(f"the key must be letters, digits and -, such as mail-user; got {key!r}")
    return key, value
