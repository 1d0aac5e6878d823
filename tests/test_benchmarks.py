"""What benchmarks and examples take from the package is there; CI runs those that are quick."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted([*ROOT.glob("benchmarks/*.py"), *ROOT.glob("examples/*.py")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_imports_exist(script: Path) -> None:
    imports = [each for each in ast.walk(ast.parse(script.read_text())) if isinstance(each, ast.ImportFrom)]
    for each in imports:
        if each.module and each.module.startswith("bgsub_lightning"):
            module = importlib.import_module(each.module)
            for name in each.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{each.module}.{name.name}")
