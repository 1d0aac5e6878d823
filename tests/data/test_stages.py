"""Stages: when, on which frames, and what their samples read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.backgrounds import BackgroundContext, BackgroundSource, SourceBackgrounds
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import (
    Background,
    Histories,
    Image,
    ScenesDataModule,
    Span,
    Stage,
    StagePlan,
)
from bgsub_lightning.data.batches import Draw, TrainingBatches
from bgsub_lightning.data.dataset import TrainingDataset
from bgsub_lightning.data.stages import StagedLoader
from bgsub_lightning.datasets import CDnet2014, Scene
from bgsub_lightning.frames import FrameStore, SceneFrames
from bgsub_lightning.splits import FrameSet, LabelBudget, Subset

CPU = torch.device("cpu")


def plan() -> StagePlan:
    return StagePlan(
        Span("first", ("a",), Stage(4, 4, 1e-2), (), 4),
        Span("second", ("b",), Stage(3, 2, 1e-3, "cosine"), (), 2),
        Span("joint", ("a", "b"), Stage(2, 1, 1e-4), (), 1),
    )


# --- the plan --------------------------------------------------------------------------------------------------------


def test_stages_are_laid_end_to_end() -> None:
    assert [(span.first, span.end) for span in plan()] == [(0, 4), (4, 7), (7, 9)]
    assert len(plan()) == 9
    assert [plan().at(step).name for step in range(12)] == ["first"] * 4 + ["second"] * 3 + ["joint"] * 5
    assert plan().networks == ("a", "b")


def test_what_a_span_says_of_its_place_is_not_looked_at() -> None:
    stage = Stage(2, 1, 1.0)
    spans = [Span("x", ("a",), stage, (), 1, first=7), Span("y", ("b",), stage, (), 1, first=7)]
    assert [span.first for span in StagePlan(*spans)] == [0, 2]


def test_inputs_of_all_stages() -> None:
    stage = Stage(2, 1, 1.0)
    both = StagePlan(Span("x", ("a",), stage, (Histories(7, 2),), 1), Span("y", ("b",), stage, (Image(),), 1))
    assert both.inputs == (Histories(7, 2), Image())


def test_rates() -> None:
    of_a = [plan().rate("a", step) for step in range(9)]
    of_b = [plan().rate("b", step) for step in range(9)]
    assert of_a == [1e-2] * 4 + [0] * 3 + [1e-4] * 2
    assert of_b[:4] == [0] * 4
    assert of_b[4:7] == pytest.approx([1e-3, 1e-3 * 0.75, 1e-3 * 0.25])
    assert of_b[7:] == [1e-4] * 2


def test_cosine_ends_at_zero() -> None:
    stage = Stage(100, 1, 0.5, "cosine")
    rates = [stage.rate(step) for step in range(101)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.5
    assert rates[50] == pytest.approx(0.25)
    assert rates[100] == pytest.approx(0)


@pytest.mark.parametrize("numbers", [(0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.0), (1, 1, -1.0)])
def test_empty_stages_are_refused(numbers: tuple[int, int, float]) -> None:
    with pytest.raises(UserError, match=r"model\.init_args: stage\.\w+: .*got"):
        Stage(*numbers)


# --- the loader of all stages ----------------------------------------------------------------------------------------


def loads(made: list[tuple[str, int]]) -> Callable[[Span, int], Iterator[tuple[str, int]]]:
    def load(span: Span, done: int) -> Iterator[tuple[str, int]]:
        made.append((span.name, done))
        return iter([(span.name, step) for step in range(done, span.stage.steps)])

    return load


@pytest.mark.parametrize("reached", range(10))
def test_batches_do_not_depend_on_where_the_run_began(reached: int) -> None:
    everything = list(StagedLoader(plan(), loads([]), lambda: 0))
    loader = StagedLoader(plan(), loads([]), lambda: reached)
    assert len(everything) == len(loader) == 9
    assert list(loader) == everything[reached:]


def test_a_loader_is_made_when_the_one_before_is_used_up() -> None:
    made: list[tuple[str, int]] = []
    batches = iter(StagedLoader(plan(), loads(made), lambda: 0))
    for step, expected in enumerate([1, 1, 1, 1, 2, 2, 2, 3, 3]):
        next(batches)
        assert len(made) == expected, step
    assert made == [("first", 0), ("second", 0), ("joint", 0)]


@pytest.mark.parametrize(
    ("reached", "expected"),
    [(0, ["first", "second", "joint"]), (3, ["first", "second", "joint"]), (4, ["second", "joint"]), (9, [])],
)
def test_stages_that_are_over_are_not_loaded(reached: int, expected: list[str]) -> None:
    made: list[tuple[str, int]] = []
    list(StagedLoader(plan(), loads(made), lambda: reached))
    assert [name for name, _ in made] == expected
    assert all(done == (reached - 0 if name == "first" else 0) for name, done in made)


def test_where_the_trainer_is_counts_when_the_pass_begins() -> None:
    reached = 2
    batches = iter(StagedLoader(plan(), loads([]), lambda: reached))
    reached = 8
    assert len(list(batches)) == 7


# --- batches over several epochs -------------------------------------------------------------------------------------


@pytest.fixture
def frames(make_scene: Callable[..., Scene]) -> FrameSet:
    return FrameSet.labelled([make_scene("a/x", 4), make_scene("b/y", 3)])


def drawn(batches: list[list[Draw]]) -> list[list[tuple[int, int]]]:
    return [[draw[:2] for draw in batch] for batch in batches]


@pytest.mark.parametrize("repeat", [1, 3])
def test_steps_over_as_many_epochs_as_they_take(frames: FrameSet, repeat: int) -> None:
    batches = TrainingBatches(frames, 2, seed=5, steps=20, repeat=repeat)
    assert len(batches) == 20
    seen = list(batches)
    assert len(seen) == 20
    epochs = TrainingBatches(frames, 2, seed=5)
    assert drawn(seen) == drawn([epochs.batch(step // repeat) for step in range(20)])
    if repeat == 1:
        assert seen == [epochs.batch(step) for step in range(20)]


def test_repeated_frames_have_seeds_of_their_own(frames: FrameSet) -> None:
    seen = list(TrainingBatches(frames, 2, steps=12, repeat=4))
    for first in (0, 4, 8):
        assert len({tuple(frames) for frames in drawn(seen[first : first + 4])} | {()}) == 2
    seeds = [draw.seed for batch in seen for draw in batch]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("repeat", [1, 3])
@pytest.mark.parametrize("done", range(11))
def test_the_rest_of_a_stage(frames: FrameSet, done: int, repeat: int) -> None:
    whole = list(TrainingBatches(frames, 2, steps=11, repeat=repeat))
    rest = TrainingBatches(frames, 2, lambda: (done, done), steps=11, repeat=repeat)
    assert list(rest) == (whole[done:])


def test_processes_share_the_draw_of_a_repeated_batch(make_scene: Callable[..., Scene]) -> None:
    frames = FrameSet.labelled([make_scene("a/x", 5), make_scene("b/y", 3)])
    one = list(TrainingBatches(frames, 2, steps=9, repeat=2))
    ranks = [list(TrainingBatches(frames, 1, rank=r, world_size=2, steps=9, repeat=2)) for r in range(2)]
    for ours, first, second in zip(one, *ranks, strict=True):
        assert sorted(ours) == sorted(first + second)


# --- histories -------------------------------------------------------------------------------------------------------


@pytest.fixture
def scenes(tmp_path: Path, make_video: Callable[..., Path]) -> list[Scene]:
    """26 frames and 9 frames of 24×16."""
    make_video(tmp_path / "data", "baseline", "highway", size=(24, 16))
    make_video(tmp_path / "data", "baseline", "office", size=(24, 16), unlabelled=6, labelled=3)
    return CDnet2014().scenes(tmp_path / "data")


def pixels_of(scenes: list[Scene], store: FrameStore | None = None) -> list[SceneFrames]:
    return [SceneFrames(scene, None, store) for scene in scenes]


def rgb(scene: Scene, number: int) -> NDArray[np.uint8]:
    image = cv2.imread(str(scene.frames[number]), cv2.IMREAD_COLOR)
    assert image is not None
    return image[..., ::-1]


def sample(entry: Histories, pixels: SceneFrames, number: int, seed: int) -> NDArray[np.uint8]:
    out = np.zeros(entry.shape(pixels.size), np.uint8)
    entry.load(pixels, number, seed, out)
    return out


@pytest.mark.parametrize("number", [26, 25, 14])
def test_histories_are_pixels_of_the_window(scenes: list[Scene], number: int) -> None:
    """Each is the history of one pixel, found among all pixels of the window."""
    pixels = pixels_of(scenes)[0]
    found = sample(Histories(14, 50), pixels, number, seed=3)
    assert found.shape == (14, 3, 50)
    window = np.stack([rgb(scenes[0], n) for n in range(number - 13, number + 1)])
    everywhere = {window[:, y, x].tobytes() for y in range(16) for x in range(24)}
    histories = [np.ascontiguousarray(found[..., p]).tobytes() for p in range(50)]
    assert set(histories) <= everywhere
    assert len(set(histories)) > 30
    other = np.stack([rgb(scenes[0], n) for n in range(number - 13, number + 1)][::-1])
    backwards = {other[:, y, x].tobytes() for y in range(16) for x in range(24)}
    assert not set(histories) <= backwards  # from the oldest to the newest


def test_pixels_are_drawn_from_the_whole_image_by_the_seed(scenes: list[Scene]) -> None:
    pixels = pixels_of(scenes)[0]
    window = np.stack([rgb(scenes[0], n) for n in range(1, 27)])
    positions: dict[bytes, list[int]] = {}
    for index in range(24 * 16):
        positions.setdefault(window[:, index // 24, index % 24].tobytes(), []).append(index)
    found = sample(Histories(26, 4000), pixels, 26, seed=0)
    seen = {i for p in range(4000) for i in positions[np.ascontiguousarray(found[..., p]).tobytes()]}
    assert seen == set(range(24 * 16))
    np.testing.assert_array_equal(found, sample(Histories(26, 4000), pixels, 26, seed=0))
    assert (found != sample(Histories(26, 4000), pixels, 26, seed=1)).any()


@pytest.mark.parametrize("length", [9, 20, 27])
def test_histories_of_a_scene_that_is_shorter(scenes: list[Scene], length: int) -> None:
    """Frames that are missing before the first are filled by the existing ones, in their order."""
    pixels = pixels_of(scenes)[1]
    numbers = ([*range(1, 10)] * 3)[-length:]
    window = np.stack([rgb(scenes[1], n) for n in numbers])
    everywhere = {window[:, y, x].tobytes() for y in range(16) for x in range(24)}
    found = sample(Histories(length, 40), pixels, 9, seed=1)
    assert {np.ascontiguousarray(found[..., p]).tobytes() for p in range(40)} <= everywhere


def test_windows_may_end_at_any_frame_of_a_training_scene(scenes: list[Scene]) -> None:
    split = LabelBudget(2, "random").split(scenes, 1, 0)
    drawn = Histories(14, 1).drawn_from(split)
    assert [scene.key for scene in drawn.scenes] == ["baseline/highway", "baseline/office"]
    assert drawn.numbers == (tuple(range(14, 27)), (9,))  # the second is shorter than the window
    assert Histories(9, 1).drawn_from(split).numbers == (tuple(range(9, 27)), (9,))
    assert Image().drawn_from(split) is split.train


def test_windows_of_test_scenes_are_not_drawn(scenes: list[Scene]) -> None:
    split = Subset(["baseline/highway"], ["baseline/office"]).split(scenes, 1, 0)
    assert [scene.key for scene in Histories(14, 1).drawn_from(split).scenes] == ["baseline/highway"]


def test_a_batch_of_histories(scenes: list[Scene]) -> None:
    dataset = TrainingDataset(pixels_of(scenes), (Histories(14, 5),), None, 1.0)
    batch = dataset[[Draw(0, 20, 3), Draw(1, 9, 4)]]
    assert {key: tuple(value.shape) for key, value in batch.items()} == {
        "history": (2, 14, 3, 5),
        "scene": (2,),
        "number": (2,),
    }
    for row, draw in enumerate([Draw(0, 20, 3), Draw(1, 9, 4)]):
        expected = sample(Histories(14, 5), pixels_of(scenes)[draw.scene], draw.number, draw.seed)
        np.testing.assert_array_equal(batch["history"][row], expected)


def test_a_store_gives_the_same_histories(scenes: list[Scene], tmp_path: Path) -> None:
    stored = SceneFrames(scenes[0], None, FrameStore(tmp_path / "store"))
    list(stored.fill())
    expected = sample(Histories(14, 9), pixels_of(scenes)[0], 20, 1)
    for _ in range(2):  # the window is kept
        np.testing.assert_array_equal(sample(Histories(14, 9), stored, 20, 1), expected)
    np.testing.assert_array_equal(
        sample(Histories(14, 9), stored, 21, 1), sample(Histories(14, 9), pixels_of(scenes)[0], 21, 1)
    )


# --- backgrounds -----------------------------------------------------------------------------------------------------


@dataclass
class Frames(BackgroundContext):
    frames: list[Tensor] = field(default_factory=list)


class Mean(BackgroundSource):
    """The mean of the frames so far; it counts what it is shown."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.shown: list[int] = []

    def begin_scene(self) -> Frames:
        return Frames()

    def estimate(self, context: Frames, images: Tensor) -> Tensor:
        self.shown.append(len(images))
        means = []
        for image in images:
            context.frames.append(image)
            means.append(self.weight * torch.stack(context.frames).mean(0))
        return torch.stack(means)

    def settings(self) -> str:
        return f"mean {self.weight}"


def by_hand(scene: Scene, number: int, weight: float = 1.0) -> NDArray[np.uint8]:
    seen = np.stack([rgb(scene, n) for n in scene.frames if n <= number]).astype(np.float64)
    return np.asarray(np.round(weight * seen.mean(0)).astype(np.uint8))


def background(
    source: BackgroundSource, scenes: list[Scene], store: FrameStore, numbers: list[list[int]] | None = None
) -> tuple[Background, FrameSet]:
    frames = FrameSet.of(zip(scenes, numbers or [[3, 22, 24], [7, 9]], strict=True))
    entry = Background()
    entry.fill(pixels_of(list(frames.scenes)), frames, store, SourceBackgrounds(source, CPU))
    return entry, frames


def rows(entry: Background, scene: Scene, numbers: list[int]) -> NDArray[np.uint8]:
    out = np.zeros((len(numbers), 16, 24, 3), np.uint8)
    for number, place in zip(numbers, out, strict=True):
        entry.load(SceneFrames(scene, None), number, 0, place)
    return out


@pytest.mark.parametrize("chunk", [1, 5, 49])
def test_stored_backgrounds_are_those_of_all_frames_from_the_first(
    scenes: list[Scene], tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bgsub_lightning.backgrounds.source._CHUNK", chunk)
    source = Mean()
    entry, _ = background(source, scenes, FrameStore(tmp_path / "store"))
    assert sum(source.shown) == 24 + 9  # every frame once, up to the last that is needed
    for scene, numbers in zip(scenes, ([3, 22, 24], [7, 9]), strict=True):
        expected = np.stack([by_hand(scene, number) for number in numbers]).astype(int)
        difference = np.abs(rows(entry, scene, numbers).astype(int) - expected)
        assert difference.max() <= 1
        assert difference.mean() < 0.02
        streamed = Mean()
        images = torch.stack([torch.from_numpy(rgb(scene, n).copy()) for n in scene.frames]).movedim(-1, 1) / 255
        pushed = streamed.push(streamed.begin_scene(), images)
        for number, row in zip(numbers, rows(entry, scene, numbers), strict=True):
            assert torch.equal(torch.from_numpy(row).movedim(-1, 0).float().div_(255), pushed[number - 1])


def test_backgrounds_are_computed_once(scenes: list[Scene], tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "store")
    background(Mean(), scenes, store)
    again = Mean()
    entry, _ = background(again, scenes, store)
    assert again.shown == []
    few, _ = background(again, scenes, store, [[22], [9]])
    assert again.shown == []
    assert (rows(few, scenes[0], [22]) == rows(entry, scenes[0], [22])).all()


def test_other_frames_or_weights_are_computed_again(scenes: list[Scene], tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "store")
    background(Mean(), scenes, store)
    more = Mean()
    background(more, scenes, store, [[3, 22, 25], [7, 9]])
    assert sum(more.shown) == 25  # of the first scene alone
    half = Mean(0.5)
    entry, _ = background(half, scenes, store)
    assert sum(half.shown) == 33
    difference = rows(entry, scenes[0], [24])[0].astype(int) - by_hand(scenes[0], 24, 0.5)
    assert np.abs(difference).max() <= 1


def test_changed_frames_are_computed_again(scenes: list[Scene], tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "store")
    background(Mean(), scenes, store)
    path = scenes[1].frames[2]
    assert cv2.imwrite(str(path), np.full((16, 24, 3), 9, np.uint8))
    again = Mean()
    entry, _ = background(again, scenes, store)
    assert sum(again.shown) == 9
    assert np.abs(rows(entry, scenes[1], [9])[0].astype(int) - by_hand(scenes[1], 9)).max() <= 1


def test_weights_that_change_while_a_background_is_used_do_not_matter(scenes: list[Scene], tmp_path: Path) -> None:
    source = Mean()
    entry, _ = background(source, scenes, FrameStore(tmp_path / "store"))
    source.weight = 0.5
    assert np.abs(rows(entry, scenes[0], [24])[0].astype(int) - by_hand(scenes[0], 24)).max() <= 1


def test_backgrounds_that_were_not_prepared(scenes: list[Scene]) -> None:
    with pytest.raises(RuntimeError, match="the backgrounds of baseline/highway have not been prepared"):
        Background().load(SceneFrames(scenes[0], None), 3, 0, np.zeros((16, 24, 3), np.uint8))


def test_backgrounds_of_a_size(scenes: list[Scene], tmp_path: Path) -> None:
    store, entry = FrameStore(tmp_path / "store"), Background()
    pixels, frames = SceneFrames(scenes[0], (16, 16)), FrameSet.of([(scenes[0], [5])])
    entry.fill([pixels], frames, store, SourceBackgrounds(Mean(), CPU))
    out = np.zeros((16, 16, 3), np.uint8)
    entry.load(pixels, 5, 0, out)
    expected = np.stack([pixels.image(n) for n in range(1, 6)]).mean(0)
    assert np.abs(out - expected).max() <= 1
    assert list((tmp_path / "store").rglob("background_16x16.npy"))


# --- through the datamodule ------------------------------------------------------------------------------------------


class Module:
    """As much of a system as the datamodule looks at."""

    dtype = torch.float32

    def __init__(self, source: BackgroundSource) -> None:
        self.source = source

    def begin_stage(self, span: Span, pixels: list[SceneFrames], frames: FrameSet, store: FrameStore) -> None:
        for entry in span.inputs:
            if isinstance(entry, Background):
                entry.fill(pixels, frames, store, SourceBackgrounds(self.source, CPU))


class Trainer:
    """As much of a trainer as the datamodule looks at."""

    class strategy:  # noqa: N801
        root_device = CPU

        @staticmethod
        def barrier() -> None:
            pass

    is_global_zero = True
    global_rank, world_size = 0, 1

    class fit_loop:  # noqa: N801
        class epoch_loop:  # noqa: N801
            class batch_progress:  # noqa: N801
                class total:  # noqa: N801
                    ready = 0

                class current:  # noqa: N801
                    ready = 0

    def __init__(self, folder: Path, reached: int, source: BackgroundSource | None = None) -> None:
        self.lightning_module = Module(source or Mean())
        self.default_root_dir = str(folder)
        self.reached = reached
        self.fit_loop.epoch_loop.batch_progress.current.ready = reached


def batches_of(
    root: Path, folder: Path, reached: int = 0, workers: int = 0, source: BackgroundSource | None = None
) -> list[dict[str, Any]]:
    pairs = (Image(), Background())
    stages = StagePlan(
        Span("windows", ("a",), Stage(5, 6, 1.0, repeat=2), (Histories(14, 6),), 1),
        Span("pairs", ("b",), Stage(6, 2, 1.0), pairs, 2),
    )
    data = ScenesDataModule(
        (Image(),), LabelBudget(2, "random"), root, size=None, num_workers=workers, plan=stages, flip=0.5, seed=3
    )
    data.trainer = Trainer(folder, reached, source)  # type: ignore[assignment]
    return list(data.train_dataloader())


def assert_same(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> None:
    assert len(a) == len(b)
    for mine, reference in zip(a, b, strict=True):
        assert mine.keys() == reference.keys()
        for key in mine:
            assert torch.equal(mine[key], reference[key]), key


@pytest.fixture
def root(scenes: list[Scene], tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def whole(root: Path, tmp_path: Path) -> list[dict[str, Any]]:
    return batches_of(root, tmp_path / "run")


def test_batches_of_the_stages(root: Path, tmp_path: Path, scenes: list[Scene], whole: list[dict[str, Any]]) -> None:
    assert [set(batch) for batch in whole] == [{"history", "scene", "number"}] * 5 + [
        {"image", "background", "mask", "flip", "scene", "number"}
    ] * 6
    windows = [(int(batch["scene"][0]), int(batch["number"][0])) for batch in whole[:5]]
    assert windows[0] == windows[1]
    assert windows[2] == windows[3]
    assert not torch.equal(whole[0]["history"], whole[1]["history"])  # other pixels
    labelled = LabelBudget(2, "random").split(scenes, 1, 3).train
    for batch in whole[5:]:
        for row in range(2):
            scene, number = int(batch["scene"][row]), int(batch["number"][row])
            assert number in labelled.numbers[scene]
            np.testing.assert_array_equal(batch["image"][row], rgb(scenes[scene], number))
            difference = batch["background"][row].numpy().astype(int) - by_hand(scenes[scene], number)
            assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("reached", range(12))
def test_the_datamodule_goes_on_where_the_run_was(
    root: Path, tmp_path: Path, whole: list[dict[str, Any]], reached: int
) -> None:
    assert_same(batches_of(root, tmp_path / "other", reached), whole[reached:])


@pytest.mark.parametrize("reached", [0, 5])
def test_two_workers_give_the_same(root: Path, tmp_path: Path, whole: list[dict[str, Any]], reached: int) -> None:
    started = time.perf_counter()
    assert_same(batches_of(root, tmp_path / "other", reached, workers=2), whole[reached:])
    assert time.perf_counter() - started < 8  # workers of a loader in a reference cycle are waited for, 5 s each


def test_the_backgrounds_of_a_run_are_computed_once(root: Path, tmp_path: Path, whole: list[dict[str, Any]]) -> None:
    source = Mean()
    assert_same(batches_of(root, tmp_path / "run", 7, source=source), whole[7:])
    assert source.shown == []
    assert list((tmp_path / "run/store/CDnet2014/baseline/highway").glob("background_24x16.npy"))


def test_flips_mirror_the_background_as_well(root: Path, tmp_path: Path, whole: list[dict[str, Any]]) -> None:
    pairs = StagePlan(Span("pairs", ("b",), Stage(6, 2, 1.0), (Image(), Background()), 2))
    data = ScenesDataModule((Image(),), LabelBudget(2, "random"), root, size=None, num_workers=0, plan=pairs)
    batch = {**whole[6], "flip": torch.tensor([True, False])}
    ready = data.on_after_batch_transfer(batch, 0)
    for key in ("image", "background"):
        plain = batch[key].movedim(-1, 1).float() / 255
        assert torch.equal(ready[key][0], plain[0].flip(-1))
        assert torch.equal(ready[key][1], plain[1])
    assert torch.equal(ready["mask"][0], batch["mask"][0].flip(-1))


def test_histories_are_made_ready(root: Path, whole: list[dict[str, Any]]) -> None:
    windows = StagePlan(Span("windows", ("a",), Stage(5, 6, 1.0), (Histories(14, 6),), 1))
    data = ScenesDataModule((Image(),), LabelBudget(2, "random"), root, size=None, num_workers=0, plan=windows)
    ready = data.on_after_batch_transfer(whole[0], 0)
    assert torch.equal(ready["history"], whole[0]["history"].float() / 255)


def test_stages_have_orders_of_their_own(root: Path, tmp_path: Path) -> None:
    stage = Stage(6, 1, 1.0)
    stages = StagePlan(*(Span(name, ("a",), stage, (Image(),), 1) for name in ("first", "second")))
    data = ScenesDataModule((Image(),), LabelBudget(2, "random"), root, size=None, num_workers=0, plan=stages)
    data.trainer = Trainer(tmp_path / "run", 0)  # type: ignore[assignment]
    drawn = [(int(batch["scene"][0]), int(batch["number"][0])) for batch in data.train_dataloader()]
    assert set(drawn[:4]) == set(drawn[6:10])
    assert drawn[:6] != drawn[6:]
