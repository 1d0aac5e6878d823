"""A fit that begins with the weights of another run, as after a pretraining on other scenes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_training import content, moved, quiet, weights

Run = Callable[..., int]
Fails = Callable[[int], str]

pytestmark = quiet

PROTOCOL = "--data.init_args.protocol=Subset", "--data.init_args.protocol.init_args.validation.scenes=0"


def options(train: str, test: str) -> list[str]:
    key = "--data.init_args.protocol.init_args."
    return [
        *PROTOCOL,
        f"{key}train=[{train}]",
        f"{key}test=[{test}]",
        "--trainer.max_steps=1",
        "--trainer.max_epochs=-1",
    ]


@pytest.fixture
def first(run: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "first"
    assert run("fit", f"--run_dir={folder}", *options("baseline/highway", "baseline/office")) == 0
    return folder / "checkpoints/last.ckpt"


def test_the_weights_go_on_and_what_they_have_seen_counts(run: Run, fails: Fails, first: Path, tmp_path: Path) -> None:
    """The rate moves nothing. The optimiser and the count of steps start over."""
    onward = [*options("baseline/office", "shadow/bungalows"), f"--run_dir={tmp_path / 'second'}"]
    assert run("fit", *onward, f"--initial_weights={first}", "--model.init_args.lr=1e-30") == 0
    last = tmp_path / "second/checkpoints/last.ckpt"
    statistics = {name for name in weights(first) if name.rpartition(".")[2] in {"running_mean", "running_var"}}
    assert moved(weights(first), weights(last), "") <= statistics | {
        name for name in weights(first) if name.endswith("num_batches_tracked")
    }
    assert content(last)["global_step"] == 1
    seen = {"CDnet2014:baseline/highway", "CDnet2014:baseline/office"}
    assert set(content(last)["trained_on"]) == seen

    testing = [
        *options("shadow/bungalows", "baseline/highway"),
        f"--ckpt_path={last}",
        f"--run_dir={tmp_path / 'third'}",
    ]
    message = fails(run("test", *testing))
    assert "baseline/highway" in message
    assert "allow_training_frames" in message

    first.unlink()  # neither a continued fit nor a test needs it
    assert run("fit", *onward, f"--initial_weights={first}", "--trainer.max_steps=2", "--ckpt_path=last") == 0
    assert content(last)["global_step"] == 2
    assert set(content(last)["trained_on"]) == seen
    assert run("test", *onward, f"--initial_weights={first}") == 0
    starts = json.loads((tmp_path / "second/run.json").read_text())["starts"]
    assert str(first) in starts[0]["command"]


def test_weights_that_cannot_be_begun_with(run: Run, fails: Fails, first: Path, tmp_path: Path) -> None:
    bare, absent = tmp_path / "bare.pth", tmp_path / "none.ckpt"
    torch.save(weights(first), bare)
    for given, more, parts in (
        (absent, [], [f"error: initial_weights: {absent}: there is no such checkpoint"]),
        (bare, [], ["initial_weights", str(bare), "trained_on"]),
        (first, ["--model.init_args.maps=5"], ["initial_weights", str(first), "--model.init_args.maps="]),
        ("shipped", [], ["initial_weights", "BmnBsn", "'shipped'"]),
    ):
        message = fails(run("fit", f"--run_dir={tmp_path / 'run'}", f"--initial_weights={given}", *more))
        for part in parts:
            assert part in message
        assert not (tmp_path / "run/checkpoints").exists()


def test_validation_on_frames_that_the_weights_have_seen_says_so(run: Run, first: Path, tmp_path: Path) -> None:
    """Also after a resume, when the weights may be gone."""
    key = "--data.init_args.protocol.init_args."
    for validates, expected in (
        ("baseline/highway", "held-out scenes, seen by the initial weights"),
        ("shadow/bungalows", "held-out scenes"),
    ):
        folder = tmp_path / validates.replace("/", "_")
        onward = ["--data.init_args.protocol=Subset", f"{key}train=[baseline/office]", f"{key}test=[thermal/park]"]
        onward += [f"{key}validation.scenes=[{validates}]", "--trainer.max_epochs=-1", "--trainer.val_check_interval=1"]
        onward += [f"--initial_weights={first}", f"--run_dir={folder}"]
        for steps in (1, 2):
            assert (
                run("fit", *onward, f"--trainer.max_steps={steps}", *(["--ckpt_path=last"] if steps > 1 else [])) == 0
            )
            assert content(folder / "checkpoints/last.ckpt")["validated"]["kind"] == expected
