"""A grid of values as runs: the values that each run has, its options, and the name of its directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import yaml
from annotated_types import MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict

from bgsub_lightning.core.config import campaign_of
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import fit_record
from bgsub_lightning.core.text import safe_name, suggestion
from bgsub_lightning.datasets.scene import select

DATA_ARGUMENTS = ("root", "store", "scene", "fold", "seed")
"""Names that need no path: these arguments of the datamodule."""

_PARTS = ("scene", "fold")
"""Names that divide a dataset, so that results can be merged."""

_OPENING, _CLOSING = "[{(", "]})"


@dataclass(frozen=True)
class Run:
    """One run of an experiment.

    Attributes:
        name: Its directory in the folder of all.
        label: Its name in the terminal.
        options: The options of ``fit`` and ``test`` that no other run has, each as ``--key=value``.
        group: The same for runs that differ in their scene or fold only, whose results can be merged.
        series: The same for groups that differ in their seed only.
    """

    name: str
    label: str
    options: tuple[str, ...]
    group: str = ""
    series: str = ""


def parse_grid(text: str) -> tuple[str, list[str]]:
    """Read ``NAME=VALUE[,VALUE…]``.

    Raises:
        UserError: If a name or a value is missing, a plain name is not one of the five, or a value comes twice.

    Example:
        >>> parse_grid("model.init_args.widths=[8, 16],[16, 32]")
        ('model.init_args.widths', ['[8, 16]', '[16, 32]'])
    """
    name, equals, rest = text.partition("=")
    values = split_values(rest)
    if not (name and equals and all(values)):
        raise UserError(f"--over: must be NAME=VALUE[,VALUE…]; got {text!r}. Example: --over fold=1,2,3")
    if name not in DATA_ARGUMENTS and "." not in name:
        raise UserError(
            f"--over: must name one of {', '.join(DATA_ARGUMENTS)}, or another key in full; got {name!r}. "
            f"Example: --over model.init_args.lr=1e-3,1e-4"
        )
    if twice := [value for value in dict.fromkeys(values) if values.count(value) > 1]:
        raise UserError(f"--over: {name}: each value must differ; got {', '.join(twice)} twice. Remove one.")
    return name, values


def split_values(text: str) -> list[str]:
    """Split at commas, except for those inside of brackets and quotation marks.

    Example:
        >>> split_values("1, [2, {a: 3, b: 4}], 'five, six'")
        ['1', '[2, {a: 3, b: 4}]', "'five, six'"]
    """
    values, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        depth += 0 if quote else (character in _OPENING) - (character in _CLOSING)
        if character == "," and not quote and depth <= 0:
            values.append("")
        else:
            values[-1] += character
    return [value.strip() for value in values]


def matching_scenes(keys: Sequence[str], patterns: Sequence[str], known: Iterable[str]) -> list[str]:
    """Expand the values of ``scene``.

    Args:
        keys: The ``category/name`` of every scene.
        patterns: Patterns or categories; ``!PATTERN`` takes scenes out again, and if all do so, then out of all.
        known: Categories of the published dataset, of which a copy need not hold any.

    Raises:
        UserError: If a pattern matches nothing, or all scenes are taken out.

    Example:
        >>> matching_scenes(["PTZ/a", "shadow/b", "shadow/c"], ["shadow", "!*/c"], [])
        ['shadow/b']
    """
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")] or ["*"]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    out = select(keys, unwanted, "--over scene", known)
    chosen = [key for key in select(keys, wanted, "--over scene") if key not in out]
    if not chosen:
        raise UserError(f"--over scene: must leave a scene; got {','.join(patterns)}, which takes all of them out.")
    return chosen


def runs_of_grid(grid: Mapping[str, Sequence[str]]) -> list[Run]:
    """Make a run of each combination of values.

    Args:
        grid: Name → its values; patterns of scenes have been expanded.

    Raises:
        UserError: If two runs would share a directory.
    """
    runs = []
    for values in product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        of_group = {name: value for name, value in chosen.items() if name not in _PARTS}
        of_series = {name: value for name, value in of_group.items() if name != "seed"}
        runs.append(
            Run(
                name=_folder(chosen),
                label=", ".join(
                    value if name == "scene" else f"{_last(name)} {value}" for name, value in chosen.items()
                ),
                options=_options(chosen),
                group=_folder(of_group),
                series=_folder(of_series),
            )
        )
    return _distinct(runs)


def _command_list(commands: list[str]) -> list[str]:
    if commands not in (["fit"], ["test"], ["fit", "test"]):
        raise ValueError("must be [fit, test], [fit] or [test]")
    return commands


class _Section(BaseModel):
    """The key ``campaign`` of an experiment."""

    model_config = ConfigDict(extra="forbid", strict=True)

    commands: Annotated[list[str], AfterValidator(_command_list)] = ["fit", "test"]
    runs: dict[Any, Annotated[dict[str, Any], MinLen(1)]] = {}


def runs_of_file(file: Path, *parts: Path) -> tuple[tuple[str, ...], list[Run]]:
    """Read the key ``campaign`` of an experiment.

    Args:
        file: The experiment.
        *parts: Files that are laid over it.

    Returns:
        The commands of each run, and the runs, of which there may be none.

    Raises:
        UserError: If the key does not hold what it may hold.
    """
    fix = "Example: `commands: [test]` and `runs: {highway: {data.init_args.scene: baseline/highway}}`."
    section = fit_record(campaign_of(file, *parts) or {}, _Section, f"{file}: campaign", fix)
    runs = [Run(safe_name(str(name)), str(name), _options(values)) for name, values in section.runs.items()]
    return tuple(section.commands), _distinct(runs)


def choose(runs: Sequence[Run], patterns: str) -> list[Run]:
    """Return the runs whose name or label matches one of some shell patterns, with commas between them.

    Raises:
        UserError: If a pattern matches nothing.
    """
    chosen = set()
    for pattern in split_values(patterns):
        matched = {run for run in runs if fnmatchcase(run.name, pattern) or fnmatchcase(run.label, pattern)}
        if not matched:
            raise UserError(
                f"--only: must match a run of this campaign; got {pattern!r}. "
                f"{suggestion(pattern, [run.name for run in runs])}"
            )
        chosen |= matched
    return [run for run in runs if run in chosen]


def _options(values: Mapping[str, Any]) -> tuple[str, ...]:
    options = []
    for name, value in values.items():
        key = f"data.init_args.{name}" if name in DATA_ARGUMENTS else name
        is_one_scene = key == "data.init_args.scene" and isinstance(value, str)
        options.append(f"--{key}={option_text([value] if is_one_scene else value)}")
        if name == "seed":
            options.append(f"--seed_everything={option_text(value)}")
    return tuple(options)


def option_text(value: Any) -> str:
    """Write a value as the command line takes it."""
    if isinstance(value, str):
        return value
    flow = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=2**30)
    return flow.removesuffix("...\n").strip()


def _folder(values: Mapping[str, str]) -> str:
    return safe_name("_".join(value if name == "scene" else f"{_last(name)}_{value}" for name, value in values.items()))


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _distinct(runs: Sequence[Run]) -> list[Run]:
    of_name: dict[str, Run] = {}
    for run in runs:
        if not run.name:
            raise UserError(f"{run.label!r}: cannot be the name of a directory. Rename the run.")
        other = of_name.setdefault(run.name, run)
        if other is not run:
            raise UserError(f"{other.label!r} and {run.label!r}: would share the directory {run.name}. Rename one.")
    return list(of_name.values())
