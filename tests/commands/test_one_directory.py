"""One process at a time in a directory, and a command that was killed can be repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bgsub_lightning.cli import main
from bgsub_lightning.core.files import folder_lock
from bgsub_lightning.report.page.page import PAGE


class Held:
    """Another process that works in a folder."""

    def __init__(self, folder: Path) -> None:
        script = (
            "import pathlib, sys; from bgsub_lightning.core.files import claimed\n"
            "with claimed(pathlib.Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", script, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def test_the_second_is_refused_in_a_line(run: Any, fails: Any, tiny: Path, tmp_path: Path) -> None:
    assert run("fit", "--trainer.max_steps=1") == 0
    folder = tmp_path / "run"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with Held(folder):
        for command, *options in (
            ("fit",),
            ("fit", "--ckpt_path=last", "--trainer.max_steps=2"),
            ("test",),
            ("predict",),
        ):
            assert f"--run_dir: {folder}: " in fails(run(command, *options))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert run("test") == 0
    for words in (
        ["report", str(folder), "--out"],
        ["segment", "--checkpoint=MOG2", f"--source={tmp_path}/dataset/baseline/highway/input", "--out"],
        ["synthesize", "--videos_per_category=1", "--categories=[baseline]", "--out"],
    ):
        with Held(tmp_path / "out"):
            assert f"{tmp_path / 'out'}: " in fails(main([*words, str(tmp_path / "out")]))
        assert not (tmp_path / "out").exists()


def test_links_within_a_run_are_refused(run: Any, fails: Any, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "run"
    outside.mkdir()
    folder.mkdir()
    for name in ("checkpoints", "gallery", "results", "csv"):
        (folder / name).symlink_to(outside)
        message = fails(run("fit", "--trainer.max_steps=1"))
        assert f"{folder / name}: " in message
        assert str(outside) in message
        (folder / name).unlink()
    assert not any(outside.iterdir())
    (outside / "precious").write_text("x")
    (folder / "config.yaml").symlink_to(outside / "precious")
    assert run("fit", "--trainer.max_steps=1") == 0
    assert (outside / "precious").read_text() == "x"
    assert not (folder / "config.yaml").is_symlink()


def test_masks_and_tables_do_not_follow_links(fails: Any, tmp_path: Path, cdnet: Path, run: Any) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (out / "masks").symlink_to(outside)
    source = f"--source={cdnet}/baseline/highway/input"
    assert f"{out / 'masks'}: " in fails(
        main(["segment", source, f"--out={out}", "--checkpoint=MOG2", "--write=masks"])
    )
    options = ["--videos_per_category=1", "--unlabelled=1", "--labelled=1", "--width=64", "--height=48", "--workers=1"]
    options = ["synthesize", f"--out={tmp_path / 'twin'}", *options]
    assert main([*options, "--categories=[shadow]"]) == 0
    (tmp_path / "twin/baseline").symlink_to(outside)
    assert f"{tmp_path}/twin/baseline: " in fails(main([*options, "--categories=[baseline]"]))
    assert not any(outside.iterdir())


def test_a_report_that_was_killed_can_be_repeated(run: Any, fails: Any, tmp_path: Path, monkeypatch: Any) -> None:
    assert run("fit", "--trainer.max_steps=1", "--trainer.limit_val_batches=0") == 0
    assert run("test") == 0
    out = tmp_path / "page"
    command = [sys.executable, "-c", KILLED, "report", str(tmp_path / "run"), f"--out={out}"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert (out / "figures").is_dir()
    (out / "tables").mkdir(exist_ok=True)
    (out / "tables").rmdir()
    (out / "tables").symlink_to(tmp_path)
    assert f"{out / 'tables'}: " in fails(main(command[3:]))
    (out / "tables").unlink()
    assert main(command[3:]) == 0
    assert "Unfinished" not in (out / PAGE).read_text()
    with folder_lock(out) as lock:
        assert lock is not None


KILLED = """
import os, signal, sys
import bgsub_lightning.report.page.page as page
from bgsub_lightning.cli import main
page.draw_learning = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_what_loads_for_a_killed_fit_does_not_keep_its_directory(tiny: Path, tmp_path: Path) -> None:
    options = [f"--run_dir={tmp_path / 'run'}", "--data.init_args.num_workers=2", "--last.every_n_train_steps=1"]
    command = [sys.executable, "-m", "bgsub_lightning", "fit", "--config", str(tiny), *options]
    process = subprocess.Popen([*command, "--trainer.max_steps=100000"], stdout=subprocess.DEVNULL)
    while not (tmp_path / "run/checkpoints/last.ckpt").is_file():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    steps = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"]
    done = subprocess.run([*command, "--ckpt_path=last", f"--trainer.max_steps={steps + 1}"], check=False)
    assert done.returncode == 0
