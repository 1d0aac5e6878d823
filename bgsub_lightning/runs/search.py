"""A sweep file as a search: its trials as runs, and what is checked before any of them starts."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from typing_extensions import TypedDict  # which pydantic wants before Python 3.12

from bgsub_lightning.core.config import merged_config
from bgsub_lightning.core.console import console, warn
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.core.records import parse_yaml
from bgsub_lightning.core.text import suggestion
from bgsub_lightning.runs.arguments import parse_trainer
from bgsub_lightning.runs.engine import (
    RunPlan,
    refuse_ours,
)
from bgsub_lightning.runs.grid import Run
from bgsub_lightning.runs.space import Choice, Point, choice_of
from bgsub_lightning.runs.sweepfile import Sweep, read_sweep

_CORNERS = 8
"""How many points of a sweep are parsed before anything is run, at most: each takes half a second."""


@dataclass(frozen=True)
class SweepOptions:
    """Options of ``sweep``, as its help has them."""

    file: Path
    trials: int | None = None
    workers: int = 1
    out: Path | None = None
    dry_run: bool = False
    passthrough: tuple[str, ...] = ()


class SweepRecord(TypedDict):
    """``sweep.json``: what must be the same when a sweep is continued, which is all but the number of trials.

    Attributes:
        version: Of the form of the file.
        configuration: Experiment → its content.
        options: Options of all trials, each as ``--key=value``.
        method: How points are chosen.
        metric: What trials are compared by, and whether more of it is better.
        parameters: Option → its values, in words.
        early_terminate: When trials are pruned; ``None``: never.
    """

    version: Literal[2]
    configuration: dict[str, Any]
    options: list[str]
    method: str
    metric: list[str | bool]
    parameters: dict[str, str]
    early_terminate: dict[str, Any] | None


@dataclass(frozen=True)
class Search(RunPlan):
    """The trials of a sweep.

    Attributes:
        sweep: The sweep.
        trials: How many there are to be.
    """

    sweep: Sweep
    trials: int

    def options(self, run: Run) -> tuple[str, ...]:
        """Return the options of a trial; those of the command line are not searched."""
        return (*run.options, *self.passthrough)

    @property
    def record(self) -> SweepRecord:
        """The content of ``sweep.json``."""
        experiments = [Path(option.partition("=")[2]) for option in self.base if _is_config(option)]
        return {
            "version": 2,
            "configuration": {str(file): merged_config(file) for file in experiments},
            "options": [option for option in (*self.base, *self.passthrough) if not _is_config(option)],
            "method": self.sweep.method,
            "metric": [self.sweep.metric, self.sweep.is_maximized],
            "parameters": {name: str(each) for name, each in self.sweep.parameters.items()},
            "early_terminate": self.sweep.hyperband.model_dump() if self.sweep.hyperband else None,
        }

    def first(self, number: int) -> Point | None:
        """Return the point of a trial that does not depend on others; ``None`` if it does."""
        if self.sweep.method == "grid":
            return self.sweep.grid[number]
        return self.sweep.drawn(number) if self.sweep.method == "random" or number == 0 else None

    def run(self, number: int, point: Point) -> Run:
        """Return a trial as a run."""
        sweep = self.sweep
        return Run(sweep.folder(number, point), sweep.label(point), tuple(sweep.options_of(point)))

    def best(self, values: Iterable[float]) -> float:
        """Return the best of some values of the metric; NaN of none."""
        return (max if self.sweep.is_maximized else min)(values, default=math.nan)


def _is_config(option: str) -> bool:
    return option.startswith("--config=")


# --- planning --------------------------------------------------------------------------------------------------------


def plan_search(options: SweepOptions) -> Search:
    """Read a sweep, and check what can be checked before anything is run.

    Raises:
        UserError: If the file or the options do not fit.
    """
    sweep = read_sweep(options.file)
    refuse_ours(options.passthrough, "trial", "name the experiment in the command of the sweep file.")
    for option in options.passthrough:
        if (key := option.partition("=")[0]).removeprefix("--") in sweep.searched:
            raise UserError(
                f"{key}: must not be a parameter that {sweep.file} searches; got {option!r}. Leave it out, or give the "
                f"parameter one `value` in the file."
            )
    sweep, passthrough = _overridden(sweep, options.passthrough)
    limits = [each for each in (options.trials or sweep.run_cap,) if each]
    if sweep.method == "grid":
        limits.append(len(sweep.grid))
    if not limits:
        raise UserError(f"{sweep.file}: sets no number of trials. Add `run_cap` to the file, or --trials N.")
    out = options.out or Path("runs") / sweep.file.stem
    search = Search(out, sweep.options, passthrough, ("fit",), sweep, min(limits))
    folders = Counter(
        sweep.folder(number, point) for number, point in enumerate(sweep.grid if sweep.method == "grid" else ())
    )
    if shared := [folder for folder, count in folders.items() if count > 1]:
        raise UserError(f"{sweep.file}: parameters: two values would share the directory {shared[0]}. Change one.")
    _require_known(search)
    for corner in sweep.corners(_CORNERS):
        parse_trainer("fit", search.call(search.run(0, corner), "fit")[1:])
    return search


def _overridden(sweep: Sweep, options: Sequence[str]) -> tuple[Sweep, tuple[str, ...]]:
    """Put values of the command line in the place of those that a sweep fixes, so that its record has them.

    Returns:
        The sweep, and the options that are no parameters of it.
    """
    parameters, others = dict(sweep.parameters), []
    for option in options:
        key, _, text = option.partition("=")
        name = key.removeprefix("--")
        if name not in parameters:
            others.append(option)
            continue
        console.print(f"{key}: {text} instead of {sweep.file}'s value, {parameters[name]}.", soft_wrap=True)
        try:
            parameters[name] = choice_of(key, [parse_yaml(text, key)])
        except UserError:  # `fit` takes it as text, or refuses it
            parameters[name] = Choice((text,))
    return replace(sweep, parameters=parameters), tuple(others)


def _require_known(search: Search) -> None:
    """Check that `fit` has the parameters as options; its own parser gives no hint of the right names.

    Raises:
        UserError: If it has not.
    """
    sweep = search.sweep
    config = parse_trainer("fit", [*search.base, *search.passthrough]).config["fit"]
    known = list(vars(config.as_flat()))
    for name in sweep.parameters:
        above, of_class = name.rpartition(".")[0], f"{name.rpartition('.init_args.')[0]}.class_path"
        is_free = of_class in sweep.parameters or any(f"{above}.".startswith(f"{key}.") for key in known)
        if not is_free and not any(f"{key}.".startswith(f"{name}.") for key in known):
            raise UserError(f"{sweep.file}: parameters.{name}: `fit` has no such option. {suggestion(name, known)}")
    held_out = config.data.get("init_args.protocol.init_args.validation", {})
    is_searched = any(".validation." in name for name in sweep.parameters)
    if held_out.get("scenes") == held_out.get("fraction") == 0 and not is_searched:
        warn(
            f"{sweep.file}: nothing is held out for validation, so that trials are compared on "
            f"training frames. Set data.init_args.protocol.init_args.validation.fraction or .scenes."
        )


def show(search: Search) -> None:
    """Print the commands that would be run, and the space of those that are not chosen yet."""
    sweep = search.sweep
    for number in range(search.trials):
        if (point := search.first(number)) is not None:
            console.print(f"{PROGRAM} {shlex.join(search.call(search.run(number, point), 'fit'))}", soft_wrap=True)
    if sweep.method == "bayes":
        console.print(f"# {search.trials - 1} more, each chosen by those before it, from:")
        for name, each in sweep.searched.items():
            console.print(f"#   {name}: {each}", soft_wrap=True)
    if sweep.hyperband:
        first, eta = sweep.hyperband.first, sweep.hyperband.eta
        console.print(f"# After {first}, {first * eta}, {first * eta**2} … validations the best 1/{eta} continue.")
