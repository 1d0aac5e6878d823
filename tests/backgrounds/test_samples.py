"""Samples of a stream: which are held, their order, and what a frame's comparison with them finds."""

from __future__ import annotations

import copy
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bgsub_lightning.backgrounds.samples import (
    CHANGE,
    Interval,
    SampleBackground,
    SampleBank,
    SampleMedian,
    Schedule,
    held,
    second_smallest,
)
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.systems.any_scene.features import planes

Bytes = NDArray[np.uint8]


def texture(seed: int = 0, size: tuple[int, int] = (24, 20)) -> Bytes:
    """A planar image, ``(3, H, W)``, of levels from 40 to 140."""
    return np.random.default_rng(seed).integers(40, 140, (3, *size), np.uint8)


def stream_of(count: int, seed: int = 0, size: tuple[int, int] = (24, 20)) -> list[Bytes]:
    """Frames of one texture with a little noise, and now and then another texture in a corner."""
    generator = np.random.default_rng((seed, 1))
    frames = []
    for _ in range(count):
        frame = texture(seed, size) + generator.integers(0, 12, (3, *size), np.uint8)
        if generator.random() < 0.4:
            frame[:, :9, :7] = generator.integers(0, 256, (3, 9, 7), np.uint8)
        frames.append(frame)
    return frames


def masks_of(count: int, seed: int = 0, size: tuple[int, int] = (24, 20)) -> list[NDArray[np.bool_]]:
    return list(np.random.default_rng((seed, 2)).random((count, *size)) < 0.02)


# --- which frames are held -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "stride"), [(20, 16), (4, 4), (5, 1), (7, 8), (2, 2)])
def test_held_frames_are_those_of_a_bank_that_is_fed_frame_by_frame(count: int, stride: int) -> None:
    """A frame's number is its colour."""
    numbered = [np.full((3, 1, 2), [[[n % 256]], [[n // 256]], [[0]]], np.uint8) for n in range(420)]
    schedule, bank = Schedule(count, stride), SampleBank(numbered[0], count)
    for number, frame in enumerate(numbered):
        due = schedule.is_due(number)
        slot = schedule.advance(number)
        assert due is (slot is not None)
        if slot is not None:
            bank.replace(slot, frame)
        numbers = [int(sample[0, 0, 0]) + 256 * int(sample[1, 0, 0]) for sample in bank.samples]
        assert tuple(sorted(numbers)) == held(number + 1, count, stride)
        assert [numbers[i] for i in schedule.in_order] == sorted(numbers)


def test_samples_cover_all_that_was_seen_and_then_a_window() -> None:
    for frames in range(1, 320):
        found = held(frames, 20, 16)
        assert found[0] == 0
        assert frames - 1 - found[-1] < 16
        assert max(np.diff(found)) <= max(1, 2 * frames / 20)
    assert held(1000, 20, 16) == tuple(range(688, 993, 16))


@pytest.mark.parametrize(("count", "stride"), [(1, 4), (20, 3), (20, 0)])
def test_impossible_schedules_are_refused(count: int, stride: int) -> None:
    for make in (Schedule, SampleMedian):
        with pytest.raises(UserError, match=rf"(count.*got {count}|stride.*got {stride})\."):
            make(count, stride)


# --- order statistics ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 5, 256])
@pytest.mark.parametrize("count", [2, 3, 20])
def test_order_is_that_of_numpy_after_any_replacement(count: int, levels: int) -> None:
    generator = np.random.default_rng((count, levels))

    def frame() -> Bytes:
        return generator.integers(0, levels, (3, 7, 5)).astype(np.uint8)

    first = frame()
    bank, samples = SampleBank(first, count), [first.copy() for _ in range(count)]
    for step in range(80):
        slot, new = int(generator.integers(count)), frame()
        given = new.copy()
        keep = None if step % 3 == 0 else generator.random((7, 5)) < 0.4
        bank.replace(slot, new, keep)
        samples[slot] = new if keep is None else np.where(keep, samples[slot], new)
        np.testing.assert_array_equal(new, given)
        np.testing.assert_array_equal(bank.samples, samples)
        np.testing.assert_array_equal(bank.ordered, np.sort(samples, 0))
        for level in (0.0, 0.1, 0.5, 0.9, 1.0):
            np.testing.assert_array_equal(bank.quantile(level), np.sort(samples, 0)[round(level * (count - 1))])


@pytest.mark.parametrize("near", [None, 36, 300])
def test_distances_and_changes_are_those_of_numpy(near: int | None) -> None:
    frame, samples = texture(), stream_of(14)
    each = [np.minimum(np.abs(sample.astype(int) - frame).sum(0), 255) for sample in samples]
    second, changes = second_smallest(frame, samples, near)
    np.testing.assert_array_equal(second, np.sort(each, 0)[1])
    if near is None:
        assert changes is None
        return
    assert changes is not None
    expected = np.diff(np.stack(each) < near, axis=0).sum(0) * CHANGE
    np.testing.assert_array_equal(changes, np.minimum(expected, 255))
    assert bool(changes.max() > 0) is (near == 36)


def test_distances_do_not_depend_on_how_a_frame_lies_in_memory() -> None:
    frame, samples = texture(), stream_of(14)
    image = np.ascontiguousarray(frame.transpose(1, 2, 0))
    expected, found = (second_smallest(each, samples, 36) for each in (frame, image.transpose(2, 0, 1)))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("size", [3, 7])
def test_range_of_a_neighbourhood_is_that_of_numpy(size: int) -> None:
    bank = SampleBank(texture(1), 11)
    for slot, frame in enumerate(stream_of(11, seed=2)):
        bank.replace(slot, frame)
    frame = texture(3) // 2 * 3 - 30
    ordered = np.sort(bank.samples, 0).astype(int)
    low, high = ordered[1], ordered[9]
    around = [(0, 0), (size // 2,) * 2, (size // 2,) * 2]
    windows = {"axis": (1, 2), "window_shape": (size, size)}
    lows = np.lib.stride_tricks.sliding_window_view(np.pad(low, around, "edge"), **windows).min((3, 4))  # type: ignore[call-overload]
    highs = np.lib.stride_tricks.sliding_window_view(np.pad(high, around, "edge"), **windows).max((3, 4))  # type: ignore[call-overload]
    beyond = np.maximum(np.maximum(frame - highs, lows - frame), 0).sum(0)
    interval = Interval(bank, size)
    np.testing.assert_array_equal(interval.outside(frame), np.minimum(beyond, 255))
    np.testing.assert_array_equal(interval.spread, np.minimum((high - low).sum(0), 255))
    assert beyond.max() > 0


# --- the model of a stream -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [20, 9])
def test_a_stream_finds_what_training_sees_of_the_same_banks(count: int) -> None:
    frames, masks = stream_of(75), masks_of(75)
    background = SampleBackground(frames[0], count, 4, warm_up=8)
    differs = False
    for number, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        if number % 6 == 0:
            order = background.schedule.in_order
            banks = [torch.from_numpy(bank.samples[order])[None] for bank in (background.locked, background.blind)]
            now = torch.from_numpy(frame)[None]
            expected = planes(now, now, *banks)[0].numpy()
            np.testing.assert_array_equal(background.compare(frame), expected[6:13])
            np.testing.assert_array_equal(background.median, expected[3:6])
            differs |= bool((background.locked.samples != background.blind.samples).any())
        background.update(frame, mask)
    assert differs


def answers(background: SampleBackground, frames: list[Bytes], masks: list[NDArray[np.bool_]]) -> list[Any]:
    found = []
    for frame, mask in zip(frames, masks, strict=True):
        found.append([*background.compare(frame), background.median.copy(), background.flips.copy()])
        background.update(frame, mask if background.is_due else None)
    return found


@pytest.mark.parametrize("saved", [0, 1, 7, 40])
def test_a_state_goes_on_as_if_there_had_been_no_break(saved: int) -> None:
    frames, masks = stream_of(70), masks_of(70)
    background = SampleBackground(frames[0], 6, 4, warm_up=5, hurry=3)
    answers(background, frames[:saved], masks[:saved])
    state = background.state_dict()
    kept = copy.deepcopy(state)
    expected = answers(background, frames[saved:], masks[saved:])
    other = SampleBackground(np.zeros_like(frames[0]), 6, 4, hurry=3)
    other.load_state_dict(state)
    for one, two in zip(expected, answers(other, frames[saved:], masks[saved:]), strict=True):
        for plane, found in zip(one, two, strict=True):
            np.testing.assert_array_equal(found, plane)
    for name, value in kept.items():  # neither of them has changed what was saved
        np.testing.assert_array_equal(state[name], value)


OBJECTS = {"large": np.s_[4:20, 4:20], "small": np.s_[30:33, 30:33]}


def standing(frames: int, **settings: int) -> list[dict[str, tuple[bool, bool]]]:
    """After 20 frames two objects stand still, as the masks show; returns which banks' medians hold them."""
    background, shown = texture(4, (40, 40)), texture(4, (40, 40))
    mask = np.zeros((40, 40), np.bool_)
    for place in OBJECTS.values():
        shown[:, *place], mask[place] = 250, True
    model = SampleBackground(background, 6, 1, warm_up=10, small=0.01, **settings)
    for _ in range(20):
        model.update(background, np.zeros_like(mask))
    found = []
    for _ in range(frames):
        model.update(shown, mask)
        medians = [bank.ordered[3] for bank in (model.locked, model.blind)]
        found.append(
            {name: tuple(bool((each[:, *place] == 250).all()) for each in medians) for name, place in OBJECTS.items()}
        )
        untouched = np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))) == 0
        np.testing.assert_array_equal(model.median[:, untouched], background[:, untouched])
    return found  # type: ignore[return-value]


def test_a_locked_bank_keeps_out_what_stands_still_and_a_blind_one_learns_it() -> None:
    found = standing(40, patience=200, hurry=200)
    assert found[0] == {"large": (False, False), "small": (False, False)}
    assert all(each == {"large": (False, True), "small": (False, True)} for each in found[6:])


def test_patience_sets_it_free_and_that_with_small_ones_is_shorter() -> None:
    found = standing(45, patience=30, hurry=5)
    free = {name: next(i for i, each in enumerate(found) if each[name][0]) for name in OBJECTS}
    assert 5 <= free["small"] + 1 <= 5 + 6
    assert 30 <= free["large"] + 1 <= 30 + 6
    assert found[-1] == {"large": (True, True), "small": (True, True)}


def test_nothing_is_locked_while_the_model_warms_up() -> None:
    background = SampleBackground(texture(), 6, 1, warm_up=50)
    for _ in range(20):
        background.update(texture(9), np.ones((24, 20), np.bool_))
    np.testing.assert_array_equal(background.median, texture(9))


def test_masks_that_change_are_noted() -> None:
    background = SampleBackground(texture(), 6, 1, warm_up=0)
    for number in range(60):
        mask = np.zeros((24, 20), np.bool_)
        mask[:, 10:] = True
        mask[:, :5] = number % 2
        background.update(texture(), mask)
    assert background.flips[:, :5].min() > 0.9
    assert background.flips[:, 5:].max() == 0


# --- the median as a background of other systems ---------------------------------------------------------------------


def test_median_is_that_of_the_samples_however_frames_come() -> None:
    frames = stream_of(50, size=(10, 9))
    images = torch.from_numpy(np.stack(frames)).float() / 255
    source = SampleMedian(5, 4)
    context, other = source.begin_scene(), source.begin_scene()
    one = source.push(context, images)
    others = torch.cat([source.push(other, part) for part in images.split([1, 3, 16, 30])])
    assert torch.equal(one, others)
    for number in range(50):
        expected = np.sort([frames[i] for i in held(number + 1, 5, 4)], 0)[2]
        np.testing.assert_array_equal((one[number] * 255).round().byte().numpy(), expected)
    np.testing.assert_allclose(context.pictures()["background"].numpy(), one[-1].numpy(), atol=1e-6)
    assert not source.begin_scene().pictures()
    assert source.settings() != SampleMedian(5, 8).settings()
