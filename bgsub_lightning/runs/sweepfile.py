"""Sweep files of Weights & Biases: what is searched, how, and what a trial's options are.

The file is the one that ``wandb sweep`` takes. What W&B's own check lets through, and an agent then fails on, is an
error here: a search without a metric, a grid over a range of floats, a macro that does not exist, a command that does
not hand the parameters on as a configuration.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import read_yaml
from bgsub_lightning.core.shipped import find_file
from bgsub_lightning.core.text import refuse_passwords, safe_name, suggestion
from bgsub_lightning.runs.grid import option_text

TEMPLATE = (
    "${env}",
    "python",
    "-m",
    "bgsub_lightning",
    "fit",
    "--config",
    "EXPERIMENT",
    "--config",
    "${args_json_file}",
)
"""The command of a sweep file: the parameters come as a second configuration, laid over the experiment."""

Method = Literal["grid", "random", "bayes"]
Point = dict[str, Any]
"""Parameter → what a study stores of its value: see :meth:`Choice.value` and :meth:`Range.value`."""

_KEYS = {
    *("apiVersion", "kind", "controller", "description", "program", "entity", "project", "name"),
    *("method", "command", "run_cap", "metric", "early_terminate", "parameters"),
}
_ELSEWHERE = {"job", "image_uri", "scheduler", "metrics"}
_MACROS = {
    *("env", "interpreter", "program", "args", "args_json", "args_json_file", "args_no_equals", "args_no_hyphens"),
    *("args_no_boolean_flags", "args_append_hydra", "args_override_hydra"),
}
_STARTS = (
    ["python", "-m", "bgsub_lightning"],
    ["${interpreter}", "-m", "bgsub_lightning"],
    ["${interpreter}", "${program}"],
)

_RANGES = {"min", "max"}
_DISTRIBUTIONS: dict[str, tuple[set[str], set[str]]] = {  # distribution → the keys it needs, and those it may have
    "constant": ({"value"}, set()),
    "categorical": ({"values"}, set()),
    "categorical_w_probabilities": ({"values", "probabilities"}, set()),
    "int_uniform": (_RANGES, set()),
    "uniform": (_RANGES, set()),
    "q_uniform": (_RANGES, {"q"}),
    "log_uniform": (_RANGES, set()),
    "log_uniform_values": (_RANGES, set()),
    "inv_log_uniform": (_RANGES, set()),
    "inv_log_uniform_values": (_RANGES, set()),
    "q_log_uniform": (_RANGES, {"q"}),
    "q_log_uniform_values": (_RANGES, {"q"}),
}
_UNBOUNDED = ("normal", "q_normal", "log_normal", "q_log_normal", "beta", "q_beta")


_MOST_POINTS = 10_000
"""Points of the largest grid."""

_INFINITE = 1e300
_LARGEST_EXPONENT = 700


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


@dataclass(frozen=True)
class Hyperband:
    """When trials are ended early: at each of some numbers of validations the best ``1/eta`` of all go on.

    Attributes:
        first: Validations before the first such decision; the next is after ``eta`` times as many.
        eta: Of how many trials one goes on.
        strict: Whether a trial is judged by its newest validation, or by its best.
    """

    first: int
    eta: int
    strict: bool


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
        hyperband: When trials are ended early; ``None``: never.
    """

    file: Path
    method: Method
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


def read_sweep(file: Path) -> Sweep:
    """Read a sweep file.

    Args:
        file: The file, or the name of a sweep that ships.

    Raises:
        UserError: If it is none, or says something that cannot be run.
    """
    file = find_file(file, "sweeps")
    content = _content(file)
    if unknown := sorted(map(str, content.keys() - _KEYS - _ELSEWHERE)):
        raise UserError(f"{file}: {unknown[0]}: is no key of a sweep file. {suggestion(unknown[0], sorted(_KEYS))}")
    if elsewhere := sorted(content.keys() & _ELSEWHERE):
        raise UserError(f"{file}: {elsewhere[0]}: is for W&B's own machinery, and means nothing here. Delete it.")
    method = content.get("method")
    if method not in ("grid", "random", "bayes"):
        raise UserError(f"{file}: method: must be grid, random or bayes, got {method!r}.")
    metric, goal = _metric(file, content.get("metric"))
    parameters = dict(_parameters(file, content.get("parameters")))
    for name, each in parameters.items():
        if method == "grid" and isinstance(each, Range) and not (each.is_whole or (each.q and not each.log)):
            raise UserError(
                f"{file}: parameters.{name}: a grid has no end over a range of floats. List `values`, or search by "
                f"`method: random` or `bayes`."
            )
        if method != "random" and isinstance(each, Choice) and each.probabilities:
            raise UserError(f"{file}: parameters.{name}: probabilities are for `method: random` alone.")
    if method == "grid" and (count := math.prod(each.size for each in parameters.values())) > _MOST_POINTS:
        raise UserError(
            f"{file}: parameters: a grid must have at most {_MOST_POINTS:,} points; got {count:,}. "
            f"Use `method: random` or `bayes`."
        )
    run_cap = content.get("run_cap")
    if run_cap is not None and not (_is_whole(run_cap) and run_cap > 0):
        raise UserError(f"{file}: run_cap: must be a whole number from 1, got {run_cap!r}.")
    sweep = Sweep(
        file=file,
        method=method,
        metric=metric,
        is_maximized=goal == "maximize",
        options=_options(file, content.get("command")),
        parameters=parameters,
        run_cap=run_cap,
        hyperband=_hyperband(file, content.get("early_terminate")),
    )
    if told := {option.partition("=")[0].removeprefix("--") for option in sweep.options} & parameters.keys():
        raise UserError(f"{file}: command: tells {', '.join(sorted(told))}, which is among the parameters.")
    return sweep


def _content(file: Path) -> dict[str, Any]:
    content = read_yaml(file)
    refuse_passwords(str(content), str(file), "sweep.json")
    if not isinstance(content, dict) or "method" not in content:
        raise UserError(
            f"{file}: is no sweep file, which has the keys method, metric, parameters and command. Examples are in "
            f"sweeps/; an experiment is run by `fit` or `campaign`."
        )
    return content


def _metric(file: Path, given: Any) -> tuple[str, str]:
    if not isinstance(given, dict) or "name" not in given:
        raise UserError(
            f"{file}: metric: tell what trials are compared by, such as "
            f"`metric: {{name: val/f_measure, goal: maximize}}`."
        )
    goal = given.get("goal", "minimize")
    if goal not in ("minimize", "maximize") or given.keys() - {"name", "goal"}:
        raise UserError(f"{file}: metric: must hold a name, and the goal minimize or maximize; got {given}.")
    if not str(given["name"]).startswith(("val/", "train/")):
        raise UserError(
            f"{file}: metric.name: {given['name']!r} is nothing that `fit` logs. Choose by validation, such as "
            f"val/f_measure; test frames are never looked at."
        )
    return str(given["name"]), str(goal)


def _options(file: Path, given: Any) -> tuple[str, ...]:
    """Return the options of ``fit`` that the command of a sweep file holds."""
    example = f"It must be, word by word: [{', '.join(TEMPLATE)}], and options of `fit` after that."
    if not isinstance(given, list) or not all(isinstance(word, str | int | float) for word in given):
        raise UserError(f"{file}: command: must be a list of words. {example}")
    words = [str(word) for word in given]
    for word in words:
        name = word[2:-1] if word.startswith("${") and word.endswith("}") else None
        if name is not None and name not in _MACROS and not name.startswith("envvar:"):
            raise UserError(f"{file}: command: {word} is no macro of W&B. {suggestion(name, sorted(_MACROS))}")
    if words[:1] == ["${env}"]:
        words = words[1:]
    if words[:3] not in _STARTS and words[:2] not in _STARTS:
        raise UserError(f"{file}: command: does not run bgsub_lightning. {example}")
    words = words[3 if words[:3] in _STARTS else 2 :]
    if words[:1] != ["fit"]:
        raise UserError(f"{file}: command: a trial is a `fit`; tests look at frames that no choice may see. {example}")
    rest, options = iter(words[1:]), []
    for word in rest:
        value = next(rest, "") if word.startswith("--") and "=" not in word else None
        options.append(word if value is None else f"{word}={value}")
    configurations = [option for option in options if option.startswith("--config=")]
    others = [option for option in options if option not in configurations]
    wrong = [option for option in others if "${" in option.replace("${envvar:", "") or not option.startswith("--")]
    if len(configurations) < 2 or configurations[-1] != "--config=${args_json_file}" or wrong:
        raise UserError(
            f"{file}: command: the parameters must come as the last configuration, because W&B's other ways write "
            f"None, whole numbers and switches as `fit` does not read them. {example}"
        )
    if options[: len(configurations)] != configurations:
        raise UserError(f"{file}: command: `fit` takes its --config before all other options. {example}")
    for option in others:
        if option.partition("=")[0] in {"--run_dir", "--name"}:
            raise UserError(f"{file}: command: {option}: each trial has a run directory of its own.")
    kept = [option for option in others if option.partition("=")[0] not in {"--wandb", "--ckpt_path"}]
    return (*configurations[:-1], *kept)


def _parameters(file: Path, given: Any, above: str = "") -> Iterator[tuple[str, Choice | Range]]:
    """Return the parameters under their full names."""
    if not isinstance(given, dict) or not given:
        raise UserError(f"{file}: parameters{'.' * bool(above)}{above[:-1]}: must hold a parameter at least.")
    for key, value in given.items():
        name = f"{above}{key}"
        if isinstance(value, dict) and value.keys() == {"parameters"}:
            yield from _parameters(file, value["parameters"], f"{name}.")
        else:
            yield name, _distribution(f"{file}: parameters.{name}", value)


def _distribution(where: str, given: Any) -> Choice | Range:
    if not isinstance(given, dict) or not given:
        raise UserError(f"{where}: must say its values, such as `values: [1, 2]` or `{{min: 0.0, max: 1.0}}`.")
    kind = given.get("distribution", _usual(given))
    if not isinstance(kind, str):
        raise UserError(f"{where}: distribution: must be a word; got {kind!r}.")
    if kind in _UNBOUNDED:
        raise UserError(f"{where}: {kind}: has no bounds, and Optuna searches bounded ranges. Use uniform, or values.")
    if kind not in _DISTRIBUTIONS:
        raise UserError(f"{where}: {kind!r} is no distribution. {suggestion(str(kind), sorted(_DISTRIBUTIONS))}")
    needed, more = _DISTRIBUTIONS[kind]
    keys = given.keys() - {"distribution"}
    if wrong := sorted(map(str, keys - needed - more)) or sorted(needed - keys):
        raise UserError(f"{where}: {kind} has {' and '.join(sorted(needed | more))}; {wrong[0]} is wrong or missing.")
    if kind == "constant":
        return choice_of(where, [given["value"]], [])
    if "values" in needed:
        return choice_of(where, given["values"], given.get("probabilities", []))
    return _range(where, kind, given)


def _usual(given: Mapping[str, Any]) -> str:
    """Return the distribution that W&B takes where none is named."""
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical_w_probabilities" if "probabilities" in given else "categorical"
    return "int_uniform" if _is_whole(given.get("min")) and _is_whole(given.get("max")) else "uniform"


def choice_of(where: str, values: Any, probabilities: Any) -> Choice:
    """Check the values of a parameter.

    Args:
        where: Its key, for messages.
        values: A list of them.
        probabilities: A list with one for each, or an empty one.

    Raises:
        UserError: If they make no choice, or JSON, which a sweep is recorded in, has no such type.
    """
    if not isinstance(values, list) or not values:
        raise UserError(f"{where}: values: must be a list of at least one, got {values!r}.")
    try:
        json.dumps(values)
    except TypeError as error:
        raise UserError(
            f"{where}: must hold numbers, text, lists and mappings; got {values}. Put a date in quotes."
        ) from error
    if not isinstance(probabilities, list) or not all(_is_number(each) for each in probabilities):
        raise UserError(f"{where}: probabilities: must be a list of numbers; got {probabilities!r}.")
    choice = Choice(tuple(values), tuple(probabilities))
    if twice := [label for label, count in Counter(choice.labels).items() if count > 1]:
        raise UserError(f"{where}: values: {twice[0]!r} is there twice.")
    if probabilities and (len(probabilities) != len(values) or not sum(probabilities) > 0 or min(probabilities) < 0):
        raise UserError(f"{where}: probabilities: there must be one from 0 for each of the {len(values)} values.")
    return choice


def _range(where: str, kind: str, given: Mapping[str, Any]) -> Range:
    numbers = {key: value for key, value in given.items() if key != "distribution"}
    for key, number in numbers.items():
        if not _is_number(number) or (kind == "int_uniform" and not _is_whole(number)):
            hint = " YAML reads 1e-4 as text: write 1.0e-4." if isinstance(number, str) else ""
            raise UserError(
                f"{where}: {key}: a {'whole ' if kind == 'int_uniform' else ''}number is needed, got {number!r}.{hint}"
            )
    low, high, q = given["min"], given["max"], given.get("q", 1 if kind.startswith("q_") else 0)
    if kind == "int_uniform":
        if low > high:
            raise UserError(f"{where}: min is above max ({low}, {high}).")
        return Range(low, high)
    log = "log" in kind
    if log and not kind.endswith("_values"):
        low, high = (-high, -low) if kind.startswith("inv") else (low, high)
        if high > _LARGEST_EXPONENT:
            raise UserError(f"{where}: max: is an exponent of e, and must be at most {_LARGEST_EXPONENT}; got {high}.")
        low, high = math.exp(low), math.exp(high)
    if not low < high:
        raise UserError(f"{where}: min must be below max, got {given['min']} and {given['max']}.")
    if log and low <= 0:
        raise UserError(f"{where}: min: a logarithm needs numbers above 0, got {low}.")
    if kind.startswith("q_") and q <= 0:
        raise UserError(f"{where}: q: a number above 0 is needed, got {q}.")
    return Range(float(low), float(high), log, q)


def _hyperband(file: Path, given: Any) -> Hyperband | None:
    """Read when trials are ended early.

    W&B counts how often the metric has been logged. It decides after ``min_iter`` × ``eta`` ^ n of these, or after
    ``max_iter`` / ``eta`` ^ n for n from ``s`` to 1; the first of the latter tells the others.
    """
    if given is None:
        return None
    where = f"{file}: early_terminate"
    if not isinstance(given, dict) or given.get("type") != "hyperband":
        raise UserError(f"{where}: must have `type: hyperband`, got {given!r}.")
    if unknown := sorted(given.keys() - {"type", "min_iter", "max_iter", "s", "eta", "strict"}):
        raise UserError(f"{where}.{unknown[0]}: is unknown; there are min_iter, or max_iter and s; eta and strict.")
    numbers = {key: given[key] for key in ("min_iter", "max_iter", "s", "eta") if key in given}
    for key, number in numbers.items():
        least, most = 2 if key == "eta" else 1, 64 if key == "s" else 1_000_000
        if not _is_whole(number) or not least <= number <= most:
            raise UserError(f"{where}.{key}: must be a whole number from {least} to {most:,}; got {number!r}.")
    eta = numbers.get("eta", 3)
    if "min_iter" in numbers:
        first = numbers["min_iter"]
    elif {"max_iter", "s"} <= numbers.keys():
        first = max(1, numbers["max_iter"] // eta ** numbers["s"])
    else:
        raise UserError(f"{where}: needs min_iter, or max_iter and s.")
    return Hyperband(first, eta, bool(given.get("strict", True)))


def _is_number(value: Any) -> bool:
    """Whether it is a number that a float can be, without infinities and NaN."""
    return (_is_whole(value) or isinstance(value, float)) and abs(value) < _INFINITE


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
