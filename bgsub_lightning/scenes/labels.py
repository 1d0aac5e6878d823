"""What each grey level of a ground-truth mask means: the only place that knows."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

STATIC, SHADOW, OUTSIDE_ROI, UNKNOWN, MOVING = 0, 50, 85, 170, 255
"""CDnet2014's grey levels: background, hard shadow, outside the region of interest, motion boundary, foreground."""

LEVELS = (STATIC, SHADOW, OUTSIDE_ROI, UNKNOWN, MOVING)

BACKGROUND, FOREGROUND, IGNORED = 0, 1, 255
"""The classes of a training target."""


class MaskCode(Enum):
    """How a dataset writes its masks, and what that is in CDnet2014's grey levels."""

    CDNET = "cdnet"
    """CDnet2014's levels as they are."""
    BINARY = "binary"
    """Foreground from 128 on and background below: grey is but the soft edge of a drawing, as in Wallflower."""

    def levels(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate a decoded mask, grey, any shape, uint8, to CDnet2014's levels.

        Example:
            >>> MaskCode.BINARY.levels(np.array([0, 127, 128, 250], np.uint8)).tolist()
            [0, 0, 255, 255]
        """
        return mask if self is MaskCode.CDNET else np.where(mask >= 128, MOVING, STATIC).astype(np.uint8)


class LabelRule(Enum):
    """Which grey levels are foreground, which are background; all others are ignored.

    The rule is the protocol's choice. The official evaluation of CDnet2014 is not among these rules, because it also
    needs the region of interest and counts shadows besides: it is :mod:`bgsub_lightning.metrics.functional`.
    """

    TRAINING = ((MOVING,), (STATIC, SHADOW))
    """The default: motion boundaries and what lies outside the region of interest are ignored."""
    BMN_BSN = ((MOVING,), (STATIC,))
    """BMN-BSN (section 4): unknown, non-ROI and shadow regions are not included in the loss."""
    CROSSNET = (tuple(range(201, 256)), tuple(range(201)))
    """CrossNet's authors: above 200 is foreground, all else background, nothing is ignored."""
    CDN_MEDAL = ((SHADOW, UNKNOWN, MOVING), (STATIC, OUTSIDE_ROI))
    """CDN-MEDAL-net's authors: shadows and motion boundaries are foreground, nothing is ignored."""

    @property
    def table(self) -> NDArray[np.uint8]:
        """Lookup table of shape ``(256,)``, uint8: grey level → ``BACKGROUND``, ``FOREGROUND`` or ``IGNORED``.

        Example:
            >>> LabelRule.BMN_BSN.table[[STATIC, SHADOW, MOVING]].tolist()
            [0, 255, 1]
        """
        foreground, background = self.value
        table = np.full(256, IGNORED, np.uint8)
        table[list(background)] = BACKGROUND
        table[list(foreground)] = FOREGROUND
        return table


def unexpected_levels(mask: NDArray[np.uint8]) -> list[int]:
    """Return the grey levels of a mask, shape ``(H, W)``, uint8, that CDnet2014 does not know, in ascending order.

    Example:
        >>> unexpected_levels(np.array([[0, 50, 85], [170, 255, 254]], np.uint8))
        [254]
    """
    present = np.bincount(mask.ravel(), minlength=256) > 0
    present[list(LEVELS)] = False
    return [int(level) for level in np.flatnonzero(present)]
