"""The scripts of examples/, and parts of one's own: a network, a reader, an augmentation outside of the package."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from live_systems import moving_square, write_video
from numpy.typing import NDArray

from bgsub_lightning.cli import main
from bgsub_lightning.evaluation import TestResult

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPES = ("abandoned_object", "alert_zone", "count_line", "thermal_camera", "timelapse", "wildlife_camera")


def test_every_example_is_short_and_compiles() -> None:
    scripts = sorted(EXAMPLES.glob("*.py"))
    assert {each.stem for each in scripts} == {"own_camera", "own_dataset", "own_network", "own_video", *RECIPES}
    for script in scripts:
        compile(script.read_text(), str(script), "exec")


@pytest.mark.parametrize("page", ["README.md", "docs/start/video.md"])
def test_python_of_the_pages(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "street.mp4", moving_square(4, (320, 240)))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```", (EXAMPLES.parent / page).read_text(), re.M | re.S):
        exec(code, names)  # what a reader does with it
    assert names["mask"].dtype == np.uint8
    assert {*np.unique(names["mask"])} <= {0, 255}
    if "result" in names:
        assert names["result"].mask.shape == names["mask"].shape
        assert len(capsys.readouterr().out.splitlines()) == 4


def test_own_video(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", moving_square(4))
    ended = subprocess.run(
        [sys.executable, EXAMPLES / "own_video.py", video], capture_output=True, text=True, check=True
    )
    assert [line.split(":")[0] for line in ended.stdout.splitlines()] == ["frame 1", "frame 2", "frame 3", "frame 4"]


def test_own_camera(tmp_path: Path) -> None:
    """A file stands for the camera."""
    frames = moving_square(30, (96, 64))
    for frame in frames[15:]:
        frame[20:50, 30:60] = 255
    video = write_video(tmp_path / "v.mkv", frames)
    command = [sys.executable, EXAMPLES / "own_camera.py", "MOG2", video]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not ended.stderr
    assert "0.60 s  30×30 at (30, 20)" in ended.stdout


@pytest.mark.parametrize(
    ("words", "expected"), [(["MOG2", "77"], "there is no camera 77"), (["no.ckpt"], "no.ckpt: there")]
)
def test_no_such_camera_or_checkpoint(words: list[str], expected: str) -> None:
    command = [sys.executable, EXAMPLES / "own_camera.py", *words]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 1
    assert said.stderr.startswith("error: ")
    assert expected in said.stderr
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


def run(name: str, *words: object, folder: Path) -> list[str]:
    command = [sys.executable, EXAMPLES / f"{name}.py", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def walk(count: int = 90, at: int = 40, size: tuple[int, int] = (160, 96)) -> list[NDArray[np.uint8]]:
    """A textured place that is empty at first, and that a square of 16×16 pixels crosses from frame ``at`` on."""
    generator = np.random.default_rng(0)
    place = cv2.resize(generator.integers(60, 140, (12, 20, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)
    frames = []
    for number in range(count):
        frame = (place + generator.normal(0, 2, place.shape)).clip(0, 255).astype(np.uint8)
        if number >= at:
            x = 3 * (number - at)
            frame[40:56, x : x + 16] = (230, 60, 40)
        frames.append(frame)
    return frames


def test_count_line(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", walk())
    (line,) = run("count_line", video, "80,0,80,96", folder=tmp_path)
    assert line.endswith("out: in 0, out 1")


def test_alert_zone(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", walk())
    (line,) = run("alert_zone", video, "60,0,100,0,100,96,60,96", "echo", folder=tmp_path)
    assert line.startswith("object 1 at ")


def test_abandoned_object(tmp_path: Path) -> None:
    frames = walk(60)
    for _ in range(60):  # where it was left
        frames.append(walk(1)[0])
        frames[-1][40:56, 60:76] = (230, 60, 40)
    video = write_video(tmp_path / "v.mkv", frames)
    (line,) = run("abandoned_object", video, 1.5, folder=tmp_path)
    assert "abandoned" in line
    picture = cv2.imread(str(next(tmp_path.glob("abandoned_*.png"))))
    assert picture[..., 2].mean() > 200  # red


def test_wildlife_camera(tmp_path: Path) -> None:
    for number, frame in enumerate(walk(60)):
        cv2.imwrite(str(tmp_path / f"{number:03d}.jpg"), frame[..., ::-1])
    lines = run("wildlife_camera", tmp_path, folder=tmp_path)
    found = {int(line.split(":")[0].removeprefix("image ")) for line in lines}
    assert found <= set(range(40, 60))
    assert len(found) > 12


@pytest.mark.slow
def test_timelapse(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", walk(200, 40, (640, 96)))
    assert run("timelapse", video, "all.png", folder=tmp_path) == []
    picture = cv2.imread(str(tmp_path / "all.png"))
    red = (picture[..., 2] > 200) & (picture[..., 1] < 100)
    assert 600 < red.sum() < 1400  # three or four of 16×16


@pytest.mark.slow
def test_thermal_camera(tmp_path: Path) -> None:
    for number, frame in enumerate(walk(70)):
        raw = 50_000 + 10 * frame[..., 0].astype(np.uint16)
        cv2.imwrite(str(tmp_path / f"{number:03d}.png"), raw)
    for words in ((), ("50000,52550",)):
        lines = run("thermal_camera", tmp_path, *words, folder=tmp_path)
        assert len(lines) > 15
        assert all("object 1 at" in line for line in lines)


def test_recipes_say_how_they_are_called(tmp_path: Path) -> None:
    for name in RECIPES:
        done = subprocess.run([sys.executable, EXAMPLES / f"{name}.py"], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 1
        assert f"examples/{name}.py" in done.stderr
        assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 25
