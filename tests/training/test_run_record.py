"""The record of a run in its directory, and the one seed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
import yaml
from tiny_training import assert_alike, weights

from bgsub_lightning import __version__
from bgsub_lightning.core.run_info import source_tree

Run = Callable[..., int]


def test_each_start_is_recorded(run: Run, tmp_path: Path) -> None:
    assert run("fit", "--trainer.max_steps=1", "--seed_everything=3") == 0
    assert run("fit", "--ckpt_path=last", "--trainer.max_steps=2", "--seed_everything=3") == 0
    starts = json.loads((tmp_path / "run/run.json").read_text())["starts"]
    assert [start["from"] for start in starts] == [None, str(tmp_path / "run/checkpoints/last.ckpt")]
    for start in starts:
        assert start["command"].startswith(f"python -m bgsub_lightning fit --config {tmp_path}/tiny.yaml --run_dir=")
        assert abs(datetime.fromisoformat(start["time"]) - datetime.now(UTC)).total_seconds() < 3600
        assert start["versions"]["bgsub_lightning"] == __version__
        assert start["versions"]["torch"] == torch.__version__
        assert start["device"].startswith("cpu")
        assert (start["processes"], start["seed"]) == (1, 3)
        assert start["folder"] == str(Path.cwd())
    assert "--ckpt_path=last" in starts[1]["command"]


@pytest.mark.parametrize("content", ["{", "[1]", "5", '{"starts": [3]}', '{"wandb_id": "../x"}', '{"more": 1}'])
def test_damaged_record_is_reported(run: Run, tmp_path: Path, content: str, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text(content)
    assert run("fit", "--trainer.max_steps=1") == 2
    printed = capfd.readouterr().err
    assert printed.startswith("error: ")
    assert "run.json: " in printed
    assert len(printed.splitlines()) == 1


def test_source_tree(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        own = ["-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
        return subprocess.run(["git", *own, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    assert source_tree(tmp_path) is None
    git("init", "--quiet")
    (tmp_path / "package").mkdir()
    (tmp_path / "package/module.py").write_text("1")
    assert source_tree(tmp_path / "package") is None  # as an installed package in someone's repository
    git("add", ".")
    git("commit", "--quiet", "--message=one")
    commit = git("rev-parse", "HEAD")
    assert source_tree(tmp_path / "package") == {"commit": commit, "dirty": False}
    (tmp_path / "package/module.py").write_text("2")
    assert source_tree(tmp_path / "package") == {"commit": commit, "dirty": True}


def seeds(folder: Path) -> tuple[int, int]:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    return config["seed_everything"], config["data"]["init_args"]["seed"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], (0, 0)),
        (["--seed_everything=3"], (3, 3)),
        (["--data.init_args.seed=3"], (3, 3)),
        (["--seed_everything=3", "--data.init_args.seed=0"], (3, 0)),
        (["--seed_everything=0", "--data.init_args.seed=3"], (0, 3)),
        (["--seed_everything=false", "--data.init_args.seed=3"], (False, 3)),
    ],
)
def test_one_seed_sets_the_other(run: Run, tmp_path: Path, options: list[str], expected: tuple[int, int]) -> None:
    assert run("fit", "--trainer.max_steps=1", *options) == 0
    assert seeds(tmp_path / "run") == expected


def test_one_seed_sets_everything(run: Run, tmp_path: Path) -> None:
    """Weights at the start, batches, references and flips: same seed, same run, whatever the workers."""

    def last(name: str, *options: str) -> Path:
        assert run("fit", "--trainer.max_steps=4", *options, run_dir=tmp_path / name) == 0
        return tmp_path / name / "checkpoints/last.ckpt"

    one = last("one", "--seed_everything=5")
    assert_alike(one, last("same", "--seed_everything=5"))
    assert_alike(one, last("workers", "--seed_everything=5", "--data.init_args.num_workers=2"))
    for name, other in (("weights", ["0", "5"]), ("batches", ["5", "0"])):
        found = weights(last(name, f"--seed_everything={other[0]}", f"--data.init_args.seed={other[1]}"))
        assert any(not torch.equal(value, found[key]) for key, value in weights(one).items())
