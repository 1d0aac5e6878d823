"""Training inputs of AnyScene: samples as a stream would hold them, with foreground kept out of one of two banks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bgsub_lightning.backgrounds.samples import held
from bgsub_lightning.data.batches import Draw
from bgsub_lightning.data.dataset import TrainingDataset, ready
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.datasets.labels import MOVING
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.systems import AnyScene
from bgsub_lightning.systems.any_scene import EarlierFrame, SampleBanks

Bytes = NDArray[np.uint8]
TARGET = 70


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> SceneFrames:
    """A scene with masks from its second frame on."""
    root = tmp_path_factory.mktemp("dataset")
    make_video(root, "baseline", "highway", unlabelled=1, labelled=80, roi=False)
    (scene,) = CDnet2014().scenes(root)
    return SceneFrames(scene, (32, 24))


def loaded(entry: Any, pixels: SceneFrames, number: int, seed: int) -> Bytes:
    out = np.zeros(entry.shape(pixels.size), np.uint8)
    entry.load(pixels, number, seed, out)
    return out


def frames_of(bank: Bytes, pixels: SceneFrames) -> list[int]:
    """Which frames of the scene the samples are."""
    images = {pixels.image(number).tobytes(): number for number in pixels.scene.frames}
    return [images[sample.tobytes()] for sample in bank]


def test_an_earlier_frame_is_some_frames_before(pixels: SceneFrames) -> None:
    entry = EarlierFrame()
    distances = {TARGET - frames_of(loaded(entry, pixels, TARGET, seed)[None], pixels)[0] for seed in range(60)}
    assert distances == {2, 3, 4, 5, 6}
    assert {frames_of(loaded(entry, pixels, 2, seed)[None], pixels)[0] for seed in range(20)} == {1}


@pytest.mark.parametrize("number", [1, 2, 3, 30, 80])
def test_blind_samples_are_those_of_a_stream_that_has_come_to_the_target(pixels: SceneFrames, number: int) -> None:
    entry, ages = SampleBanks(8, 4), set()
    for seed in range(60):
        found = frames_of(loaded(entry, pixels, number, seed)[1], pixels)
        assert all(each < number for each in found) or number == 1  # no frame of the target or after it
        first = found[0]
        age = max(number - first, 1)
        assert found == [first + time for time in held(age, 8, 4)] or first > 1  # a full bank has left the first
        ages.add(found[0])
    if number == 80:
        assert len(ages) > 10


def test_half_of_the_streams_are_as_old_as_they_can_be(pixels: SceneFrames) -> None:
    entry = SampleBanks(4, 16)
    oldest = [frames_of(loaded(entry, pixels, 60, seed)[1], pixels) for seed in range(80)]
    expected = [1 + time for time in held(59, 4, 16)]
    assert 25 < sum(found == expected for found in oldest) < 60


def test_foreground_is_kept_out_of_the_locked_bank(pixels: SceneFrames) -> None:
    """Where a sample of it differs from that of the blind one, it shows what an older sample has there."""
    entry, locked_ones = SampleBanks(12, 4, warm_up=10, faulty=0.0), 0
    for seed in range(40):
        locked, blind = loaded(entry, pixels, TARGET, seed)
        if np.array_equal(locked, blind):
            continue
        locked_ones += 1
        numbers = frames_of(blind, pixels)
        for position, number in enumerate(numbers):
            differs = (locked[position] != blind[position]).any(2)
            if not differs.any():
                continue
            assert position > 0
            moving = (pixels.mask(number) == MOVING).astype(np.uint8)
            around = np.asarray(cv2.dilate(moving, np.ones((5, 5), np.uint8))) > 0
            assert not (differs & ~around).any()
            kept = locked[position][around]
            assert any(np.array_equal(kept, older[around]) for older in locked[:position])
        newest = (pixels.mask(numbers[-1]) == MOVING) & (numbers[-1] > 12)
        background = np.median([pixels.image(number) for number in pixels.scene.frames], 0)
        if newest.any():
            distance = np.abs(locked[-1].astype(float) - background).sum(2)[newest]
            assert np.median(distance) < 100
    assert 12 < locked_ones < 40


def test_some_samples_have_regions_that_were_locked_for_nothing(pixels: SceneFrames) -> None:
    """Where nothing has moved in any of them."""
    differing = {}
    for faulty in (0.0, 0.5, 1.0):
        entry, count = SampleBanks(8, 4, warm_up=5, faulty=faulty), 0
        for seed in range(60):
            locked, blind = loaded(entry, pixels, TARGET, seed)
            numbers = frames_of(blind, pixels)
            moving = [
                np.asarray(cv2.dilate(pixels.mask(n), np.ones((7, 7), np.uint8))) >= 170 for n in numbers if n > 1
            ]
            elsewhere = ~np.any(moving, axis=0)
            count += bool((locked != blind).any((0, 3))[elsewhere].any())
        differing[faulty] = count
    assert differing[0.0] == 0 < differing[0.5] < differing[1.0] < 60


def test_nothing_is_locked_in_young_streams(pixels: SceneFrames) -> None:
    entry = SampleBanks(8, 4, warm_up=200, faulty=1.0)
    for seed in range(20):
        locked, blind = loaded(entry, pixels, TARGET, seed)
        np.testing.assert_array_equal(locked, blind)


def test_the_same_seed_is_the_same_sample(pixels: SceneFrames) -> None:
    for entry in (SampleBanks(6, 4), EarlierFrame()):
        one, other = (loaded(entry, pixels, TARGET, seed) for seed in (3, 3))
        np.testing.assert_array_equal(one, other)
    assert len({loaded(SampleBanks(6, 4), pixels, TARGET, seed).tobytes() for seed in range(8)}) > 4


def test_a_batch_is_learnt_from(pixels: SceneFrames) -> None:
    """From the files to gradients: samples stay bytes, and are mirrored with the frame."""
    torch.manual_seed(0)
    module = AnyScene((4, 4, 6, 6))
    dataset = TrainingDataset([pixels], module.inputs, None, 1.0)
    batch: Any = ready(dataset[[Draw(0, 40, 1), Draw(0, 70, 2)]], module.inputs, torch.float32)
    assert (batch["samples"].dtype, batch["samples"].shape) == (torch.uint8, (2, 2, 20, 3, 24, 32))
    assert (batch["image"].dtype, batch["earlier"].dtype) == (torch.uint8, torch.uint8)
    blind = loaded(SampleBanks(), pixels, 40, 1)[1]
    np.testing.assert_array_equal(batch["samples"][0, 1].numpy(), blind[:, :, ::-1].transpose(0, 3, 1, 2))
    terms = module.losses(batch)
    assert set(terms) == {"cross_entropy", "batch_dice", "image_dice"}
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_ignored_pixels_teach_nothing(pixels: SceneFrames) -> None:
    module = AnyScene((4, 4, 6, 6)).eval()
    dataset = TrainingDataset([pixels], module.inputs, None, 0.0)
    batch: Any = ready(dataset[[Draw(0, 40, 1)]], module.inputs, torch.float32)
    batch["mask"][...] = 170
    loss = torch.stack(list(module.losses(batch).values())).sum()
    loss.backward()
    assert loss.item() == 0
    assert not any(parameter.grad.any() for parameter in module.parameters() if parameter.grad is not None)


def test_rate_warms_up_and_decays() -> None:
    configured: Any = AnyScene((4, 4, 4, 4), lr=0.1, weight_decay=0.2, decay_steps=100).configure_optimizers()
    optimizer = configured["optimizer"]
    assert type(optimizer) is torch.optim.AdamW
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2]  # of all, as the shipped weights had it
    assert optimizer.param_groups[0]["lr"] < 0.01
    assert isinstance(AnyScene((4, 4, 4, 4)).configure_optimizers(), torch.optim.AdamW)
