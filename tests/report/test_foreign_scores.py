"""A scores.json that does not fit its schema is refused in one line, which names the file, the key and the value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_results import made

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.report.results import load_results

VIDEO = ("videos", "a/x")


def changed(folder: Path, path: tuple[str, ...], value: Any) -> Path:
    """A good file with one value changed."""
    file = folder / "scores.json"
    made("run").save(file)
    content = json.loads(file.read_text())
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        ((*VIDEO, "counts"), [-1, 2, 3, 4, 5], "-1"),
        ((*VIDEO, "counts"), [1, 2], "[1, 2]"),
        ((*VIDEO, "counts"), ["a", 2, 3, 4, 5], "'a'"),
        ((*VIDEO, "counts"), [float("nan"), 2, 3, 4, 5], "nan"),
        ((*VIDEO, "counts"), [float("inf"), 2, 3, 4, 5], "inf"),
        ((*VIDEO, "counts"), [1.5, 2, 3, 4, 5], "1.5"),
        ((*VIDEO, "counts"), None, "None"),
        ((*VIDEO, "frames"), -3, "-3"),
        ((*VIDEO, "leakage"), "none at all", "'none at all'"),
        ((*VIDEO, "dice"), [1, 2, 3], "[1, 2, 3]"),
        ((*VIDEO, "threshold_counts"), [[1, 2, 3, 4]], "[[1, 2, 3, 4]]"),
        ((*VIDEO, "more"), 1, "more"),
        (("fold",), "one", "'one'"),
        (("seed",), None, "None"),
        (("leakage",), "word", "'word'"),
        (("threshold",), "half", "'half'"),
        (("threshold",), 1.5, "1.5"),
        (("seconds",), float("inf"), "inf"),
        (("seconds",), "long", "'long'"),
        (("name",), ["a"], "['a']"),
        (("versions",), [], "[]"),
        (("missing",), [1], "[1]"),
        (("checkpoint",), 5, "5"),
        (("videos",), {}, "videos"),
        (("videos",), {"novideo": {}}, "novideo"),
        (("videos",), {"": {}}, "''"),
        (("version",), 1, "1"),
    ],
)
def test_one_value(tmp_path: Path, path: tuple[str, ...], value: Any, part: str) -> None:
    file = changed(tmp_path, path, value)
    with pytest.raises(UserError) as error:
        TestResult.load(tmp_path)
    message = str(error.value)
    assert message.startswith(f"{file}: {path[0]}")
    assert part in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"[1]", b"5", b"{", b"\xff", b"[" * 100_000, b'{"name": "\\ud800"}'])
def test_whole_file(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scores.json").write_bytes(content)
    assert main(["report", str(tmp_path)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {tmp_path / 'scores.json'}: ")
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize("content", [b"a: \xff", b"&a [*a]", b"a: 1\na: 2"])
@pytest.mark.parametrize("name", ["config.yaml", "test.yaml"])
def test_configuration_beside_it(tmp_path: Path, content: bytes, name: str) -> None:
    made("run").save(tmp_path / "scores.json")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        load_results([tmp_path])
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert len(str(error.value).splitlines()) == 1
