"""Run lengths."""

from __future__ import annotations

import numpy as np
import pytest

from bgsub_lightning.inference.rle import decoded, encoded


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((5, 7)),
        np.ones((5, 7)),
        np.eye(6),
        np.random.default_rng(0).integers(0, 2, (240, 320)),
        np.pad(np.ones((300, 200)), 50),
    ],
)
def test_round_trip(mask: np.ndarray) -> None:
    mask = (mask * 255).astype(np.uint8)
    rle = encoded(mask)
    assert rle["size"] == list(mask.shape)
    np.testing.assert_array_equal(decoded(rle), mask)


def test_text_is_that_of_coco() -> None:
    # by hand: 6×6, rows 1 to 3 and columns 1 and 2 → runs 7 3 3 3 20, of which the fourth and fifth are differences
    mask = np.zeros((6, 6), np.uint8)
    mask[1:4, 1:3] = 255
    # 7 3 3 | 3-3=0 | 20-3=17: 17 has its fifth bit set, so that a group of zeros follows
    assert encoded(mask)["counts"] == "7330a0"[:4] + chr(48 + (17 | 32)) + "0"


def test_foreground_first_has_an_empty_run() -> None:
    assert encoded(np.full((2, 2), 255, np.uint8))["counts"] == "04"
