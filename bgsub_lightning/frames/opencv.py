"""OpenCV's own background subtractors."""

from __future__ import annotations

from typing import Any

import cv2

OPENCV = ("MOG2", "KNN")
"""Their names."""


def opencv_subtractor(name: str) -> Any:
    """Return one with its default parameters, whose random numbers do not depend on whatever ran before."""
    cv2.setRNGSeed(0)  # KNN draws from a generator that whatever ran before has moved
    return getattr(cv2, f"createBackgroundSubtractor{name}")()
