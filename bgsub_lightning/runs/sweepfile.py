"""Sweep files of Weights & Biases: what is searched, how, and the options of a trial.

The file is the one that ``wandb sweep`` takes. W&B's own check lets some errors through, on which an agent then fails;
they are found here: a search without a metric, a grid over a range of floats, an unknown macro, a command that does not
pass the parameters as a configuration.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Interval, MinLen
from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import fit_record, read_yaml
from bgsub_lightning.core.shipped import find_file
from bgsub_lightning.core.text import refuse_passwords, safe_name, suggestion
from bgsub_lightning.runs.grid import option_text
from bgsub_lightning.runs.space import Choice, Point, Range, parameter_of

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

_MOST_POINTS = 10_000
"""Points of the largest grid."""


# --- the schema ------------------------------------------------------------------------------------------------------


_Count = Annotated[int, Interval(ge=1, le=1_000_000)]


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Metric(_Schema):
    """The metric that compares trials.

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
    """The content of a sweep file.

    Attributes:
        file: The file.
        method: How points are chosen.
        metric: The metric that compares trials.
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
            yield name, parameter_of(f"{file}: parameters.{name}", value)
