"""Colours of a sample, and noise of its frames alone."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from bgsub_lightning.data import ColourJitter, Sample, SensorNoise
from bgsub_lightning.data.colour_jitter import _brightness, _contrast, _hue, _saturation


def sample() -> Sample:
    """A group of three frames, a recent and an empty background, all alike."""
    frame = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    recent, empty = frame[None].copy(), frame[None].copy()
    return Sample([np.stack(3 * [frame])], [recent, empty], np.zeros((8, 12), np.uint8), [empty])


def test_recent_background_and_frames_change_together_and_the_empty_one_by_itself() -> None:
    given = sample()
    before = given.now[0][0].copy()
    ColourJitter(p=1.0)(given, np.random.default_rng(1))
    frames, (recent, empty) = given.now[0], given.past
    for frame in [*frames, recent[0]]:
        np.testing.assert_array_equal(frame, frames[0])
    assert not np.array_equal(frames[0], before)
    assert not np.array_equal(empty[0], before)
    assert not np.array_equal(empty[0], frames[0])


def test_nothing_changes_where_all_ranges_are_zero() -> None:
    given = sample()
    before = given.now[0].copy()
    ColourJitter(1.0, 0.0, 0.0, 0.0, 0.0)(given, np.random.default_rng(1))
    assert np.abs(given.now[0].astype(int) - before).max() <= 1  # of the way to hue and back


def test_each_change_is_torchvisions() -> None:
    image = np.random.default_rng(0).random((4, 5, 3)).astype(np.float32)
    grey = image @ np.array([0.2989, 0.587, 0.114], np.float32)
    factor = np.float32(1.3)
    np.testing.assert_allclose(_brightness(image, factor), 1.3 * image, rtol=1e-5)
    np.testing.assert_allclose(_contrast(image, factor), 1.3 * image - 0.3 * grey.mean(), atol=1e-5)
    np.testing.assert_allclose(_saturation(image, factor), 1.3 * image - 0.3 * grey[..., None], atol=1e-5)
    turned = [
        colorsys.hsv_to_rgb((h + 0.05) % 1, s, v) for h, s, v in (colorsys.rgb_to_hsv(*c) for c in image.reshape(-1, 3))
    ]
    np.testing.assert_allclose(_hue(image, np.float32(0.05)).reshape(-1, 3), turned, atol=1e-3)


def test_factors_fill_their_ranges() -> None:
    """Of white, which has neither contrast nor colour, brightness is what is seen."""
    means = []
    for seed in range(200):
        frame = np.full((2, 2, 3), 128, np.uint8)
        means.append(ColourJitter(brightness=0.5).change(np.random.default_rng(seed))(frame).mean() / 128)
    assert 0.5 - 0.02 <= min(means) < 0.6
    assert 1.4 < max(means) <= 1.52


@pytest.mark.parametrize(("frames", "changed"), [("now", [True, False, False]), ("all", [True, True, True])])
def test_noise_may_be_of_the_frames_alone(frames: str, changed: list[bool]) -> None:
    given = sample()
    before = given.now[0][0].copy()
    SensorNoise(1.0, (8.0, 8.0), 0.0, frames)(given, np.random.default_rng(0))  # type: ignore[arg-type]
    groups = [given.now[0], *given.past]
    assert [not np.array_equal(group[0], before) for group in groups] == changed
    assert not np.array_equal(given.now[0][0], given.now[0][1])
