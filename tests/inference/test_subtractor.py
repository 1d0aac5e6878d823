"""One subtractor for all systems: the same masks as `predict`, OpenCV's semantics, warming up and refreshing."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from live_systems import TINY, moving_square, pool_of, predicted, save, tiny_system
from numpy.typing import NDArray
from tiny_training import quiet

import bgsub_lightning
from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import EvaluationBatch, Image, References, SceneInputs
from bgsub_lightning.frames import FlowFiles, read_image
from bgsub_lightning.inference import System, load_system
from bgsub_lightning.inference.footage import Footage
from bgsub_lightning.inference.subtractor import Subtractor
from bgsub_lightning.systems.base import BgsModule

pytestmark = quiet


@pytest.mark.parametrize("name", TINY)
def test_masks_are_those_of_predict(name: str, tmp_path: Path, make_video: Callable[..., Path]) -> None:
    size = (256, 256) if name == "CrossNet" else (32, 24)
    folder = make_video(tmp_path / "data", "baseline", "highway", size=size, unlabelled=3, labelled=6)
    files = sorted((folder / "input").iterdir())
    system = tiny_system(name)
    pool = pool_of(system, tmp_path / "data")
    frames = [read_image(file) for file in files]
    if name == "Siamese":
        entry = replace(system.module.inputs[1], given=files[0])  # type: ignore[type-var]
        system.module.inputs = (system.module.inputs[0], entry)
        pool = [frames[0]]
    expected = predicted(system, tmp_path / "data", tmp_path / "run")
    subtractor = Subtractor(system, "cpu", pool, batch_size=2)
    found = np.concatenate([subtractor.probability(frames[i : i + 2]) for i in range(0, len(frames), 2)])
    assert list(expected) == [4, 5, 6, 7, 8, 9]
    tolerance = 1e-5 if name == "CrossNet" else 2e-6  # single precision is as far from double there, and farther
    for number, probability in expected.items():
        np.testing.assert_allclose(found[number - 1], probability, atol=tolerance, err_msg=str(number))


@pytest.mark.parametrize("name", TINY)
def test_a_checkpoint_is_enough(name: str, tmp_path: Path) -> None:
    system = tiny_system(name)
    size = (256, 256) if name == "CrossNet" else (32, 24)
    frames = moving_square(4, size)
    subtractor = Subtractor(system, "cpu")
    masks = [subtractor.apply(frame) for frame in frames]
    loaded = bgsub_lightning.load(str(save(system, tmp_path / "moved.ckpt")), device="cpu")
    for frame, mask in zip(frames, masks, strict=True):
        found = loaded.apply(frame)
        assert (found.shape, found.dtype, set(np.unique(found)) <= {0, 255}) == (size[::-1], np.uint8, True)
        np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize("name", ["MOG2", "KNN"])
def test_baselines_are_opencvs(name: str) -> None:
    frames = [frame[..., ::-1].copy() for frame in moving_square(12)]
    ours = bgsub_lightning.load(name, device="cpu")
    cv2.setRNGSeed(0)
    theirs: Any = getattr(cv2, f"createBackgroundSubtractor{name}")()
    for frame in frames:
        mask = theirs.apply(frame)
        np.testing.assert_array_equal(ours.apply(frame), np.where(mask == 255, 255, 0))


def test_apply_has_opencvs_manners() -> None:
    frames = moving_square(3)
    subtractor = Subtractor(tiny_system("Siamese"), "cpu")
    given = np.empty((24, 32), np.uint8)
    mask = subtractor.apply(frames[0][..., ::-1].copy(), given, -1)
    np.testing.assert_array_equal(given, mask)
    bgr = Subtractor(tiny_system("FrameFcn"), "cpu").apply(frames[0][..., ::-1].copy())
    np.testing.assert_array_equal(bgr, Subtractor(tiny_system("FrameFcn"), "cpu").push([frames[0]])[0])
    grey = frames[0][..., 0].copy()
    np.testing.assert_array_equal(
        Subtractor(tiny_system("FrameFcn"), "cpu").apply(grey),
        Subtractor(tiny_system("FrameFcn"), "cpu").push([np.repeat(grey[..., None], 3, 2)])[0],
    )
    shown = subtractor.getBackgroundImage()
    assert shown is not None
    np.testing.assert_array_equal(shown[..., ::-1], frames[0])  # of one frame, the first
    subtractor.apply(frames[1][..., ::-1].copy(), learningRate=1)
    np.testing.assert_array_equal(subtractor.getBackgroundImage(), frames[1][..., ::-1])


def test_before_the_first_frame_and_without_a_background_there_is_no_image() -> None:
    subtractor = Subtractor(tiny_system("CrossNet"), "cpu")
    assert subtractor.getBackgroundImage() is None
    subtractor.apply(moving_square(1, (256, 256))[0])
    assert subtractor.getBackgroundImage() is None


@pytest.mark.parametrize("name", [*TINY, "MOG2", "TemporalMedian"])
def test_streams_of_one_system_know_nothing_of_each_other(name: str) -> None:
    system = load_system(name) if name not in TINY else tiny_system(name)
    size = (256, 256) if name == "CrossNet" else (32, 24)
    streams = [moving_square(9, size, seed=seed) for seed in (1, 2)]
    expected = []
    for frames in streams:
        alone = Subtractor(system, "cpu", stride=2, refresh_interval=4)
        expected.append([alone.probability([frame]) for frame in frames])
    both = [Subtractor(system, "cpu", stride=2, refresh_interval=4) for _ in streams]
    found = [[both[i].probability([frame]) for i, frame in enumerate(pair)] for pair in zip(*streams, strict=True)]
    np.testing.assert_array_equal(list(zip(*found, strict=True)), expected)


# --- the pool --------------------------------------------------------------------------------------------------------


def test_it_warms_up_with_frames_of_the_stream() -> None:
    subtractor = Subtractor(tiny_system("BmnBsn"), "cpu", stride=2)
    assert subtractor.system.needs_pool
    frames = moving_square(60)
    warm = []
    for frame in frames:
        subtractor.push([frame])
        warm.append(subtractor.is_warm)
    assert subtractor.footage is not None
    taken = list(subtractor.footage.pool)
    assert warm.index(True) == 48  # 25 frames, every second
    assert all(np.array_equal(one, other) for one, other in zip(taken, frames[:50:2], strict=True))


def test_a_pool_that_was_given_stays_unless_it_is_refreshed() -> None:
    old, new = moving_square(4, seed=1), moving_square(200, seed=2)
    still = Subtractor(tiny_system("Siamese"), "cpu", old, stride=2)
    fresh = Subtractor(tiny_system("Siamese"), "cpu", old, stride=2, refresh_interval=20)
    assert still.is_warm
    assert fresh.is_warm
    answers = [(still.push([frame]), fresh.push([frame])) for frame in new]
    assert all(len(mask) == 1 for pair in answers for mask in pair)  # no gap
    before = np.median(old, axis=0).round()
    after = np.median(new[-51:-1:2], axis=0)
    np.testing.assert_array_equal(still.getBackgroundImage()[..., ::-1], before)  # type: ignore[index]
    assert np.abs(fresh.getBackgroundImage()[..., ::-1] - after).mean() < 1  # type: ignore[index]


@dataclass
class Level(SceneContext):
    level: torch.Tensor


class Patient(BgsModule):
    """The mean of its references, for which it can be made to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = (Image(), References(2))
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def losses(self, batch: Any) -> dict[str, torch.Tensor]:
        return {}

    def begin_scene(self, scene: SceneInputs) -> Level:
        assert self.may_go_on.wait(60)
        return Level(scene["references"].mean())

    def probability(self, context: Level, batch: EvaluationBatch) -> torch.Tensor:
        return context.level.expand(1, *batch["image"][:, 0].shape)


def grey(level: int) -> NDArray[np.uint8]:
    return np.full((4, 6, 3), level, np.uint8)


def test_the_old_background_serves_until_the_new_one_is_made() -> None:
    module = Patient()
    subtractor = Subtractor(
        System("patient", module), "cpu", [grey(0)] * 2, 2, stride=1, refresh_interval=5, blocking=False
    )
    module.may_go_on.clear()
    with ThreadPoolExecutor(1) as beside:  # the first frame waits in any case: there is no background before it
        first = beside.submit(subtractor.probability, [grey(51)])
        assert not wait([first], timeout=0.2).done
        module.may_go_on.set()
        assert first.result(60).max() == 0
    module.may_go_on.clear()
    for _ in range(20):  # frames continue, with the old background
        assert subtractor.probability([grey(51)]).max() == 0
    module.may_go_on.set()
    subtractor._beside.submit(int).result(60)  # after what was under way
    np.testing.assert_allclose(subtractor.probability([grey(51)]), 0.2, atol=1e-6)


def test_failures_of_the_rebuilding_thread_are_reported() -> None:
    module = Patient()
    subtractor = Subtractor(
        System("patient", module), "cpu", [grey(0)] * 2, stride=1, refresh_interval=1, blocking=False
    )
    subtractor.probability([grey(51)])
    module.may_go_on = None  # type: ignore[assignment]
    subtractor.probability([grey(51)])
    subtractor._beside.submit(int).result(60)
    with pytest.raises(AttributeError, match="wait"):
        subtractor.probability([grey(51)])


def test_another_size_does_not_get_the_background_of_the_one_before() -> None:
    module = Patient()
    subtractor = Subtractor(System("patient", module), "cpu", stride=1, refresh_interval=1, blocking=False)
    subtractor.probability([grey(255)])
    module.may_go_on.clear()
    subtractor.probability([grey(255)])  # which has one made beside
    assert subtractor._renewing is not None
    with ThreadPoolExecutor(1) as beside:
        found = beside.submit(subtractor.probability, [grey(0)[:, :2]])
        assert not wait([found], timeout=0.2).done
        module.may_go_on.set()
        assert found.result(60).max() == 0
    subtractor._beside.submit(int).result(60)
    assert subtractor.probability([grey(0)[:, :2]]).max() == 0


def test_a_clean_image_stays_until_the_refresh() -> None:
    subtractor = Subtractor(System("patient", Patient()), "cpu", [grey(0)], 4, stride=2, refresh_interval=20)
    levels = [float(subtractor.probability([grey(255)]).max()) for _ in range(30)]
    assert levels[:20] == [0] * 20
    assert levels[20] == 1


def test_intervals_are_of_the_sources_frames_not_of_those_that_were_in_time() -> None:
    subtractor = Subtractor(System("patient", Patient()), "cpu", pool_size=5, stride=10)
    for number in range(1, 100, 10):  # one in ten
        subtractor.probability([grey(0)], [number])
        assert subtractor.is_warm == (number > 40)


def test_a_wrong_frame_does_no_harm() -> None:
    subtractor = Subtractor(System("patient", Patient()), "cpu")
    with pytest.raises(UserError, match=r"^images\[.\]: .*RGB.*uint8.*; got float32"):
        subtractor.push([grey(0).astype(np.float32)])  # type: ignore[list-item]
    subtractor.push([grey(0)])


@pytest.mark.parametrize("pool", [[], moving_square(4, seed=1)])
def test_the_learning_rate_0_leaves_the_background_alone(pool: list[NDArray[np.uint8]]) -> None:
    subtractor = Subtractor(tiny_system("Siamese"), "cpu", pool, stride=1, refresh_interval=1)
    subtractor.apply(moving_square(1, seed=2)[0], learningRate=0)
    before = subtractor.getBackgroundImage()
    for frame in moving_square(9, seed=2):
        subtractor.apply(frame, learningRate=0)
    np.testing.assert_array_equal(subtractor.getBackgroundImage(), before)
    for frame in moving_square(40, seed=2):
        subtractor.apply(frame)
    assert not np.array_equal(subtractor.getBackgroundImage(), before)


def test_the_learning_rate_1_rebuilds_it_from_this_frame() -> None:
    subtractor = Subtractor(tiny_system("Siamese"), "cpu", moving_square(4, seed=1))
    frame = moving_square(1, seed=2)[0][..., ::-1].copy()
    subtractor.apply(frame)
    assert not np.array_equal(subtractor.getBackgroundImage(), frame)
    subtractor.apply(frame, learningRate=1)
    np.testing.assert_array_equal(subtractor.getBackgroundImage(), frame)


@pytest.mark.parametrize("name", ["MOG2", "KNN"])
@pytest.mark.parametrize("rate", [0, 0.2, 1, -1])
def test_learning_rates_and_backgrounds_of_baselines_are_opencvs(name: str, rate: float) -> None:
    ours, theirs = bgsub_lightning.load(name, device="cpu"), getattr(cv2, f"createBackgroundSubtractor{name}")()
    frames = [*moving_square(3, seed=1), *moving_square(6, seed=2)]
    cv2.setRNGSeed(0)
    expected = [theirs.apply(frame, learningRate=-1 if i < 3 else rate) == 255 for i, frame in enumerate(frames)]
    background = theirs.getBackgroundImage()
    found = [ours.apply(frame, learningRate=-1 if i < 3 else rate) == 255 for i, frame in enumerate(frames)]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(ours.getBackgroundImage(), background)
    frame = moving_square(1, seed=3)[0]
    expected = theirs.apply(np.ascontiguousarray(frame[..., ::-1])) == 255
    np.testing.assert_array_equal(ours.push([frame])[0] == 255, expected)  # at its own rate again


@pytest.mark.parametrize("rate", ["fast", None, math.nan, 1.5, [0.1]])
@pytest.mark.parametrize("name", ["MOG2", "TemporalMedian"])
def test_learning_rates_that_are_none(name: str, rate: Any) -> None:
    with pytest.raises(UserError, match="learningRate: must be"):
        bgsub_lightning.load(name, device="cpu").apply(moving_square(1)[0], learningRate=rate)


def test_what_learns_of_every_frame_refuses_the_learning_rate_0() -> None:
    with pytest.raises(UserError, match=r"learningRate: .*TemporalMedian"):
        bgsub_lightning.load("TemporalMedian", device="cpu").apply(moving_square(1)[0], learningRate=0)


def test_memory_does_not_grow() -> None:
    subtractor = Subtractor(tiny_system("CrossNet"), "cpu", batch_size=2)
    frames = moving_square(16, (256, 256))
    for i in range(0, len(frames), 2):
        subtractor.push(frames[i : i + 2])
    assert subtractor.footage is not None
    assert len(subtractor.footage._newest) == 2 + 3  # a batch, and as many as the longest interval


def test_another_size_begins_another_stream() -> None:
    subtractor = Subtractor(tiny_system("BmnBsn"), "cpu")
    small, large = moving_square(3), moving_square(3, (48, 40))
    for frame in [*small, *large]:
        assert subtractor.push([frame])[0].shape == frame.shape[:2]
    assert subtractor.footage is not None
    assert len(subtractor.footage.pool) == 1


def test_a_state_begins_with_the_frames_that_are_given() -> None:
    first, then = moving_square(9, seed=3), moving_square(5, seed=4)
    primed = Subtractor(load_system("MOG2"), "cpu", first)
    whole = Subtractor(load_system("MOG2"), "cpu")
    for frame in first:
        whole.push([frame])
    for frame in then:
        np.testing.assert_array_equal(primed.push([frame]), whole.push([frame]))


def test_flow_of_a_gap_is_that_of_the_frame_before() -> None:
    frames = moving_square(4, (64, 48))
    footage = Footage((64, 48), None, tiny_system("CrossNet").flow, 10, 1)
    for number, frame in zip((1, 2, 5, 6), frames, strict=True):
        footage.add(number, frame)
    np.testing.assert_array_equal(footage.motion(5, 1), footage.motion(5, 3))  # 4 and 3 are missing
    assert footage.motion(1, 3).max() == 0
    assert footage.motion(6, 1).max() > 0


# --- bad input -------------------------------------------------------------------------------------------------------


def test_flow_from_files_is_refused(tmp_path: Path) -> None:
    system = replace(tiny_system("CrossNet"), flow=FlowFiles(tmp_path))
    with pytest.raises(UserError, match="FlowFiles"):
        Subtractor(system, "cpu").push(moving_square(1, (256, 256)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 0}, "stride: .*got 0"),
        ({"refresh_interval": 0}, "refresh_interval: .*got 0"),
        ({"threshold": 1.0}, r"threshold: .*got 1\.0"),
    ],
)
def test_numbers_without_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Subtractor(tiny_system("FrameFcn"), "cpu", **settings)


@pytest.mark.parametrize("device", ["cuda:77", "gpu"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(UserError, match=f"device: .*{device} .*cpu"):
        Subtractor(tiny_system("FrameFcn"), device)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = save(tiny_system("FrameFcn"), tmp_path / "x.ckpt")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"x\.ckpt: .*checkpoint"):
        load_system(path)
    with pytest.raises(UserError, match="there is no such checkpoint"):
        load_system(tmp_path / "absent.ckpt")


def test_a_checkpoint_with_an_argument_that_its_system_no_longer_has_is_refused_by_its_name(tmp_path: Path) -> None:
    path = save(tiny_system("AnyScene"), tmp_path / "x.ckpt")
    content = torch.load(path, weights_only=True)
    content["system"] = content["system"].replace("init_args:", "init_args:\n    former: null", 1)
    torch.save(content, path)
    with pytest.raises(UserError, match=r"x\.ckpt: .*AnyScene.*model\.init_args\.former"):
        load_system(path)


def test_a_checkpoint_without_its_system_takes_it_from_the_run(tmp_path: Path) -> None:
    system = tiny_system("FrameFcn")
    path = save(system, tmp_path / "run/checkpoints/last.ckpt")
    content = torch.load(path, weights_only=True)
    stored = content.pop("system")
    torch.save(content, path)
    with pytest.raises(UserError, match=r"last\.ckpt: .*config\.yaml"):
        load_system(path)
    model = stored.split("model:")[1].split("\nsize:")[0]
    (tmp_path / "run/config.yaml").write_text(f"model:{model}\ndata: {{init_args: {{size: null}}}}\n")
    assert load_system(path).name == "run"


def test_a_missing_class_is_reported(tmp_path: Path) -> None:
    system = replace(
        tiny_system("FrameFcn"), model_config="model: {class_path: nowhere.Mine}\nsize: null\nflow: null\n"
    )
    with pytest.raises(UserError, match=r"x\.ckpt: .*class_path nowhere\.Mine"):
        load_system(save(system, tmp_path / "x.ckpt"))
    with pytest.raises(UserError, match=r"--modules: .*nowhere"):
        load_system(tmp_path / "x.ckpt", ["nowhere"])


def test_a_system_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sixth system, whose class lies outside of the package."""
    (tmp_path / "sixth.py").write_text(
        "import torch\n"
        "from bgsub_lightning.data import Image\n"
        "from bgsub_lightning.systems import BgsModule\n"
        "class Bright(BgsModule):\n"
        "    def __init__(self, level: float = 0.5) -> None:\n"
        "        super().__init__()\n"
        "        self.inputs = (Image(),)\n"
        "        self.level = torch.nn.Parameter(torch.tensor(level))\n"
        "    def losses(self, batch):\n"
        "        return {}\n"
        "    def probability(self, context, batch):\n"
        "        return (batch['image'].mean(1) > self.level).float()[None]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model_config = "model: {class_path: sixth.Bright, init_args: {level: 0.6}}\nsize: null\nflow: null\n"
    module = __import__("sixth").Bright(0.6)
    assert isinstance(module, BgsModule)
    path = save(System("mine", module, model_config=model_config), tmp_path / "mine.ckpt")
    frame = moving_square(1)[0]
    mask = bgsub_lightning.load(str(path), modules=["sixth"], device="cpu").apply(frame)
    np.testing.assert_array_equal(mask == 255, frame.mean(-1) > 0.6 * 255)
