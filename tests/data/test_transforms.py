"""Changes by each variation of a training sample, and what it leaves unchanged."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as PilImage

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import (
    Blur,
    CloudShade,
    Colours,
    IgnoreIndistinct,
    Image,
    IntermittentObjects,
    Jpeg,
    LightChange,
    LightDifference,
    Misalignment,
    PastedObjects,
    References,
    Sample,
    SampleTransform,
    ScenesDataModule,
    SensorNoise,
    SpatioTemporalCrop,
    Sway,
)
from bgsub_lightning.data.batches import Draw
from bgsub_lightning.data.dataset import TrainingDataset, ready
from bgsub_lightning.data.transforms import smooth_map
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.datasets.labels import LEVELS, MOVING, STATIC, UNKNOWN
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits import FrameSet, Subset
from bgsub_lightning.systems.any_scene.inputs import Relit

Bytes = NDArray[np.uint8]
HEIGHT, WIDTH = 48, 64
OBJECT = np.s_[18:32, 20:36]


def texture(seed: int = 0) -> Bytes:
    generator = np.random.default_rng(seed)
    smooth = np.stack([smooth_map(generator, HEIGHT, WIDTH, 12) for _ in range(3)], 2)
    return np.clip(110 + 25 * smooth, 0, 255).astype(np.uint8)


def sample() -> Sample:
    """The target and an earlier frame, of a scene and an object; two banks of five frames without the object."""
    background = texture()
    shown = background.copy()
    shown[OBJECT] = (220, 60, 40)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[OBJECT] = MOVING
    earlier = np.roll(shown, 3, 1)
    return Sample([shown[None].copy(), earlier[None].copy()], [background[None].repeat(5, 0) for _ in range(2)], mask)


def varied(transform: SampleTransform, seed: int, given: Sample | None = None) -> tuple[Sample, Sample]:
    """A sample before and after; its arrays are the same, and of bytes."""
    before = given or sample()
    after = copy.deepcopy(before)
    arrays = [*after.now, *after.past, after.mask]
    transform(after, np.random.default_rng(seed))
    assert all(one is other for one, other in zip(arrays, [*after.now, *after.past, after.mask], strict=True))
    assert all(each.dtype == np.uint8 for each in arrays)
    assert set(np.unique(after.mask)) <= set(LEVELS)
    return before, after


def changed(before: Sample, after: Sample) -> dict[str, bool]:
    """Its changed pixels."""
    return {
        "target": not np.array_equal(before.now[0], after.now[0]),
        "earlier": not np.array_equal(before.now[1], after.now[1]),
        "past": not all(np.array_equal(*pair) for pair in zip(before.past, after.past, strict=True)),
        "mask": not np.array_equal(before.mask, after.mask),
    }


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> list[SceneFrames]:
    root = tmp_path_factory.mktemp("dataset")
    make_video(root, "baseline", "highway", labelled=12)
    make_video(root, "shadow", "bungalows", labelled=12)
    return [SceneFrames(scene, None) for scene in CDnet2014().scenes(root)]


Paste = Callable[..., PastedObjects]


@pytest.fixture(scope="module")
def paste(scenes: list[SceneFrames]) -> Paste:
    """Makes the transform, with the objects of ``scenes``."""

    def make(**settings: float) -> PastedObjects:
        transform = PastedObjects(**{"least": 60} | settings)  # type: ignore[arg-type]
        transform.prepare(scenes, FrameSet.labelled(each.scene for each in scenes), 0)
        return transform

    return make


OFF: dict[type[SampleTransform], dict[str, float]] = {Colours: {"grey": 0}, PastedObjects: {"ghost": 0}}
"""Other settings that must be 0 for nothing to happen."""
ALL = (
    *(Sway, PastedObjects, LightChange, LightDifference, CloudShade, Colours, Blur, Misalignment, SensorNoise, Jpeg),
    IgnoreIndistinct,
)
KINDS = pytest.mark.parametrize("kind", [*ALL, Relit])


def made(kind: type[SampleTransform], p: float, paste: Paste) -> SampleTransform:
    settings = {"p": p} | OFF.get(kind, {})
    return paste(**settings) if kind is PastedObjects else kind(**settings)


# --- of all of them --------------------------------------------------------------------------------------------------


@KINDS
def test_without_probability_a_sample_stays(kind: type[SampleTransform], paste: Paste) -> None:
    transform = made(kind, 0.0, paste)
    for seed in range(20):
        assert not any(changed(*varied(transform, seed)).values())


@KINDS
def test_the_same_seed_is_the_same_sample(kind: type[SampleTransform], paste: Paste) -> None:
    transform, again = (made(kind, 1.0, paste) for _ in range(2))
    found = []
    for seed in range(4):
        one, other = varied(transform, seed)[1], varied(again, seed)[1]
        assert not any(changed(one, other).values())
        found.append(one.now[0].tobytes() + one.past[0].tobytes())
    assert (len(set(found)) == 4) is (kind not in {IgnoreIndistinct, Relit})  # at which nothing is random


@KINDS
def test_the_given_share_of_samples_is_varied(
    kind: type[SampleTransform], paste: Paste, monkeypatch: pytest.MonkeyPatch
) -> None:
    transform, times = made(kind, 0.3, paste), []
    monkeypatch.setattr(kind, "apply", lambda *given: times.append(1))
    for seed in range(400):
        varied(transform, seed)
    assert abs(len(times) - 120) < 4 * np.sqrt(400 * 0.3 * 0.7)


@pytest.mark.parametrize("p", [-0.1, 1.5])
@KINDS
def test_what_is_no_probability_is_refused(kind: type[SampleTransform], p: float) -> None:
    with pytest.raises(UserError, match=rf"{kind.__name__}\.p\b.*got {p}"):
        kind(p)


@KINDS
def test_a_sample_without_past_and_of_one_frame(kind: type[SampleTransform], paste: Paste) -> None:
    """As of systems that see the target alone."""
    if kind is Relit:
        return
    alone = sample()
    alone.now, alone.past = alone.now[:1], []
    for seed in range(5):
        varied(made(kind, 1.0, paste), seed, alone)


# --- what each of them changes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LightChange, CloudShade, Blur])
def test_light_and_blur_change_now_alone(kind: type[SampleTransform]) -> None:
    earlier = 0
    for seed in range(30):
        found = changed(*varied(kind(1.0), seed))
        assert found["target"]
        assert not found["past"]
        assert not found["mask"]
        earlier += found["earlier"]
    assert earlier == 30 if kind is LightChange else 0 < earlier < 30


def test_light_is_alike_over_the_image_and_over_the_frames_of_now() -> None:
    given = sample()
    given.now[1][...] = given.now[0]
    for seed in range(10):
        before, after = varied(LightChange(1.0), seed, given)
        np.testing.assert_array_equal(after.now[0], after.now[1])
        for channel in range(3):
            one, other = (each.now[0][..., channel].ravel() for each in (before, after))
            mapped = dict(zip(one.tolist(), other.tolist(), strict=True))
            assert [mapped[level] for level in one.tolist()] == other.tolist()
            assert sorted(mapped.values()) == [mapped[level] for level in sorted(mapped)]  # brighter stays brighter


def test_shade_has_soft_borders() -> None:
    given = Sample([np.full((1, 240, 320, 3), 120, np.uint8)], [], np.zeros((240, 320), np.uint8))
    for seed in range(20):
        _, after = varied(CloudShade(1.0), seed, given)
        steps = np.abs(np.diff(after.now[0][0].astype(int), axis=1))
        assert steps.max() <= 8
        assert np.ptp(after.now[0]) > 10


def test_misalignment_moves_the_target_and_its_mask() -> None:
    masks = 0
    for seed in range(30):
        before, after = varied(Misalignment(1.0), seed)
        found = changed(before, after)
        assert found["target"]
        assert not found["past"]
        assert not found["earlier"]
        masks += found["mask"]
        assert abs(np.count_nonzero(after.mask) / np.count_nonzero(before.mask) - 1) < 0.25
        inside = after.mask[OBJECT] == MOVING  # the object is where the mask says
        assert np.median(after.now[0][0][OBJECT][inside][:, 0]) == 220
    assert masks > 10


def test_colours_change_alike_in_all_frames() -> None:
    given = sample()
    given.past[0][0], given.past[1][3] = given.now[0][0], given.now[0][0]
    for seed in range(30):
        before, after = varied(Colours(1.0, grey=0.0), seed, given)
        found = changed(before, after)
        assert found == {"target": True, "earlier": True, "past": True, "mask": False}
        np.testing.assert_array_equal(after.past[0][0], after.now[0][0])
        np.testing.assert_array_equal(after.past[1][3], after.now[0][0])


def test_colour_is_taken_away() -> None:
    _, after = varied(Colours(0.0, grey=1.0), 0)
    for group in [*after.now, *after.past]:
        np.testing.assert_array_equal(group[..., 0], group[..., 1])
        np.testing.assert_array_equal(group[..., 0], group[..., 2])
    assert after.now[0].std() > 10


def test_noise_is_in_all_frames_each_its_own_and_of_banks_alike() -> None:
    given = sample()
    for group in [*given.now, *given.past]:
        group[...] = 128
    greys = 0
    for seed in range(30):
        before, after = varied(SensorNoise(1.0, (4.0, 6.0)), seed, given)
        assert changed(before, after) == {"target": True, "earlier": True, "past": True, "mask": False}
        np.testing.assert_array_equal(*after.past)
        frames = [after.now[0][0], after.now[1][0], *after.past[0]]
        assert len({frame.tobytes() for frame in frames}) == len(frames)
        noise = np.stack(frames).astype(float) - 128
        assert abs(noise.mean()) < 0.5
        assert 3.5 < noise.std() < 6.5
        greys += bool((noise[..., 0] == noise[..., 1]).all())
    assert 3 < greys < 24


def test_sway_gives_each_frame_a_displacement_of_its_own_and_banks_the_same() -> None:
    for seed in range(30):
        before, after = varied(Sway(1.0), seed)
        found = changed(before, after)
        assert found["target"]
        assert found["past"]
        np.testing.assert_array_equal(*after.past)
        assert len({frame.tobytes() for frame in after.past[0]}) == 5
        inside = after.mask == MOVING  # the mask goes with the target
        assert inside.any()
        assert np.median(after.now[0][0][inside][:, 0]) > 180


def test_pasted_objects_are_foreground_and_nothing_of_the_past(paste: Paste) -> None:
    transform, more = paste(p=1.0, ghost=0.0, shadow=0.0, texture=1.0), 0
    given = sample()
    given.mask[...] = STATIC
    for seed in range(30):
        before, after = varied(transform, seed, given)
        found = changed(before, after)
        assert not found["past"]
        more += found["mask"]
        assert set(np.unique(after.mask)) <= {STATIC, UNKNOWN, MOVING}
        beyond = after.mask == STATIC  # what covers a pixel by a seventh or less may still be seen there
        np.testing.assert_allclose(
            after.now[0][0][beyond].astype(int), before.now[0][0][beyond].astype(int), atol=0.16 * 255
        )
        if found["mask"]:
            assert (after.now[0][0] != before.now[0][0]).any(2)[after.mask == MOVING].mean() > 0.8
    assert more >= 25


def test_objects_may_cast_shadows_outside_of_themselves(paste: Paste) -> None:
    darker = 0
    for seed in range(30):
        before, after = varied(paste(p=1.0, ghost=0.0, shadow=1.0), seed)
        away = (after.mask == STATIC) & (before.mask == STATIC)
        change = after.now[0][0].astype(int).sum(2) - before.now[0][0].astype(int).sum(2)
        darker += np.count_nonzero(change[away] < -30) > 20
    assert darker > 10


def test_ghosts_are_of_the_past_and_what_has_stayed_is_background(paste: Paste) -> None:
    transform, kinds = paste(p=0.0, ghost=1.0), set()
    for seed in range(40):
        before, after = varied(transform, seed)
        found = changed(before, after)
        if not found["past"]:
            assert not any(found.values())  # it lay outside of the frame
            continue
        haunted = np.abs(after.past[0][0].astype(int) - before.past[0][0].astype(int)).sum(2) > 0
        if found["target"]:  # it is still there
            assert found["earlier"]
            assert set(np.unique(after.mask[before.mask != after.mask])) <= {STATIC}
            assert (after.mask[haunted] == STATIC).all()
        else:
            assert not found["earlier"]
            assert not found["mask"]
        kinds.add(found["target"])
    assert kinds == {False, True}


def test_no_object_to_paste_is_reported(scenes: list[SceneFrames]) -> None:
    with pytest.raises(UserError, match=r"PastedObjects.*5000 pixels.*24"):
        PastedObjects(least=5000).prepare(scenes, FrameSet.labelled(each.scene for each in scenes), 0)


def test_what_equals_the_past_is_ignored() -> None:
    given = sample()
    second = np.s_[36:44, 4:16]
    given.now[0][0][second] = (240, 240, 20)
    given.mask[second] = MOVING
    for group in given.past:
        group[:, *OBJECT] = given.now[0][0][OBJECT]
    before, after = varied(IgnoreIndistinct(), 0, given)
    assert changed(before, after) == {"target": False, "earlier": False, "past": False, "mask": True}
    expected = before.mask.copy()
    expected[OBJECT] = UNKNOWN
    np.testing.assert_array_equal(after.mask, expected)
    given.past[1][0, *OBJECT] = 0  # one of the banks has seen the ground
    assert not changed(*varied(IgnoreIndistinct(), 0, given))["mask"]


def test_now_is_brought_back_to_the_light_of_the_past() -> None:
    given = sample()
    background = given.past[0][0]
    for group in given.now:
        group[...] = np.clip(background * 0.75, 0, 255)
    before, after = varied(Relit(1.0), 0, given)
    assert changed(before, after) == {"target": True, "earlier": True, "past": False, "mask": False}
    assert np.abs(before.now[0].astype(int) - background).mean() > 20
    assert np.abs(after.now[0].astype(int) - background).mean() < 3


# --- appearance: its distribution and its switches -------------------------------------------------------------------


def ramp() -> Sample:
    """Every grey level, in a frame of now and in one of the past."""
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    return Sample([levels.copy()], [levels.copy()], np.full((16, 16), MOVING, np.uint8))


def curves(transform: SampleTransform, count: int = 600) -> NDArray[np.float64]:
    """Outcome of each grey level in many samples: ``(count, 256, 3)``."""
    return np.stack([varied(transform, seed, ramp())[1].now[0].reshape(256, 3).astype(float) for seed in range(count)])


NO_LIGHT: dict[str, Any] = {"p": 1.0, "gain": 0.0, "offset": 0.0, "tint": 0.0, "gamma": 0.0}


def assert_spread(found: NDArray[np.float64], expected: float) -> None:
    """Normal numbers around 0: mean and standard deviation within four of their standard errors."""
    assert abs(found.mean()) < 4 * expected / np.sqrt(found.size)
    assert abs(found.std() / expected - 1) < 4 / np.sqrt(2 * found.size)


def test_light_without_spread_is_no_change() -> None:
    for seed in range(20):
        assert not any(changed(*varied(LightChange(**NO_LIGHT, frames="all"), seed)).values())


def test_the_gain_is_shared_by_channels_and_spreads_as_given() -> None:
    found = curves(LightChange(**NO_LIGHT | {"gain": 0.2}))
    np.testing.assert_array_equal(found[..., 0], found[..., 2])
    assert_spread(np.log((found[:, 110, 0] + 0.5) / 110), 0.2)  # half a level: grey levels are truncated
    assert found.min() == 0
    assert found.max() == 255


def test_the_offset_spreads_as_given() -> None:
    found = curves(LightChange(**NO_LIGHT | {"offset": 12.0}))
    np.testing.assert_array_equal(found[..., 0], found[..., 2])
    assert_spread(found[:, 128, 1] + 0.5 - 128, 12.0)


def test_each_channel_has_a_gain_and_it_spreads_as_given() -> None:
    gains = np.log((curves(LightChange(**NO_LIGHT | {"tint": 0.1}))[:, 150] + 0.5) / 150)
    for channel in range(3):
        assert_spread(gains[:, channel], 0.1)
    assert abs(np.corrcoef(gains.T)[~np.eye(3, dtype=bool)]).max() < 4 / np.sqrt(600)


def test_gamma_spreads_as_given_and_keeps_black_and_white() -> None:
    found = curves(LightChange(**NO_LIGHT | {"gamma": 0.25}))
    assert_spread(np.log(np.log((found[:, 100, 0] + 0.5) / 255) / np.log(100 / 255)), 0.25)
    assert not found[:, 0].any()
    assert (found[:, 255] == 255).all()


@pytest.mark.parametrize("kind", [LightChange, Blur, Jpeg])
def test_appearance_changes_now_or_all_frames_alike(kind: type[Any]) -> None:
    given = sample()
    given.past[1][2] = given.now[0][0]
    for seed in range(20):
        before, after = varied(kind(1.0, frames="all"), seed, given)
        found = changed(before, after)
        assert found["target"]
        assert found["past"]
        assert not found["mask"]
        # a blur of all frames may leave the neighbours of now, which are not in the past
        np.testing.assert_array_equal(after.past[1][2], after.now[0][0])
        before, after = varied(kind(1.0, frames="now"), seed, given)
        assert changed(before, after)["target"]
        assert not changed(before, after)["past"]


def test_blur_of_all_frames_is_the_same_kernel_and_keeps_the_light() -> None:
    impulse = np.zeros((1, 41, 41, 3), np.uint8)
    impulse[0, 20, 20] = 255
    flat = np.full_like(impulse, 90)
    shapes = set()
    for seed in range(20):
        given = Sample([impulse.copy(), flat.copy()], [impulse.copy()], np.zeros((41, 41), np.uint8))
        _, after = varied(Blur(1.0, frames="all"), seed, given)
        np.testing.assert_array_equal(after.now[0], after.past[0])
        np.testing.assert_array_equal(after.now[1], flat)
        spread = after.now[0][0, ..., 0].astype(float)
        assert abs(spread.sum() - 255) < 20  # of its 81 pixels some are rounded up and some down
        shapes.add(tuple(np.argwhere(spread).min(0)))
    assert len(shapes) > 2


def test_jpeg_has_the_qualities_that_are_given() -> None:
    given = sample()
    target, _ = given.now[0][0], given.past[0][0]
    expected = {}
    for quality in (30, 31, 32):
        file = io.BytesIO()
        PilImage.fromarray(target).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        expected[quality] = np.asarray(PilImage.open(file).convert("RGB"), int)
    counts = dict.fromkeys(expected, 0)
    for seed in range(150):
        _, after = varied(Jpeg(1.0, (30, 32)), seed, given)
        errors = {quality: np.abs(after.now[0][0] - image).mean() for quality, image in expected.items()}
        nearest = min(errors, key=lambda quality: errors[quality])
        assert errors[nearest] < 0.5  # other arithmetic of the same standard
        counts[nearest] += 1
    assert sum(counts.values()) == 150
    assert min(counts.values()) > 50 - 4 * np.sqrt(150 * 2 / 9)


def test_each_part_of_colours_has_a_switch() -> None:
    off = {"p": 1.0, "grey": 0.0, "order": 0.0, "inversion": 0.0, "gamma": 0.0, "gain": 0.0, "offset": 0.0}
    levels = np.arange(256)
    plain = curves(Colours(**off), 5)
    assert np.abs(plain - levels[:, None]).max() <= 1  # 255 · (x / 255) may fall short of x
    np.testing.assert_allclose(curves(Colours(**off | {"inversion": 1.0}), 5), 255 - plain, atol=1)
    assert_spread(curves(Colours(**off | {"offset": 10.0}))[:, 128, 2] + 0.5 - 128, 10.0)
    gains = np.log((curves(Colours(**off | {"gain": 0.15}))[:, 128] + 0.5) / 128)
    assert_spread(gains[:, 0], 0.15)
    for channel in (1, 2):
        assert abs(np.mean(np.abs(gains[:, channel]) < 0.006) - 0.5) < 4 * 0.5 / np.sqrt(600) + 0.04
    gammas = np.log(np.log((curves(Colours(**off | {"gamma": 0.25}))[:, 100, 0] + 0.5) / 255) / np.log(100 / 255))
    assert_spread(gammas, 0.25)
    given = sample()
    orders = {
        tuple(int(each) for each in varied(Colours(**off | {"order": 1.0}), seed, given)[1].now[0][0][OBJECT][0, 0])
        for seed in range(60)
    }
    assert len(orders) == 6
    assert {tuple(sorted(order)) for order in orders} == {(40, 60, 220)}


@pytest.mark.parametrize(
    ("kind", "name", "value", "got"),
    [
        *[(LightChange, name, -0.1, "-0.1") for name in ("gain", "offset", "tint", "gamma")],
        (LightChange, "gain", math.nan, "nan"),
        (LightChange, "offset", math.inf, "inf"),
        *[(Colours, name, -1.0, "-1.0") for name in ("gamma", "gain", "offset", "order", "inversion", "grey")],
        *[(Colours, name, 1.5, "1.5") for name in ("order", "inversion", "grey")],
        (Jpeg, "quality", (0, 50), "0"),
        (Jpeg, "quality", (50, 101), "101"),
        (Jpeg, "quality", (60, 50), r"\[60, 50\]"),
        (SensorNoise, "sigma", (9.0, 1.0), r"\[9\.0, 1\.0\]"),
        (Sway, "jitter", (5.0, 1.0), r"\[5\.0, 1\.0\]"),
        (Sway, "wave", (9.0, 1.0), r"\[9\.0, 1\.0\]"),
        (Colours, "gamma", float("inf"), "inf"),
        *[(kind, "frames", "past", "'past'") for kind in (LightChange, Blur, Jpeg)],
    ],
)
def test_values_out_of_range_are_refused(kind: type[Any], name: str, value: Any, got: str) -> None:
    with pytest.raises(UserError, match=rf"{kind.__name__}\.{name}\b.*got {got}"):
        kind(**{name: value})


# --- within a dataset ------------------------------------------------------------------------------------------------


class Watched(SampleTransform):
    """Notes what it is given, and paints the target black."""

    seen: list[Any]

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:
        self.seen.append((copy.deepcopy(sample), rng.random()))
        sample.now[0][...] = 0


def test_a_dataset_separates_now_from_the_past_and_seeds_each_transform(scenes: list[SceneFrames]) -> None:
    transforms = (Watched(1.0), Watched(1.0))
    seen: list[Any] = []
    for each in transforms:
        each.seen = seen
    inputs = (Image(), References(3))
    plain = TrainingDataset(scenes, inputs, None, 0.0)
    dataset = TrainingDataset(scenes, inputs, None, 0.0, transforms=transforms)
    draws = [Draw(0, 21, 7), Draw(1, 25, 8)]
    expected, found = plain[draws], dataset[draws]
    assert not found["image"].any()
    np.testing.assert_array_equal(found["references"], expected["references"])
    np.testing.assert_array_equal(found["mask"], expected["mask"])
    assert len(seen) == 4
    for row, (given, _) in enumerate(seen[::2]):
        assert ([each.shape for each in given.now], [each.shape for each in given.past]) == (
            [(1, HEIGHT, WIDTH, 3)],
            [(3, HEIGHT, WIDTH, 3)],
        )
        np.testing.assert_array_equal(given.now[0][0], expected["image"][row])
        np.testing.assert_array_equal(given.past[0], expected["references"][row])
        np.testing.assert_array_equal(given.mask, expected["mask"][row])
    assert len({number for _, number in seen}) == 4  # of draws and of transforms
    again = list(seen)
    seen.clear()
    dataset[draws]
    assert [number for _, number in seen] == [number for _, number in again]


def test_pointwise_transforms_give_the_same_bits_on_the_device(scenes: list[SceneFrames]) -> None:
    transforms = (SensorNoise(1.0), LightChange(1.0, frames="all"), LightChange(0.5, gamma=0.3))
    inputs = (Image(), References(3))
    worker, device = (
        TrainingDataset(scenes, inputs, None, 0.5, transforms=transforms, on_device=count) for count in (0, 2)
    )
    draws = [Draw(number % 2, 21, seed) for number, seed in enumerate(range(8))]
    expected, given = worker[draws], device[draws]
    assert "tables" not in expected
    assert (given["image"] != expected["image"]).any()  # so far only the noise
    ready_on_device = ready(given, inputs, torch.float32)
    for key, value in ready(expected, inputs, torch.float32).items():
        torch.testing.assert_close(ready_on_device[key], value, rtol=0, atol=0)
    assert ready_on_device.keys() == ready(expected, inputs, torch.float32).keys()


@pytest.mark.parametrize(("device", "expected"), [("cpu", 0), ("meta", 2)])
def test_an_accelerator_computes_what_is_pointwise_at_the_end(
    device: str, expected: int, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    make_video(tmp_path, "baseline", "highway", labelled=12)
    light = LightChange()
    data = ScenesDataModule(
        (Image(),), Subset(["*"], []), tmp_path, size=None, num_workers=0, transforms=[light, Blur(), light, light]
    )
    strategy = SimpleNamespace(root_device=torch.device(device), barrier=lambda: None)
    process = {"global_rank": 0, "world_size": 1, "is_global_zero": True, "default_root_dir": tmp_path}
    length = {"limit_train_batches": 1.0, "max_steps": 2, "max_epochs": -1, "accumulate_grad_batches": 1}
    data.trainer = SimpleNamespace(strategy=strategy, **process, **length)  # type: ignore[assignment]
    dataset = data.train_dataloader().dataset
    assert [position for position, _ in dataset.on_device] == [2, 3][:expected]
    assert [position for position, _ in dataset.transforms] == [0, 1, 2, 3][: 4 - expected]


# --- what BSUV-Net 2.0 varies -----------------------------------------------------------------------------------------


def three_images(seed: int = 0) -> Sample:
    """A frame with an object, its recent background and its empty one, all of one texture."""
    background = texture(seed)
    shown = background.copy()
    shown[OBJECT] = (220, 60, 40)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[OBJECT] = MOVING
    recent, empty = background[None].copy(), background[None].copy()
    return Sample([shown[None].copy()], [empty, recent], mask, [empty])


def test_light_differs_from_the_long_past_alone() -> None:
    """One offset of all three, another of the empty background; each the sum of one of all channels and of each."""
    common, own = [], []
    for seed in range(2000):
        grey = np.full((1, 2, 2, 3), 128, np.uint8)
        now, recent, empty = grey.copy(), grey.copy(), grey.copy()
        given = Sample([now], [empty, recent], np.zeros((2, 2), np.uint8), [empty])
        LightDifference(offset=12.0, tint=5.0)(given, _rng(seed))
        assert len(np.unique(now.reshape(-1, 3), axis=0)) == 1
        np.testing.assert_array_equal(now, recent)
        common.append(now[0, 0, 0] - 128.0)
        own.append(empty[0, 0, 0].astype(float) - now[0, 0, 0])
    for found in (np.array(common), np.array(own)):
        assert np.abs(found.mean(0)).max() < 1.2
        np.testing.assert_allclose(found.std(0), np.hypot(12, 5), rtol=0.08)
        between = np.corrcoef(found.T)[0, 1]
        assert between == pytest.approx(12**2 / (12**2 + 5**2), abs=0.05)
    assert abs(np.corrcoef(np.array(common)[:, 0], np.array(own)[:, 0])[0, 1]) < 0.08


def test_light_is_clipped() -> None:
    given = Sample([np.full((1, 1, 2, 3), 250, np.uint8)], [], np.zeros((1, 2), np.uint8))
    levels = set()
    for seed in range(60):
        each = copy.deepcopy(given)
        LightDifference(offset=200.0)(each, _rng(seed))
        levels |= {*each.now[0].flat}
    assert {0, 255} <= levels


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def objects(scenes: list[SceneFrames]) -> Callable[..., IntermittentObjects]:
    """Makes the transform; its objects are of scenes of the category ``shadow``."""

    def make(**settings: Any) -> IntermittentObjects:
        transform = IntermittentObjects(**{"p": 1.0, "of": ("shadow",), "light": None} | settings)
        transform.prepare(scenes, FrameSet.labelled(each.scene for each in scenes), 0)
        return transform

    return make


def with_another(asked: list[tuple[int, int, int]] | None = None) -> Sample:
    """A sample that can load another: an object elsewhere, which its recent background shows as well."""
    given = three_images()
    given.planes = [np.zeros((HEIGHT, WIDTH, 1), np.uint8)]

    def load(scene: int, number: int, seed: int) -> Sample:
        if asked is not None:
            asked.append((scene, number, seed))
        other = three_images(7)
        other.mask[:] = 0
        other.mask[10:25, 10:30] = MOVING
        other.mask[10, 10] = UNKNOWN
        other.now[0][0, 10:25, 10:30] = (10, 240, 10)
        other.past[1][0, 10:25, 10:30] = (12, 238, 12)
        other.planes = [np.full((HEIGHT, WIDTH, 1), 200, np.uint8)]
        return other

    given.load = load
    return given


@pytest.mark.parametrize("behind", [0.0, 1.0])
def test_an_object_that_has_come_is_in_all_but_the_long_past(
    objects: Callable[..., IntermittentObjects], behind: float
) -> None:
    before, asked = with_another(), []
    after = with_another(asked)
    objects(behind=behind)(after, _rng(0))
    cover = np.zeros((HEIGHT, WIDTH), np.bool_)
    cover[10:25, 10:30] = True
    cover[10, 10] = False
    if behind:
        cover[OBJECT] = False
    expected = before.mask.copy()
    expected[cover] = MOVING
    np.testing.assert_array_equal(after.mask, expected)
    np.testing.assert_array_equal(after.past[0], before.past[0])  # empty
    pairs = (before.now[0], after.now[0], (10, 240, 10)), (before.past[1], after.past[1], (12, 238, 12))
    for old, new, level in pairs:
        assert np.all(new[0][cover] == level)
        np.testing.assert_array_equal(new[0][~cover], old[0][~cover])
    np.testing.assert_array_equal(after.planes[0][..., 0], 200 * cover)  # as the map of what could be foreground
    ((scene, number, _),) = asked
    assert scene == 1
    assert number in range(21, 33)


def test_objects_come_as_often_and_from_where_they_are_asked_for(
    objects: Callable[..., IntermittentObjects], capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[int, int, int]] = []
    transform = objects(p=0.1)
    for seed in range(600):
        transform(with_another(asked), _rng(seed))
    assert 30 < len(asked) < 95
    assert len({number for _, number, _ in asked}) > 8
    assert len({seed for *_, seed in asked}) == len(asked)
    assert capsys.readouterr().out == ""
    none = objects(of=("PTZ", "thermal/*"))
    assert "PTZ" in capsys.readouterr().out
    before, after = with_another(), with_another(asked)
    count = len(asked)
    none(after, _rng(0))
    assert len(asked) == count
    np.testing.assert_array_equal(after.mask, before.mask)


def test_another_sample_is_aligned_and_not_varied(scenes: list[SceneFrames], tmp_path: Path) -> None:
    """Through the window of its target; whatever the crop does to the sample itself."""
    inputs = (Image(), References(2))
    crop = SpatioTemporalCrop(24, pan=1.0, shift=0, zoom=0, most_pan=1)
    dataset = TrainingDataset(scenes, inputs, None, 0.0, crop=crop)
    other = dataset._aligned(1, 24, 5)
    window = crop.aligned(scenes[1], 24, 5)
    np.testing.assert_array_equal(other.now[0][0], window.image(24))
    np.testing.assert_array_equal(other.mask, window.mask(24))
    first, second = References(2).frames(scenes[1].scene, 24, 5)
    np.testing.assert_array_equal(other.past[0], [window.image(first), window.image(second)])
    assert other.long_past[0] is other.past[0]


def test_noise_of_two_backgrounds_is_not_alike() -> None:
    _, after = varied_images(SensorNoise(p=1.0, sigma=(5.0, 5.0), grey=0.0))
    empty, recent = (each.astype(int) - 128 for each in after.past)
    assert abs(np.corrcoef(empty.ravel(), recent.ravel())[0, 1]) < 0.1
    for noise in (empty, recent, after.now[0].astype(int) - 128):
        assert noise.std() == pytest.approx(5, rel=0.1)
        assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.1


def varied_images(transform: SampleTransform) -> tuple[Sample, Sample]:
    grey = np.full((1, HEIGHT, WIDTH, 3), 128, np.uint8)
    empty, recent = grey.copy(), grey.copy()
    given = Sample([grey.copy()], [empty, recent], np.zeros((HEIGHT, WIDTH), np.uint8), [empty])
    return varied(transform, 0, given)
