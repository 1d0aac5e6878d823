"""Masks as people want them: no speckle, no holes, nothing outside of the region of interest, no shadows."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.inference.blobs import Box, Outlines, boxes

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
    """Cleans masks: an opening of 3×3 pixels, a closing of 5, small holes filled, small blobs left out.

    Args:
        least_area: Pixels of the smallest blob that is kept and has a box, and of the smallest hole that stays.
        region: Shape ``(h, w)``, bool: where foreground counts; ``None``: everywhere.
        cleans: Whether masks are cleaned; ``False``: they are cut to the region, and stay as they are.

    Raises:
        UserError: If ``least_area`` is out of its range.
    """

    def __init__(self, least_area: int = 50, region: NDArray[np.bool_] | None = None, cleans: bool = True) -> None:
        check_range("", least=0, most=1e9, least_area=least_area)
        self.least_area = least_area
        self.region = None if region is None else region.astype(np.uint8) * 255
        self.cleans = cleans

    def __call__(self, mask: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[Box]]:
        """Clean a mask, ``(h, w)``, uint8, 0 and 255, which stays as it is; return the clean one and its boxes."""
        if self.region is not None:
            mask = np.asarray(cv2.bitwise_and(mask, self.region), np.uint8)
        if not self.cleans:
            return mask, boxes(mask, self.least_area)
        clean: NDArray[Any] = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _OPENING)
        clean = cv2.morphologyEx(clean, cv2.MORPH_CLOSE, _CLOSING)
        clean = _filled(clean, self.least_area)
        if self.region is not None:  # which filling may have left
            clean = cv2.bitwise_and(clean, self.region)
        mask = np.asarray(clean, np.uint8)
        found = Outlines(mask)  # of which both come, the mask and the boxes
        found.paint(mask, ~found.is_hole & (found.areas < self.least_area), 0)
        return mask, found.boxes(self.least_area)


def _filled(mask: NDArray[Any], least: int) -> NDArray[np.uint8]:
    """Fill small holes, and what blobs cut off at the border of the picture; not what may be all of the background."""
    least = min(least, mask.size // 2)
    framed = np.asarray(cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=255), np.uint8)
    found = Outlines(framed)
    found.paint(framed, found.is_hole & (found.areas < least), 255)
    return np.ascontiguousarray(framed[1:-1, 1:-1])


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
