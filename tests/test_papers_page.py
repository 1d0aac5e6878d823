"""docs/papers.md, docs/commands.md: each command, as it stands there, is read by the real parser, with its files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from bgsub_lightning.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/papers.md").read_text()
COMMANDS = re.findall(r"python -m bgsub_lightning ([^\n`]+)", PAGE)
WHOLE = [  # those of the table of commands that leave nothing to fill in
    pytest.param(command, marks=pytest.mark.slow)
    for command in re.findall(
        r"`bgsub ((?:fit|test|predict|campaign) [^`…]+)`", (ROOT / "docs/commands.md").read_text()
    )
    if not re.search(r"\b(?:FILE|EXPERIMENT)\b", command)
]


def test_every_table_and_figure_is_there() -> None:
    """Of each section: the numbers that the paper has, as the captions count them."""
    sections = dict(re.findall(r"^## (\S+)(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
    roman = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5}

    def named(section: str, kind: str) -> set[int]:
        found: set[int] = set()
        for words in re.findall(rf"{kind}s? ((?:[IVX]+|\d+)(?:(?:, | and | to )(?:[IVX]+\b|\d+))*)", section, re.I):
            numbers = [roman.get(word) or int(word) for word in re.findall(r"\b[IV]+\b|\d+", words)]
            found |= set(range(numbers[0], numbers[-1] + 1)) if " to " in words else set(numbers)
        return found

    papers = {
        "CDN-MEDAL-net": (5, 5),
        "BMN-BSN": (2, 5),
        "Two-stage": (1, 3),
        "CrossNet/HOFAM": (5, 9),
        "Siamese": (3, 7),
    }
    for name, (tables, figures) in papers.items():
        assert named(sections[name], "table") == set(range(1, tables + 1)), name
        assert named(sections[name], "figure") == set(range(1, figures + 1)), name


@pytest.mark.parametrize("command", [*COMMANDS, *WHOLE])
def test_each_command_can_be_run(
    command: str,
    tmp_path: Path,
    cdnet: Path,
    fails: Callable[[int], str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDNET2014_ROOT", str(cdnet))
    for folder in ("experiments", "sweeps"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "VOC").mkdir()
    name, *options = shlex.split(command.replace("FOLDER", str(cdnet)))
    if name == "campaign":
        assert main([name, *options, "--dry_run"]) == 0
        lines = capfd.readouterr().out.splitlines()
        runs = [shlex.split(line.partition("bgsub_lightning ")[2]) for line in lines if "bgsub_lightning " in line]
        assert runs
        assert not any("{run}" in option for run in runs for option in run)
        name, *options = runs[0]
    if name in {"fit", "test", "predict"}:
        with pytest.raises(SystemExit) as ended:
            main([name, *options, "--print_config"])
        assert ended.value.code in {None, 0}
        assert "class_path: bgsub_lightning.systems." in capfd.readouterr().out
    elif name == "report" and "--published" not in options:  # its options are read before it looks for the runs
        assert re.match(r"error: runs/\w+: ", fails(main([name, *options])))
    else:
        assert main([name, *options]) == 0
