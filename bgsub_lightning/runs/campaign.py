"""A campaign: one experiment for each of several values, one after the other, and a table of all."""

from __future__ import annotations

import shlex
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from jsonargparse import ArgumentParser
from rich.text import Text

from bgsub_lightning.core.config import merged_config
from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.core.text import join_some
from bgsub_lightning.datasets import Reader
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.evaluation.extent import missing_folds
from bgsub_lightning.report.merge import merged, require_same_frames
from bgsub_lightning.report.results import CampaignRecord, read_campaign
from bgsub_lightning.report.terminal import spread, table
from bgsub_lightning.runs.arguments import parse_trainer
from bgsub_lightning.runs.engine import (
    ActiveRun,
    Queue,
    RunPlan,
    duration,
    print_failures,
    refuse_ours,
    require_same,
    save_record,
)
from bgsub_lightning.runs.grid import DATA_ARGUMENTS, Run, choose, matching_scenes, runs_of_file, runs_of_grid


@dataclass(frozen=True)
class CampaignOptions:
    """Options of ``campaign``, as its help has them; patterns of scenes are not expanded."""

    file: Path
    parts: Sequence[Path] = ()
    grid: Sequence[tuple[str, list[str]]] = ()
    out: Path | None = None
    only: str | None = None
    dry_run: bool = False
    results: bool = False
    passthrough: tuple[str, ...] = ()


@dataclass(frozen=True)
class Campaign(RunPlan):
    """The runs of a campaign.

    Attributes:
        files: The experiment, and what is laid over it.
        runs: All runs.
        chosen: Those that are wanted.
        grid: Name → its values; may be empty if the experiment lists its runs.
    """

    files: tuple[Path, ...]
    runs: tuple[Run, ...]
    chosen: tuple[Run, ...]
    grid: Mapping[str, list[str]]

    @property
    def record(self) -> CampaignRecord:
        """The content of ``campaign.json``."""
        return {
            "version": 2,
            "configuration": merged_config(*self.files),
            "options": list(self.passthrough),
            "commands": list(self.commands),
            "grid": dict(self.grid),
            "runs": {run.name: [*(f"--config={file}" for file in run.files), *run.options] for run in self.runs},
        }

    @property
    def record_file(self) -> Path:
        """Where the folder keeps which campaign it holds."""
        return self.out / "campaign.json"

    def require_same_as_before(self) -> None:
        """Check that the folder is free, or holds this campaign with as many runs or fewer.

        Raises:
            UserError: If it does not.
        """
        try:
            before = read_campaign(self.record_file)
        except FileNotFoundError:
            return
        names = before["runs"].keys()
        require_same(self.out, _fixed(before, names), _fixed(self.record, names))

    def save(self) -> None:
        """Write the record.

        Raises:
            UserError: If the folder cannot be written.
        """
        save_record(self.record_file, self.record)


def plan_campaign(options: CampaignOptions) -> Campaign:
    """Find the runs, and check what can be checked before anything is run.

    Raises:
        UserError: If the options do not fit, or the folder holds another campaign.
    """
    refuse_ours(options.passthrough, "run", "name the experiment first, `campaign FILE …`.")
    files = (options.file, *options.parts)
    commands, of_file, listed = runs_of_file(*files)
    grid: dict[str, list[str]] = {}
    for name, values in options.grid:
        key = f"data.init_args.{name}" if name in DATA_ARGUMENTS else name
        if name in grid or any(option.startswith(f"--{key}=") for option in options.passthrough):
            raise UserError(f"--over: {name}: must be set once; got it twice. Remove one.")
        grid[name] = values
    grid = of_file | grid
    if not grid and not listed:
        raise UserError(f"{options.file}: lists no runs under campaign.runs. Add a grid, such as --over fold=1,2,3.")
    base = tuple(word for file in files for word in ("--config", str(file)))
    if "scene" in grid:
        start = [f"--config={file}" for run in listed[:1] for file in run.files]
        of_run = [option for run in listed[:1] for option in run.options]
        grid["scene"] = _scenes(commands[0], [*start, *base, *options.passthrough, *of_run], grid["scene"])
    runs = runs_of_grid(grid, listed) if grid else listed
    campaign = Campaign(
        out=options.out or Path("runs") / "_".join(file.stem for file in files),
        base=base,
        passthrough=options.passthrough,
        commands=commands,
        files=files,
        runs=tuple(runs),
        chosen=tuple(choose(runs, options.only) if options.only else runs),
        grid=grid,
    )
    for command in commands:
        parse_trainer(command, campaign.call(runs[0], command)[1:])
    campaign.require_same_as_before()
    return campaign


def _scenes(command: str, options: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Expand patterns by the scenes of the experiment's own dataset."""
    data = parse_trainer(command, options).config[command].data
    parser = ArgumentParser()
    parser.add_argument("--reader", type=Reader)
    reader: Reader = parser.instantiate(parser.parse_object({"reader": data.get("init_args.reader")})).reader
    keys = [scene.key for scene in reader.scenes(reader.locate(data.get("init_args.root")))]
    return matching_scenes(keys, patterns, reader.categories)


def _fixed(record: CampaignRecord, names: Container[str]) -> dict[str, Any]:
    """Return what two starts of a campaign must agree in."""
    return {
        **record,
        "options": dict(option.partition("=")[::2] for option in record["options"]),
        "grid": list(record["grid"]),
        "runs": {name: options for name, options in record["runs"].items() if name in names},
    }


def show(campaign: Campaign) -> None:
    """Print the commands that would be run."""
    for run in campaign.chosen:
        lines = [f"{PROGRAM} {shlex.join(campaign.call(run, command))}" for command in campaign.remaining(run)]
        console.print("\n".join(lines or [f"# {run.label}: done"]), soft_wrap=True)


class CampaignQueue(Queue):
    """The chosen runs of a campaign in their order; those that another process works on come last.

    Args:
        campaign: The campaign.

    Attributes:
        failures: Run → the command that failed, and why.
    """

    def __init__(self, campaign: Campaign) -> None:
        self.plan: Campaign = campaign
        self.failures: dict[Run, str] = {}
        self._pending = [run for run in campaign.chosen if campaign.remaining(run)]
        self._busy: set[Run] = set()
        self._started = time.monotonic()
        self._left = len(self._pending)
        self._done: list[float] = []  # the time of each run, in s
        if done := [run.label for run in campaign.chosen if run not in self._pending]:
            console.print(f"{len(done)} of {len(campaign.chosen)} done before: {', '.join(done)}.", soft_wrap=True)

    def next(self) -> ActiveRun | None:  # noqa: D102
        for run in self._pending:
            if active := self.claim(run):
                self._pending.remove(run)
                return active
        return None

    def is_over(self) -> bool:  # noqa: D102
        for run in self._pending:
            if run not in self._busy:
                text = f"{self.plan.folder(run)}: another process works here; waiting for its end."
                console.print(text, soft_wrap=True)
        self._busy |= set(self._pending)
        return not self._pending

    def announce(self, active: ActiveRun, command: str) -> None:  # noqa: D102
        runs = self.plan.chosen
        console.rule(Text(f"{runs.index(active.run) + 1} of {len(runs)} · {active.run.label} · {command}"))
        now = time.monotonic()
        parts = [f"{len(self._done)} done", f"{self._left} to go", f"{duration(now - self._started)} since the start"]
        if self.failures:
            parts.insert(1, f"{len(self.failures)} failed")
        if self._done:
            left = max(0.0, self._left * mean(self._done) - (now - active.started))
            parts.append(f"about {duration(left)} left")
        console.print(", ".join(parts))

    def finish(self, active: ActiveRun, failure: str | None) -> None:  # noqa: D102
        if failure:
            self.failures[active.run] = f"{active.command}: {failure}"
        else:
            self._done.append(time.monotonic() - active.started)
        self._left -= 1


# --- results ---------------------------------------------------------------------------------------------------------


def conclude(campaign: Campaign, failures: Mapping[Run, str]) -> None:
    """Print the results of all runs, also of those of earlier starts, and which are missing."""
    console.rule("Result")
    done = [run for run in campaign.runs if not campaign.remaining(run)]
    if done and "test" in campaign.commands:
        try:
            _print_tables(campaign, done)
        except UserError as error:  # a damaged scores.json must not hide what has failed
            console.print(str(error), soft_wrap=True)
    if missing := [run.label for run in campaign.runs if run not in done and run not in failures]:
        console.print(f"Not run yet: {join_some(missing)}.", soft_wrap=True)
    console.print(f"{len(done)} of {len(campaign.runs)} runs are done, in {campaign.out}.", soft_wrap=True)
    print_failures({f"{run.label} ({campaign.folder(run)})": why for run, why in failures.items()})


def _print_tables(campaign: Campaign, runs: Sequence[Run]) -> None:
    """Merge what can be merged, and compare the rest."""
    columns: list[TestResult] = []
    series: dict[str, list[TestResult]] = {}
    for group in dict.fromkeys(run.group for run in runs):
        of_group = [run for run in runs if run.group == group]
        without = [run.name for run in campaign.runs if run.group == group and run not in of_group]
        results = _united(campaign, of_group, without)
        columns += results
        series.setdefault(of_group[0].series, []).extend(results)
    try:
        require_same_frames(columns)
    except UserError:  # one by one, since they are of different frames
        for column in columns:
            console.print(table([column], by_video=True))
        return
    console.print(table(columns, by_video=len(columns) == 1))
    for name, results in series.items():
        if line := spread(results):
            console.print(f"{name}: {line}" if name else line, soft_wrap=True)


def _united(campaign: Campaign, runs: Sequence[Run], without: Sequence[str]) -> list[TestResult]:
    """Merge the results of runs that have tested different videos; a whole, without any missing, is saved."""
    results = [TestResult.load(campaign.folder(run)) for run in runs]
    group = runs[0].group
    try:
        require_same_frames(results)
        if group or len(results) > 1:
            return results
    except UserError:
        pass  # different videos, as a rule
    try:
        whole = merged(results, group or campaign.out.resolve().name)
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
