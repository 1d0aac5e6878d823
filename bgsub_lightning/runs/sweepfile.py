"""Sweep files of Weights & Biases: what is searched, how, and the options of a trial.

The file is the one that ``wandb sweep`` takes. W&B's own check lets some errors through, on which an agent then fails;
they are found here: a search without a metric, a grid over a range of floats, an unknown macro, a command that does not
pass the parameters as a configuration.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Interval, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import fit_record, read_yaml
from bgsub_lightning.core.shipped import find_file
from bgsub_lightning.core.text import refuse_passwords, safe_name, suggestion
from bgsub_lightning.runs.grid import option_text

Point = dict[str, Any]
"""Parameter → what a study stores of its value: see :meth:`Choice.value` and :meth:`Range.value`."""

_OF_WANDB = {"apiVersion", "kind", "controller", "description", "program", "entity", "project", "name"}
"""Keys that W&B needs, and that mean nothing here."""

_MACROS = {
    *("env", "interpreter", "program", "args", "args_json", "args_json_file", "args_no_equals", "args_no_hyphens"),
    *("args_no_boolean_flags", "args_append_hydra", "args_override_hydra"),
}
_PROGRAMS = [
    [*env, *program, "fit"]
    for env in (["${env}"], [])
    for program in (
        ["python", "-m", "bgsub_lightning"],
        ["${interpreter}", "-m", "bgsub_lightning"],
        ["${interpreter}", "${program}"],
    )
]

_UNBOUNDED = ("normal", "q_normal", "log_normal", "q_log_normal", "beta", "q_beta")

_MOST_POINTS = 10_000
"""Points of the largest grid."""

_INFINITE = 1e300
_LARGEST_EXPONENT = 700


# --- the search space ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """One of several values.

    Attributes:
        values: The values, of any type.
        probabilities: Of each; empty: all the same.
    """

    values: tuple[Any, ...]
    probabilities: tuple[float, ...] = ()

    @cached_property
    def labels(self) -> list[Any]:
        """What a study stores for each value: itself, or JSON where it is no scalar."""
        return [each if isinstance(each, str | int | float | None) else json.dumps(each) for each in self.values]

    @property
    def size(self) -> int:
        """Number of the points of a grid."""
        return len(self.values)

    @property
    def grid(self) -> list[Any]:
        """The points of a grid."""
        return self.labels

    @property
    def corners(self) -> list[Any]:
        """The points that a parser must be tried with."""
        return self.labels

    def draw(self, uniform: float) -> Any:
        """Return the point of a number in [0, 1)."""
        weights = self.probabilities or (1.0,) * len(self.values)
        ends = np.cumsum(weights) / sum(weights)
        return self.labels[min(int(np.searchsorted(ends, uniform, side="right")), len(ends) - 1)]

    def value(self, point: Any) -> Any:
        """Return what an option is set to."""
        return self._by_label[point]

    @cached_property
    def _by_label(self) -> dict[Any, Any]:
        return dict(zip(self.labels, self.values, strict=True))

    def __str__(self) -> str:
        share = f" with probabilities {', '.join(map(str, self.probabilities))}" if self.probabilities else ""
        return f"one of {', '.join(option_text(each) for each in self.values)}{share}"


@dataclass(frozen=True)
class Range:
    """A number between two others.

    Attributes:
        low: The least.
        high: The largest.
        log: Whether its logarithm is uniform, and not itself.
        q: What values are rounded to multiples of; 0: nothing. Whole numbers where it is an int.
    """

    low: float
    high: float
    log: bool = False
    q: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether all whole numbers of the range are drawn alike, as of ``int_uniform``."""
        return isinstance(self.low, int)

    @property
    def size(self) -> int:
        """Number of the points of a grid, which are not listed for it."""
        span = self.high - self.low
        return int(span) + 1 if self.is_whole else math.ceil(span / self.q)

    @property
    def grid(self) -> list[Any]:
        """The points of a grid, those of W&B's: without the upper end where values are rounded."""
        if self.is_whole:
            return list(range(int(self.low), int(self.high) + 1))
        return [float(each) for each in np.arange(self.low, self.high, self.q)]

    @property
    def corners(self) -> list[Any]:
        """The points that a parser must be tried with."""
        return [self.low, self.high]

    def draw(self, uniform: float) -> Any:
        """Return the point of a number in [0, 1)."""
        if self.is_whole:
            return int(self.low) + int(uniform * (int(self.high) - int(self.low) + 1))
        if self.log:
            return min(self.high, max(self.low, self.low * (self.high / self.low) ** uniform))
        return self.low + uniform * (self.high - self.low)

    def value(self, point: Any) -> Any:
        """Return what an option is set to: rounded."""
        if not self.q:
            return point
        steps = round(point / self.q)
        return steps * self.q if isinstance(self.q, int) else float(f"{steps * self.q:.12g}")

    def __str__(self) -> str:
        kind = "whole number " if self.is_whole else ""
        rounded = f", rounded to multiples of {self.q:g}" if self.q else ""
        return f"{kind}from {self.low:g} to {self.high:g}{', by its logarithm' if self.log else ''}{rounded}"


# --- the schema ------------------------------------------------------------------------------------------------------


def _finite(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _INFINITE:
        raise ValueError("must be a finite number")
    return value


_Number = Annotated[Any, AfterValidator(_finite)]  # keeps whole numbers whole
_Count = Annotated[int, Interval(ge=1, le=1_000_000)]


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Distribution(_Schema):
    """The keys of all distributions."""

    value: Any = None
    values: Annotated[list[Any], MinLen(1)] = []
    probabilities: list[_Number] = []
    min: _Number = 0
    max: _Number = 0
    q: Annotated[_Number, Gt(0)] = 1


_DISTRIBUTIONS: dict[str, tuple[set[str], set[str]]] = {  # distribution → the keys it needs, and those it may have
    "constant": ({"value"}, set()),
    "categorical": ({"values"}, set()),
    "categorical_w_probabilities": ({"values", "probabilities"}, set()),
    **dict.fromkeys(("int_uniform", "uniform", "log_uniform", "log_uniform_values"), ({"min", "max"}, set())),
    **dict.fromkeys(("inv_log_uniform", "inv_log_uniform_values"), ({"min", "max"}, set())),
    **dict.fromkeys(("q_uniform", "q_log_uniform", "q_log_uniform_values"), ({"min", "max"}, {"q"})),
}


class Metric(_Schema):
    """What trials are compared by.

    Attributes:
        name: A metric that ``fit`` logs.
        goal: Whether less or more of it is better.
    """

    name: Annotated[str, StringConstraints(pattern="^(val|train)/")]
    goal: Literal["minimize", "maximize"] = "minimize"


class Hyperband(_Schema):
    """When trials are pruned: at each of some numbers of validations the best ``1/eta`` of all continue.

    W&B counts how often the metric has been logged. It decides after ``min_iter`` × ``eta`` ^ n of these, or after
    ``max_iter`` / ``eta`` ^ n for n from ``s`` to 1.

    Attributes:
        type: W&B knows no other.
        min_iter: Validations before the first decision.
        max_iter: Validations of a whole trial.
        s: How many decisions there are.
        eta: Of how many trials one continues.
        strict: Whether a trial is judged by its newest validation, or by its best.
    """

    type: Literal["hyperband"]
    min_iter: _Count | None = None
    max_iter: _Count | None = None
    s: Annotated[int, Interval(ge=1, le=64)] | None = None
    eta: Annotated[int, Interval(ge=2, le=1_000_000)] = 3
    strict: bool = True

    @model_validator(mode="after")
    def _has_first(self) -> Hyperband:
        if self.min_iter is None and None in (self.max_iter, self.s):
            raise ValueError("must have min_iter, or max_iter and s")
        return self

    @property
    def first(self) -> int:
        """Validations before the first decision; the next is after ``eta`` times as many."""
        if self.min_iter is not None:
            return self.min_iter
        return max(1, (self.max_iter or 1) // int(self.eta ** (self.s or 0)))


class _SweepFile(_Schema):
    method: Literal["grid", "random", "bayes"]
    metric: Metric
    parameters: Annotated[dict[str, Any], MinLen(1)]
    command: list[str | int | float]
    run_cap: Annotated[int, Ge(1)] | None = None
    early_terminate: Hyperband | None = None


_COMMAND_FIX = (
    'Use ["${env}", python, -m, bgsub_lightning, fit, --config, EXPERIMENT, --config, "${args_json_file}"], and then '
    "options of `fit`. W&B's other ways write None, whole numbers and switches as `fit` does not read them; tests look "
    "at frames that no choice may see; each trial has its own directory."
)

_FIXES = {
    "method": "Use grid, random or bayes.",
    "metric": "Choose by validation, such as `{name: val/f_measure, goal: maximize}`; test frames are never looked at.",
    "parameters": "List at least one, such as `data.init_args.fold: {values: [1, 2, 3]}`.",
    "command": _COMMAND_FIX,
    "early_terminate": "Give `type: hyperband` with min_iter, or with max_iter and s; eta and strict may follow.",
    "": "Correct it, or delete the key.",
}


@dataclass(frozen=True)
class Sweep:
    """What a sweep file says.

    Attributes:
        file: The file.
        method: How points are chosen.
        metric: What trials are compared by.
        is_maximized: Whether more of it is better.
        options: Options of ``fit`` that all trials have, without ``--wandb`` and ``--ckpt_path``.
        parameters: Option, without its hyphens → its values.
        run_cap: The largest number of trials; ``None``: no limit.
        hyperband: When trials are pruned; ``None``: never.
    """

    file: Path
    method: Literal["grid", "random", "bayes"]
    metric: str
    is_maximized: bool
    options: tuple[str, ...]
    parameters: dict[str, Choice | Range]
    run_cap: int | None
    hyperband: Hyperband | None

    @property
    def searched(self) -> dict[str, Choice | Range]:
        """The parameters that have more than one value."""
        return {
            name: each
            for name, each in self.parameters.items()
            if not (isinstance(each, Choice) and len(each.values) == 1)
        }

    @cached_property
    def grid(self) -> list[Point]:
        """All points of a grid, the last parameter changing fastest."""
        return [
            dict(zip(self.parameters, points, strict=True))
            for points in product(*(each.grid for each in self.parameters.values()))
        ]

    def drawn(self, number: int) -> Point:
        """Return the point that a trial draws at random: it depends on the trial's number and on no other trial."""
        uniform = np.random.default_rng(number).random(len(self.parameters)).tolist()
        return {name: each.draw(u) for (name, each), u in zip(self.parameters.items(), uniform, strict=True)}

    def corners(self, most: int | None = None) -> list[Point]:
        """Return points that hold each value of each parameter, and both ends of each range.

        Args:
            most: The largest number of points; of longer lists the first ones and the last are taken.
        """
        ends = {name: each.corners for name, each in self.parameters.items()}
        count = max(map(len, ends.values()))
        rows = range(count) if most is None or count <= most else [*range(most - 1), count - 1]
        return [{name: each[min(row, len(each) - 1)] for name, each in ends.items()} for row in rows]

    def values(self, point: Point) -> dict[str, Any]:
        """Return what the options of a point are set to."""
        return {name: each.value(point[name]) for name, each in self.parameters.items()}

    def options_of(self, point: Point) -> list[str]:
        """Return the options of a point, each as ``--key=value``."""
        return [f"--{name}={option_text(value)}" for name, value in self.values(point).items()]

    def label(self, point: Point) -> str:
        """Name a point by what is searched, such as ``lr 0.001, beta off``."""
        values = self.values(point)
        return ", ".join(f"{short} {shown(values[name])}" for name, short in self.short_names.items())

    @property
    def short_names(self) -> dict[str, str]:
        """Searched parameter → the shortest end of it that no other has."""
        names = list(self.searched) or list(self.parameters)
        found = {}
        for name in names:
            parts = name.split(".")
            ends = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
            found[name] = next(
                end for end in ends if sum(f".{other}".endswith(f".{end}") for other in names) == 1 or end == name
            )
        return found

    def folder(self, number: int, point: Point) -> str:
        """Name a trial's directory: by its values in a grid, by its number in a search."""
        if self.method != "grid":
            return f"trial_{number:03}"
        values = self.values(point)
        return safe_name("_".join(f"{short}_{shown(values[name])}" for name, short in self.short_names.items()))


def shown(value: Any) -> str:
    """Write a value for people."""
    return f"{value:.4g}" if isinstance(value, float) else option_text(value)


# --- reading ---------------------------------------------------------------------------------------------------------


def read_sweep(file: Path) -> Sweep:
    """Read a sweep file.

    Args:
        file: The file, or the name of a sweep that ships.

    Raises:
        UserError: If it is none, or says something that cannot be run.
    """
    file = find_file(file, "sweeps")
    content = read_yaml(file)
    refuse_passwords(str(content), str(file), "sweep.json")
    if not isinstance(content, dict) or "method" not in content:
        raise UserError(
            f"{file}: is no sweep file, which has the keys method, metric, parameters and command. Examples are in "
            f"sweeps/; an experiment is run by `fit` or `campaign`."
        )
    known = {*_SweepFile.model_fields, *_OF_WANDB}
    if unknown := sorted(map(str, content.keys() - known)):
        raise UserError(f"{file}: {unknown[0]}: is unknown. {suggestion(unknown[0], sorted(known))}")
    read = fit_record(
        {key: value for key, value in content.items() if key not in _OF_WANDB}, _SweepFile, str(file), _FIXES
    )
    parameters = dict(_parameters(file, read.parameters))
    for name, each in parameters.items():
        if read.method == "grid" and isinstance(each, Range) and not (each.is_whole or (each.q and not each.log)):
            raise UserError(
                f"{file}: parameters.{name}: a grid has no end over a range of floats. List `values`, or search by "
                f"`method: random` or `bayes`."
            )
        if read.method != "random" and isinstance(each, Choice) and each.probabilities:
            raise UserError(
                f"{file}: parameters.{name}: probabilities need `method: random`; got {read.method}. Leave them out."
            )
    if read.method == "grid" and (count := math.prod(each.size for each in parameters.values())) > _MOST_POINTS:
        raise UserError(
            f"{file}: parameters: a grid must have at most {_MOST_POINTS:,} points; got {count:,}. "
            f"Use `method: random` or `bayes`."
        )
    options = _options(file, [str(word) for word in read.command])
    if twice := {option.partition("=")[0].removeprefix("--") for option in options} & parameters.keys():
        raise UserError(f"{file}: command: sets {', '.join(sorted(twice))}, which is a parameter too. Remove one.")
    return Sweep(
        file=file,
        method=read.method,
        metric=read.metric.name,
        is_maximized=read.metric.goal == "maximize",
        options=options,
        parameters=parameters,
        run_cap=read.run_cap,
        hyperband=read.early_terminate,
    )


def _options(file: Path, words: list[str]) -> tuple[str, ...]:
    """Return the options of ``fit`` that the command of a sweep file holds."""
    for word in words:
        name = word[2:-1] if word.startswith("${") and word.endswith("}") else None
        if name is not None and name not in _MACROS and not name.startswith("envvar:"):
            raise UserError(f"{file}: command: {word} is no macro of W&B. {suggestion(name, sorted(_MACROS))}")
    program = next((each for each in _PROGRAMS if words[: len(each)] == each), None)
    rest, options = iter(words[len(program or ()) :]), []
    for word in rest:
        value = next(rest, "") if word.startswith("--") and "=" not in word else None
        options.append(word if value is None else f"{word}={value}")
    files = [option for option in options if option.startswith("--config=")]
    others = options[len(files) :]
    if not program or options[: len(files)] != files or files[1:][-1:] != ["--config=${args_json_file}"]:
        raise UserError(f"{file}: command: is no `fit` with the parameters; got {shlex.join(words)}. {_COMMAND_FIX}")
    for option in others:
        if not re.match("--(?!run_dir=|name=)", option) or "${" in option.replace("${envvar:", ""):
            raise UserError(f"{file}: command: {option}: must not be there. {_COMMAND_FIX}")
    return (*files[:-1], *(each for each in others if not each.startswith(("--wandb=", "--ckpt_path="))))


def _parameters(file: Path, content: Any, above: str = "") -> Iterator[tuple[str, Choice | Range]]:
    """Return the parameters under their full names."""
    if not isinstance(content, dict) or not content:
        raise UserError(
            f"{file}: parameters.{above[:-1]}: must hold a parameter; got {content!r}. {_FIXES['parameters']}"
        )
    for key, value in content.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and value.keys() == {"parameters"}:
            yield from _parameters(file, value["parameters"], f"{name}.")
        else:
            yield name, _distribution(f"{file}: parameters.{name}", value)


def _distribution(where: str, content: Any) -> Choice | Range:
    if not isinstance(content, dict) or not content:
        raise UserError(
            f"{where}: must hold values; got {content!r}. Example: `values: [1, 2]` or `{{min: 0.0, max: 1.0}}`."
        )
    kind = content.get("distribution", _usual(content))
    if kind in _UNBOUNDED:
        raise UserError(f"{where}: {kind}: has no bounds, and Optuna searches bounded ranges. Use uniform, or values.")
    if not isinstance(kind, str) or kind not in _DISTRIBUTIONS:
        raise UserError(
            f"{where}: distribution: is unknown; got {kind!r}. {suggestion(str(kind), sorted(_DISTRIBUTIONS))}"
        )
    needed, optional = _DISTRIBUTIONS[kind]
    keys = content.keys() - {"distribution"}
    if wrong := sorted(map(str, keys - needed - optional)) or sorted(needed - keys):
        problem = "is missing" if wrong[0] in needed else "is unknown"
        raise UserError(f"{where}: {wrong[0]}: {problem}. {kind} has {' and '.join(sorted(needed | optional))}.")
    fix = "Write a number, such as 1.0e-4: YAML reads 1e-4 as text." if "min" in needed else "Write a list."
    read = fit_record({key: content[key] for key in keys}, _Distribution, where, fix)
    if "min" in needed:
        return _range(where, kind, read)
    return choice_of(where, [read.value] if kind == "constant" else read.values, read.probabilities)


def _usual(content: Mapping[str, Any]) -> str:
    """Return the distribution that W&B takes where none is named."""
    if "value" in content:
        return "constant"
    if "values" in content:
        return "categorical_w_probabilities" if "probabilities" in content else "categorical"
    are_whole = all(isinstance(each, int) and not isinstance(each, bool) for each in map(content.get, ("min", "max")))
    return "int_uniform" if are_whole else "uniform"


def choice_of(where: str, values: Sequence[Any], probabilities: Sequence[float] = ()) -> Choice:
    """Check the values of a parameter.

    Args:
        where: Its key, for messages.
        values: The values.
        probabilities: One for each; empty: all the same.

    Raises:
        UserError: If they make no choice, or JSON, which a sweep is recorded in, has no such type.
    """
    try:
        json.dumps(values)
    except TypeError as error:
        raise UserError(
            f"{where}: must hold numbers, text, lists and mappings; got {values}. Put a date in quotes."
        ) from error
    choice = Choice(tuple(values), tuple(probabilities))
    if twice := [label for label, count in Counter(choice.labels).items() if count > 1]:
        raise UserError(f"{where}: values: each must differ; got {twice[0]!r} twice. Remove one.")
    if probabilities and (len(probabilities) != len(values) or not sum(probabilities) > 0 or min(probabilities) < 0):
        raise UserError(
            f"{where}: probabilities: must be {len(values)} numbers from 0, one a value; got {list(probabilities)}."
        )
    return choice


def _range(where: str, kind: str, read: _Distribution) -> Range:
    low, high, q = read.min, read.max, read.q if kind.startswith("q_") else 0
    if kind == "int_uniform":
        if float in (type(low), type(high)):
            raise UserError(
                f"{where}: min, max: must be whole numbers; got {low} and {high}. Round them, or use uniform."
            )
        if low > high:
            raise UserError(f"{where}: min: must not be above max; got {low} and {high}. Swap them.")
        return Range(low, high)
    log = "log" in kind
    if log and not kind.endswith("_values"):
        low, high = (-high, -low) if kind.startswith("inv") else (low, high)
        if high > _LARGEST_EXPONENT:
            raise UserError(f"{where}: max: is an exponent of e, and must be at most {_LARGEST_EXPONENT}; got {high}.")
        low, high = math.exp(low), math.exp(high)
    if not low < high:
        raise UserError(f"{where}: min: must be below max; got {read.min} and {read.max}. Swap them, or use `value`.")
    if log and low <= 0:
        raise UserError(f"{where}: min: must be above 0 for a logarithm; got {low}. Raise it, or use uniform.")
    return Range(float(low), float(high), log, q)
