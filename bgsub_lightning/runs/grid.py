"""The members of a campaign: the values that each has, its options, and the name of its directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

import yaml

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.text import safe_name, suggestion
from bgsub_lightning.datasets.scene import select

ADDRESSED = ("root", "store", "scene", "fold", "seed")
"""What a plain NAME may be: these arguments of the datamodule."""

COMMANDS = ("fit", "test")
"""What a member runs, in this order, unless an experiment says otherwise."""

_PARTS = ("scene", "fold")
"""What divides a dataset, so that results can be merged."""

_OPENING, _CLOSING = "[{(", "]})"


@dataclass(frozen=True)
class Member:
    """One run of a campaign.

    Attributes:
        name: Its directory in the campaign's folder.
        label: What it is called in the terminal.
        options: The options of ``fit`` and ``test`` that make it what it is, each as ``--key=value``.
        group: The same for members that differ in their scene or fold only, whose results can be merged.
        series: The same for groups that differ in their seed only.
    """

    name: str
    label: str
    options: tuple[str, ...]
    group: str = ""
    series: str = ""


def parse_over(text: str) -> tuple[str, list[str]]:
    """Read ``NAME=VALUE[,VALUE…]``.

    Raises:
        UserError: If a name or a value is missing, a plain name is none of the five, or a value comes twice.

    Example:
        >>> parse_over("model.init_args.widths=[8, 16],[16, 32]")
        ('model.init_args.widths', ['[8, 16]', '[16, 32]'])
    """
    name, equals, rest = text.partition("=")
    values = split_values(rest)
    if not (name and equals and all(values)):
        raise UserError(f"--over: {text!r} must be NAME=VALUE[,VALUE…], such as --over fold=1,2,3.")
    if name not in ADDRESSED and "." not in name:
        raise UserError(
            f"--over: {name!r} is none of {', '.join(ADDRESSED)}. Any other key is told in full, such as "
            f"--over model.init_args.lr=1e-3,1e-4."
        )
    if twice := [value for value in dict.fromkeys(values) if values.count(value) > 1]:
        raise UserError(f"--over: {name}: {', '.join(twice)} is there twice.")
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
        raise UserError(f"--over scene: {','.join(patterns)} takes out every scene that it names.")
    return chosen


def members_over(over: Mapping[str, Sequence[str]]) -> list[Member]:
    """Make a member of each combination of values.

    Args:
        over: Name → its values; patterns of scenes have been expanded.

    Raises:
        UserError: If two members would share a directory.
    """
    members = []
    for values in product(*over.values()):
        given = dict(zip(over, values, strict=True))
        of_group = {name: value for name, value in given.items() if name not in _PARTS}
        of_series = {name: value for name, value in of_group.items() if name != "seed"}
        members.append(
            Member(
                name=_folder(given),
                label=", ".join(
                    value if name == "scene" else f"{_last(name)} {value}" for name, value in given.items()
                ),
                options=_options(given),
                group=_folder(of_group),
                series=_folder(of_series),
            )
        )
    return _distinct(members)


def members_of_file(content: Any) -> tuple[tuple[str, ...], list[Member]]:
    """Read what an experiment says under the key ``campaign``.

    Returns:
        The commands of each member, and the members, of which there may be none.

    Raises:
        UserError: If it is not what the key may hold.
    """
    content = content or {}
    if not isinstance(content, dict) or content.keys() - {"commands", "members"}:
        told = ", ".join(map(str, content)) if isinstance(content, dict) else repr(content)
        raise UserError(f"campaign: may hold the keys commands and members, got {told}.")
    commands = content.get("commands", list(COMMANDS))
    if not isinstance(commands, list) or commands not in (["fit"], ["test"], ["fit", "test"]):
        raise UserError(f"campaign.commands: must be [fit, test], [fit] or [test], got {commands}.")
    members = content.get("members") or {}
    if not isinstance(members, dict) or not all(isinstance(values, dict) and values for values in members.values()):
        raise UserError(
            "campaign.members: must hold a name for each member, and its keys and values, "
            "such as `highway: {data.init_args.scene: baseline/highway}`."
        )
    return tuple(commands), _distinct(
        [Member(safe_name(str(name)), str(name), _options(values)) for name, values in members.items()]
    )


def choose(members: Sequence[Member], patterns: str) -> list[Member]:
    """Return the members whose name or label matches one of some shell patterns, told with commas between.

    Raises:
        UserError: If one of them matches none.
    """
    chosen = set()
    for pattern in split_values(patterns):
        matched = {each for each in members if fnmatchcase(each.name, pattern) or fnmatchcase(each.label, pattern)}
        if not matched:
            hint = suggestion(pattern, [each.name for each in members])
            raise UserError(f"--only: {pattern!r} is no member of this campaign. {hint}")
        chosen |= matched
    return [each for each in members if each in chosen]


def _options(given: Mapping[str, Any]) -> tuple[str, ...]:
    options = []
    for name, value in given.items():
        key = f"data.init_args.{name}" if name in ADDRESSED else str(name)
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


def _folder(given: Mapping[str, str]) -> str:
    return safe_name("_".join(value if name == "scene" else f"{_last(name)}_{value}" for name, value in given.items()))


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _distinct(members: Sequence[Member]) -> list[Member]:
    of_name: dict[str, Member] = {}
    for member in members:
        if not member.name:
            raise UserError(f"{member.label!r} cannot be the name of a directory; call the member otherwise.")
        other = of_name.setdefault(member.name, member)
        if other is not member:
            raise UserError(
                f"The members {other.label!r} and {member.label!r} would share the directory {member.name}."
            )
    return list(of_name.values())
