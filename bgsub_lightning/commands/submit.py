"""A command as a job of a SLURM cluster, a campaign as an array of jobs, and what has become of them."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bgsub_lightning.commands import COMMANDS
from bgsub_lightning.commands.campaign import Campaign, plan_campaign
from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import last_lines
from bgsub_lightning.runs import BatchScript, Job, Resources, State, find_jobs, require_slurm, states, submit
from bgsub_lightning.runs.grid import Member
from bgsub_lightning.runs.script import LAUNCHED
from bgsub_lightning.runs.subprocess_runs import PROGRAM, OptionParser, Parsed
from bgsub_lightning.training.cli import run_trainer

_HELP = f"""\
Hand a command to a SLURM cluster. Before it is queued its options are checked.

  {PROGRAM} submit --partition gpu --gpus 4 --nodes 2 --time 12:00:00 -- fit --config experiments/bmn_bsn_fold1.yaml
  {PROGRAM} submit --partition gpu --time 6:00:00 -- campaign experiments/bmn_bsn.yaml --over fold=1,2,3
  {PROGRAM} submit --dry_run …        prints the batch script, and submits nothing
  {PROGRAM} submit --status runs      tells of each run its job, its state and its log

A fit that is not done when its time is over, or that is preempted, saves its state and is queued again until it is
done. The trainer's accelerator, devices and nodes are those of the job. Of a campaign each member is one task of an
array, with the GPUs that are asked for; members that are done are left out, and a job that waits for all others makes
the table.
"""

_SET = {
    *("array", "cpus-per-task", "gpus-per-node", "job-name", "mem", "nodes", "ntasks-per-node", "partition", "time"),
    *("error", "open-mode", "output", "requeue", "signal"),
}
"""Options of sbatch that follow from those of ``submit``."""

_STATUS_LINES = 5


def run_submit(command: str, options: Sequence[str]) -> None:
    """Submit a command, or tell what has become of it.

    Args:
        command: ``submit``.
        options: Options of its own, then ``--`` and the command that is to be run.

    Raises:
        UserError: If the options do not fit, there is no SLURM, or it does not take the job.
    """
    own, words = _divided(options)
    given = _parser().parse_args(own)
    if given.status:
        if words:
            raise UserError("--status: looks at what was submitted; it takes no command.")
        _show_status(given.status)
        return
    if not words:
        raise UserError("submit: what is to be run? Tell it after `--`, such as `submit -- fit --config FILE`.")
    if words[0] not in COMMANDS or words[0] == command:
        raise UserError(f"submit: {words[0]!r} is no command that can be submitted; see {PROGRAM} --help.")
    if not given.dry_run:
        require_slurm()
    if given.at_once and not given.array and words[0] != "campaign":
        raise UserError("--at_once: is of an array; see --array.")
    resources = _resources(given)
    if words[0] == "campaign":
        _submit_campaign(given, resources, words)
    else:
        _submit_command(given, resources, words)


def _divided(options: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide at ``--`` into the options of the job and the command."""
    if "--" not in options:
        return list(options), []
    at = list(options).index("--")
    return list(options[:at]), list(options[at + 1 :])


def _parser() -> OptionParser:
    parser = OptionParser(
        prog=f"{PROGRAM} submit",
        usage="%(prog)s [OPTIONS] -- COMMAND [OPTIONS]\n       %(prog)s --status FOLDER",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--partition", help="where the job waits. Default: the cluster's")
    add("--gpus", type=_count(0), default=1, help="GPUs of each node, with a process each; 0: CPUs alone. Default: 1")
    add("--nodes", type=_count(1), default=1, help="nodes of the job, or of each task of an array. Default: 1")
    add("--tasks", type=_count(1), help="processes of each node where --gpus is 0. Default: 1")
    add("--cpus", type=_count(1), help="CPU cores of each process: the loader's workers and one more")
    add("--mem", metavar="SIZE", help="memory of each node, such as 64G")
    add(
        "--time",
        type=_time,
        help="limit, such as 12:00:00 or 2-00:00:00, after which a fit is queued again. Default: the partition's",
    )
    add(
        "--signal_delay",
        type=_count(10, 86_400),
        default=120,
        metavar="SECONDS",
        help="how long before the limit a fit is told to save its state: longer than a validation takes. Default: 120",
    )
    add(
        "--array",
        type=_count(2),
        metavar="N",
        help="run the command N times at once, such as workers of a search; a campaign has a task for each member",
    )
    add("--at_once", type=_count(1), metavar="N", help="tasks of an array that run at the same time, at most")
    add("--name", help="name of the job. Default: that of the run or the campaign")
    add(
        "--sbatch",
        action="append",
        default=[],
        type=_pair,
        metavar="KEY=VALUE",
        help="a further option of sbatch, such as account=vision, constraint=a100 or dependency=afterok:17; given "
        "several times",
    )
    add(
        "--setup",
        action="append",
        default=[],
        metavar="LINE",
        help="a line of bash that comes first, such as 'module load cuda'; given several times",
    )
    add("--dry_run", action="store_true", help="print the batch script, and submit nothing")
    add(
        "--status",
        type=Path,
        metavar="FOLDER",
        help="what has become of the run, of the campaign, or of all runs there",
    )
    return parser


def _count(least: int, most: int = 10_000) -> type[int]:
    class Count(int):
        """A number that is neither too small nor too large."""

        def __new__(cls, text: str) -> Count:
            if not text.isdecimal() or len(text) > 9 or not least <= int(text) <= most:
                raise argparse.ArgumentTypeError(f"must be from {least} to {most:,}; got {text!r}")
            return super().__new__(cls, text)

    return Count


def _time(text: str) -> str:
    if not re.fullmatch(r"\d+|\d+:\d\d(:\d\d)?|\d+-\d+(:\d\d){0,2}", text):
        raise argparse.ArgumentTypeError(f"must be such as 90 (minutes), 12:00:00 or 2-00:00:00, got {text!r}")
    return text


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.removeprefix("--").partition("=")
    if not (key and equals and value):
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, such as account=vision, got {text!r}")
    if not re.fullmatch(r"[a-zA-Z][\w-]*", key):
        raise argparse.ArgumentTypeError(f"the key must be letters, digits and -, such as mail-user, got {key!r}")
    if key.replace("_", "-") in _SET:
        raise argparse.ArgumentTypeError(f"{key} is set by submit; see its own options")
    return key, value


def _resources(given: argparse.Namespace) -> Resources:
    if given.tasks and given.gpus:
        raise UserError("--tasks: each GPU has one process; use it with --gpus 0.")
    return Resources(
        nodes=given.nodes,
        gpus=given.gpus,
        tasks=given.tasks or 1,
        partition=given.partition,
        time=given.time,
        cpus=given.cpus,
        mem=given.mem,
        signal_delay=given.signal_delay,
        more=dict(given.sbatch),
        setup=tuple(given.setup),
    )


# --- submitting ------------------------------------------------------------------------------------------------------


def _submit_command(given: argparse.Namespace, resources: Resources, words: Sequence[str]) -> None:
    name, *options = words
    folder = Path("runs") / name
    if name in LAUNCHED:
        if given.array:
            raise UserError(
                f"--array: a {name} has one directory. Several values are a campaign: "
                f"submit … -- campaign FILE --over seed=0,1,2"
            )
        options = _without(options, resources)
        folder = run_trainer(name, [*options, *_pairs(resources)], Parsed).run_dir
        options = _resumable(name, options, folder)
    elif resources.nodes > 1 or (resources.devices > 1 and not resources.gpus):
        raise UserError(f"--nodes, --tasks: {name} runs in one process.")
    elif "--help" in options:
        raise UserError(f"{name} --help: needs no cluster.")
    count = given.array or 1
    script = BatchScript(
        name=given.name or folder.name,
        folder=folder / "slurm",
        resources=resources,
        tasks=[(name, [[name, *options]])] * count,
        at_once=given.at_once,
        is_array=given.array is not None,
    )
    if given.dry_run:
        print(script.text)
        return
    _require_idle(folder)
    job = _submitted(script, words, [folder] * count)
    job.save(folder)
    _tell(job, folder)


def _submit_campaign(given: argparse.Namespace, resources: Resources, words: Sequence[str]) -> None:
    if given.array:
        raise UserError("--array: a campaign's array has a task for each member; --at_once N limits how many run.")
    campaign, chosen, is_run = plan_campaign(words[1:])
    if not is_run:
        raise UserError("campaign: give --dry_run to submit, before `--`; --results needs no cluster.")
    _without(campaign.handed, resources)
    members = [member for member in chosen if campaign.left(member)]
    if not members:
        console.print(f"{campaign.out}: all members are done; `campaign … --results` shows them.", soft_wrap=True)
        return
    script = BatchScript(
        name=given.name or campaign.out.name,
        folder=campaign.out / "slurm",
        resources=resources,
        tasks=[(member.label, _calls(campaign, member, resources)) for member in members],
        at_once=given.at_once,
        is_array=True,
    )
    if given.dry_run:
        print(script.text)
        print(_report(script, words, "NUMBER").text)
        return
    for folder in (campaign.out, *(campaign.folder(member) for member in members)):
        _require_idle(folder)
    campaign.save()
    job = _submitted(script, words, [campaign.folder(member) for member in members])
    job.save(campaign.out)  # before the next request, which may be refused
    report = _report(script, words, job.number)
    try:
        number = submit(report)
    except UserError as error:
        raise UserError(
            f"Array {job.number} is submitted, and the job that makes its table is not: {error}\n"
            f"`campaign … --results` makes the table at any time."
        ) from error
    job = replace(job, report=(number, str(report.log).replace("%j", number)))
    job.save(campaign.out)
    _tell(job, campaign.out)


def _calls(campaign: Campaign, member: Member, resources: Resources) -> list[list[str]]:
    """Return the commands that a member has still to run."""
    return [[command, *_without(campaign.call(member, command)[1:], resources)] for command in campaign.left(member)]


def _report(script: BatchScript, words: Sequence[str], after: str) -> BatchScript:
    """Return the job that makes the table when all members have ended."""
    asked = script.resources
    more = {key: value for key, value in asked.more.items() if key != "dependency"}
    return BatchScript(
        name=f"{script.name}_report",
        folder=script.folder,
        resources=Resources(
            gpus=0, partition=asked.partition, more={**more, "dependency": f"afterany:{after}"}, setup=asked.setup
        ),
        tasks=[("report", [[*words, "--results"]])],
    )


def _submitted(script: BatchScript, words: Sequence[str], runs: Sequence[Path]) -> Job:
    number = submit(script)
    log = str(script.log).replace("%j", number).replace("%A", number)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Job(number, shlex.join(words), log, now, tuple(map(str, runs)), script.is_array)


def _tell(job: Job, folder: Path) -> None:
    what = f"array of {len(job.runs)} tasks" if job.is_array else "job"
    then = f", then job {job.report[0]} makes the table ({job.report[1]})" if job.report else ""
    console.print(
        f"Submitted {what} {job.number}{then}. Log: {job.log.replace('%a', 'TASK')}\n"
        f"What has become of it: {PROGRAM} submit --status {shlex.quote(str(folder))}",
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
            f"{folder}: job {', '.join(live)} is at it already; `scancel {job.number}` ends it, "
            f"`submit --status {folder}` tells more."
        )


def _pairs(resources: Resources) -> list[str]:
    return [f"{key}={value}" for key, value in resources.trainer_options.items()]


def _without(options: Sequence[str], resources: Resources) -> list[str]:
    """Return options without those that the job decides, as ``--key=value``.

    Raises:
        UserError: If one of them differs from what is asked for.
    """
    rest: list[str] = []
    words = iter(options)
    for word in words:
        key, equals, value = word.partition("=")
        if key not in resources.trainer_options:
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        decided = resources.trainer_options[key]
        if value not in {decided, "auto"}:
            option = {"--trainer.num_nodes": "--nodes"}.get(key, "--gpus" if resources.gpus else "--tasks")
            raise UserError(
                f"{key}: {value} is told to the command, and {decided} follows from {option} of submit; leave the "
                f"former out."
            )
    return rest


def _resumable(name: str, options: Sequence[str], folder: Path) -> list[str]:
    """Name the run directory of a command, and let a fit go on from its last checkpoint."""
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


def _show_status(folder: Path) -> None:
    jobs = find_jobs(folder)
    known = states(number for job in jobs for number in (job.number, *(job.report or ())[:1]))
    rows = [("run", "job", "state", "log")]
    logs: list[Path] = []
    for job in jobs:
        for index, run in enumerate(job.runs):
            number = job.task(index)
            logs.append(job.log_of(index))
            rows.append((run, number, _state(Path(run), job, known.get(number)), str(logs[-1])))
        if job.report:
            number, log = job.report
            logs.append(Path(log))
            rows.append(("(the table)", number, _told(known[number]) if number in known else "over", log))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        console.print(line.rstrip(), soft_wrap=True)
    if len(jobs) == 1:
        _show_end(logs)


def _state(run: Path, job: Job, state: State | None) -> str:
    """What is known of a run: what its directory says, unless its job waits or runs."""
    if state and state.is_live:
        return _told(state)
    is_fit = job.command.split()[0] in {"fit", "campaign"}
    if not is_fit:
        return _told(state) if state else "over"
    done = [what for what, file in (("trained", "finished.json"), ("tested", "scores.json")) if (run / file).is_file()]
    if done:
        return " and ".join(done)
    return f"not done: {_told(state)}" if state else "not done, and no job is at it"


def _told(state: State) -> str:
    name = state.name.lower().replace("_", " ")
    if state.name == "PENDING":
        return f"{name} {state.detail}"
    return f"{name} on {state.detail}, {state.elapsed}" if state.is_live else f"{name} after {state.elapsed}"


def _show_end(logs: Sequence[Path]) -> None:
    """Show the last lines of the log that was written last."""
    there = [log for log in logs if log.is_file()]
    if not there:
        return
    newest = max(there, key=lambda log: log.stat().st_mtime_ns)
    console.print(f"\n{newest} ends:", soft_wrap=True)
    lines = last_lines(newest, _STATUS_LINES)
    console.print("\n".join(f"  {line}" for line in lines), soft_wrap=True)
