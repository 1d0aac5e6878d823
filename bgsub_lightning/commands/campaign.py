"""One experiment for each of several values: scenes, folds, seeds, any key; each member in a process of its own."""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import IO, Any, cast

from jsonargparse import ArgumentParser
from rich.text import Text

from bgsub_lightning.core.config import campaign_of, merged
from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, folder_lock, lock_environment, refuse_links
from bgsub_lightning.core.records import read_text
from bgsub_lightning.core.text import refuse_passwords
from bgsub_lightning.datasets import Reader
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.evaluation.extent import missing_folds
from bgsub_lightning.report import merged as merged_results
from bgsub_lightning.report import require_same_frames, spread, table
from bgsub_lightning.report.results import CampaignRecord, read_campaign
from bgsub_lightning.runs.grid import (
    ADDRESSED,
    Member,
    choose,
    matching_scenes,
    members_of_file,
    members_over,
    parse_over,
)
from bgsub_lightning.runs.subprocess_runs import (
    PROGRAM,
    OptionParser,
    Parsed,
    checkpoint_of,
    differences,
    divided,
    duration,
    end,
    is_begun,
    reason,
)
from bgsub_lightning.training.cli import run_trainer

_SWITCHES = {"--dry_run", "--results"}

_NAME = "{member}"
"""What stands for a member's name in an option: weights of another campaign over the same values."""

_OWN = {"--over", "--out", "--only", "--help", *_SWITCHES}

_OURS = {
    "--config": "the experiment is the first word, `campaign FILE …`; a file includes others by its key `config`.",
    "--run_dir": "each member has a directory of its own; name the folder of them all by --out FOLDER.",
    "--name": "each member has a directory of its own; name the folder of them all by --out FOLDER.",
}
"""Options of ``fit`` that a campaign gives to its members itself."""

_HELP = f"""\
Run one experiment for each of several values, one after the other: `fit`, then `test`, each in a process of its own.

  {PROGRAM} campaign experiments/bmn_bsn.yaml --over fold=1,2,3
  {PROGRAM} campaign experiments/cdn_medal.yaml --over scene='baseline/*' --data.init_args.root FOLDER
  {PROGRAM} campaign FILE --over scene='*,!PTZ' --over seed=0,1,2 --dry_run
  {PROGRAM} campaign FILE --over model.init_args.lr=1e-3,1e-4 --trainer.max_steps=500

The same command again goes on where a campaign has ended: what is finished is left alone, and a member that was killed
is resumed. More values, or more members in the file, are added to what is there.
"""

_MORE = """\
all other options are those of `fit` and `test` (see `fit --help`) and are handed to both as they are. --ckpt_path FILE
is what training starts from, or what is tested where nothing is trained; --ckpt_path best tests the best checkpoint.
{member} in an option is the member's name, as in --ckpt_path 'runs/other/{member}/checkpoints/last.ckpt'.

An experiment may hold its members itself, where they are no product of values:

  campaign:
    commands: [test]            # default: [fit, test]
    members:
      Bootstrap: {data.init_args.scene: Wallflower/Bootstrap, ckpt_path: runs/a/checkpoints/last.ckpt}
      Camouflage: {data.init_args.scene: Wallflower/Camouflage, ckpt_path: runs/b/checkpoints/last.ckpt}

At the end there is a table of all members. Where they have tested parts of a dataset (scenes, folds), it is of them all
together, and scores.json of the campaign's folder holds it; else it has a column for each member. The exit status is 1
if a member has failed, which keeps no other from its turn.
"""


def run_campaign(command: str, options: Sequence[str]) -> None:
    """Run a campaign.

    Args:
        command: ``campaign``.
        options: The experiment, options of its own (see :data:`_HELP`), and those of ``fit`` and ``test``.

    Raises:
        UserError: If the options do not fit, or the folder holds another campaign.
        SystemExit: With status 1 if members have failed, 130 after Ctrl-C.
    """
    given, handed = _divided(options)
    campaign, chosen = _planned(given, handed)
    if given.dry_run:
        _show(campaign, chosen)
        return
    if given.results:
        _conclude(campaign, {})
        return
    campaign.save()
    try:
        failed = _run(campaign, chosen)
    except KeyboardInterrupt:
        again = shlex.join([command, *options])
        console.print(f"\nStopped. The same command goes on from here: {PROGRAM} {again}", soft_wrap=True)
        raise SystemExit(130) from None
    _conclude(campaign, failed)
    if failed:
        raise SystemExit(1)


def plan_campaign(options: Sequence[str]) -> tuple[Campaign, list[Member], bool]:
    """Read a campaign for another who runs it.

    Returns:
        The campaign, the members that are chosen, and whether it is to be run, not only looked at.

    Raises:
        UserError: If the options do not fit, or the folder holds another campaign.
    """
    given, handed = _divided(options)
    return *_planned(given, handed), not (given.dry_run or given.results)


@dataclass(frozen=True)
class Campaign:
    """What is to be run.

    Attributes:
        file: The experiment.
        out: The campaign's folder.
        commands: What each member runs.
        members: Its members.
        handed: Options of all members, each as ``--key=value``.
        over: Name → its values; empty if the experiment holds its members.
    """

    file: Path
    out: Path
    commands: tuple[str, ...]
    members: tuple[Member, ...]
    handed: tuple[str, ...]
    over: dict[str, list[str]]

    @property
    def record(self) -> Path:
        """The file that tells which campaign a folder holds."""
        return self.out / "campaign.json"

    @property
    def content(self) -> CampaignRecord:
        """What that file holds."""
        content: CampaignRecord = {
            "version": 1,
            "configuration": merged(self.file),
            "options": list(self.handed),
            "commands": list(self.commands),
            "over": self.over,
            "members": {member.name: list(member.options) for member in self.members},
        }
        return cast("CampaignRecord", json.loads(json.dumps(content, default=str)))

    def folder(self, member: Member) -> Path:
        """Return the run directory of a member."""
        return self.out / member.name

    def call(self, member: Member, command: str) -> list[str]:
        """Return the command of a member, without the name of the program."""
        options = [option.replace(_NAME, member.name) for option in (*self.handed, *member.options)]
        told = checkpoint_of(options)
        of_run = told in {"last", "best"}
        if command == "fit":  # what was told is where a first start begins
            told = "last" if told is None or of_run or is_begun(self.folder(member)) else told
        elif "fit" in self.commands and not of_run:  # it was where training started from
            told = None
        rest = [option for option in options if not option.startswith("--ckpt_path=")]
        checkpoint = [f"--ckpt_path={told}"] if told else []
        return [command, "--config", str(self.file), f"--run_dir={self.folder(member)}", *checkpoint, *rest]

    def left(self, member: Member) -> list[str]:
        """Return the commands that a member has still to run."""
        folder = self.folder(member)
        left = ["fit"] if "fit" in self.commands and not (folder / "finished.json").is_file() else []
        if "test" in self.commands and (left or not self._is_tested(member)):
            left.append("test")
        return left

    def require_same_as_before(self) -> None:
        """Check that the folder is free, or holds this campaign with as many members or fewer.

        Raises:
            UserError: If the folder holds another campaign.
        """
        try:
            before = read_campaign(self.record)
        except FileNotFoundError:
            return
        members = before["members"]
        if different := differences(_comparable(before, members), _comparable(self.content, members)):
            more = f"\n  … and {len(different) - 8} more" if len(different) > 8 else ""
            raise UserError(
                f"{self.out}: holds a campaign that differs from this one:\n  "
                + "\n  ".join(different[:8])
                + f"{more}\nName another --out FOLDER, or tell what that one was told; it may have more values than "
                f"before, and --only NAME runs some of its members."
            )

    def save(self) -> None:
        """Write that file, unless it is there.

        Raises:
            UserError: If the folder cannot be written.
        """
        text = json.dumps(self.content, indent=1) + "\n"
        refuse_passwords(text, "campaign", self.record.name)
        try:
            if self.record.is_file() and read_text(self.record) == text:
                return
            with atomic_write(self.record) as file:
                file.write(text)
        except (OSError, UserError) as error:
            raise UserError(f"--out: {error}") from error

    def _is_tested(self, member: Member) -> bool:
        folder = self.folder(member)
        told = checkpoint_of([*self.handed, *member.options])
        is_elsewhere = told not in {None, "last", "best"} and "fit" not in self.commands
        weights = Path(str(told)) if is_elsewhere else folder / "checkpoints" / "last.ckpt"
        scores = folder / "scores.json"
        if not scores.is_file():
            return False
        return not weights.is_file() or scores.stat().st_mtime_ns >= weights.stat().st_mtime_ns


def _divided(options: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Divide the options into those of a campaign, parsed, and those of its members, each as ``--key=value``."""
    parser = OptionParser(
        prog=f"{PROGRAM} campaign",
        usage="%(prog)s FILE [--over NAME=VALUE[,VALUE…]] [--out FOLDER] [--only NAME[,NAME]] [--dry_run] [--results] "
        "[OPTIONS]",
        description=_HELP,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the experiment")
    parser.add_argument(
        "--over",
        action="append",
        default=[],
        type=parse_over,
        metavar="NAME=VALUE[,VALUE…]",
        help="a member for each value; given several times, for each combination. NAME is root, store, scene, fold or "
        "seed (of weights and batches alike), or any key in full. Values of scene are categories or patterns such as "
        "'baseline/*': each matching scene is a member, and !PATTERN takes scenes out again",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder of the members' run directories. Default: runs/NAME of FILE"
    )
    parser.add_argument("--only", metavar="NAME[,NAME]", help="run these members alone; patterns such as 'fold_*'")
    parser.add_argument("--dry_run", action="store_true", help="show what would be run, and run nothing")
    parser.add_argument("--results", action="store_true", help="show the results so far, and run nothing")
    own, handed = divided(options, _OWN, _SWITCHES)
    return parser.parse_args(own), handed


def _planned(given: argparse.Namespace, handed: Sequence[str]) -> tuple[Campaign, list[Member]]:
    """Make the campaign, and choose its members."""
    campaign = _campaign(given, handed)
    chosen = choose(campaign.members, given.only) if given.only else list(campaign.members)
    campaign.require_same_as_before()
    return campaign, chosen


def _campaign(given: argparse.Namespace, handed: Sequence[str]) -> Campaign:
    """Find the members, and check what can be checked before anything is run."""
    for option in handed:
        if (key := option.partition("=")[0]) in _OURS:
            raise UserError(f"{key}: {_OURS[key]}")
    commands, members = members_of_file(campaign_of(given.file))
    over: dict[str, list[str]] = {}
    for name, values in given.over:
        key = f"data.init_args.{name}" if name in ADDRESSED else name
        if name in over or any(option.startswith(f"--{key}=") for option in handed):
            raise UserError(f"--over: {name} is told twice.")
        over[name] = values
    if over and members:
        raise UserError(f"{given.file}: holds its members under the key campaign; --over would make others. Use one.")
    if not over and not members:
        raise UserError(f"{given.file}: what are the members? Tell it by --over, such as --over fold=1,2,3.")
    if "scene" in over:
        over["scene"] = _scenes(commands[0], given.file, handed, over["scene"])
    campaign = Campaign(
        file=given.file,
        out=given.out or Path("runs") / given.file.stem,
        commands=commands,
        members=tuple(members or members_over(over)),
        handed=tuple(handed),
        over=over,
    )
    for command in commands:
        run_trainer(command, campaign.call(campaign.members[0], command)[1:], Parsed)
    return campaign


def _scenes(command: str, file: Path, handed: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Expand patterns by the scenes of the experiment's own dataset."""
    data = run_trainer(command, ["--config", str(file), *handed], Parsed).config[command].data
    parser = ArgumentParser()
    parser.add_argument("--reader", type=Reader)
    reader: Reader = parser.instantiate(parser.parse_object({"reader": data.get("init_args.reader")})).reader
    keys = [scene.key for scene in reader.scenes(reader.locate(data.get("init_args.root")))]
    return matching_scenes(keys, patterns, reader.categories)


def _show(campaign: Campaign, members: Sequence[Member]) -> None:
    for member in members:
        left = campaign.left(member)
        lines = [f"{PROGRAM} {shlex.join(campaign.call(member, command))}" for command in left]
        console.print("\n".join(lines or [f"# {member.label}: done"]), soft_wrap=True)


def _run(campaign: Campaign, members: Sequence[Member]) -> dict[Member, str]:
    """Run what is left of members, and return those that failed, each with what went wrong."""
    pending = [member for member in members if campaign.left(member)]
    if done := [member.label for member in members if member not in pending]:
        console.print(f"{len(done)} of {len(members)} done before: {', '.join(done)}.", soft_wrap=True)
    clock = _Clock(len(pending))
    failed: dict[Member, str] = {}
    for patient in (False, True):  # members that another process is at come last
        busy = []
        for member in pending:
            if patient:
                told = f"{campaign.folder(member)}: another process is at work here; waiting for its end."
                console.print(told, soft_wrap=True)
            refuse_links(campaign.folder(member), campaign.out)
            with folder_lock(campaign.folder(member), wait=patient) as lock:
                if lock is None:
                    busy.append(member)
                    continue
                heading = f"{members.index(member) + 1} of {len(members)} · {member.label}"
                if failure := _run_member(campaign, member, lock, heading, clock):
                    failed[member] = failure
                clock.tick(failed=failure is not None)
        pending = busy
    return failed


def _run_member(campaign: Campaign, member: Member, lock: int, heading: str, clock: _Clock) -> str | None:
    """Run what is left of a member, and return what went wrong."""
    for command in campaign.left(member):
        console.rule(Text(f"{heading} · {command}"))
        console.print(str(clock))
        failure = _failure(campaign.call(member, command), lock)
        if not failure and command in campaign.left(member):
            failure = "stopped before its end"  # as by --trainer.max_time, or by SIGTERM
        if failure:
            return f"{command}: {failure}"
    return None


class _Clock:
    """How far a campaign is, and how long it will take by what its members have taken."""

    def __init__(self, members: int) -> None:
        self.left = members
        self.done = self.failed = 0
        self.started = self.ticked = time.monotonic()
        self.durations: list[float] = []

    def tick(self, failed: bool) -> None:
        """Note that a member has come to its end."""
        now = time.monotonic()
        self.left -= 1
        if failed:
            self.failed += 1
        else:
            self.done += 1
            self.durations.append(now - self.ticked)
        self.ticked = now

    def __str__(self) -> str:
        now = time.monotonic()
        parts = [f"{self.done} done", f"{self.left} to go", f"{duration(now - self.started)} since the start"]
        if self.failed:
            parts.insert(1, f"{self.failed} failed")
        if self.durations:
            left = max(0.0, self.left * mean(self.durations) - (now - self.ticked))
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)


def _failure(arguments: Sequence[str], lock: int) -> str | None:
    """Run a command of this program, its output in the terminal.

    Returns:
        What went wrong, in a line; ``None`` if nothing did.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "bgsub_lightning", *arguments],
        stderr=subprocess.PIPE,
        pass_fds=(lock,),
        env=os.environ | lock_environment(lock),
    )
    assert process.stderr is not None
    lines: deque[str] = deque(maxlen=100)
    reader = threading.Thread(target=_pass_on, args=(process.stderr, lines), daemon=True)
    reader.start()
    try:
        status = process.wait()
    except BaseException:
        end(process)
        raise
    reader.join(timeout=5)  # what the process has left running may hold the pipe for longer
    return reason(status, lines)


def _pass_on(stream: IO[bytes], lines: deque[str]) -> None:
    """Write what comes to the terminal at once, and keep the last lines."""
    with io.TextIOWrapper(stream, "utf-8", errors="replace", newline="") as text:
        for line in text:
            sys.stderr.write(line)
            sys.stderr.flush()
            lines.append(line.rstrip())


def _conclude(campaign: Campaign, failed: dict[Member, str]) -> None:
    """Show the results of all members, also of those that were run before, and say which are missing."""
    console.rule("Result")
    done = [member for member in campaign.members if not campaign.left(member)]
    if done and "test" in campaign.commands:
        try:
            _tables(campaign, done)
        except UserError as error:  # a damaged scores.json must not hide what has failed
            console.print(str(error), soft_wrap=True)
    if missing := [member.label for member in campaign.members if member not in done and member not in failed]:
        console.print(f"Not run yet: {', '.join(missing)}.", soft_wrap=True)
    console.print(f"{len(done)} of {len(campaign.members)} members are done, in {campaign.out}.", soft_wrap=True)
    if failed:
        console.print(f"{len(failed)} failed; the same command again tries them once more:")
    for member, what in failed.items():
        console.print(f"  {member.label} ({campaign.folder(member)}): {what}", soft_wrap=True)


def _tables(campaign: Campaign, members: Sequence[Member]) -> None:
    """Merge what can be merged, and compare the rest."""
    columns: list[TestResult] = []
    series: dict[str, list[TestResult]] = {}
    for group in dict.fromkeys(member.group for member in members):
        of_group = [member for member in members if member.group == group]
        without = [each.name for each in campaign.members if each.group == group and each not in of_group]
        found = _united(campaign, of_group, without)
        columns += found
        series.setdefault(of_group[0].series, []).extend(found)
    try:
        require_same_frames(columns)
    except UserError:  # one by one, since they tell of different frames
        for column in columns:
            console.print(table([column], by_video=True))
        return
    console.print(table(columns, by_video=len(columns) == 1))
    for name, results in series.items():
        if line := spread(results):
            console.print(f"{name}: {line}" if name else line, soft_wrap=True)


def _united(campaign: Campaign, members: Sequence[Member], without: Sequence[str]) -> list[TestResult]:
    """Merge the results of members that have tested different videos; a whole, without none, is saved."""
    results = [TestResult.load(campaign.folder(member)) for member in members]
    group = members[0].group
    try:
        require_same_frames(results)
        if group or len(results) > 1:
            return results
    except UserError:
        pass  # different videos, as a rule
    try:
        whole = merged_results(results, group or campaign.out.resolve().name)
    except UserError as error:
        console.print(str(error), soft_wrap=True)
        return results
    if without and not missing_folds(whole.protocol):
        return [replace(whole, untested=sorted(without))]
    if not without:
        file = campaign.out / (f"scores_{group}.json" if group else "scores.json")
        whole.save(file)
        console.print(f"{file} holds the counts of all.", soft_wrap=True)
    return [whole]


def _comparable(content: CampaignRecord, names: Iterable[str]) -> dict[str, Any]:
    """Return what two starts of a campaign must agree in."""
    return {
        **content,
        "options": dict(option.partition("=")[::2] for option in content["options"]),
        "over": list(content["over"]),
        "members": {name: options for name, options in content["members"].items() if name in names},
    }
