"""The scripts of examples/, and parts of one's own: a network, a reader, an augmentation outside of the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_systems import moving_square, write_video

from bgsub_lightning.cli import main
from bgsub_lightning.evaluation import TestResult

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_every_example_is_short_and_compiles() -> None:
    scripts = sorted(EXAMPLES.glob("*.py"))
    assert [each.stem for each in scripts] == ["own_camera", "own_dataset", "own_network", "own_video"]
    for script in scripts:
        compile(script.read_text(), str(script), "exec")


def test_own_video(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", moving_square(4))
    told = subprocess.run(
        [sys.executable, EXAMPLES / "own_video.py", video], capture_output=True, text=True, check=True
    )
    assert [line.split(":")[0] for line in told.stdout.splitlines()] == ["frame 1", "frame 2", "frame 3", "frame 4"]


def test_own_camera(tmp_path: Path) -> None:
    """A file stands for the camera."""
    frames = moving_square(30, (96, 64))
    for frame in frames[15:]:
        frame[20:50, 30:60] = 255
    video = write_video(tmp_path / "v.mkv", frames)
    command = [sys.executable, EXAMPLES / "own_camera.py", "MOG2", video]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not told.stderr
    assert "0.60 s  30×30 at (30, 20)" in told.stdout


@pytest.mark.parametrize(
    ("words", "told"), [(["MOG2", "77"], "there is no camera 77"), (["no.ckpt"], "no.ckpt: there")]
)
def test_no_such_camera_or_checkpoint(words: list[str], told: str) -> None:
    command = [sys.executable, EXAMPLES / "own_camera.py", *words]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 1
    assert said.stderr.startswith("error: ")
    assert told in said.stderr
    assert said.stderr.count("\n") == 1


def test_own_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, frame in enumerate(moving_square(12), 1):
        for kind, image in (("rgb", frame[..., ::-1]), ("truth", np.where(frame[..., 0] > 200, 255, 0))):
            path = tmp_path / "data/street" / kind / f"{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    monkeypatch.syspath_prepend(EXAMPLES)
    options = [
        f"--config={EXAMPLES.parent / 'experiments/mog2.yaml'}",
        f"--data.init_args.root={tmp_path / 'data'}",
        "--data.init_args.reader=own_dataset.MyDataset",
        "--data.init_args.protocol=Subset",
        '--data.init_args.protocol.init_args.test=["*/*"]',
        f"--run_dir={tmp_path / 'run'}",
        "--data.init_args.num_workers=0",
    ]
    assert main(["test", *options]) == 0
    result = TestResult.load(tmp_path / "run")
    assert result.dataset == "MyDataset"
    assert list(result.videos) == ["MyDataset/street"]


def test_own_network_and_own_augmentation(cdnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_augmentation.py").write_text(
        "import albumentations as A\n"
        "class Darker(A.RandomBrightnessContrast):\n"
        "    def __init__(self, by: float = 0.5) -> None:\n"
        "        super().__init__(brightness_limit=(-by, -by), contrast_limit=(0, 0), p=1.0)\n"
    )
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.syspath_prepend(tmp_path)
    augment = "{class_path: albumentations.Compose, init_args: {transforms: [{class_path: own_augmentation.Darker}]}}"
    common = [
        f"--config={EXAMPLES / 'own_network.yaml'}",
        f"--data.init_args.root={cdnet}",
        f"--run_dir={tmp_path / 'run'}",
        "--data.init_args.num_workers=0",
        "--data.init_args.store=null",
        "--data.init_args.size=[32, 24]",
        "--model.init_args.channels=2",
        "--trainer.accelerator=cpu",
        "--wandb=disabled",
        "--trainer.log_every_n_steps=1",
    ]
    options = ["--trainer.max_steps=2", f"--data.init_args.augment={augment}", "--trainer.limit_val_batches=1"]
    assert main(["fit", *common, *options, "--trainer.val_check_interval=2"]) == 0
    video = write_video(tmp_path / "v.mkv", moving_square(5))
    checkpoint = tmp_path / "run/checkpoints/last.ckpt"
    exported = tmp_path / "own.onnx"
    own = f"--modules={EXAMPLES / 'own_network.py'}"
    assert main(["export", f"--checkpoint={checkpoint}", f"--out={exported}", own]) == 0
    for system in (checkpoint, exported):
        out = tmp_path / system.suffix
        given = [f"--source={video}", f"--checkpoint={system}", f"--out={out}", "--write=masks"]
        assert main(["segment", *given, "--device=cpu", own]) == 0
        assert len(list((out / "masks").iterdir())) == 5
