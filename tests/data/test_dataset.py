from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data.augment import A, ClipAugmentation
from bgsub_lightning.data.batches import Draw, TrainingBatches
from bgsub_lightning.data.dataset import EvaluationDataset, TrainingDataset
from bgsub_lightning.data.inputs import Image, Input, References
from bgsub_lightning.data.shared_memory import SharedMemoryLoader
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.frames import FrameStore, SceneFrames, fill
from bgsub_lightning.splits import FrameSet

Batch = dict[str, Any]
INPUTS = (Image(), References(3))


@pytest.fixture
def frames(tmp_path: Path, make_video: Callable[..., Path]) -> FrameSet:
    """15 labelled frames of two scenes."""
    make_video(tmp_path / "data", "baseline", "highway", unlabelled=8, labelled=9)
    make_video(tmp_path / "data", "shadow", "bungalows", unlabelled=5, labelled=6)
    return FrameSet.labelled(CDnet2014().scenes(tmp_path / "data"))


def pixels_of(
    frames: FrameSet, size: tuple[int, int] | None = None, store: FrameStore | None = None
) -> list[SceneFrames]:
    return [SceneFrames(scene, size, store) for scene in frames.scenes]


def training(
    frames: FrameSet,
    size: tuple[int, int] = (32, 24),
    store: FrameStore | None = None,
    augment: ClipAugmentation | None = None,
    flip: float = 0.5,
) -> TrainingDataset:
    return TrainingDataset(pixels_of(frames, size, store), INPUTS, augment, flip)


class Epochs:
    """As a trainer does: pass after pass over a loader, reporting its progress to the sampler.

    The sampler does not refer to this object: a loader in a reference cycle takes 5 s per worker to be collected.
    """

    def __init__(self, frames: FrameSet, dataset: TrainingDataset, workers: int, batch_size: int = 2) -> None:
        self.reached = reached = [0, 0]  # in all, and in this epoch
        self.sampler = TrainingBatches(frames, batch_size, lambda: (reached[0], reached[1]), seed=4)
        size = dataset.scenes[0].size
        self.loader = SharedMemoryLoader(
            dataset, self.sampler, batch_size * size[0] * size[1] * 13, num_workers=workers, pin_memory=False
        )

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            self.reached[0] += 1
            yield batch


def assert_same(a: Batch, b: Batch) -> None:
    assert a.keys() == b.keys()
    for key in a:
        assert a[key].dtype == b[key].dtype
        assert torch.equal(a[key], b[key]), key


def rgb(path: Path, size: tuple[int, int]) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)[..., ::-1]


# --- training --------------------------------------------------------------------------------------------------------


def test_a_batch_holds_what_lies_on_disk(frames: FrameSet) -> None:
    draws = [Draw(1, 7, seed=3), Draw(0, 12, seed=5), Draw(0, 12, seed=6)]
    batch = training(frames)[draws]
    assert {key: (tuple(value.shape), value.dtype) for key, value in batch.items()} == {
        "image": ((3, 24, 32, 3), torch.uint8),
        "references": ((3, 3, 24, 32, 3), torch.uint8),
        "mask": ((3, 24, 32), torch.uint8),
        "flip": ((3,), torch.bool),
        "scene": ((3,), torch.int64),
        "number": ((3,), torch.int64),
    }
    assert batch["scene"].tolist() == [1, 0, 0]
    assert batch["number"].tolist() == [7, 12, 12]
    for row, draw in enumerate(draws):
        scene = frames.scenes[draw.scene]
        np.testing.assert_array_equal(batch["image"][row], rgb(scene.frames[draw.number], (32, 24)))
        mask = cv2.imread(str(scene.masks[draw.number]), cv2.IMREAD_GRAYSCALE)
        assert mask is not None
        np.testing.assert_array_equal(batch["mask"][row], mask[1::2, 1::2])
        expected = [rgb(scene.frames[n], (32, 24)) for n in References(3).frames(scene, draw.number, draw.seed)]
        np.testing.assert_array_equal(batch["references"][row], np.stack(expected))
    assert not torch.equal(batch["references"][1], batch["references"][2])


@pytest.mark.parametrize("inputs", [(Image(),), (References(2), Image())])
def test_a_batch_holds_the_inputs_that_are_asked_for(frames: FrameSet, inputs: tuple[Input, ...]) -> None:
    batch = TrainingDataset(pixels_of(frames), inputs, None, 0)[[Draw(0, 10, 1)]]
    assert set(batch) == {"mask", "flip", "scene", "number", *(entry.key for entry in inputs)}
    np.testing.assert_array_equal(batch["image"][0], pixels_of(frames)[0].image(10))


def test_flips_have_their_probability_and_depend_on_the_seed(frames: FrameSet) -> None:
    draws = [Draw(0, 9, seed) for seed in range(200)]

    def flips(flip: float) -> torch.Tensor:
        dataset = TrainingDataset(pixels_of(frames), (), None, flip)
        flipped: torch.Tensor = dataset[draws]["flip"]
        return flipped

    assert not flips(0).any()
    assert flips(1).all()
    assert 80 <= int(flips(0.5).sum()) <= 120
    assert torch.equal(flips(0.5), flips(0.5))
    assert not (flips(0.2) & ~flips(0.5)).any()


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_store_changes_nothing(tmp_path: Path, frames: FrameSet, workers: int, augmented: bool) -> None:
    def augment() -> ClipAugmentation | None:
        return ClipAugmentation(A.Compose([A.Affine(rotate=(-9, 9), p=1)]), 4) if augmented else None

    store = FrameStore(tmp_path / "store")
    fill(pixels_of(frames, (32, 24), store), 1)
    decoded = list(Epochs(frames, training(frames, augment=augment()), 0))
    for scene in frames.scenes:
        for path in scene.frames.values():
            assert path.stat().st_size > 0
    stored = list(Epochs(frames, training(frames, store=store, augment=augment()), workers))
    assert len(decoded) == len(stored) == 8
    for a, b in zip(decoded, stored, strict=True):
        assert_same(a, b)


def test_workers_give_the_same_batches_and_overwrite_none(frames: FrameSet) -> None:
    """All batches of two epochs are held, and a slow beginning lets the workers run ahead."""
    alone, shared = Epochs(frames, training(frames), 0), Epochs(frames, training(frames), 2)
    for _ in range(2):
        expected = list(alone)
        held = []
        for batch in shared:
            if len(held) in (0, 3):
                time.sleep(0.2)
            held.append(batch)
        assert len(expected) == len(held) == 8
        for a, b in zip(expected, held, strict=True):
            assert_same(a, b)
    assert alone.reached == shared.reached == [16, 0]


def test_epochs_of_a_loader_differ(frames: FrameSet) -> None:
    epochs = Epochs(frames, training(frames), 2)
    first, second = ([batch["number"].tolist() for batch in epochs] for _ in range(2))
    assert sorted(chain(*first)) == sorted(chain(*second))
    assert first != second


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_that_is_broken_off_leaves_the_next_whole(frames: FrameSet, workers: int) -> None:
    """As with limit_train_batches: the workers have built batches that nobody takes."""
    epochs = Epochs(frames, training(frames), workers)
    held = list(islice(epochs, 3))
    epochs.reached[0] = 8
    held += list(epochs)
    dataset = training(frames)
    for batch, step in zip(held, [0, 1, 2, *range(8, 16)], strict=True):
        assert_same(batch, dataset[epochs.sampler.batch(step)])


def test_batches_of_a_loader_may_be_changed(frames: FrameSet) -> None:
    """Who takes a batch owns it: writing into it changes no other."""
    expected = list(Epochs(frames, training(frames), 0))
    for batch, other in zip(Epochs(frames, training(frames), 2), expected, strict=True):
        assert_same(batch, other)
        for key in ("image", "references", "mask"):
            batch[key].fill_(7)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_cannot_be_used_is_named(frames: FrameSet, workers: int) -> None:
    bad = frames.scenes[1].masks[8]
    cv2.imwrite(str(bad), np.full((48, 64), 99, np.uint8))
    epochs = Epochs(frames, training(frames), workers)
    with pytest.raises(UserError, match=rf"{bad}: .*\(99\)"):
        list(epochs)
    if workers:  # the traceback holds the iterator in a cycle, see Epochs
        epochs.loader._iterator._shutdown_workers()  # type: ignore[union-attr]


# --- evaluation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, (64, 48), (32, 24), (80, 60)])
def test_an_evaluation_batch(frames: FrameSet, size: tuple[int, int] | None) -> None:
    dataset = EvaluationDataset(pixels_of(frames, size), (Image(), References(3, draws=2)), frames, seed=1)
    pixels = pixels_of(frames, size)[0]
    width, height = size or (64, 48)
    batch = dataset[[Draw(0, number, 0, True) for number in (9, 10, 17)]]
    shapes = {key: tuple(value.shape) for key, value in batch.items() if isinstance(value, torch.Tensor)}
    assert shapes == {
        "image": (3, height, width, 3),
        "references": (2, 3, height, width, 3),
        "ground_truth": (3, 48, 64),
        "roi": (48, 64),
        "is_scored": (3,),
        "number": (3,),
    }
    assert batch["scene"] == 0
    assert batch["first_in_scene"] is True
    assert batch["number"].tolist() == [9, 10, 17]
    for row, number in enumerate((9, 10, 17)):
        np.testing.assert_array_equal(batch["image"][row], pixels.image(number))
        truth = cv2.imread(str(frames.scenes[0].masks[number]), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(batch["ground_truth"][row], truth)
    np.testing.assert_array_equal(batch["references"], References(3, draws=2).scene(pixels, 1))
    roi = cv2.imread(str(frames.scenes[0].roi), cv2.IMREAD_GRAYSCALE)
    assert roi is not None
    np.testing.assert_array_equal(batch["roi"], roi == 255)


def test_what_is_loaded_once_per_scene_comes_with_its_first_batch(frames: FrameSet) -> None:
    dataset = EvaluationDataset(pixels_of(frames), INPUTS, frames, seed=0)
    assert "references" in dataset[[Draw(0, 9, 0, first_in_scene=True)]]
    later = dataset[[Draw(0, 10, 0)]]
    assert "references" not in later
    assert later["first_in_scene"] is False


def test_frames_without_a_mask_are_unknown_and_only_the_set_is_scored(frames: FrameSet) -> None:
    scored = FrameSet.of([(frames.scenes[0], [9, 11])])
    dataset = EvaluationDataset(pixels_of(frames, (32, 24)), (Image(),), scored, seed=0)
    batch = dataset[[Draw(0, number, 0) for number in (8, 9, 10, 11)]]
    assert batch["is_scored"].tolist() == [False, True, False, True]
    assert (batch["ground_truth"][0] == 170).all()
    assert not (batch["ground_truth"][1] == 170).all()
    assert dataset[[Draw(1, 6, 0)]]["is_scored"].tolist() == [False]
