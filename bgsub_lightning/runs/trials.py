"""The trials of a sweep: a study of Optuna chooses them, prunes them while they train, and keeps what they found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, folder_lock
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.core.records import read_json
from bgsub_lightning.report.learning import learning_curves
from bgsub_lightning.runs.engine import ActiveRun, Queue, print_failures, require_same, save_record
from bgsub_lightning.runs.grid import Run
from bgsub_lightning.runs.processes import terminate
from bgsub_lightning.runs.search import Search, SweepRecord
from bgsub_lightning.runs.space import Choice, Range
from bgsub_lightning.runs.sweepfile import Sweep, shown

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

_NUMBER = "number"
"""Under this a study keeps a trial's number in the sweep; one that is tried again is another trial of the study."""


def open_study(search: Search) -> Study:
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
    sweep, record, database = search.sweep, search.out / "sweep.json", search.out / "study.db"
    try:
        with folder_lock(search.out, wait=True):
            try:
                require_same(search.out, read_json(record, SweepRecord, "Name another --out FOLDER."), search.record)
            except FileNotFoundError:
                save_record(record, search.record)
            return optuna.create_study(
                storage=f"sqlite:///{database.absolute()}",
                study_name=sweep.file.stem,
                direction="maximize" if sweep.is_maximized else "minimize",
                load_if_exists=True,
                pruner=optuna.pruners.SuccessiveHalvingPruner(sweep.hyperband.first, sweep.hyperband.eta, 0)
                if sweep.hyperband
                else optuna.pruners.NopPruner(),
            )
    except (optuna.exceptions.OptunaError, SQLAlchemyError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{database}: is no database of Optuna, or a damaged one ({reason}). Delete it, or name another --out."
        ) from error


class TrialQueue(Queue):
    """The trials of a study.

    First come those that a killed command has left behind, then those that have failed before this command, then new
    ones. Commands that share a folder choose one after the other, so that no trial is begun twice.

    Args:
        search: The sweep.
        study: Its study.
    """

    is_logged = True

    def __init__(self, search: Search, study: Study) -> None:
        self.plan: Search = search
        self.study = study
        self._trials: dict[Run, Trial] = {}
        self._judged: dict[Run, int] = {}
        self._again = {number: trial.number for number, trial in self.trials.items() if trial.state.name == "FAIL"}

    @property
    def trials(self) -> dict[int, FrozenTrial]:
        """The newest trial of each number of the sweep."""
        return {trial.user_attrs[_NUMBER]: trial for trial in self.study.get_trials(deepcopy=False)}

    def next(self) -> ActiveRun | None:  # noqa: D102
        from optuna.samplers import TPESampler

        with folder_lock(self.plan.out, wait=True):
            trials = self.trials
            for number, trial in trials.items():
                if trial.state.name == "RUNNING" and (active := self._claim(number, trial)):
                    return active
            if not any(trial.state.name == "WAITING" for trial in trials.values()):
                failed = [number for number, which in self._again.items() if trials[number].number == which]
                if failed:
                    number = failed[0]
                    self._again.pop(number)
                    self.study.enqueue_trial(trials[number].params, user_attrs={_NUMBER: number})
                elif len(trials) < self.plan.trials:
                    number = len(trials)
                    self.study.enqueue_trial(self.plan.first(number) or {}, user_attrs={_NUMBER: number})
                else:
                    return None
            # by its number: one seed for all would draw the same after each start
            self.study.sampler = TPESampler(seed=len(trials))
            asked = self.study.ask(_distributions(self.plan.sweep))
            trial = self.study.get_trials(deepcopy=False)[asked.number]
            return self._claim(trial.user_attrs[_NUMBER], trial)

    def _claim(self, number: int, frozen: FrozenTrial) -> ActiveRun | None:
        from bgsub_lightning.core.compat.optuna import continued  # here, because Optuna is an extra

        run = self.plan.run(number, frozen.params)
        if active := self.claim(run):
            self._trials[run] = continued(self.study, frozen)
            self._judged[run] = len(frozen.intermediate_values)
        return active

    def is_over(self) -> bool:
        """Whether no trial is left, also none that another command works on and may leave behind."""
        self._again = {}
        return all(trial.state.is_finished() for trial in self.trials.values())

    def announce(self, active: ActiveRun, command: str) -> None:  # noqa: D102
        how = "resumed" if self.plan.is_begun(active.run) else "started"
        console.print(f"{active.run.name} of {self.plan.trials} · {active.run.label}: {how}", soft_wrap=True)

    def look(self, active: ActiveRun) -> bool:
        """Report what a trial has logged, and prune it if it is unpromising."""
        from optuna.trial import TrialState

        trial, band = self._trials[active.run], self.plan.sweep.hyperband
        values = values_of(active.folder, self.plan.sweep.metric)
        is_finished = not self.plan.remaining(active.run)
        for count in range(self._judged[active.run] + 1, len(values) + 1):
            self._judged[active.run] = count
            best = self.plan.best(values[:count])
            trial.report(best if band is not None and not band.strict else values[count - 1], count)
            if trial.should_prune() and not is_finished:
                if active.process:
                    terminate([active.process.popen])
                self.study.tell(trial, state=TrialState.PRUNED)
                text = f"{active.run.name}: pruned after {count} validations, best {best:.4f} ({active.took})"
                console.print(text, soft_wrap=True)
                return True
        return False

    def finish(self, active: ActiveRun, failure: str | None) -> None:  # noqa: D102
        from optuna.trial import TrialState

        trial, metric = self._trials[active.run], self.plan.sweep.metric
        best = self.plan.best(values_of(active.folder, metric))
        if not failure and math.isnan(best):
            failure = f"has logged no {metric}; see trainer.val_check_interval"
        if failure:
            trial.set_user_attr("failure", failure)
            self.study.tell(trial, state=TrialState.FAIL)
            console.print(f"{active.run.name}: failed: {failure} ({active.log})", soft_wrap=True)
        else:
            self.study.tell(trial, best)
            console.print(f"{active.run.name}: {metric} {best:.4f} ({active.took})", soft_wrap=True)


def values_of(folder: Path, metric: str) -> list[float]:
    """Read what a run has logged of a metric.

    Args:
        folder: The run directory.
        metric: Its name.

    Raises:
        UserError: If a log cannot be read.
    """
    return [value for _, value in learning_curves(folder).get(metric, []) if not math.isnan(value)]


def _distributions(sweep: Sweep) -> dict[str, BaseDistribution]:
    """Return Optuna's form of the parameters."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def of(each: Choice | Range) -> BaseDistribution:
        if isinstance(each, Choice):
            return CategoricalDistribution(each.labels)
        if each.is_whole:
            return IntDistribution(int(each.low), int(each.high))
        return FloatDistribution(each.low, each.high, log=each.log)

    return {name: of(each) for name, each in sweep.parameters.items()}


# --- results ---------------------------------------------------------------------------------------------------------


def conclude(queue: TrialQueue) -> bool:
    """Print all trials, also those of earlier starts, write the page, and return whether some have failed."""
    search, trials = queue.plan, queue.trials
    console.print(_table(search, trials))
    of_state = {
        state: {number: trial for number, trial in trials.items() if trial.state.name == state}
        for state in ("COMPLETE", "PRUNED", "FAIL")
    }
    complete, failed = of_state["COMPLETE"], of_state["FAIL"]
    if complete:
        best = max(complete, key=lambda number: _rank(search, complete[number]))
        folder = search.folder(search.run(best, complete[best].params))
        if page := _page(search, queue.study):
            console.print(f"{page} shows the trials as lines over their parameters.", soft_wrap=True)
        test = f"{PROGRAM} test --config {folder}/config.yaml --run_dir {folder} --ckpt_path best"
        console.print(f"Best: {folder.name}. To test it: {test}", soft_wrap=True)
    console.print(
        f"{len(complete)} of {search.trials} trials are complete and {len(of_state['PRUNED'])} were pruned, "
        f"in {search.out}.",
        soft_wrap=True,
    )
    print_failures(
        {
            str(search.folder(search.run(number, trial.params))): trial.user_attrs.get("failure", "unknown")
            for number, trial in failed.items()
        }
    )
    return bool(failed)


def _best(search: Search, trial: FrozenTrial) -> float:
    """Return the best value of a trial, also of one that was pruned; NaN if there is none."""
    return trial.values[0] if trial.state.name == "COMPLETE" else search.best(trial.intermediate_values.values())


def _rank(search: Search, trial: FrozenTrial) -> tuple[bool, float]:
    """Return what trials are sorted by, the best largest."""
    value = _best(search, trial)
    is_there = not math.isnan(value)
    return is_there, (value if is_there else 0.0) * (1 if search.sweep.is_maximized else -1)


def _table(search: Search, trials: dict[int, FrozenTrial]) -> Table:
    sweep = search.sweep
    names = sweep.short_names
    table = Table(title=f"{sweep.file.stem}: {len(trials)} trials")
    table.add_column("trial")
    for column in (sweep.metric, "validations", *names.values()):
        table.add_column(column, justify="right")
    table.add_column("")
    states = {"COMPLETE": "", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
    for number, trial in sorted(trials.items(), key=lambda item: _rank(search, item[1]), reverse=True):
        value, values = _best(search, trial), sweep.values(trial.params)
        table.add_row(
            sweep.folder(number, trial.params),
            "" if math.isnan(value) else f"{value:.4f}",
            str(len(trial.intermediate_values)),
            *(shown(values[name]) for name in names),
            states[trial.state.name],
        )
    return table


def _page(search: Search, study: Study) -> Path | None:
    """Draw all complete trials as lines over their parameters, in a page that needs no network."""
    import optuna

    names = list(search.sweep.searched)
    if not names:
        return None
    figure = optuna.visualization.plot_parallel_coordinate(study, params=names, target_name=search.sweep.metric)
    figure.update_layout(title=search.sweep.file.stem)
    page = search.out / "parallel_coordinates.html"
    with folder_lock(search.out, wait=True), atomic_write(page) as file:  # commands that share a folder end together
        figure.write_html(file, include_plotlyjs=True, full_html=True)
    return page
