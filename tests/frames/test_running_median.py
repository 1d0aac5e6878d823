"""The median of the newest frames, against sorting."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bgsub_lightning.frames.running_median import RunningMedian

SHAPE = (7, 5, 3)


def frames(count: int, levels: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    generator = np.random.default_rng(seed)
    still = generator.integers(0, 256 - levels, SHAPE)
    return [(still + generator.integers(0, levels, SHAPE)).astype(np.uint8) for _ in range(count)]


@pytest.mark.parametrize("levels", [2, 9, 255])
@pytest.mark.parametrize("history", [1, 2, 5, 8, 300])
def test_it_is_the_lower_of_the_middle_two(history: int, levels: int) -> None:
    """Of all values of the window at each frame, also while it fills; of noise, and of what has few levels."""
    median, shown = RunningMedian(history), frames(min(3 * history + 5, 320), levels)
    assert median.median is None
    for number, frame in enumerate(shown, 1):
        median.push(frame)
        window = shown[max(0, number - history) : number]
        np.testing.assert_array_equal(median.median, np.sort(window, 0)[(len(window) - 1) // 2])
        assert len(median) == len(window)


def test_it_goes_on_from_the_arrays_that_it_keeps() -> None:
    one, other, shown = RunningMedian(6), RunningMedian(6), frames(30, 40)
    one.extend(shown[:17])
    other.extend(one.arrays)
    np.testing.assert_array_equal(one.arrays, shown[11:17])
    for frame in shown[17:]:
        one.push(frame)
        other.push(frame)
        np.testing.assert_array_equal(one.median, other.median)


def test_frames_of_another_size_begin_a_new_stream() -> None:
    median = RunningMedian(5)
    median.extend(frames(9, 30))
    wide = np.full((4, 9, 3), 77, np.uint8)
    median.push(wide)
    np.testing.assert_array_equal(median.median, wide)
    assert len(median) == 1


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8; got float32"):
        RunningMedian(3).push(np.zeros((2, 2), np.float32))  # type: ignore[arg-type]
