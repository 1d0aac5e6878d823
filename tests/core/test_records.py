"""Files of users and of earlier runs: what does not fit is named with its key and value, within bounds."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import fit_record, parse_json, parse_yaml, read_csv, read_json, read_yaml


@dataclass(frozen=True)
class Part:
    counts: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2)]


@dataclass(frozen=True)
class Whole:
    parts: dict[str, Part]
    rate: float | None = None
    names: tuple[str, ...] = ()


def test_json_becomes_the_type() -> None:
    text = '{"parts": {"a": {"counts": [0, 1]}}, "rate": 1, "names": ["x"]}'
    assert parse_json(text, Whole, "f", "") == Whole({"a": Part([0, 1])}, 1.0, ("x",))


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('{"parts": {"a": {"counts": [0, -3]}}}', "parts.a.counts.1", "-3"),
        ('{"parts": {"a": {"counts": [0]}}}', "parts.a.counts", "[0]"),
        ('{"parts": {"a": {"counts": [0, NaN]}}}', "parts.a.counts.1", "nan"),
        ('{"parts": {"a": {"counts": [0, 1e400]}}}', "parts.a.counts.1", "inf"),
        ('{"parts": {"a": {"counts": ["0", 1]}}}', "parts.a.counts.0", "'0'"),
        ('{"parts": {"a": null}}', "parts.a", "None"),
        ('{"parts": {}, "rate": "fast"}', "rate", "'fast'"),
        ('{"parts": {}, "more": 5}', "more", "unknown"),
        ("{}", "parts", "missing"),
        ("[1]", "f.json", "[1]"),
        ("", "f.json", "EOF"),
        ("{", "f.json", "EOF"),
        ("[" * 100_000, "f.json", "recursion"),
        ('{"parts": {"\\ud800": {}}}', "f.json", "hex"),
    ],
)
def test_json_that_does_not_fit(text: str, key: str, value: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_json(text, Whole, "f.json", "Mend it.")
    assert str(raised.value).startswith("f.json: ")
    assert str(raised.value).endswith(". Mend it.")
    assert key in str(raised.value)
    assert value in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


class InnerRecord(BaseModel):
    at: int = 0


class TypedRecord(TypedDict, total=False):
    inner: InnerRecord
    part: Part
    either: Literal["auto"] | Path
    lists: int | list[Part]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("schema", "content", "key"),
    [
        (InnerRecord, 3, ""),
        (TypedRecord, 3, ""),
        (Part, 3, ""),
        (TypedRecord, {"inner": 3}, "inner: "),
        (TypedRecord, {"part": 3}, "part: "),
        (TypedRecord, {"either": 3}, "either: "),
        (TypedRecord, {"lists": [3]}, "lists: "),
        (dict[str, Part], {"Part": 3}, "Part: "),
    ],
)
def test_no_message_names_a_class(schema: Any, content: Any, key: str, as_json: bool) -> None:
    read = parse_json if as_json else fit_record
    with pytest.raises(UserError) as raised:
        read(json.dumps(content) if as_json else content, schema, "f", "Mend it.")
    message = str(raised.value)
    assert message.startswith(f"f: {key}must ")
    assert "; got " in message
    assert not re.search(r"Record|Part(?!:)|Path|literal|lax", message)


def test_a_long_value_is_cut() -> None:
    with pytest.raises(UserError) as raised:
        parse_json('{"parts": "' + "x" * 10_000 + '"}', Whole, "f.json", "")
    assert len(str(raised.value)) < 200


def test_plain_yaml() -> None:
    assert parse_yaml("a: &a [1, 1.5]\nb: *a\nc: {<<: {d: x}}", "f") == {"a": [1, 1.5], "b": [1, 1.5], "c": {"d": "x"}}
    assert parse_yaml("", "f") is None


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (laughs(9), "1,234,567,9"),
        (laughs(60), "aliases"),
        (
            "\n".join(["a: &a {k: v}", *[f"b{i}: &b{i} {{<<: [{', '.join(['*a'] * 9)}]}}" for i in range(2000)]]),
            "alias",
        ),
        ("&a [*a]", "line 1"),
        ("trainer: {}\ntrainer: {}", "trainer"),
        ("model:\n  lr: 1\n  lr: 2", "lr"),
        ("[" * 5_000, "nesting"),
        ("[" * 200 + "]" * 200, "levels"),
        ("a: [", "line "),
        ("!!python/object:os.system x", "python/object"),
        ("!!timestamp x", "f.yaml"),
        ("2024-13-45", "month"),
        ("a: \x1b", "#x001b"),
        ("{[1]: 2}", "unhashable"),
    ],
)
def test_yaml_that_is_refused(text: str, value: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_yaml(text, "f.yaml")
    assert str(raised.value).startswith("f.yaml: ")
    assert value in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_files_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"a: \xff")
    with pytest.raises(UserError, match=r"f.yaml: .*\\xff.* 3"):
        read_yaml(file)
    with pytest.raises(UserError, match=r"f.yaml: .*byte 3"):
        read_json(file, Whole, "")
    with pytest.raises(UserError, match=str(tmp_path)):
        read_yaml(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UserError, match="fifo"):
        read_yaml(tmp_path / "fifo")
    os.truncate(file, 10 << 30)  # a hole takes no room
    with pytest.raises(UserError, match="10,737,418,240"):
        read_yaml(file)
    with pytest.raises(FileNotFoundError):
        read_yaml(tmp_path / "none.yaml")


def test_text_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"\xef\xbb\xbf{}")
    assert read_yaml(file) == {}
    assert read_json(file, dict[str, int], "") == {}


def test_csv_has_a_dictionary_for_each_line(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_text('video,frame\n"a,b",1\n\nc,2')
    assert read_csv(file, "") == [{"video": "a,b", "frame": "1"}, {"video": "c", "frame": "2"}]
    assert read_csv(file, "", is_log=True) == [{"video": "a,b", "frame": "1"}]
    file.write_text("")
    assert read_csv(file, "") == []


@pytest.mark.parametrize(("text", "line"), [("a,b\n1\n", 2), ("a,b\n1,2\n1,2,3\n", 3), ("a\n" + "x" * 200_000, 2)])
def test_csv_that_does_not_fit(text: str, line: int, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(UserError, match=rf"f\.csv: .*line {line}: .* Mend it\.$"):
        read_csv(tmp_path / "f.csv", "Mend it.")


def test_csv_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f.csv")
    with pytest.raises(UserError, match=r"f\.csv: "):
        read_csv(tmp_path / "f.csv", "Mend it.")
