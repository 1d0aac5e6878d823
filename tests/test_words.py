"""Text for people is plain: files of the project avoid the words of this list."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("bgsub_lightning", "benchmarks", "docs", "examples", "experiments", "sweeps", "tests", ".github")
SUFFIXES = (".py", ".md", ".yaml", ".yml")
AVOIDED = (  # → print, report, log, list; again; also; its own; available; built from; next to; stopped
    *("told", "tell", "tells", "telling", "anew", "besides", "at hand", "of its own", "of their own"),
    *("made of", "as they come", "is given up", "lies beside", "lie beside", "said so", "its fellows"),
)
"""Words and phrases that read as if translated, whatever stands between the words of a phrase."""
_BETWEEN = r"[\s#\"]+"  # a phrase may cross lines of a comment or of a string
_PATTERN = re.compile(
    rf"(?<![.\w])(?:{'|'.join(_BETWEEN.join(words.split()) for words in AVOIDED)})(?!\w)", re.IGNORECASE
)


def found(text: str) -> list[str]:
    """Return ``line: words`` of all that is avoided, but for `code` and methods such as ``file.tell()``."""
    text = re.sub(r"`[^`\n]+`", lambda code: " " * len(code[0]), text)
    return [f"{text.count(chr(10), 0, each.start()) + 1}: {each[0]}" for each in _PATTERN.finditer(text)]


def files() -> list[Path]:
    kept = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.suffix in SUFFIXES]
    return sorted({*kept, *ROOT.glob("*.md")} - {Path(__file__)})


def test_words_are_found_where_they_stand() -> None:
    text = "a\nTold it; file.tell(), `told`, retold\n# a size of\n#   its own"
    assert found(text) == ["2: Told", "3: of\n#   its own"]


def test_text_is_plain() -> None:
    assert len(files()) > 500
    assert {path.relative_to(ROOT).as_posix(): words for path in files() if (words := found(path.read_text()))} == {}
