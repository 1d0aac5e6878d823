"""Parsers whose errors are for users: what is wrong, without a page of usage."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin

import yaml
from jsonargparse import ArgumentParser, get_loader, set_loader

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import check_yaml
from bgsub_lightning.core.text import suggestion

_NOISE = (
    *("Does not validate against", "Subtypes:", "Errors:", "Expected a <class 'NoneType'>", "Given value type"),
    *("Given value: NestedArg", "All options:"),  # of a parser inside this one
)
_KEY = re.compile(r'Parser key "(.+)":$')
_EXPECTED = re.compile(r"Expected a (?:<class '(.+?)'>|typing\.Literal\[(.+?)\])(?:\. Got value: (.*))?$")
_GIVEN = re.compile(r"Given value: (.*)$")
_CLASS = re.compile(r"Expected a dot import path string: (.*)$")
_FILE = re.compile(r"Expected a path but .* either not accessible or invalid$")  # a class may be told by a file as well
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def _load(text: str) -> Any:
    """Read YAML of the command line as jsonargparse does, within the bounds of our own."""
    check_yaml(text, "YAML")
    try:
        return _load_yaml(text)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:  # a value that does not fit its tag
        raise yaml.YAMLError(str(error)) from error


_load_yaml = get_loader("yaml")
set_loader("yaml", _load, exceptions=(yaml.YAMLError,))


class PlainParser(ArgumentParser):
    """Parser that raises what the user can mend."""

    def add_argument(self, *names: Any, **settings: Any) -> Any:
        """Add an argument; a whole number that is written without a point stays one, if its type allows both."""
        action = super().add_argument(*names, **settings)
        if hasattr(action, "_typehint"):
            action._typehint = _int_before_float(action._typehint)
        return action

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what the user can mend.

        Raises:
            UserError: Always.
        """
        told = _plain(message) + _meant(message, self._option_string_actions)
        raise UserError(f"{told}\nAll options: {self.prog.replace(' [options]', '')} --help") from ex


class CommandParser(PlainParser):
    """Parser of a typed function."""


def _int_before_float(kind: Any) -> Any:
    """Reorder a union of both, of which the first that fits takes a value.

    `typing` takes ``Optional[Union[int, float]]`` and ``Optional[Union[float, int]]`` for equal and may return the one
    for the other, from its cache. But 1.0 is all batches to Lightning, and 1 is one.
    """
    kinds = get_args(kind)
    if get_origin(kind) not in (Union, UnionType) or int not in kinds or float not in kinds:
        return kind
    if kinds.index(int) < kinds.index(float):
        return kind
    swapped = tuple(int if each is float else float if each is int else each for each in kinds)
    return Union[swapped]  # noqa: UP007 (| may meet that cache again)


def _plain(message: str) -> str:
    """Say what jsonargparse says in words that are not Python's, where it can be."""
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    return _told([line for line in lines if line and not line.startswith(_NOISE)])


def _told(lines: list[str]) -> str:
    key = _KEY.match(lines[0]) if lines else None
    if key is None:
        return "\n".join(lines)
    rest = lines[1:]
    if rest and _KEY.match(rest[0]):
        return f"{key[1]}.{_told(rest)}"
    expected = [found for line in rest if (found := _EXPECTED.match(line))]
    classes = [found[1] for line in rest if (found := _CLASS.match(line))]
    given = [found[1] for line in rest if (found := _GIVEN.match(line))] + [found[3] for found in expected if found[3]]
    others = [line for line in rest if not any(known.match(line) for known in (_EXPECTED, _CLASS, _FILE, _GIVEN))]
    if classes and not others:
        return f"{key[1]}: there is no class {classes[0]!r}, nor a file of that name."
    if expected and given and not others:
        kinds = [_KINDS.get(found[1], f"a {found[1]}") for found in expected if found[1]]
        if values := ", ".join(found[2] for found in expected if found[2]):
            kinds.append(f"one of {values}")
        return f"{key[1]}: {given[0]!r} is not {' or '.join(kinds)}."
    if others:
        problems = list(dict.fromkeys(others))  # types of a union may say the same
        return f"{key[1]}{'.' if re.match('[a-z_.]+: ', problems[0]) else ': '}" + "\n  ".join(problems)
    return "\n  ".join(lines)


def _meant(message: str, options: Iterable[str]) -> str:
    """Guess what a misspelt option was to be."""
    if not message.startswith("unrecognized arguments: "):
        return ""
    unknown = message.partition(": ")[2].split()[0].partition("=")[0]
    hint = suggestion(unknown, options, 1)
    return f"\n{hint}" if hint.startswith("Did") else ""
