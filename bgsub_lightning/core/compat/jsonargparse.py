"""jsonargparse and argparse, on which it is built; written for jsonargparse 4.53 and Python 3.11 to 3.13."""

from __future__ import annotations

import argparse
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter, _common, set_parsing_settings

_lock = threading.Lock()
_ROLE = re.compile(r":\w+:`~?([^`]+)`")  # of a docstring


@contextmanager
def import_only(modules: Sequence[str]) -> Iterator[None]:
    """Let jsonargparse import only classes of these packages and modules, also where it looks for them by itself.

    Its settings are those of the whole process and can be set, but not read or reset, by its public functions. One
    thread at a time may change them.
    """
    names = ("import_path_verdicts", "import_paths_enforced")
    with _lock:
        before = {name: _common.parsing_settings[name] for name in names}
        try:
            set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=list(modules))
            yield
        finally:
            _common.parsing_settings.update(before)


def options_of(parser: ArgumentParser) -> list[str]:
    """Return the option strings that a parser knows."""
    return list(parser._option_string_actions)


def arguments_of(parser: ArgumentParser) -> list[argparse.Action]:
    """Return the arguments of a parser, those of all its groups."""
    return list(parser._actions)


def reorder_type(action: argparse.Action, order: Callable[[Any], Any]) -> None:
    """Replace the type by which an argument parses its values.

    jsonargparse builds it from the type that it is given by ``Optional[…]`` and the like, where the cache of `typing`
    may swap the members of a union: the order can be set only afterwards.
    """
    if hasattr(action, "_typehint"):
        action._typehint = order(action._typehint)


@contextmanager
def groups_in_help(parser: ArgumentParser, groups: Mapping[str, Sequence[argparse.Action]]) -> Iterator[None]:
    """Let the help of a parser list these arguments alone, in groups of these titles."""
    before = parser._action_groups
    shown = [argparse._ArgumentGroup(parser, title) for title in groups]
    for group, actions in zip(shown, groups.values(), strict=True):
        group._group_actions = list(actions)
    try:
        parser._action_groups = shown  # type: ignore[assignment]
        yield
    finally:
        parser._action_groups = before


class ShortHelpFormatter(DefaultHelpFormatter):
    """Formatter that writes the defaults of options behind their texts, and neither types nor marks of docstrings."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = _ROLE.sub(r"`\1`", str(action.help)).replace("``", "`")
        has_default = action.option_strings and action.default not in (None, argparse.SUPPRESS)
        return f"{text} (default: %(default)s)" if has_default and "default" not in text.lower() else text


# --- the sentences of its errors -------------------------------------------------------------------------------------

_NOISE = (
    *("Does not validate against", "Subtypes:", "Errors:", "Given value type"),
    *("Expected a <class 'NoneType'>", "Expected <class 'NoneType'>"),
    "All options:",  # of a parser inside this one
)
_KEY = re.compile(r'Parser key "(.+)":$')
_CLASS_OF = re.compile(r"Problem with given class_path ")
_EXPECTED = re.compile(
    r"Expected (?:a )?(?:<class '(.+?)'>|tuple with (\d+) elements"
    r"|(?:typing\.Literal|member of <enum '.+?'>: )[\[{](.+?)[\]}])(?:\. Got value: (.*))?$"
)
_GIVEN = re.compile(r"Given value: (.*)$")
_CLASS = re.compile(r"Expected a dot import path string: (.*)$")
_FILE = re.compile(r"Expected a path but .* either not accessible or invalid$")  # a class may come from a file
_NESTED = re.compile(r"Given value: NestedArg\(key='(.+?)', val=")  # of the class at that key
_INNER = re.compile(r"([A-Za-z_][\w.]*): (.+)$")  # what a parser inside this one has said
_NO_OPTION = re.compile(r"Option '(.+)' is not accepted$|unrecognized arguments: --([\w.]+)")
_NO_SUCH_KIND = re.compile(r"unhashable type: |argument of type .* is not iterable$|.* object has no attribute ")
_NO_SETTINGS = re.compile(r"Unable to load config '(.+)'$")
_UNKNOWN = "unrecognized arguments: "
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "dict": "keys and values",
    **dict.fromkeys(("collections.abc.Sequence", "list", "tuple"), "a list"),
}


def plain(message: str) -> str:
    """Rewrite an error of jsonargparse, which has neither codes nor fields, in words that are not Python's.

    Example:
        >>> plain('Parser key "a.b":' + chr(10) + "  Expected a <class 'int'>. Got value: x")
        "a.b: 'x' is not a whole number."
    """
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    return _rewritten([line for line in lines if line and not line.startswith(_NOISE)])


def unknown_option(message: str) -> str | None:
    """Return the first option that an error calls unknown; ``None`` if it is about something else."""
    return message.removeprefix(_UNKNOWN).split()[0].partition("=")[0] if message.startswith(_UNKNOWN) else None


def _rewritten(lines: list[str]) -> str:
    key = _KEY.match(lines[0]) if lines else None
    if key is None:
        return "\n".join(lines)
    rest = lines[1:]
    if rest and _KEY.match(rest[0]):
        return f"{key[1]}.{_rewritten(rest)}"
    if rest and _NO_SETTINGS.match(rest[0]) and len(rest) > 1 and _KEY.match(rest[1]):
        return _rewritten(rest[1:])
    if len(rest) > 1 and _CLASS_OF.match(rest[0]) and _KEY.match(rest[1]):
        return f"{key[1]}.init_args.{_rewritten(rest[1:])}"
    nested = next((found[1] for line in rest if (found := _NESTED.match(line))), None)
    rest = [line for line in rest if not _NESTED.match(line)]
    expected = [found for line in rest if (found := _EXPECTED.match(line))]
    classes = [found[1] for line in rest if (found := _CLASS.match(line))]
    given = [found[4] for found in expected if found[4]] + [found[1] for line in rest if (found := _GIVEN.match(line))]
    others = [line for line in rest if not any(known.match(line) for known in (_EXPECTED, _CLASS, _FILE, _GIVEN))]
    if classes and not others:
        return f"{key[1]}: there is no class {classes[0]!r}, nor a file of that name."
    if expected and given and not others:
        kinds = [_KINDS.get(found[1], f"a {found[1]}") for found in expected if found[1]]
        kinds += [f"a list of {found[2]} values" for found in expected if found[2]]
        if values := ", ".join(re.sub(",(?! )", ", ", found[3]) for found in expected if found[3]):
            kinds.append(f"one of {values}")
        return f"{key[1]}: {given[0]!r} is not {' or '.join(dict.fromkeys(kinds))}."
    if others:
        problems = list(dict.fromkeys(others))  # types of a union may say the same
        return _of_class(key[1], nested, problems)
    return "\n  ".join(lines)


def _of_class(key: str, nested: str | None, problems: list[str]) -> str:
    """Say what a parser inside this one has said of the arguments of a class.

    Args:
        key: Where the class is.
        nested: Which of its arguments was given, as far as that is known.
        problems: What was said.
    """
    nested = nested.removesuffix("init_args").removesuffix(".") or None if nested else None
    where = f"{key}.init_args.{nested}" if nested else key
    if len(problems) > 1 and _CLASS_OF.match(problems[0]):
        problems = problems[1:]
    if inner := _INNER.match(problems[0]):
        where, problem = _argument(where, nested, *inner.groups())
        problems = [problem, *problems[1:]]
    if settings := _NO_SETTINGS.match(problems[0]):
        got = "null" if settings[1] == "None" else repr(settings[1])
        return f"{where}: {got} is neither settings nor a file of them."
    if unknown := _NO_OPTION.match(problems[0]):
        name = unknown[1] or unknown[2]
        if name == "class_path":
            return f"{where}: a class takes class_path and init_args alone."
        where, problem = _argument(where, nested, name, "there is no such argument.")
        return f"{where}: {problem}"
    if _NO_SUCH_KIND.match(problems[0]):
        return f"{where}: takes no value of this kind."
    return f"{where}: " + "\n  ".join(problems)


def _argument(where: str, nested: str | None, name: str, problem: str) -> tuple[str, str]:
    """Say of which argument a problem is: of the class at ``where``, the one given, one in it, or one of a list."""
    if nested is None:
        return f"{where}.init_args.{name}", problem
    parts = name.replace("init_args.", "").split(".")
    for count in range(len(parts), 0, -1):
        if f".{nested.replace('init_args.', '')}".endswith(f".{'.'.join(parts[:count])}"):
            return ".".join([where, *parts[count:]]), problem
    return where, f"{name}: {problem}"
