"""Experiments and sweeps by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from bgsub_lightning.core.config import campaign_of, expand, merged_config
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.shipped import find_file, shipped
from bgsub_lightning.runs.sweepfile import read_sweep


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_name_is_the_file_that_ships() -> None:
    expected = shipped("experiments") / "bmn_bsn_small.yaml"
    for name in ("bmn_bsn_small.yaml", "experiments/bmn_bsn_small.yaml"):
        assert find_file(Path(name), "experiments") == expected
        assert expand(["--config", name]) == expand([f"--config={expected}"])
        assert merged_config(Path(name)) == merged_config(expected)
    assert campaign_of(Path("crossnet_ablations.yaml"))["runs"]
    assert read_sweep(Path("bmn_bsn_folds.yaml")).options == ("--config=experiments/bmn_bsn.yaml",)


@pytest.mark.parametrize("name", ["mog2.yaml", "experiments/mog2.yaml"])
def test_a_file_that_exists_comes_first(name: str, tmp_path: Path) -> None:
    file = Path(name)
    file.parent.mkdir(exist_ok=True)
    file.write_text("config: base.yaml")
    (file.parent / "base.yaml").write_text("name: mine")
    assert find_file(file, "experiments") == file
    assert merged_config(file) == {"name": "mine"}


def test_a_file_includes_what_ships_by_name(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder/mine.yaml"
    file.write_text("config: bmn_bsn_small.yaml\ntrainer: {config: parts/trainer.yaml, max_steps: 7}\n")
    expected = merged_config(shipped("experiments") / "bmn_bsn_small.yaml")
    assert merged_config(file)["trainer"]["max_steps"] == 7
    assert merged_config(file)["model"] == expected["model"]


@pytest.mark.parametrize("name", ["bmn_bsn_smal.yaml", "elsewhere/bmn_bsn_small", "sweeps/bmn_bsn_small.yaml"])
def test_a_wrong_name_is_answered_with_close_ones(name: str) -> None:
    for read in (
        lambda: expand(["--config", name]),
        lambda: merged_config(Path(name)),
        lambda: campaign_of(Path(name)),
    ):
        with pytest.raises(UserError, match=rf"{name}: .*bmn_bsn_small\.yaml"):
            read()
    with pytest.raises(UserError, match=r"^--config: bmn\.yaml: "):
        expand(["--config=bmn.yaml"])
    with pytest.raises(UserError, match=r"bmn_bsn_fold\.yaml: .*bmn_bsn_folds\.yaml"):
        read_sweep(Path("bmn_bsn_fold.yaml"))
