"""The wheel holds all that the package needs, and is enough to run experiments away from a clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bgsub_lightning.core.version import __version__

ROOT = Path(__file__).parents[1]
FOLDERS = ("bgsub_lightning", "experiments", "sweeps")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the archive of sources of a copy of this tree, since builds leave files in theirs."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, source)
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    pip("wheel", "--no-build-isolation", f"--wheel-dir={folder}", f"{folder}/bgsub_lightning-{__version__}.tar.gz")
    return folder / f"bgsub_lightning-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installation; the packages that it needs are those of this environment."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", f"--target={folder}", str(wheel))
    return folder


def pip(*arguments: str) -> None:
    options = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", *arguments, *options], check=True)


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in another folder than the clone."""
    return subprocess.run(
        [sys.executable, "-m", "bgsub_lightning", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    here = {
        path.relative_to(ROOT).as_posix()
        for name in FOLDERS
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected = {name if name.startswith("bgsub_lightning/") else f"bgsub_lightning/{name}" for name in here}
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert names == expected
    assert {"bgsub_lightning/py.typed", "bgsub_lightning/systems/any_scene/weights.ckpt"} <= names


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["fit", "--config", "bmn_bsn_small.yaml", "--print_config"], "max_steps: 2500"),
        pytest.param(
            ["campaign", "bmn_bsn.yaml", "--over", "fold=1,2", "--dry_run"],
            "--data.init_args.fold=2",
            marks=pytest.mark.slow,
        ),
        pytest.param(["sweep", "bmn_bsn_folds.yaml", "--dry_run"], "--data.init_args.fold=3", marks=pytest.mark.slow),
    ],
)
def test_commands_take_what_ships_by_name(installed: Path, words: list[str], shown: str, tmp_path: Path) -> None:
    done = run(installed, tmp_path, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert shown in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_name_is_an_error_of_one_line(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "fit", "--config", "bmn_bsn_smal.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --config: bmn_bsn_smal.yaml: ")
    assert "bmn_bsn_small.yaml" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_demo_and_fit_run(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "demo", "--steps=2")
    assert done.returncode == 0, done.stderr
    root = tmp_path / "demo/scenes_seed0"
    options = [f"--data.init_args.root={root}", "--trainer.max_steps=2", "--trainer.val_check_interval=1"]
    done = run(installed, tmp_path, "fit", "--config", "bmn_bsn_small.yaml", *options, "--data.init_args.store=null")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/bmn_bsn_small/finished.json").is_file()
