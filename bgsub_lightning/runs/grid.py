"""A grid of values as runs: the values that each run has, its options, and the name of its directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from annotated_types import MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict

from bgsub_lightning.core.config import campaign_of
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import fit_record
from bgsub_lightning.core.shipped import find_file
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
        files: Experiments over which that of all runs is laid.
        group: The same for runs that differ in their scene or fold only, whose results can be merged.
        series: The same for groups that differ in their seed only.
    """

    name: str
    label: str
    options: tuple[str, ...]
    files: tuple[str, ...] = ()
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
    try:
        check_grid(name, values)
    except UserError as error:
        raise UserError(f"--over: {error}") from None
    return name, values


def check_grid(name: str, values: Sequence[str]) -> None:
    """Check a name and its values.

    Raises:
        UserError: If the name is neither a key in full nor one of the short ones, or a value comes twice.
    """
    if name not in DATA_ARGUMENTS and "." not in name:
        raise UserError(
            f"must name one of {', '.join(DATA_ARGUMENTS)}, or another key in full; got {name!r}. "
            f"Example: model.init_args.lr=1e-3,1e-4"
        )
    if twice := [value for value in dict.fromkeys(values) if values.count(value) > 1]:
        raise UserError(f"{name}: each value must differ; got {', '.join(twice)} twice. Remove one.")


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


def runs_of_grid(grid: Mapping[str, Sequence[str]], listed: Sequence[Run] = ()) -> list[Run]:
    """Make a run of each combination of values, for each run of a list if there is one.

    Args:
        grid: Name → its values; patterns of scenes have been expanded.
        listed: Runs that an experiment lists.

    Raises:
        UserError: If two runs would share a directory.
    """
    runs = []
    for run, values in product(listed or [Run("", "", ())], product(*grid.values())):
        chosen = dict(zip(grid, values, strict=True))
        of_group = {name: value for name, value in chosen.items() if name not in _PARTS}
        of_series = {name: value for name, value in of_group.items() if name != "seed"}
        labels = [value if name == "scene" else f"{_last(name)} {value}" for name, value in chosen.items()]
        runs.append(
            Run(
                name=_folder(chosen, run.name),
                label=", ".join(filter(None, [run.label, *labels])),
                options=(*run.options, *_options(chosen)),
                files=run.files,
                group=_folder(of_group, run.name),
                series=_folder(of_series, run.name),
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
    over: dict[str, Annotated[list[Any], MinLen(1)]] = {}
    runs: dict[Any, Annotated[dict[str, Any], MinLen(1)]] = {}


class Listed(NamedTuple):
    """What an experiment says of its campaign.

    Attributes:
        commands: Those of each run.
        grid: Name → its values, for all runs; may be empty.
        runs: The runs that it lists; there may be none.
    """

    commands: tuple[str, ...]
    grid: dict[str, list[str]]
    runs: list[Run]


def runs_of_file(file: Path, *parts: Path) -> Listed:
    """Read the key ``campaign`` of an experiment.

    Args:
        file: The experiment.
        *parts: Files that are laid over it.

    Raises:
        UserError: If the key does not hold what it may hold, or a run names a file that does not exist.
    """
    fix = (
        "Example: `commands: [test]`, `runs: {highway: {data.init_args.scene: baseline/highway}}` and "
        "`over: {seed: [0, 1, 2]}`."
    )
    section = fit_record(campaign_of(file, *parts) or {}, _Section, f"{file}: campaign", fix)
    grid = {}
    for name, values in section.over.items():
        texts = [option_text(value) for value in values]
        try:
            check_grid(name, texts)
        except UserError as error:
            raise UserError(f"{file}: campaign.over: {error}") from None
        grid[name] = texts
    runs = []
    for name, settings in section.runs.items():
        options = {key: value for key, value in settings.items() if key != "config"}
        files = _files(settings.get("config", []), file)
        runs.append(Run(safe_name(str(name)), str(name), _options(options), files))
    return Listed(tuple(section.commands), grid, _distinct(runs))


def _files(given: Any, file: Path) -> tuple[str, ...]:
    """Find the experiments that a run starts from, beginning in the folder of the file that lists it."""
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{file}: campaign.runs: config must name a file, or a list of files; got {given!r}.")
    folder = find_file(file, "experiments").parent
    return tuple(str(find_file(Path(name), "experiments", folder)) for name in names)


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


def _folder(values: Mapping[str, str], run: str) -> str:
    parts = [value if name == "scene" else f"{_last(name)}_{value}" for name, value in values.items()]
    return safe_name("_".join(filter(None, [run, *parts])))


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
