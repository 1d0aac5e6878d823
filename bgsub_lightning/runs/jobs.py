"""Commands and campaigns as jobs of a cluster: ``job.json`` of a run's folder, and the states of jobs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, last_lines
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.core.records import read_json
from bgsub_lightning.runs.arguments import parse_trainer
from bgsub_lightning.runs.campaign import Campaign
from bgsub_lightning.runs.slurm import LAUNCHED, BatchScript, Request, State, sbatch, states

FILE = "job.json"

_STATUS_LINES = 5


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


# --- submitting ------------------------------------------------------------------------------------------------------


def submit_command(request: Request, words: Sequence[str]) -> None:
    """Submit a command.

    Raises:
        UserError: If its options do not fit, a job is at its run, there is no SLURM, or it refuses the job.
    """
    name, *options = words
    folder = Path("runs") / name
    if name in LAUNCHED:
        if request.array:
            raise UserError(
                f"--array: must not be set for {name}, which has one directory; got {request.array}. Submit a campaign "
                f"for several values: submit … -- campaign FILE --over seed=0,1,2"
            )
        options = _without(options, request)
        devices = [f"{key}={value}" for key, value in request.trainer_options.items()]
        folder = parse_trainer(name, [*options, *devices]).run_dir
        options = _resumable(name, options, folder)
    elif request.nodes > 1 or (request.devices > 1 and not request.gpus):
        raise UserError(f"--nodes, --tasks: must be 1, since {name} runs in one process. Leave them out.")
    elif "--help" in options:
        raise UserError(f"{name} --help: needs no cluster. Run it without submit.")
    count = request.array or 1
    script = BatchScript(
        name=request.name or folder.name,
        folder=folder / "slurm",
        request=request,
        tasks=[(name, [[name, *options]])] * count,
        is_array=request.array is not None,
    )
    if request.dry_run:
        print(script.text)
        return
    _require_idle(folder)
    job = _submitted(script, words, [folder] * count)
    job.save(folder)
    _announce(job, folder)


def submit_campaign(request: Request, campaign: Campaign, words: Sequence[str]) -> None:
    """Submit what is left of a campaign as an array of jobs, and a job that makes its table.

    Args:
        request: What the jobs ask for.
        campaign: The campaign.
        words: Its command and options.

    Raises:
        UserError: If a job is at one of its runs, there is no SLURM, or it refuses a job.
    """
    if request.array:
        raise UserError(
            "--array: must not be set for a campaign: each run is a task. Limit those at once by --at_once N."
        )
    _without(campaign.passthrough, request)
    runs = [run for run in campaign.chosen if campaign.remaining(run)]
    if not runs:
        console.print(f"{campaign.out}: all runs are done; `campaign … --results` shows them.", soft_wrap=True)
        return
    calls = {run: [campaign.call(run, command) for command in campaign.remaining(run)] for run in runs}
    script = BatchScript(
        name=request.name or campaign.out.name,
        folder=campaign.out / "slurm",
        request=request,
        tasks=[(run.label, [_without(call, request) for call in calls[run]]) for run in runs],
        is_array=True,
    )
    if request.dry_run:
        print(script.text)
        print(_report(script, words, "NUMBER").text)
        return
    folders = [campaign.folder(run) for run in runs]
    for folder in (campaign.out, *folders):
        _require_idle(folder)
    campaign.save()
    job = _submitted(script, words, folders)
    job.save(campaign.out)  # before the next request, which may be refused
    report = _report(script, words, job.number)
    try:
        number = sbatch(report)
    except UserError as error:
        raise UserError(
            f"Array {job.number} is submitted, but not the job that makes its table: {error}\n"
            f"`campaign … --results` makes the table at any time."
        ) from error
    job = replace(job, report=(number, str(report.log).replace("%j", number)))
    job.save(campaign.out)
    _announce(job, campaign.out)


def _report(script: BatchScript, words: Sequence[str], after: str) -> BatchScript:
    """Return the job that makes the table when all runs have ended."""
    asked = script.request
    others = [(key, value) for key, value in asked.sbatch if key != "dependency"]
    return BatchScript(
        name=f"{script.name}_report",
        folder=script.folder,
        request=Request(
            gpus=0, partition=asked.partition, sbatch=[*others, ("dependency", f"afterany:{after}")], setup=asked.setup
        ),
        tasks=[("report", [[*words, "--results"]])],
    )


def _submitted(script: BatchScript, words: Sequence[str], runs: Sequence[Path]) -> Job:
    number = sbatch(script)
    log = str(script.log).replace("%j", number).replace("%A", number)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Job(number, shlex.join(words), log, now, tuple(map(str, runs)), script.is_array)


def _announce(job: Job, folder: Path) -> None:
    what = f"array of {len(job.runs)} tasks" if job.is_array else "job"
    then = f", then job {job.report[0]} makes the table ({job.report[1]})" if job.report else ""
    console.print(
        f"Submitted {what} {job.number}{then}. Log: {job.log.replace('%a', 'TASK')}\n"
        f"Its state: {PROGRAM} submit --status {shlex.quote(str(folder))}",
        soft_wrap=True,
    )


def _require_idle(folder: Path) -> None:
    """Check that no job that waits or runs is at a run already.

    Raises:
        UserError: If one is.
    """
    job = Job.load(folder)
    if not job:
        return
    live = [number for number, state in states([job.number]).items() if state.is_live]
    if live:
        raise UserError(
            f"{folder}: job {', '.join(live)} works here already. End it by `scancel {job.number}`, or see "
            f"`submit --status {folder}`."
        )


def _without(options: Sequence[str], request: Request) -> list[str]:
    """Return options without those that the job decides.

    Raises:
        UserError: If one of them differs from what is asked for.
    """
    rest: list[str] = []
    words = iter(options)
    for word in words:
        key, equals, value = word.partition("=")
        if key not in request.trainer_options:
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        decided = request.trainer_options[key]
        if value not in {decided, "auto"}:
            option = {"--trainer.num_nodes": "--nodes"}.get(key, "--gpus" if request.gpus else "--tasks")
            raise UserError(f"{key}: must be {decided} by {option} of submit; got {value}. Leave it out.")
    return rest


def _resumable(name: str, options: Sequence[str], folder: Path) -> list[str]:
    """Name the run directory of a command, and let a fit continue from its last checkpoint."""
    joined: list[str] = []
    words = iter(options)
    for word in words:
        key, equals, _ = word.partition("=")
        joined.append(f"{word}={next(words, '')}" if key in {"--run_dir", "--ckpt_path"} and not equals else word)
    if not any(word.startswith("--run_dir=") for word in joined):
        joined.append(f"--run_dir={folder}")
    if name == "fit" and not any(word.startswith("--ckpt_path=") for word in joined):
        joined.append("--ckpt_path=last")
    return joined


# --- status ----------------------------------------------------------------------------------------------------------


def find_jobs(folder: Path) -> list[Job]:
    """Find the jobs of a run, of a campaign, or of all runs below a folder.

    Raises:
        UserError: If there is none.
    """
    files = [folder / FILE] if (folder / FILE).is_file() else sorted(folder.rglob(FILE))
    jobs = [job for file in files if (job := Job.load(file.parent))]
    if not jobs:
        raise UserError(f"{folder}: no job was submitted for a run here (there is no {FILE}).")
    return jobs


def show_status(folder: Path) -> None:
    """Print the job, the state and the log of each run, and the end of the newest log where there is one job.

    Raises:
        UserError: If there is no job.
    """
    jobs = find_jobs(folder)
    known = states(number for job in jobs for number in (job.number, *(job.report or ())[:1]))
    rows = [("run", "job", "state", "log")]
    logs: list[Path] = []
    for job in jobs:
        for index, run in enumerate(job.runs):
            number = job.task(index)
            logs.append(job.log_of(index))
            rows.append((run, number, _run_state(Path(run), job, known.get(number)), str(logs[-1])))
        if job.report:
            number, log = job.report
            logs.append(Path(log))
            rows.append(("(the table)", number, _job_state(known.get(number)), log))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        console.print(line.rstrip(), soft_wrap=True)
    written = [log for log in logs if log.is_file()]
    if len(jobs) == 1 and written:
        newest = max(written, key=lambda log: log.stat().st_mtime_ns)
        lines = "\n".join(f"  {line}" for line in last_lines(newest, _STATUS_LINES))
        console.print(f"\n{newest} ends:\n{lines}", soft_wrap=True)


def _run_state(run: Path, job: Job, state: State | None) -> str:
    """Return the state of a run: that of its directory, unless its job waits or runs."""
    if (state and state.is_live) or job.command.split()[0] not in {"fit", "campaign"}:
        return _job_state(state)
    done = [what for what, file in (("trained", "finished.json"), ("tested", "scores.json")) if (run / file).is_file()]
    return " and ".join(done) or (f"not done: {_job_state(state)}" if state else "not done, and no job is at it")


def _job_state(state: State | None) -> str:
    if state is None:
        return "over"
    name = state.name.lower().replace("_", " ")
    if state.name == "PENDING":
        return f"{name} {state.detail}"
    return f"{name} on {state.detail}, {state.elapsed}" if state.is_live else f"{name} after {state.elapsed}"
