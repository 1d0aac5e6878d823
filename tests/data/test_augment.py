from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data.augment import A, ClipAugmentation
from bgsub_lightning.data.batches import TrainingBatches
from bgsub_lightning.data.dataset import TrainingDataset
from bgsub_lightning.data.inputs import Image, References
from bgsub_lightning.data.shared_memory import SharedMemoryLoader
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits import FrameSet

Array = NDArray[np.uint8]


def moved() -> A.Compose:
    """A pipeline that moves every pixel, by nearest neighbour, so that images keep the grey levels of masks."""
    return A.Compose(
        [A.HorizontalFlip(p=0.5), A.Affine(rotate=(-30, 30), scale=(0.8, 1.2), translate_percent=(-0.2, 0.2), p=1)],
    )


def nearest() -> A.Compose:
    return A.Compose(
        [A.Affine(rotate=(-30, 30), scale=(0.8, 1.2), interpolation=cv2.INTER_NEAREST, p=1), A.VerticalFlip(p=0.5)]
    )


def sample(count: int = 4) -> tuple[list[Array], Array]:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    mask = np.repeat(np.repeat(generator.choice([0, 50, 85, 170, 255], (6, 8)), 4, 0), 4, 1).astype(np.uint8)
    return [image.copy() for _ in range(count)], mask


@pytest.mark.parametrize("seed", [0, 1, 2, 2**62 + 5])
def test_all_frames_of_a_sample_move_alike(seed: int) -> None:
    images, mask = sample()
    before = images[0].copy()
    ClipAugmentation(moved(), 4)(images, mask, seed)
    assert not np.array_equal(images[0], before)
    for image in images[1:]:
        np.testing.assert_array_equal(image, images[0])


@pytest.mark.parametrize("seed", range(4))
def test_the_mask_moves_with_the_frames(seed: int) -> None:
    _, mask = sample()
    before = mask.copy()
    images = [np.stack([mask] * 3, -1) for _ in range(2)]
    ClipAugmentation(nearest(), 2)(images, mask, seed)
    assert not np.array_equal(mask, before)
    np.testing.assert_array_equal(images[0], np.stack([mask] * 3, -1))
    np.testing.assert_array_equal(images[1], images[0])


def test_masks_keep_their_levels() -> None:
    for seed in range(10):
        images, mask = sample(1)
        ClipAugmentation(moved(), 1)(images, mask, seed)
        assert set(np.unique(mask)) <= {0, 50, 85, 170, 255}


def test_light_does_not_touch_the_mask() -> None:
    images, mask = sample()
    before, before_mask = images[0].copy(), mask.copy()
    compose = A.Compose([A.RandomBrightnessContrast((0.2, 0.4), (0.2, 0.4), p=1)])
    ClipAugmentation(compose, 4)(images, mask, 0)
    assert not np.array_equal(images[0], before)
    np.testing.assert_array_equal(images[3], images[0])
    np.testing.assert_array_equal(mask, before_mask)


def test_the_seed_decides() -> None:
    def done(augment: ClipAugmentation, seed: int) -> bytes:
        images, mask = sample()
        augment(images, mask, seed)
        return images[0].tobytes() + mask.tobytes()

    augment = ClipAugmentation(moved(), 4)
    results = [done(augment, seed) for seed in range(10)]
    assert len(set(results)) == 10
    np.random.seed(5)  # global state must not matter
    assert [done(ClipAugmentation(moved(), 4), seed) for seed in reversed(range(10))] == results[::-1]


def test_one_pipeline_serves_several_datasets() -> None:
    compose = moved()
    three, one = ClipAugmentation(compose, 3), ClipAugmentation(compose, 1)
    for augment, count in ((three, 3), (one, 1), (three, 3)):
        images, mask = sample(count)
        before = images[0].copy()
        augment(images, mask, 0)
        assert not np.array_equal(images[0], before)


@pytest.mark.parametrize(
    ("transform", "got"),
    [
        (A.CenterCrop(20, 20), r"uint8\(20, 20, 3\)"),
        (A.Resize(48, 64), r"uint8\(48, 64, 3\)"),
        (A.ToFloat(), r"float32\(24, 32, 3\)"),
        (A.Normalize(), r"float32\(24, 32, 3\)"),
    ],
)
def test_a_pipeline_that_changes_size_or_type_is_refused(transform: A.BasicTransform, got: str) -> None:
    images, mask = sample(2)
    with pytest.raises(UserError, match=rf"data\.init_args\.augment: the pipeline makes {got} of uint8\(24, 32, 3\)"):
        ClipAugmentation(A.Compose([transform]), 2)(images, mask, 0)


def test_a_crop_that_is_resized_again_is_fine() -> None:
    images, mask = sample(2)
    ClipAugmentation(A.Compose([A.RandomCrop(12, 16), A.Resize(24, 32)]), 2)(images, mask, 0)
    np.testing.assert_array_equal(images[0], images[1])


def test_workers_and_epochs_augment_differently_and_seeds_alike(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    """Two frames with one picture, one for each worker, in two epochs: four pictures, the same in another run."""
    folder = make_video(tmp_path, "a", "x", unlabelled=2, labelled=2)
    (folder / "input/in000004.jpg").write_bytes((folder / "input/in000003.jpg").read_bytes())
    (folder / "groundtruth/gt000004.png").write_bytes((folder / "groundtruth/gt000003.png").read_bytes())
    frames = FrameSet.labelled(CDnet2014().scenes(tmp_path))
    pixels = [SceneFrames(scene, None) for scene in frames.scenes]
    inputs = (Image(), References(1))

    def augmented(workers: int, seed: int) -> list[bytes]:
        reached = [0, 0]
        loader = SharedMemoryLoader(
            TrainingDataset(pixels, inputs, ClipAugmentation(moved(), 2), flip=0),
            TrainingBatches(frames, 1, lambda: (reached[0], 0), seed),
            batch_bytes=48 * 64 * 7,
            num_workers=workers,
            pin_memory=False,
        )
        seen = []
        for epoch in range(2):
            reached[0] = 2 * epoch
            seen += [batch["image"].numpy().tobytes() for batch in loader]
        return seen

    first = augmented(2, seed=0)
    assert len(set(first)) == 4
    assert augmented(2, seed=0) == first
    assert augmented(0, seed=0) == first
    assert not set(augmented(0, seed=1)) & set(first)
