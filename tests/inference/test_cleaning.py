"""Clean masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference import boxes
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
    np.testing.assert_array_equal(Cleaner()(noisy)[0], mask)


def test_large_holes_stay() -> None:
    mask = blob()
    mask[15:30, 25:40] = 0
    assert Cleaner(least_area=50)(mask)[0][22, 32] == 0
    assert Cleaner(least_area=300)(mask)[0][22, 32] == 255


@pytest.mark.parametrize("least", [3000, 4000, 4800, 4801, 10**6])
def test_nothing_is_as_large_as_the_picture(least: int) -> None:
    for mask in (blob(), np.zeros((60, 80), np.uint8)):
        clean, found = Cleaner(least)(mask)
        assert not clean.any()
        assert found == []


def test_small_blobs_go_by_their_area_in_pixels() -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[5:12, 5:12] = 255  # 49
    mask[30:40, 30:35] = 255  # 50
    clean, found = Cleaner(50)(mask)
    _, count = ndimage.label(clean)
    assert count == 1
    assert (clean > 0).sum() == 50
    assert [box.area for box in found] == [50]
    raw, found = Cleaner(50, cleans=False)(mask)
    np.testing.assert_array_equal(raw, mask)
    assert [box.area for box in found] == [50]


@pytest.mark.parametrize("grain", [0.8, 1.5, 3.0])
def test_cleaning_is_that_of_labels(grain: float) -> None:
    generator = np.random.default_rng(0)
    for least in (1, 10, 50, 300):
        noise = cv2.GaussianBlur(generator.integers(0, 256, (90, 120)).astype(np.uint8), (0, 0), grain)
        mask = np.where(noise > np.median(noise), np.uint8(255), np.uint8(0))  # holes in blobs in holes
        expected = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        expected = cv2.morphologyEx(expected, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
        expected = ~labelled(~expected, least, 4)
        expected = labelled(expected, least, 8)
        clean, found = Cleaner(least)(mask)
        np.testing.assert_array_equal(clean, expected)
        assert found == boxes(expected, least)


def labelled(mask: np.ndarray, least: int, connectivity: int) -> np.ndarray:
    """Blobs that are not small, by labels of all pixels."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=connectivity)
    is_kept = statistics[:, cv2.CC_STAT_AREA] >= least
    is_kept[0] = False
    return np.where(is_kept[labels], np.uint8(255), np.uint8(0))


def test_nothing_is_outside_of_the_region() -> None:
    region = np.zeros((60, 80), bool)
    region[:, :35] = True
    for cleans in (False, True):
        clean, _ = Cleaner(10, region, cleans)(blob())
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
    image[20:40, 45:70] = generator.integers(60, 110, (20, 25, 1))  # something darker, with a bright face
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
