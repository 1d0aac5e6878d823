"""A sweep file of Weights & Biases, run on this machine by Optuna: no account, no network."""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.table import Table

from bgsub_lightning.core.config import merged
from bgsub_lightning.core.console import console, warn
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, folder_lock, last_lines, lock_environment, refuse_links
from bgsub_lightning.core.records import parse_yaml, read_json
from bgsub_lightning.core.text import suggestion
from bgsub_lightning.report.learning import learning_curves
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
from bgsub_lightning.runs.sweepfile import Choice, Point, Range, Sweep, choice_of, read_sweep, shown
from bgsub_lightning.training.cli import run_trainer

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

VERSION = 1

_OWN = {"--workers", "--trials", "--out", "--dry_run", "--help"}

_OURS = {
    "--config": "the experiment is in the command of the sweep file.",
    "--run_dir": "each trial has a directory of its own; name the folder of them all by --out FOLDER.",
    "--name": "each trial has a directory of its own; name the folder of them all by --out FOLDER.",
}
"""Options of ``fit`` that a sweep gives to its trials itself."""

_MEMBER = "member"
"""Under this a study keeps a trial's number in the sweep; one that is tried again is another trial of the study."""

_CORNERS = 8
"""How many points of a sweep are parsed before anything is run, at most: each takes half a second."""

_PATIENCE = 0.5
"""Time between two looks at the trials, in s."""

_HELP = f"""\
Run a sweep file of Weights & Biases without an account or a network: each trial is a `fit` in a process of its own.

  {PROGRAM} sweep sweeps/bmn_bsn_folds.yaml --data.init_args.root FOLDER
  {PROGRAM} sweep sweeps/bmn_bsn_search.yaml --trials 30 --workers 4
  {PROGRAM} sweep FILE --dry_run

The same command again goes on where a sweep has ended: what is finished is left alone, and a trial that was killed is
resumed. Several such commands in one folder share its trials.
"""

_MORE = """\
all other options are those of `fit` (see `fit --help`) and are handed to each trial as they are; --ckpt_path FILE is
what training starts from. An option beats a value that the file fixes, but none may set what the file searches: all
trials would be the same there. The file's --wandb is not handed on: W&B stays offline unless --wandb online is here.

`method: grid` runs all combinations; `random` draws each trial by its number; `bayes` is Optuna's TPE, after a first
trial at random. `early_terminate` is Optuna's successive halving, with W&B's numbers: validations are counted, the
first decision is after min_iter of them (or max_iter / eta^s), the next after eta times as many, and each lets the best
1/eta of the trials that have come so far go on. A trial that is ended keeps its files.

At the end there is a table of all trials, by the best value that each has logged, and parallel_coordinates.html in the
sweep's folder. The exit status is 1 if a trial has failed, which keeps no other from its turn.
"""


def run_sweep(command: str, options: Sequence[str]) -> None:
    """Run a sweep.

    Args:
        command: ``sweep``.
        options: The sweep file, options of its own (see :data:`_HELP`), and those of ``fit``.

    Raises:
        UserError: If the file or the options do not fit, the folder holds another sweep, or Optuna is missing.
        SystemExit: With status 1 if trials have failed, 130 after Ctrl-C or SIGTERM.
    """
    given, handed = _divided(options)
    launch = _launch(given, handed)
    if given.dry_run:
        _show(launch)
        return
    study = _study(launch)
    try:
        with _ended_by_sigterm():
            _run(launch, study, given.workers)
    except KeyboardInterrupt:
        again = shlex.join([command, *options])
        console.print(f"\nStopped. The same command goes on from here: {PROGRAM} {again}", soft_wrap=True)
        raise SystemExit(130) from None
    if _conclude(launch, study):
        raise SystemExit(1)


@dataclass(frozen=True)
class Launch:
    """What is to be run.

    Attributes:
        sweep: The sweep.
        out: Its folder.
        handed: Options of all trials, each as ``--key=value``.
        trials: How many there are to be.
    """

    sweep: Sweep
    out: Path
    handed: tuple[str, ...]
    trials: int

    @property
    def content(self) -> dict[str, Any]:
        """What must be the same when the sweep is continued: all but the number of trials."""
        experiments = [Path(option.partition("=")[2]) for option in self.sweep.options if _is_config(option)]
        content = {
            "version": VERSION,
            "configuration": {str(file): merged(file) for file in experiments},
            "options": [option for option in (*self.sweep.options, *self.handed) if not _is_config(option)],
            "method": self.sweep.method,
            "metric": [self.sweep.metric, self.sweep.is_maximized],
            "parameters": {name: str(each) for name, each in self.sweep.parameters.items()},
            "early_terminate": str(self.sweep.hyperband),
        }
        return dict(json.loads(json.dumps(content, default=str)))

    def first(self, number: int) -> Point | None:
        """Return the point of a trial that does not depend on others; ``None`` if it does."""
        if self.sweep.method == "grid":
            return self.sweep.grid[number]
        return self.sweep.drawn(number) if self.sweep.method == "random" or number == 0 else None

    def folder(self, number: int, point: Point) -> Path:
        """Return the run directory of a trial."""
        return self.out / self.sweep.folder(number, point)

    def call(self, number: int, point: Point) -> list[str]:
        """Return the command of a trial, without the name of the program."""
        folder = self.folder(number, point)
        told = checkpoint_of(self.handed)
        told = "last" if told is None or is_begun(folder) else told
        handed = [option for option in self.handed if not option.startswith("--ckpt_path=")]
        options = [*self.sweep.options, f"--run_dir={folder}", f"--ckpt_path={told}"]
        return ["fit", *options, *self.sweep.options_of(point), *handed]


@dataclass
class _Running:
    """A trial at work.

    Attributes:
        number: Its number in the sweep.
        point: Its point.
        folder: Its run directory.
        trial: What the study calls it.
        process: Its process.
        held: What is let go of at its end.
        started: When it was started.
        judged: Validations after which it was decided upon.
    """

    number: int
    point: Point
    folder: Path
    trial: Trial
    process: subprocess.Popen[bytes]
    held: ExitStack
    started: float = field(default_factory=time.monotonic)
    judged: int = 0

    @property
    def log(self) -> Path:
        return self.folder / "output.log"


def values_of(folder: Path, metric: str) -> list[float]:
    """Read what a run has logged of a metric.

    Args:
        folder: The run directory.
        metric: Its name.

    Raises:
        UserError: If a log cannot be read.
    """
    return [value for _, value in learning_curves(folder).get(metric, []) if not math.isnan(value)]


def _divided(options: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Divide the options into those of a sweep, parsed, and those of its trials, each as ``--key=value``."""
    parser = OptionParser(
        prog=f"{PROGRAM} sweep",
        usage="%(prog)s FILE [--trials N] [--workers N] [--out FOLDER] [--dry_run] [OPTIONS]",
        description=_HELP,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the sweep file, such as those in sweeps/")
    parser.add_argument(
        "--trials",
        type=_count,
        metavar="N",
        help="run no more than N trials. Default: run_cap of FILE, or the whole grid",
    )
    parser.add_argument(
        "--workers", type=_count, default=1, metavar="N", help="trials at a time, each on a GPU of its own. Default: 1"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder of the trials' run directories. Default: runs/NAME of FILE"
    )
    parser.add_argument("--dry_run", action="store_true", help="show what would be run, and run nothing")
    own, handed = divided(options, _OWN, {"--dry_run", "--help"})
    return parser.parse_args(own), handed


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 10,000; got {text!r}")
    return int(text)


def _is_config(option: str) -> bool:
    return option.startswith("--config=")


def _launch(given: argparse.Namespace, handed: Sequence[str]) -> Launch:
    """Read the sweep, and check what can be checked before anything is run."""
    sweep = read_sweep(given.file)
    for option in handed:
        key = option.partition("=")[0]
        if key in _OURS:
            raise UserError(f"{key}: {_OURS[key]}")
        if key.removeprefix("--") in sweep.searched:
            raise UserError(
                f"{key}: must not be a parameter that {sweep.file} searches; got {option!r}. Leave it out, or give the "
                f"parameter one `value` in the file."
            )
    sweep, handed = _overridden(sweep, handed)
    limits = [each for each in (given.trials or sweep.run_cap,) if each]
    if sweep.method == "grid":
        limits.append(len(sweep.grid))
    if not limits:
        raise UserError(f"{sweep.file}: how many trials? Tell it by --trials N, or by `run_cap` in the file.")
    launch = Launch(sweep, given.out or Path("runs") / sweep.file.stem, tuple(handed), min(limits))
    folders = Counter(
        sweep.folder(number, point) for number, point in enumerate(sweep.grid if sweep.method == "grid" else ())
    )
    if shared := [folder for folder, count in folders.items() if count > 1]:
        raise UserError(f"{sweep.file}: parameters: two values would share the directory {shared[0]}.")
    _require_known(launch)
    for corner in sweep.corners(_CORNERS):
        run_trainer("fit", launch.call(0, corner)[1:], Parsed)
    return launch


def _overridden(sweep: Sweep, handed: Sequence[str]) -> tuple[Sweep, list[str]]:
    """Put values of the command line in the place of those that a sweep fixes, so that its record has them.

    Returns:
        The sweep, and the options that are no parameters of it.
    """
    parameters, others = dict(sweep.parameters), []
    for option in handed:
        key, _, text = option.partition("=")
        name = key.removeprefix("--")
        if name not in parameters:
            others.append(option)
            continue
        console.print(f"{key}: {text} instead of {sweep.file}'s value, {parameters[name]}.", soft_wrap=True)
        try:
            parameters[name] = choice_of(key, [parse_yaml(text, key)], [])
        except UserError:  # `fit` takes it as text, or refuses it
            parameters[name] = Choice((text,))
    return replace(sweep, parameters=parameters), others


def _require_known(launch: Launch) -> None:
    """Check that `fit` has the parameters as options; its own parser tells their names without a hint.

    Raises:
        UserError: If it has not.
    """
    sweep = launch.sweep
    config = run_trainer("fit", [*sweep.options, *launch.handed], Parsed).config["fit"]
    known = list(vars(config.as_flat()))
    for name in sweep.parameters:
        above, of_class = name.rpartition(".")[0], f"{name.rpartition('.init_args.')[0]}.class_path"
        is_free = of_class in sweep.parameters or any(f"{above}.".startswith(f"{key}.") for key in known)
        if not is_free and not any(f"{key}.".startswith(f"{name}.") for key in known):
            raise UserError(f"{sweep.file}: parameters.{name}: `fit` has no such option. {suggestion(name, known)}")
    protocol = config.data.get("init_args.protocol.init_args", {})
    told = {name.rpartition(".")[2] for name in sweep.parameters}
    if protocol.get("val_scenes") == protocol.get("val_fraction") == 0 and not told & {"val_scenes", "val_fraction"}:
        warn(
            f"{sweep.file}: nothing is held out for validation, so that trials are compared on "
            f"training frames. Set data.init_args.protocol.init_args.val_fraction or val_scenes."
        )


def _show(launch: Launch) -> None:
    """Print what would be run."""
    sweep = launch.sweep
    for number in range(launch.trials):
        if (point := launch.first(number)) is not None:
            console.print(f"{PROGRAM} {shlex.join(launch.call(number, point))}", soft_wrap=True)
    if sweep.method == "bayes":
        console.print(f"# {launch.trials - 1} more, each chosen by those before it, from:")
        for name, each in sweep.searched.items():
            console.print(f"#   {name}: {each}", soft_wrap=True)
    if sweep.hyperband:
        first, eta = sweep.hyperband.first, sweep.hyperband.eta
        console.print(f"# After {first}, {first * eta}, {first * eta**2} … validations the best 1/{eta} go on.")


def _study(launch: Launch) -> Study:
    """Open the study of a sweep, which is made if need be.

    Raises:
        UserError: If Optuna is missing, or the folder holds another sweep.
    """
    try:
        import optuna
        import plotly  # noqa: F401 (for the page at the end)
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise UserError(f"sweep: needs {error.name}: pip install 'bgsub_lightning[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sweep, record, database = launch.sweep, launch.out / "sweep.json", launch.out / "study.db"
    try:
        with folder_lock(launch.out, wait=True):
            _require_same(launch, record)
            if not record.is_file():
                with atomic_write(record) as file:
                    file.write(json.dumps(launch.content, indent=1) + "\n")
            return optuna.create_study(
                storage=f"sqlite:///{database.absolute()}",
                study_name=sweep.file.stem,
                direction="maximize" if sweep.is_maximized else "minimize",
                load_if_exists=True,
                pruner=optuna.pruners.SuccessiveHalvingPruner(sweep.hyperband.first, sweep.hyperband.eta, 0)
                if sweep.hyperband
                else optuna.pruners.NopPruner(),
            )
    except OSError as error:
        raise UserError(f"--out: {launch.out}: cannot be written ({error.strerror}).") from error
    except (optuna.exceptions.OptunaError, SQLAlchemyError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{database}: is no database of Optuna, or a damaged one ({reason}). Delete it, or name another --out."
        ) from error


def _require_same(launch: Launch, record: Path) -> None:
    try:
        there = read_json(record, dict[str, Any], "Name another --out FOLDER.")
    except FileNotFoundError:
        return
    different = differences(there, launch.content)
    if different:
        raise UserError(
            f"{launch.out}: holds a sweep that differs from this one:\n  "
            + "\n  ".join(different[:8])
            + "\nName another --out FOLDER, or tell what that one was told; it may have more trials than before."
        )


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM, as of a scheduler, end a sweep as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(launch: Launch, study: Study, workers: int) -> None:
    """Run what is left of the trials, several at a time."""
    running: dict[int, _Running] = {}  # place → what is at work there
    again = {number: trial.number for number, trial in _members(study).items() if trial.state.name == "FAIL"}
    devices = _devices(workers)
    try:
        while True:
            for place in range(workers):
                if place not in running and (begun := _next(launch, study, again, devices[place])):
                    running[place] = begun
                    console.print(
                        f"{begun.folder.name} of {launch.trials} · {launch.sweep.label(begun.point)}: "
                        f"{'resumed' if is_begun(begun.folder) else 'started'}",
                        soft_wrap=True,
                    )
            if not running:
                if not _busy(study, launch):
                    return
                again = {}
            time.sleep(_PATIENCE)
            for place, each in list(running.items()):
                if outcome := _look(launch, study, each):
                    each.held.close()
                    del running[place]
                    console.print(f"{each.folder.name}: {outcome}", soft_wrap=True)
    finally:  # whatever has happened, no trial is left alone
        for each in running.values():
            each.process.send_signal(signal.SIGTERM)
        for each in running.values():
            end(each.process, ways=(signal.SIGTERM, signal.SIGKILL))
            each.held.close()


def _devices(workers: int) -> list[str | None]:
    """Return the GPU of each worker, as CUDA_VISIBLE_DEVICES tells it; one worker has them all, and so has a CPU."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = told.split(",") if told else [str(index) for index in range(torch.cuda.device_count())]
    if workers == 1 or not visible or not torch.cuda.is_available():
        return [None] * workers
    return [visible[place % len(visible)] for place in range(workers)]


def _members(study: Study) -> dict[int, FrozenTrial]:
    """Return the newest trial of each number of the sweep."""
    return {trial.user_attrs[_MEMBER]: trial for trial in study.get_trials(deepcopy=False)}


def _busy(study: Study, launch: Launch) -> bool:
    """Whether another command is at work in the folder, whose trials may yet have to be taken over."""
    return any(not trial.state.is_finished() for trial in _members(study).values())


def _next(launch: Launch, study: Study, again: dict[int, int], device: str | None) -> _Running | None:
    """Start the trial whose turn it is; ``None`` if there is none.

    First come those that a killed command has left behind, then those that have failed before this command, then new
    ones. Commands that share a folder do so one after the other, so that no trial is begun twice.
    """
    with folder_lock(launch.out, wait=True):
        members = _members(study)
        for number, trial in members.items():
            if trial.state.name == "RUNNING" and (begun := _start(launch, study, number, trial, device)):
                return begun
        if not any(trial.state.name == "WAITING" for trial in members.values()):
            failed = [number for number, which in again.items() if members[number].number == which]
            if failed:
                number = failed[0]
                again.pop(number)
                study.enqueue_trial(members[number].params, user_attrs={_MEMBER: number})
            elif len(members) < launch.trials:
                number = len(members)
                study.enqueue_trial(launch.first(number) or {}, user_attrs={_MEMBER: number})
            else:
                return None
        study.sampler = _sampler(len(members))
        asked = study.ask(_distributions(launch.sweep, study))
        trial = study.get_trials(deepcopy=False)[asked.number]
        return _start(launch, study, trial.user_attrs[_MEMBER], trial, device)


def _sampler(seed: int) -> Any:
    """Make what chooses a trial, seeded by its number: one seed for all would draw the same after each start."""
    import optuna

    return optuna.samplers.TPESampler(seed=seed)


def _distributions(sweep: Sweep, study: Study) -> dict[str, BaseDistribution]:
    """Return Optuna's form of the parameters."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def of(each: Choice | Range) -> BaseDistribution:
        if isinstance(each, Choice):
            return CategoricalDistribution(each.labels)
        if each.is_whole:
            return IntDistribution(int(each.low), int(each.high))
        return FloatDistribution(each.low, each.high, log=each.log)

    return {name: of(each) for name, each in sweep.parameters.items()}


def _start(launch: Launch, study: Study, number: int, frozen: FrozenTrial, device: str | None) -> _Running | None:
    """Start a trial, or go on with it; ``None`` if another command is at it."""
    from optuna.trial import Trial

    point = frozen.params
    folder = launch.folder(number, point)
    held = ExitStack()
    lock = held.enter_context(folder_lock(folder))
    if lock is None:
        held.close()
        return None
    refuse_links(folder / "output.log", launch.out)
    log = held.enter_context((folder / "output.log").open("ab"))
    environment = os.environ | lock_environment(lock) | ({} if device is None else {"CUDA_VISIBLE_DEVICES": device})
    command = [sys.executable, "-m", "bgsub_lightning", *launch.call(number, point)]
    process = subprocess.Popen(command, stdout=log, stderr=log, pass_fds=(lock,), env=environment)
    judged = len(frozen.intermediate_values)
    return _Running(number, point, folder, Trial(study, frozen._trial_id), process, held, judged=judged)


def _look(launch: Launch, study: Study, running: _Running) -> str | None:
    """Note what a trial has logged, end it if it is not worth going on, and see whether it has ended.

    Returns:
        How it has ended, for the terminal; ``None`` if it has not.
    """
    from optuna.trial import TrialState

    best = max if launch.sweep.is_maximized else min
    status = running.process.poll()
    values = values_of(running.folder, launch.sweep.metric)
    is_finished = (running.folder / "finished.json").is_file()
    took = duration(time.monotonic() - running.started)
    while running.judged < len(values):
        running.judged += 1
        so_far = values[: running.judged]
        by_best = launch.sweep.hyperband is not None and not launch.sweep.hyperband.strict
        running.trial.report(best(so_far) if by_best else so_far[-1], running.judged)
        if running.trial.should_prune() and not is_finished:
            end(running.process, ways=(signal.SIGTERM, signal.SIGKILL))
            study.tell(running.trial, state=TrialState.PRUNED)
            return f"ended early after {running.judged} validations, best {best(so_far):.4f} ({took})"
    if status is None:
        return None
    failure = reason(status, last_lines(running.log, 100))
    if not failure and not is_finished:
        failure = "stopped before its end"  # as by --trainer.max_time, or by SIGTERM
    if not failure and not values:
        failure = f"has logged no {launch.sweep.metric}; see trainer.val_check_interval"
    if failure:
        running.trial.set_user_attr("failure", failure)
        study.tell(running.trial, state=TrialState.FAIL)
        return f"failed: {failure} ({running.log})"
    study.tell(running.trial, best(values))
    return f"{launch.sweep.metric} {best(values):.4f} ({took})"


def _conclude(launch: Launch, study: Study) -> dict[int, FrozenTrial]:
    """Show all trials, also of those that were run before, write the page, and return those that have failed."""
    members = _members(study)
    console.print(_table(launch, members))
    failed = {number: trial for number, trial in members.items() if trial.state.name == "FAIL"}
    complete = {number: trial for number, trial in members.items() if trial.state.name == "COMPLETE"}
    if complete:
        best = max(complete, key=lambda number: _rank(launch, complete[number]))
        folder = launch.folder(best, complete[best].params)
        if page := _page(launch, study):
            console.print(f"{page} shows the trials as lines over their parameters.", soft_wrap=True)
        console.print(
            f"Best: {folder.name}. To test it: {PROGRAM} test --config {folder}/config.yaml --run_dir {folder} "
            f"--ckpt_path best",
            soft_wrap=True,
        )
    pruned = sum(trial.state.name == "PRUNED" for trial in members.values())
    console.print(
        f"{len(complete)} of {launch.trials} trials are complete and {pruned} were ended early, in {launch.out}.",
        soft_wrap=True,
    )
    if failed:
        console.print(f"{len(failed)} failed; the same command again tries them once more:")
        for number, trial in failed.items():
            why = trial.user_attrs.get("failure", "unknown")
            console.print(f"  {launch.folder(number, trial.params)}: {why}", soft_wrap=True)
    return failed


def _best(launch: Launch, trial: FrozenTrial) -> float | None:
    """Return the best value of a trial, also of one that was ended early."""
    if trial.state.name == "COMPLETE":
        return trial.value
    return (max if launch.sweep.is_maximized else min)(trial.intermediate_values.values(), default=None)


def _rank(launch: Launch, trial: FrozenTrial) -> tuple[bool, float]:
    """Return what trials are sorted by, the best largest."""
    value = _best(launch, trial)
    return value is not None, (value or 0.0) * (1 if launch.sweep.is_maximized else -1)


def _table(launch: Launch, members: dict[int, FrozenTrial]) -> Table:
    sweep = launch.sweep
    names = sweep.short_names
    table = Table(title=f"{sweep.file.stem}: {len(members)} trials")
    table.add_column("trial")
    table.add_column(sweep.metric, justify="right")
    table.add_column("validations", justify="right")
    for short in names.values():
        table.add_column(short, justify="right")
    table.add_column("")
    state = {"COMPLETE": "", "PRUNED": "ended early", "FAIL": "failed", "RUNNING": "at work", "WAITING": "to come"}
    for number, trial in sorted(members.items(), key=lambda item: _rank(launch, item[1]), reverse=True):
        value, values = _best(launch, trial), sweep.values(trial.params)
        table.add_row(
            sweep.folder(number, trial.params),
            "" if value is None else f"{value:.4f}",
            str(len(trial.intermediate_values)),
            *(shown(values[name]) for name in names),
            state[trial.state.name],
        )
    return table


def _page(launch: Launch, study: Study) -> Path | None:
    """Draw all complete trials as lines over their parameters, in a page that needs no network."""
    import optuna

    names = list(launch.sweep.searched)
    if not names:
        return None
    figure = optuna.visualization.plot_parallel_coordinate(study, params=names, target_name=launch.sweep.metric)
    figure.update_layout(title=launch.sweep.file.stem)
    page = launch.out / "parallel_coordinates.html"
    with folder_lock(launch.out, wait=True), atomic_write(page) as file:  # commands that share a folder end together
        figure.write_html(file, include_plotlyjs=True, full_html=True)
    return page
