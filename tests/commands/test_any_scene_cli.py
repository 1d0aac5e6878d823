"""AnyScene through the real command line, on scenes that are rendered for the test, for a few steps."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_training import assert_alike, content, moved, quiet, weights

import bgsub_lightning
from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.frames import read_image
from bgsub_lightning.inference import load_system
from bgsub_lightning.systems import AnySceneSystem
from bgsub_lightning.systems.any_scene import weights as packaged_weights
from bgsub_lightning.systems.weights import damage
from bgsub_lightning.training.callbacks.checkpoints import checkpoints_of
from bgsub_lightning.training.callbacks.ending import weights_alone

pytestmark = quiet

EXPERIMENT = Path(__file__).parents[2] / "experiments/any_scene.yaml"
DATA = "data.init_args"
TINY = {
    f"{DATA}.reader.init_args.videos": "{11: 1, 90: 1, 91: 1}",
    f"{DATA}.reader.init_args.categories": "[baseline]",
    f"{DATA}.reader.init_args.frames": 24,
    f"{DATA}.reader.init_args.size": "[96, 72]",
    f"{DATA}.reader.init_args.workers": 1,
    f"{DATA}.crop.init_args.size": 32,
    f"{DATA}.batch_size": 4,
    f"{DATA}.eval_batch_size": 5,
    f"{DATA}.num_workers": 0,
    "model.init_args.widths": "[3, 4, 5, 6]",
    "model.init_args.decay_steps": 8,
    "trainer.max_steps": 8,
    "trainer.val_check_interval": 4,
    "trainer.limit_val_batches": 2,
    "trainer.accelerator": "cpu",
    "trainer.enable_progress_bar": "false",
    "trainer.log_every_n_steps": 1,
    "last.every_n_train_steps": 1,
    "wandb": "disabled",
}
Run = Callable[..., int]
TRAIN, HELD_OUT, OTHER = (f"baseline/highway_0_s{seed}" for seed in (11, 90, 91))
SEEN = {f"Rendered:{key}": [[1, 24]] for key in (TRAIN, HELD_OUT)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command of the experiment, made tiny; the scenes are rendered once."""
    folder = tmp_path_factory.mktemp("any_scene")
    given = TINY | {f"{DATA}.root": folder / "data", f"{DATA}.store": folder / "store"}
    options = ["--config", str(EXPERIMENT), *(f"--{key}={value}" for key, value in given.items())]

    def call(command: str, run_dir: Path, *more: str) -> int:
        return main([command, *options, f"--run_dir={run_dir}", *more])

    call.root = folder / "data/96x72x24"  # type: ignore[attr-defined]
    return call


@pytest.fixture(scope="module")
def fitted(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory, for tests that do not change its weights."""
    folder = tmp_path_factory.mktemp("fitted") / "run"
    assert run("fit", folder) == 0
    return folder


def test_fit_leaves_weights_to_pass_on(fitted: Path) -> None:
    assert (fitted / "finished.json").is_file()
    path, last = (fitted / f"checkpoints/{name}.ckpt" for name in ("weights", "last"))
    assert damage(path) is None
    alone, whole = content(path), content(last)
    assert not {"optimizer_states", "loops", "callbacks", "lr_schedulers"} & set(alone)
    assert not moved(alone["state_dict"], whole["state_dict"], "")
    for key in ("system", "trained_on", "global_step", "hyper_parameters"):
        assert alone[key] == whole[key], key
    assert alone["trained_on"] == SEEN
    assert path.stat().st_size < 0.7 * last.stat().st_size
    assert path not in checkpoints_of(fitted)
    with next(fitted.rglob("metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    for term in ("cross_entropy", "batch_dice", "image_dice"):
        losses = [float(row[f"train/loss/{term}"]) for row in rows if row[f"train/loss/{term}"]]
        assert len(losses) == 8
        assert all(np.isfinite(losses))
    assert sum(bool(row["val/f_measure"]) for row in rows) == 2


def test_a_run_that_goes_on_is_one_that_never_stopped(run: Run, fitted: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    assert run("fit", parts, "--trainer.max_steps=3") == 0
    short = weights(parts / "checkpoints/weights.ckpt")
    assert run("fit", parts, "--ckpt_path=last") == 0
    assert_alike(fitted / "checkpoints/last.ckpt", parts / "checkpoints/last.ckpt")
    assert not moved(weights(fitted / "checkpoints/weights.ckpt"), weights(parts / "checkpoints/weights.ckpt"), "")
    assert moved(short, weights(parts / "checkpoints/weights.ckpt"), "network")


def test_weights_are_enough_to_test_and_to_segment(run: Run, fitted: Path, tmp_path: Path) -> None:
    path = fitted / "checkpoints/weights.ckpt"
    root: Path = run.root  # type: ignore[attr-defined]
    testing = f"--{DATA}.protocol.init_args.test=[{OTHER}]"
    assert run("test", tmp_path / "test", testing, f"--ckpt_path={path}") == 0
    found = json.loads((tmp_path / "test/scores.json").read_text())
    assert found["system"] == "AnyScene"
    assert list(found["videos"]) == [OTHER]
    frames = root / OTHER / "input"
    options = [f"--source={frames}", f"--checkpoint={path}", f"--out={tmp_path / 'masks'}", "--device=cpu"]
    assert main(["segment", *options, "--write=masks", "--clean=false"]) == 0
    masks = [cv2.imread(str(each), cv2.IMREAD_GRAYSCALE) for each in sorted((tmp_path / "masks/masks").iterdir())]
    subtractor = bgsub_lightning.load(str(path), device="cpu")
    for name, mask in zip(sorted(frames.iterdir()), masks, strict=True):
        np.testing.assert_array_equal(subtractor.push([read_image(name)])[0], mask)


@pytest.mark.parametrize("key", [TRAIN, HELD_OUT])
def test_scenes_of_training_are_not_tested_by_mistake(
    key: str, run: Run, fitted: Path, tmp_path: Path, fails: Callable[[int], str]
) -> None:
    """The weights know what they were trained on, and what has chosen among them."""
    protocol = f"{DATA}.protocol.init_args"
    swapped = f"--{protocol}.train=[{OTHER}]", f"--{protocol}.test=[{key}]", f"--{protocol}.validation.scenes=0"
    message = fails(run("test", tmp_path, *swapped, f"--ckpt_path={fitted / 'checkpoints/weights.ckpt'}"))
    assert key in message
    assert "allow_training_frames" in message


def test_a_fit_begins_with_weights_that_are_named(run: Run, fitted: Path, tmp_path: Path) -> None:
    """The rate moves nothing; what the weights have seen before, they have still."""
    path, tuned = fitted / "checkpoints/weights.ckpt", tmp_path / "tuned"
    options = [f"--initial_weights={path}", "--model.init_args.lr=1e-30", "--trainer.max_steps=2"]
    options += [f"--{DATA}.protocol.init_args.{key}" for key in (f"train=[{OTHER}]", "validation.scenes=0")]
    assert run("fit", tuned, *options) == 0
    before, after = weights(path), weights(tuned / "checkpoints/weights.ckpt")
    assert not {name for name, _ in AnySceneSystem((3, 4, 5, 6)).named_parameters()} & moved(before, after, "")
    seen = content(tuned / "checkpoints/weights.ckpt")["trained_on"]
    assert seen == SEEN | {f"Rendered:{OTHER}": [[1, 24]]}


@pytest.fixture
def packaged(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of the run in the place of those that ship."""
    path, card = tmp_path / "packaged.ckpt", tmp_path / "packaged.json"
    path.write_bytes((fitted / "checkpoints/weights.ckpt").read_bytes())
    card.write_text(json.dumps({"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
    monkeypatch.setattr(packaged_weights, "PATH", path)
    monkeypatch.setattr(packaged_weights, "CARD", card)
    return path


def test_weights_of_the_package_serve_where_none_are_named(run: Run, packaged: Path, tmp_path: Path) -> None:
    testing = f"--{DATA}.protocol.init_args.test=[{OTHER}]"
    found = []
    for run_dir, options in (("packaged", []), ("named", [f"--ckpt_path={packaged}"])):
        assert run("test", tmp_path / run_dir, testing, *options) == 0
        (start,) = json.loads((tmp_path / run_dir / "run.json").read_text())["starts"]
        assert start["from"] == str(packaged)
        found.append(json.loads((tmp_path / run_dir / "scores.json").read_text())["videos"])
    assert found[0] == found[1]
    assert load_system().name == "AnyScene"
    assert not moved(load_system().module.state_dict(), load_system(packaged).module.state_dict(), "")
    options = "--initial_weights=shipped", "--model.init_args.lr=1e-30", "--trainer.max_steps=1"
    assert run("fit", tmp_path / "tuned", *options) == 0
    after = weights(tmp_path / "tuned/checkpoints/weights.ckpt")
    assert not {name for name, _ in AnySceneSystem((3, 4, 5, 6)).named_parameters()} & moved(
        weights(packaged), after, ""
    )


@pytest.mark.parametrize("damaged", ["cut off", "absent"])
def test_damaged_weights_of_the_package_are_reported(
    damaged: str, run: Run, packaged: Path, tmp_path: Path, fails: Callable[[int], str]
) -> None:
    if damaged == "absent":
        packaged.unlink()
    else:
        packaged.write_bytes(packaged.read_bytes()[:-100])
    message = fails(run("test", tmp_path / "run", f"--{DATA}.protocol.init_args.test=[{OTHER}]"))
    assert str(packaged) in message
    with pytest.raises(UserError, match=str(packaged)):
        load_system()


def test_missing_weights_are_reported(run: Run, tmp_path: Path, fails: Callable[[int], str]) -> None:
    absent = tmp_path / "absent.ckpt"
    assert str(absent) in fails(run("fit", tmp_path / "run", f"--initial_weights={absent}"))


def test_a_system_that_is_loaded_has_the_rules_that_it_was_fitted_with(run: Run, tmp_path: Path) -> None:
    rules = [f"--model.init_args.rules.{key}" for key in ("restless=0", "aligning=false")]
    assert run("fit", tmp_path / "run", *rules, "--trainer.max_steps=1") == 0
    system = load_system(tmp_path / "run/checkpoints/weights.ckpt")
    assert isinstance(system.module, AnySceneSystem)
    assert (system.module.rules.restless, system.module.rules.aligning, system.module.rules.locking) == (0, False, True)
    assert system.size is None


def test_what_only_a_fit_needs_is_left_out() -> None:
    checkpoint: dict[str, Any] = {"state_dict": {}, "optimizer_states": [1], "system": "x", "loops": {}, "epoch": 3}
    assert weights_alone(checkpoint) == {"state_dict": {}, "system": "x", "epoch": 3}
