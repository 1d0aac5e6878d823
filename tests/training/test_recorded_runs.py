"""A run directory records what ran: changed options of a resumed fit, refused starts, options before files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from bgsub_lightning.cli import main
from bgsub_lightning.training.cli import run_trainer

Run = Callable[..., int]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def test_a_resumed_fit_has_the_configured_rate(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("fit", "--trainer.max_steps=4") == 0
    before = checkpoint(tmp_path / "run")["state_dict"]
    assert run("fit", "--trainer.max_steps=8", "--ckpt_path=last", "--model.init_args.lr=1e-6") == 0
    output = capfd.readouterr().out
    assert "1e-06" in output
    assert "0.01" in output
    (group,) = checkpoint(tmp_path / "run")["optimizer_states"][0]["param_groups"]
    assert group["lr"] == 1e-6
    after = checkpoint(tmp_path / "run")["state_dict"]
    moved = max(float((after[name] - before[name]).abs().max()) for name in before if "running" not in name)
    assert moved < 1e-5  # four steps of Adam at that rate; at 1e-2 they are a thousand times as long
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["model"]["init_args"]["lr"] == 1e-6


@pytest.mark.parametrize(("first", "second"), [(0, 8), (8, 0), (8, 16), (8, 8)])
def test_a_resumed_fit_has_the_configured_schedule(first: int, second: int, run: Run, tmp_path: Path) -> None:
    """Its rate at each step is what the configuration's own schedule has there."""
    assert run("fit", "--trainer.max_steps=4", f"--model.init_args.decay_steps={first}") == 0
    options = ["--trainer.max_steps=6", "--ckpt_path=last", f"--model.init_args.decay_steps={second}"]
    assert run("fit", *options, "--model.init_args.lr=0.5") == 0
    (group,) = checkpoint(tmp_path / "run")["optimizer_states"][0]["param_groups"]
    expected = 0.5 * (0.5 * (1 + torch.cos(torch.tensor(torch.pi * 6 / second)).item()) if second else 1.0)
    assert group["lr"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("option", ["--model.init_args.channels=2", "--data.init_args.root=/nowhere"])
def test_a_refused_start_leaves_the_run_untouched(
    option: str, run: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    assert run("fit", "--trainer.max_steps=2") == 0
    before = contents(tmp_path / "run")
    message = fails(run("fit", "--ckpt_path=last", "--trainer.max_steps=4", option))
    assert option.rpartition("=")[0].rpartition(".")[2] in message
    assert contents(tmp_path / "run") == before  # finished.json as well


@pytest.mark.parametrize("option", ["--model.init_args.nonsense=2", "--data.init_args.root=/nowhere"])
def test_a_first_start_that_fails_leaves_nothing(
    option: str, run: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    (tmp_path / "runs/other").mkdir(parents=True)
    fails(run("fit", option, run_dir=tmp_path / "runs/new/deep"))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["other"]


def test_a_test_of_another_network_leaves_the_run_untouched(
    run: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    assert run("fit", "--trainer.max_steps=1") == 0
    before = contents(tmp_path / "run")
    fails(run("test", "--model.init_args.channels=2"))
    assert {name: value for name, value in contents(tmp_path / "run").items() if "csv/" not in name} == {
        name: value for name, value in before.items() if "csv/" not in name
    }


@pytest.mark.parametrize("spelling", [["--config", "FILE"], ["--config=FILE"], ["-c", "FILE"]])
def test_an_option_before_a_file_beats_it(spelling: list[str], tiny: Path, tmp_path: Path) -> None:
    tiny.write_text(tiny.read_text().replace("max_epochs: 2", "max_steps: 5"))
    file = [word.replace("FILE", str(tiny)) for word in spelling]
    cli = run_trainer("fit", ["--trainer.max_steps=1", *file, f"--run_dir={tmp_path / 'run'}"])
    assert cli.trainer.global_step == 1
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["trainer"]["max_steps"] == 1


def test_an_option_before_a_file_beats_it_in_other_commands(
    tmp_path: Path, make_video: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_video(tmp_path / "data", "baseline", "highway")
    (tmp_path / "segment.yaml").write_text("frames: 9\ncheckpoint: MOG2\ndevice: cpu\n")
    options = [f"--source={folder / 'input'}", f"--out={tmp_path / 'out'}", "--write=masks", "--frames=3"]
    assert main(["segment", *options, "--config", str(tmp_path / "segment.yaml")]) == 0
    assert len(list((tmp_path / "out/masks").iterdir())) == 3


def test_a_normal_run_warns_of_nothing(tiny: Path, tmp_path: Path) -> None:
    """In a separate process, where warnings are not made errors: W&B offline, more workers than processors."""
    options = ["--wandb=offline", "--trainer.log_every_n_steps=50", "--data.init_args.num_workers=4"]
    command = [sys.executable, "-m", "bgsub_lightning", "fit", "--config", str(tiny), f"--run_dir={tmp_path / 'run'}"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    assert "warning" not in (done.stdout + done.stderr).lower()
