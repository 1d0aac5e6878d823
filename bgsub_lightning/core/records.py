"""JSON, YAML and CSV of users or earlier runs: read within bounds, and checked by one schema for each kind of file.

A schema is a type whose annotations pydantic checks: mostly the dataclass that the file is read into.
"""

from __future__ import annotations

import csv
import json
import re
import reprlib
import stat
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import yaml

from bgsub_lightning.core.errors import UserError

T = TypeVar("T")
Extra = Literal["forbid", "ignore"]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_LARGEST = 64 << 20
"""Bytes of the largest file that is read."""

_DEEPEST = 100
"""Levels of the deepest YAML."""

_REPEATED = 10_000
"""Nodes that aliases may add to what a YAML file holds; nine levels of ten aliases each would add a billion."""


def read_text(file: Path) -> str:
    """Read a text file in UTF-8.

    Raises:
        FileNotFoundError: If there is none.
        UserError: If it cannot be read, is no regular file, is too large, or is not UTF-8.
    """
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{file}: must be a regular file. Name another.")
        if status.st_size > _LARGEST:
            raise UserError(f"{file}: must have at most {_LARGEST:,} bytes; got {status.st_size:,}. Name another.")
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        got = error.object[error.start : error.end]
        raise UserError(f"{file}: is not UTF-8; got {got!r} at byte {error.start:,}. Save it as UTF-8.") from error


def read_json(file: Path, schema: type[T], fix: str, extra: Extra = "forbid", unique: bool = False) -> T:
    """Read a JSON file into a type.

    Args:
        file: The file.
        schema: The type: a dataclass, a ``TypedDict``, ``dict[str, int]``, or whatever pydantic can check. Nothing is
            converted.
        fix: How the user can mend a file that does not fit, as a sentence.
        extra: Whether keys that a class does not have are refused or passed over.
        unique: Whether a key that an object has twice is refused, as in files that people write; the last one counts
            otherwise.

    Raises:
        FileNotFoundError: If there is none.
        UserError: If it cannot be read, is no JSON, or does not fit. It names the key and the value.
    """
    text = read_text(file)
    found = parse_json(text, schema, str(file), fix, extra)
    if unique:
        json.loads(text, object_pairs_hook=partial(_require_unique, str(file)))
    return found


def _require_unique(source: str, pairs: list[tuple[str, Any]]) -> None:
    seen = set[str]()
    for key, _ in pairs:
        if key in seen:
            raise UserError(f"{source}: {key}: is given twice. Remove one, or give it another name.")
        seen.add(key)


def parse_json(text: str | bytes, schema: type[T], source: str, fix: str, extra: Extra = "forbid") -> T:
    """Read JSON into a type; see :func:`read_json`.

    Raises:
        UserError: If it is no JSON, or does not fit. It names the key and the value.
    """
    adapter = _adapter(cast("Any", schema))
    return cast("T", _fitted(lambda: adapter.validate_json(text, strict=True, extra=extra), source, fix))


def fit_record(content: Any, schema: type[T], source: str, fix: str | Mapping[str, str]) -> T:
    """Check Python objects that were read from a file by a type; see :func:`read_json`.

    Args:
        content: The objects.
        schema: The type.
        source: Their file or key.
        fix: As there, or one for each key of the first level; that of all others under an empty key.

    Raises:
        UserError: If they do not fit. It names the key and the value.
    """
    adapter = _adapter(cast("Any", schema))
    return cast("T", _fitted(lambda: adapter.validate_python(content, strict=True), source, fix))


def read_csv(file: Path, fix: str, is_log: bool = False) -> list[dict[str, str]]:
    """Read a CSV file with a line of column names.

    Args:
        file: The file.
        fix: How the user can mend a file that is no CSV, as a sentence.
        is_log: Whether it may still be written: a last line without an end is left out.

    Raises:
        FileNotFoundError: If there is none.
        UserError: If it cannot be read, is no CSV, or a line has another number of cells than there are columns.
    """
    lines = read_text(file).splitlines(keepends=True)
    if is_log and lines and not lines[-1].endswith("\n"):
        lines.pop()
    reader = csv.reader(lines)
    try:
        columns = next(reader, [])
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise UserError(f"{file}: is no CSV (line {reader.line_num}: {error}). {fix}") from error
    for line, row in rows:
        if len(row) != len(columns):
            raise UserError(f"{file}: line {line}: must have {len(columns)} cells; got {len(row)}. {fix}")
    return [dict(zip(columns, row, strict=True)) for _, row in rows]


def read_yaml(file: Path) -> Any:
    """Read a YAML file.

    Raises:
        FileNotFoundError: If there is none.
        UserError: As :func:`parse_yaml` does, or if it cannot be read.
    """
    return parse_yaml(read_text(file), str(file))


def parse_yaml(text: str, source: str) -> Any:
    """Read YAML of plain values, as ``yaml.safe_load`` does.

    Args:
        text: The YAML.
        source: Its file or key, for messages.

    Raises:
        UserError: If it is no YAML, has a tag that is no plain value's, a key twice, more than 100 levels, or aliases
            that grow beyond all bounds.
    """
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _check(root, source)
        return loader.construct_document(root)
    except UserError:
        raise
    except Exception as error:  # a value that does not fit its tag raises whatever comes of that
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise UserError(f"{source}: is no YAML of plain values ({place}{problem}).") from error
    finally:
        loader.dispose()


def check_yaml(text: str, source: str) -> None:
    """Check that YAML may be read by a loader of someone else's.

    Raises:
        yaml.YAMLError: If it is no YAML.
        UserError: If it has a key twice, more than 100 levels, or aliases that grow beyond all bounds.
    """
    root = yaml.compose(text, _Loader)
    if root is not None:
        _check(root, source)


def _check(root: yaml.Node, source: str) -> None:
    written: dict[int, int] = {}
    size = _expanded(root, source, written, 0)
    if size - len(written) > _REPEATED:
        raise UserError(f"{source}: aliases must not repeat more than {_REPEATED:,} values; got {size:,} in all.")


def _expanded(node: yaml.Node, source: str, written: dict[int, int], depth: int) -> int:
    """Return the number of nodes beneath a node, itself included, if its aliases were written out.

    Args:
        node: The node.
        source: Its file, for messages.
        written: The number of each node that was seen; 0 while it is being counted.
        depth: Its level.
    """
    if depth > _DEEPEST:
        raise UserError(f"{source}: must have at most {_DEEPEST} levels; line {node.start_mark.line + 1} is deeper.")
    if (known := written.get(id(node))) is not None:
        if known == 0:
            raise UserError(f"{source}: a value must not hold itself; see line {node.start_mark.line + 1}.")
        return known
    written[id(node)] = 0
    size = 1
    if isinstance(node, yaml.MappingNode):
        keys: set[tuple[str, str]] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in keys:
                    line = key.start_mark.line + 1
                    raise UserError(f"{source}: {key.value}: is given twice, again in line {line}. Remove one.")
                keys.add((key.tag, key.value))
            size += _expanded(key, source, written, depth + 1) + _expanded(value, source, written, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_expanded(value, source, written, depth + 1) for value in node.value)
    written[id(node)] = size
    return size


def _fitted(validate: Callable[[], Any], source: str, fix: str | Mapping[str, str]) -> Any:
    from pydantic import ValidationError

    try:
        return validate()
    except ValidationError as error:
        errors = error.errors(include_url=False)
    first = next((each for each in errors if each["loc"] == ("version",)), errors[0])  # explains all others
    parts = [str(part) for part in first["loc"]]
    if parts and parts[-1] in _MEMBERS:
        parts.pop()
    key = ".".join(part for part in parts if not _MEMBER_TYPE.fullmatch(part))
    where, kind, got = f"{source}: {key}" if key else source, first["type"], f"; got {_SHORT.repr(first['input'])}"
    if kind == "json_invalid":
        problem, got = f"is no JSON, or was cut off ({first['ctx']['error']})", ""
    elif kind.startswith("missing"):
        problem, got = "is missing", ""
    elif kind in {"unexpected_keyword_argument", "extra_forbidden"}:
        problem, got = "is unknown", ""
    elif kind == "dict_type" or "class_name" in first.get("ctx", {}):
        problem = "must hold keys and values"
    else:
        problem = re.sub(r"^\w+ should( be)?", "must\\1", first["msg"].removeprefix("Value error, "))
        problem = re.sub(r" after validation, not \d+$", "", problem)
    how = fix if isinstance(fix, str) else fix.get(parts[0] if parts else "", fix[""])
    raise UserError(f"{where}: {problem}{got}. {how}")


@cache
def _adapter(schema: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(schema)


_MEMBERS = {"int", "float", "str", "bool"}
"""Parts that pydantic adds to the key of a value that may be of several types, at its end."""

_MEMBER_TYPE = re.compile(r"(literal|list|tuple|dict|function-[a-z]+|lax-or-strict)\[.*\]")
"""Parts of the same kind, anywhere in the key: types with arguments."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
