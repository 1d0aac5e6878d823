"""Shared by all tests: tiny videos made by code, fabricated scenes, and the real sequences where they are available.

``make_video`` and ``cdnet`` write files in CDnet2014's layout; ``make_scene`` makes a :class:`Scene` of paths that do
not exist, for what never opens them; ``tiny``, ``run`` and ``fails`` put a tiny system on tiny videos through the real
command line. All of it is deterministic.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from two_processes import TwoProcesses

from bgsub_lightning.cli import main
from bgsub_lightning.datasets import Scene


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real-data", type=Path, metavar="PATH", help="folder that holds CDnet2014/ with real sequences")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--real-data") is None:
        skip = pytest.mark.skip(reason="needs the real sequences: --real-data=PATH, the folder that holds CDnet2014/")
        for item in items:
            if item.get_closest_marker("real_data"):
                item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is remembered from one session of tests to the next, nor in the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BGSUB_LIGHTNING_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def real_data(request: pytest.FixtureRequest) -> Path:
    """The folder of ``--real-data``; tests that take it are marked ``real_data``."""
    folder: Path = request.config.getoption("--real-data")
    assert (folder / "CDnet2014").is_dir(), f"--real-data: {folder} holds no CDnet2014 folder"
    return folder


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    """Writer of tiny videos: ``make_video(root, category, video, **settings) -> folder of the video``."""
    return _make_video


@pytest.fixture
def cdnet(tmp_path: Path) -> Path:
    """Root of a tiny CDnet2014: 26 frames of 64×48 per video, of which 21–26 are labelled.

    Of the committed three folds, videos 1: highway, bungalows; 2: office, park; 3: PETS2006; and one of PTZ.
    """
    root = tmp_path / "dataset"
    for key in ("PTZ/zoomInZoomOut", "baseline/PETS2006", "baseline/highway", "baseline/office"):
        _make_video(root, *key.split("/"))
    for key in ("shadow/bungalows", "thermal/park"):
        _make_video(root, *key.split("/"))
    return root


@pytest.fixture
def make_scene() -> Callable[..., Scene]:
    """Maker of scenes without files: ``make_scene("category/name", labelled=6, references=20)``."""

    def make(
        key: str,
        labelled: int | Iterable[int] = 6,
        references: int = 20,
        dataset: str = "CDnet2014",
    ) -> Scene:
        numbers = range(references + 1, references + 1 + labelled) if isinstance(labelled, int) else sorted(labelled)
        last = max(numbers, default=references)
        category, name = key.split("/")
        return Scene(
            dataset=dataset,
            category=category,
            name=name,
            size=(64, 48),
            frames={number: Path(f"/nowhere/{key}/input/in{number:06d}.jpg") for number in range(1, last + 1)},
            masks={number: Path(f"/nowhere/{key}/groundtruth/gt{number:06d}.png") for number in numbers},
            evaluated=(references + 1, last),
            references=tuple(range(1, references + 1)),
        )

    return make


TINY = """
trainer: {{accelerator: cpu, devices: 1, max_epochs: 2, num_sanity_val_steps: 0, use_distributed_sampler: false,
  enable_progress_bar: false, enable_model_summary: false, log_every_n_steps: 1}}
model:
  class_path: bgsub_lightning.systems.BmnBsn
  init_args: {{references: 3, maps: 4, channels: 4, depth: 2, lr: 1.0e-2, class_balanced: true}}
data:
  class_path: bgsub_lightning.data.ScenesDataModule
  init_args:
    root: {root}
    size: [32, 24]
    batch_size: 2
    num_workers: 0
    flip: 0.5
    protocol:
      class_path: bgsub_lightning.splits.SceneWise
      init_args: {{validation: {{frames: 4}}}}
wandb: disabled
"""


@pytest.fixture
def tiny(tmp_path: Path, cdnet: Path) -> Path:
    """A configuration file for the videos of ``cdnet``: fold 1 tests highway and bungalows."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.format(root=cdnet))
    return path


@pytest.fixture
def run(tiny: Path, tmp_path: Path) -> Callable[..., int]:
    """Runs a command on the configuration ``tiny``, in the run directory ``tmp_path/run``."""

    def call(command: str, *options: str, config: Path = tiny, run_dir: Path = tmp_path / "run") -> int:
        return main([command, "--config", str(config), f"--run_dir={run_dir}", *options])

    return call


@pytest.fixture
def fails(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Checks that a command fails as a user's mistake should, and returns the message."""

    def check(status: int) -> str:
        output = capfd.readouterr()
        assert status == 2
        assert "Traceback" not in output.err + output.out
        assert output.err.count("error: ") == 1
        return output.err

    return check


def _make_video(
    root: Path,
    category: str,
    video: str,
    *,
    size: tuple[int, int] = (64, 48),
    unlabelled: int = 20,
    labelled: int = 6,
    withheld: int = 0,
    roi: bool = True,
) -> Path:
    """Write a video: a bright square that casts a shadow moves over a smooth texture, in every frame elsewhere.

    Args:
        root: Where the category's folder goes.
        category: Its category.
        video: Its name, which with the category decides what it looks like.
        size: Width and height.
        unlabelled: Frames before the temporal ROI; their masks are uniformly 85.
        labelled: Frames whose masks hold all five levels; without an ROI there is no 85.
        withheld: Frames after those, inside the temporal ROI, whose masks are uniformly 85.
        roi: Whether there is an ROI.bmp, which leaves out the left eighth of the frame.
    """
    width, height = size
    folder = root / category / video
    (folder / "input").mkdir(parents=True)
    (folder / "groundtruth").mkdir()
    generator = np.random.default_rng(zlib.crc32(f"{category}/{video}".encode()))
    coarse = generator.integers(20, 140, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    background = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    start = generator.integers(0, 1000)
    side, outside = height // 4, width // 8
    first_labelled, last = unlabelled + 1, unlabelled + labelled + withheld
    for number in range(1, last + 1):
        left = outside + 1 + int(start + 5 * number) % (width - outside - side - 5)
        top = 1 + int(start + 3 * number) % (height - side - 4)
        frame = background.copy()
        frame[top : top + side, left + side : left + side + 3] //= 2
        frame[top : top + side, left : left + side] = (200, 220, 250)
        cv2.imwrite(str(folder / f"input/in{number:06d}.jpg"), frame)
        mask = np.full((height, width), 85, np.uint8)
        if first_labelled <= number < first_labelled + labelled:
            mask[:] = 0
            mask[top : top + side, left + side : left + side + 3] = 50
            mask[top : top + side, left : left + side] = 170
            mask[top + 1 : top + side - 1, left + 1 : left + side - 1] = 255
            if roi:
                mask[:, :outside] = 85
        cv2.imwrite(str(folder / f"groundtruth/gt{number:06d}.png"), mask)
    if roi:
        inside = np.full((height, width), 255, np.uint8)
        inside[:, :outside] = 0
        cv2.imwrite(str(folder / "ROI.bmp"), inside)
    (folder / "temporalROI.txt").write_text(f"{first_labelled} {last}")
    return folder


@pytest.fixture(scope="session")
def two_processes() -> Iterator[TwoProcesses]:
    """Calls a function in two processes that train together: ``two_processes(function, *arguments) -> [of each]``."""
    pair = TwoProcesses()
    yield pair
    pair.stop()
