"""Clean masks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference.cleaning import Cleaner, without_shadows


def blob() -> np.ndarray:
    mask = np.zeros((60, 80), np.uint8)
    mask[10:40, 20:50] = 255
    return mask


def test_speckle_goes_and_blobs_stay_as_they_are() -> None:
    mask = blob()
    generator = np.random.default_rng(0)
    noisy = mask.copy()
    noisy[generator.integers(45, 60, 20), generator.integers(55, 80, 20)] = 255
    noisy[20:22, 30:32] = 0  # a hole
    np.testing.assert_array_equal(Cleaner()(noisy), mask)


def test_large_holes_stay() -> None:
    mask = blob()
    mask[15:30, 25:40] = 0
    assert Cleaner(least_area=50)(mask)[22, 32] == 0
    assert Cleaner(least_area=300)(mask)[22, 32] == 255


def test_small_blobs_go_by_their_area_in_pixels() -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[5:12, 5:12] = 255  # 49
    mask[30:40, 30:35] = 255  # 50
    clean = Cleaner(50, morphology=False)(mask)
    _, count = ndimage.label(clean)
    assert count == 1
    assert (clean > 0).sum() == 50
    np.testing.assert_array_equal(Cleaner(0, morphology=False)(mask), mask)


def test_nothing_is_outside_of_the_region() -> None:
    region = np.zeros((60, 80), bool)
    region[:, :35] = True
    for morphology in (False, True):
        clean = Cleaner(10, region, morphology)(blob())
        assert not clean[~region].any()
        assert (clean[region] > 0).sum() == 30 * 15


def test_a_mask_is_not_changed_in_place() -> None:
    mask = blob()
    mask[0, 0] = 255
    before = mask.copy()
    Cleaner()(mask)
    np.testing.assert_array_equal(mask, before)


def test_shadows_go_and_objects_stay() -> None:
    generator = np.random.default_rng(0)
    wall = generator.integers(100, 160, (60, 80, 1)).repeat(3, 2).astype(np.uint8)
    image = wall.copy()
    image[20:40, 10:35] = (wall[20:40, 10:35] * 0.7).round()  # the same wall in shade
    image[20:40, 45:70] = generator.integers(60, 110, (20, 25, 1))  # something darker, with a face of its own
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 10:35] = mask[20:40, 45:70] = 255
    clean = without_shadows(mask, image, wall)
    assert (clean[24:36, 14:31] == 0).all()
    assert (clean[24:36, 49:66] == 255).mean() > 0.95
    tinted = image.copy()
    tinted[20:40, 10:35, 0] = 20  # as dark, but of another colour
    assert (without_shadows(mask, tinted, wall)[24:36, 14:31] == 255).all()


def test_bad_options_are_refused() -> None:
    with pytest.raises(UserError, match=r"least_area.*-1"):
        Cleaner(-1)
