"""Checkpoints that are damaged, that cannot be written, and which one a run resumes from."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_training import assert_same_run, content

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.systems.weights import damage, read_checkpoint
from bgsub_lightning.training.callbacks import AtomicCheckpointIO, Finished, checkpoints_of, newest_checkpoint

Run = Callable[..., int]
Fails = Callable[[int], str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.ckpt"
    torch.save({"weights": torch.arange(5000.0), "step": 3, "more": [torch.ones(700), "text"]}, path)
    return path


def test_a_whole_file_is_whole(file: Path) -> None:
    assert damage(file) is None


@pytest.mark.parametrize("part", [0.0, 0.001, 0.2, 0.9, 0.999])
def test_a_file_that_was_cut_off(file: Path, part: float) -> None:
    file.write_bytes(file.read_bytes()[: int(part * file.stat().st_size)])
    assert damage(file)


def test_each_byte_that_matters_is_looked_at(file: Path) -> None:
    """Either the damage is reported, or the loaded content is the saved one (as in the padding between tensors)."""
    whole = file.read_bytes()
    reported = 0
    for position in range(0, len(whole), 211):
        spoilt = bytearray(whole)
        spoilt[position] ^= 0x55
        file.write_bytes(spoilt)
        if damage(file):
            reported += 1
            continue
        loaded = torch.load(file, weights_only=True)
        assert torch.equal(loaded["weights"], torch.arange(5000.0))
        assert torch.equal(loaded["more"][0], torch.ones(700))
        assert (loaded["step"], loaded["more"][1]) == (3, "text")
    assert reported > 0.8 * len(whole) / 211


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no checkpoint at all")
    shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path, "text")
    assert damage(tmp_path / "text") == "File is not a zip file"
    assert damage(tmp_path / "archive.zip") == "torch.save did not write it"


def test_disk_that_is_full_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # for this user a disk with no room for more
    try:
        with pytest.raises(UserError, match=r"last\.ckpt: .*File too large.* --ckpt_path last"):
            AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["last.ckpt"]


def test_what_is_wrong_with_the_content_is_no_matter_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises((AttributeError, TypeError), match="pickle"):
        AtomicCheckpointIO().save_checkpoint({"function": lambda: 0}, tmp_path / "last.ckpt")
    assert not list(tmp_path.iterdir())


def made(run_dir: Path, *names: str) -> list[Path]:
    """Make checkpoints, each a minute younger than the one before."""
    paths = [run_dir / name for name in names]
    for minute, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"step": minute}, path)
        os.utime(path, (60 * minute, 60 * minute))
    return paths


def test_order_in_which_checkpoints_are_tried(tmp_path: Path) -> None:
    names = ("checkpoints/previous.ckpt", "hpc_ckpt_1.ckpt", "checkpoints/last.ckpt", "hpc_ckpt_2.ckpt")
    others = ("checkpoints/after_recon.ckpt", "checkpoints/best.ckpt")
    paths, rest = made(tmp_path, *names), made(tmp_path, *others)
    for path in rest:
        os.utime(path, (9999, 9999))  # younger, and yet no state between two checkpoints of the run
    assert checkpoints_of(tmp_path) == [*reversed(paths), *sorted(rest)]
    assert newest_checkpoint(tmp_path) == paths[-1]
    assert newest_checkpoint(tmp_path / "elsewhere") is None


def test_newest_whole_one_is_taken_and_the_damaged_are_reported(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    after, previous, last = made(
        tmp_path, "checkpoints/after_recon.ckpt", "checkpoints/previous.ckpt", "checkpoints/last.ckpt"
    )
    last.write_bytes(b"")
    assert newest_checkpoint(tmp_path) == previous
    output = capfd.readouterr().out
    assert f"{last}: is damaged (it is empty)" in output
    assert f"from {previous}" in output
    previous.write_bytes(previous.read_bytes()[:-50])
    os.utime(previous, (60, 60))
    assert newest_checkpoint(tmp_path) == after
    after.unlink()
    with pytest.raises(UserError, match=rf"{last}: is damaged[^$]*{previous}: is damaged[^$]*Delete {tmp_path}"):
        newest_checkpoint(tmp_path)


def test_run_goes_on_from_the_checkpoint_before_a_damaged_one(
    run: Run, fails: Fails, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    every = ("--last.every_n_train_steps=2", "--trainer.val_check_interval=4")
    assert run("fit", *every, run_dir=tmp_path / "whole") == 0
    assert run("fit", *every, "--trainer.max_steps=7") == 0
    (tmp_path / "run/finished.json").unlink()
    last, previous = (tmp_path / f"run/checkpoints/{name}.ckpt" for name in ("last", "previous"))
    assert (content(last)["global_step"], content(previous)["global_step"]) == (7, 6)
    spoilt = bytearray(last.read_bytes())
    spoilt[len(spoilt) // 2] ^= 0x55
    last.write_bytes(spoilt)
    for path in (last, tmp_path / "run/checkpoints/last.ckpt"):
        message = fails(run("fit", *every, f"--ckpt_path={path}"))
        assert re.search(rf"{path}: .*wrong checksum of ", message)
    assert "a damaged one" in fails(run("test", *every))
    assert run("fit", *every, "--ckpt_path=last") == 0
    assert f"from {previous}" in capfd.readouterr().out
    assert_same_run(tmp_path / "whole", tmp_path / "run", 18)


def test_a_training_that_has_diverged_ends_and_no_checkpoint_has_its_weights(
    run: Run, fails: Fails, tmp_path: Path
) -> None:
    options = [f"--run_dir={tmp_path / 'run'}", "--trainer.max_epochs=-1", "--trainer.val_check_interval=1"]
    message = fails(run("fit", *options, "--trainer.max_steps=8", "--model.init_args.lr=1e30"))
    assert re.search(r"train/loss: .*got NaN or infinity at .*learning rate", message)
    for checkpoint in (tmp_path / "run").rglob("*.ckpt"):
        read_checkpoint(checkpoint)  # which refuses such weights
    assert not (tmp_path / "run/finished.json").exists()


def test_what_lightning_has_saved_on_slurm_is_gone_on_from(run: Run, fails: Fails, tmp_path: Path) -> None:
    assert run("fit", "--trainer.max_steps=5") == 0
    (tmp_path / "run/finished.json").unlink()
    saved = (tmp_path / "run/checkpoints/last.ckpt").rename(tmp_path / "run/hpc_ckpt_1.ckpt")
    assert "a run that was begun" in fails(run("fit"))
    assert run("fit", "--ckpt_path=last", "--trainer.max_steps=6") == 0
    starts = json.loads((tmp_path / "run/run.json").read_text())["starts"]
    assert [start["from"] for start in starts] == [None, str(saved)]
    assert checkpoints_of(tmp_path / "run")[0] == tmp_path / "run/checkpoints/last.ckpt"


def test_run_directory_that_cannot_be(run: Run, fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file/run"):
        assert f"--run_dir: {folder}: " in fails(run("fit", run_dir=folder))
    store = tmp_path / "file"
    message = fails(run("fit", f"--data.init_args.store={store}"))
    assert re.search(rf"{store}: .*File exists", message)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"steps": -1, "epochs": 0}', '{"steps": 1, "epochs": 1, "more": 1}']
)
def test_mark_of_a_finished_run_that_is_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / "finished.json").write_text(content)
    with pytest.raises(UserError, match=rf"^{tmp_path}/finished\.json: "):
        Finished.load(tmp_path / "finished.json")
