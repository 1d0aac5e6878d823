"""Masks as people want them: no speckle, no holes, nothing outside of the region of interest, no shadows."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.ranges import check_range

_OPENING = np.ones((3, 3), np.uint8)
_CLOSING = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
_WINDOW = (7, 7)
_DARKEST, _LIGHTEST = 0.5, 0.95
"""Brightness of a shadow in that of the background: darker is an object, lighter is noise."""
_TINT = 0.06
"""Difference between the shares of red, green and blue of a shadow and of the background at most."""
_TEXTURE = 0.012
"""Variance of the logarithm of that brightness, over 7×7 pixels, at most: a shadow dims all that it covers alike."""


class Cleaner:
    """Cleans masks: an opening of 3×3 pixels, a closing of 5, small blobs left out, small holes filled.

    Args:
        least_area: Pixels of the smallest blob that is kept, and of the largest hole that is filled.
        region: Shape ``(h, w)``, bool: where foreground counts; ``None``: everywhere.
        morphology: Whether blobs are opened, closed and filled; ``False``: only the region and the least area matter.

    Raises:
        UserError: If ``least_area`` is out of its range.
    """

    def __init__(self, least_area: int = 50, region: NDArray[np.bool_] | None = None, morphology: bool = True) -> None:
        check_range("", least=0, most=1e9, least_area=least_area)
        self.least_area = least_area
        self.region = None if region is None else region.astype(np.uint8) * 255
        self.morphology = morphology

    def __call__(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Clean a mask, ``(h, w)``, uint8, 0 and 255; return a new one."""
        clean: NDArray[Any] = mask if self.region is None else cv2.bitwise_and(mask, self.region)
        if self.morphology:
            clean = cv2.morphologyEx(clean, cv2.MORPH_OPEN, _OPENING)
            clean = cv2.morphologyEx(clean, cv2.MORPH_CLOSE, _CLOSING)
            clean = cv2.bitwise_not(_without_small(cv2.bitwise_not(clean), self.least_area, connectivity=4))
            if self.region is not None:  # which filling may have left
                clean = cv2.bitwise_and(clean, self.region)
        return _without_small(clean, self.least_area)


def _without_small(mask: NDArray[Any], least: int, connectivity: int = 8) -> NDArray[np.uint8]:
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=connectivity)
    kept = statistics[:, cv2.CC_STAT_AREA] >= least
    kept[0] = False  # what is not in the mask
    clean: NDArray[np.uint8] = np.where(kept, 255, 0).astype(np.uint8)[labels]
    return clean


def without_shadows(
    mask: NDArray[np.uint8], image: NDArray[np.uint8], background: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Remove the shadows of objects from a mask: pixels where the background is seen, but evenly dimmed.

    There the frame, in squares of 7×7 pixels, has between 0.5 and 0.95 of the background's brightness, this ratio's
    logarithm varies by 0.012 at most, and the shares of red, green and blue are the background's to within 0.06.

    Args:
        mask: Shape ``(h, w)``, uint8, 0 and 255.
        image: Of the frame, RGB, shape ``(h, w, 3)``, uint8.
        background: Of the same shape.

    Returns:
        A new mask.

    Sources:
        Brightness and chromaticity: Horprasert, Harwood, Davis 1999. The even ratio: Jacques, Jung, Musse 2005.
    """
    seen, expected = (cv2.blur(each, _WINDOW).astype(np.float32) + 1 for each in (image, background))
    total_seen, total_expected = seen.sum(2), expected.sum(2)
    ratio = total_seen / total_expected
    tint = np.abs(seen / total_seen[..., None] - expected / total_expected[..., None]).max(2)
    grey, grey_expected = (
        cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float32) + 1 for each in (image, background)
    )
    dimmed = np.log(grey / grey_expected)
    variance = cv2.blur(dimmed**2, _WINDOW) - cv2.blur(dimmed, _WINDOW) ** 2
    shadow = (ratio >= _DARKEST) & (ratio <= _LIGHTEST) & (tint <= _TINT) & (variance <= _TEXTURE)
    return np.where(shadow, 0, mask).astype(np.uint8)
