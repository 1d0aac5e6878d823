"""docs/architecture.md: its tree is the package's, in the order that import-linter holds; what it names exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text()
PACKAGE = ROOT / "bgsub_lightning"


def test_the_tree_is_the_package_in_the_order_of_imports() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
    rows = [re.findall(r"`([\w./]+)`", row) for row in re.findall(r"^\| (`.*?) \| ", PAGE, re.M)]
    *rooms, top = rows
    assert [name.removesuffix("/").removesuffix(".py") for row in rooms for name in row] == layers
    assert top == ["experiments/", "sweeps/"]
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == {*layers} - {"cli"}


def test_what_it_names_exists() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
    papers = re.search(r"\| `systems/` \| `([^`]+)`", PAGE)
    assert papers
    assert {*papers[1].replace("/", "").split()} == {path.parent.name for path in PACKAGE.glob("systems/*/__init__.py")}
    for name in re.findall(r"`((?:tests|systems|metrics|commands)/[\w/.]+\.py)`", PAGE):
        assert (ROOT / name).is_file() or (PACKAGE / name).is_file(), name
