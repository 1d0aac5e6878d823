"""The rules of the rooms: who may import whom, and what."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bgsub_lightning

PACKAGE = Path(bgsub_lightning.__file__).parent
ORDER = (
    *("scenes", "synthetic", "frames", "sampling", "data", "networks", "backgrounds"),
    *("losses", "metrics", "modules", "systems", "results", "callbacks", "live", "cluster"),
)
MODULES = sorted(path for room in ORDER for path in (PACKAGE / room).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_room_imports_a_later_one(path: Path) -> None:
    later = ORDER[ORDER.index(room_of(path)) + 1 :]
    used = {name.split(".")[1] for name in imports(path) if name.startswith("bgsub_lightning.")}
    assert not used & {*later, "commands", "cli"}


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(path) in ORDER[:4]], ids=lambda path: path.stem)
def test_first_rooms_need_no_torch(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] in {"torch", "lightning"}}


def test_the_renderer_is_a_room_at_the_side() -> None:
    using = {
        str(path.relative_to(PACKAGE).parent)
        for path in PACKAGE.rglob("*.py")
        if any(name.startswith("bgsub_lightning.synthetic") for name in imports(path)) and room_of(path) != "synthetic"
    }
    assert using <= {"commands", "systems/any_scene"}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if room_of(path) in {"networks", "losses"}], ids=lambda path: path.stem
)
def test_networks_and_losses_know_no_lightning(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] == "lightning"}


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from bgsub_lightning.cli import main; main(['--help']); "
        "print({'torch', 'lightning', 'numpy', 'cv2', 'jsonargparse', 'rich'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "set()"
    assert "fit --config experiments/bmn_bsn_fold1.yaml" in told
