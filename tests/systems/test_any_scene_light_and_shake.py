"""Frames of another light and of a camera that shakes are brought back to the background."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bgsub_lightning.systems.any_scene.alignment import STILL, Alignment, Shift, covered, move
from bgsub_lightning.systems.any_scene.relighting import Relighting

Bytes = NDArray[np.uint8]
HEIGHT, WIDTH = 240, 320

NEAR = 0.6
"""Pixels by which a shift may be off: a third of one at the half size, at which it is measured."""


def texture(seed: int = 0, left: float = 0.0, top: float = 0.0) -> Bytes:
    """A planar image of blobs some pixels across, seen through a window that is moved."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(HEIGHT + 60, WIDTH + 60, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    wide = np.clip(115 + 30 * smooth / smooth.std(), 0, 255).astype(np.float32)
    matrix = np.array([[1, 0, 30 + left], [0, 1, 30 + top]], np.float32)
    seen = cv2.warpAffine(wide, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    return np.ascontiguousarray(np.clip(seen, 0, 255).astype(np.uint8).transpose(2, 0, 1))


# --- a camera that shakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [(3.0, 0.0), (0.0, -4.0), (-5.0, 7.0), (1.4, 2.6), (11.0, -9.0), (0.0, 1.0)])
def test_a_shift_is_found(shift: Shift) -> None:
    found = Alignment().shift(texture(0, *shift), texture(0), 0)
    np.testing.assert_allclose(found, shift, atol=NEAR)


@pytest.mark.parametrize("shift", [(2.0, 0.0), (0.0, -3.0), (-4.0, 5.0), (0.6, 1.4)])
def test_small_frames_are_compared_at_their_size(shift: Shift) -> None:
    window = np.s_[:, 60:180, 80:240]
    found = Alignment().shift(texture(0, *shift)[window], texture(0)[window], 0)
    np.testing.assert_allclose(found, shift, atol=NEAR / 2)


@pytest.mark.parametrize("size", [(240, 320), (120, 160), (192, 256), (240, 432), (180, 320)])
def test_the_background_stays_as_it_was(size: tuple[int, int]) -> None:
    """The answer of a frame does not depend on those that were looked at before."""
    background, frames = texture(0), [texture(0, 3, 0), texture(0, -2, 5), texture(0), texture(0, 3, 0)]
    background, *frames = (
        np.stack([np.asarray(cv2.resize(plane, size[::-1]), np.uint8) for plane in each])
        for each in (background, *frames)
    )
    alignment = Alignment()
    found = [alignment.shift(frame, background, 7) for frame in frames]
    assert found == [Alignment().shift(frame, background, 0) for frame in frames]
    assert found[0] == found[3] != STILL
    assert found[2] == STILL


def test_a_new_background_is_taken() -> None:
    alignment = Alignment()
    assert alignment.shift(texture(1), texture(1), 1) == STILL
    np.testing.assert_allclose(alignment.shift(texture(0, 4, 0), texture(0), 2), (4, 0), atol=NEAR)


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_not_followed(seed: int) -> None:
    generator = np.random.default_rng(seed)
    background, flat = texture(0), np.full((3, HEIGHT, WIDTH), 120, np.uint8)
    grain = np.clip(background + generator.normal(0, 6, background.shape), 0, 255).astype(np.uint8)
    assert Alignment().shift(grain, background, 0) == STILL
    noise = [generator.integers(0, 256, background.shape, np.uint8) for _ in range(2)]
    for one, other in ((noise[0], flat), (flat, noise[0]), noise):
        assert Alignment().shift(one, other, 0) == STILL


def test_another_scene_is_hardly_ever_followed() -> None:
    background = texture(0)
    assert sum(Alignment().shift(texture(100 + seed), background, 0) != STILL for seed in range(20)) <= 1


@pytest.mark.parametrize("share", [0.25, 0.45])
@pytest.mark.parametrize("drift", [(6.0, 0.0), (3.0, -3.0)])
def test_water_and_large_objects_are_not_followed(share: float, drift: Shift) -> None:
    """A part of the image moves, as a river does, while the ground has its texture."""
    background, shown = texture(0), texture(0).copy()
    rows = slice(HEIGHT - round(share * HEIGHT), None)
    shown[:, rows] = texture(0, *drift)[:, rows]
    assert Alignment().shift(shown, background, 0) == STILL


@pytest.mark.parametrize("size", [(16, 16), (48, 64), (96, 16)])
def test_small_frames_are_left(size: tuple[int, int]) -> None:
    image = np.ascontiguousarray(texture(0)[:, : size[0], : size[1]])
    assert Alignment().shift(np.roll(image, 2, 2), image, 0) == STILL


def test_moving_and_what_it_covers() -> None:
    image = texture(3)
    for shift in ((4.0, -3.0), (-2.0, 0.0), (0.0, 0.0)):
        dx, dy = int(shift[0]), int(shift[1])
        inside = covered((HEIGHT, WIDTH), shift)
        assert np.count_nonzero(inside) == (HEIGHT - abs(dy)) * (WIDTH - abs(dx))
        expected = np.roll(image, (dy, dx), (1, 2))
        np.testing.assert_array_equal(move(image, shift)[:, inside], expected[:, inside])
        np.testing.assert_array_equal(move(image[0], shift)[inside], expected[0][inside])
    assert not covered((16, 16), (40.0, 0.0)).any()


# --- another light ---------------------------------------------------------------------------------------------------


def lit(image: Bytes, gain: NDArray[np.float64] | float) -> Bytes:
    return np.clip(image * gain, 0, 255).astype(np.uint8)


def difference(a: Bytes, b: Bytes) -> NDArray[np.float64]:
    return np.abs(a.astype(float) - b).mean(0)


@pytest.mark.parametrize("gain", [0.6, 0.8, 1.25])
def test_a_gain_of_the_whole_image_is_undone(gain: float) -> None:
    background = texture(0)
    shown = lit(background, gain)
    assert difference(shown, background).mean() > 15
    assert difference(Relighting()(shown, background, 0), background).mean() < 3


def test_a_tint_is_undone() -> None:
    background = texture(0)
    shown = lit(background, np.array([0.8, 0.9, 1.0])[:, None, None])
    found = Relighting()(shown, background, 0)
    assert np.abs(found.astype(float) - background).mean((1, 2)).max() < 4


def shade() -> NDArray[np.float64]:
    """The left half lies in the shade of a cloud, whose border is soft."""
    return 1 - 0.35 / (1 + np.exp((np.arange(WIDTH) - WIDTH / 2) / 12))


def test_a_soft_shade_is_undone() -> None:
    background = texture(0)
    shown = lit(background, shade())
    before, after = difference(shown, background), difference(Relighting()(shown, background, 0), background)
    assert before[:, : WIDTH // 3].mean() > 25
    assert after[:, : WIDTH // 3].mean() < 5
    assert after.mean() < 5


@pytest.mark.parametrize("gain", [1.0, 0.75, "shade"])
def test_an_object_stays_what_it_is(gain: float | str) -> None:
    background = texture(0)
    shown, place = background.copy(), np.s_[:, 40:80, 90:114]
    shown[place] = np.array([220, 190, 40], np.uint8)[:, None, None]
    seen = lit(shown, shade() if gain == "shade" else float(gain))
    found = Relighting()(seen, background, 0)
    assert difference(found, background)[place[1:]].mean() > 0.7 * difference(shown, background)[place[1:]].mean()
    away = difference(found, background).copy()
    away[32:88, 82:122] = 0
    assert away.mean() < 6


def test_the_same_light_and_noise_are_left() -> None:
    background = texture(0)
    assert Relighting()(background, background, 0) is background
    grain = np.random.default_rng(0).normal(0, 5, background.shape)
    shown = np.clip(background + grain, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(Relighting()(shown, background, 0), shown)


def test_a_new_background_is_relit_to() -> None:
    relighting, one, other = Relighting(), texture(0), lit(texture(0), 0.7)
    relighting(one, one, 1)
    assert difference(relighting(one, other, 2), other).mean() < 3


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (3, 40)])
@pytest.mark.parametrize("level", [0, 255])
def test_any_size_and_black_and_white(size: tuple[int, int], level: int) -> None:
    frame, background = np.full((3, *size), level, np.uint8), np.full((3, *size), 100, np.uint8)
    found = Relighting()(frame, background, 0)
    assert (found.shape, found.dtype) == ((3, *size), np.uint8)
