"""The meaning of each grey level or colour of a ground-truth mask, defined here only."""

from __future__ import annotations

from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

STATIC, SHADOW, OUTSIDE_ROI, UNKNOWN, MOVING = 0, 50, 85, 170, 255
"""CDnet2014's grey levels: background, hard shadow, outside the region of interest, motion boundary, foreground."""

LEVELS = (STATIC, SHADOW, OUTSIDE_ROI, UNKNOWN, MOVING)
_STRANGE = np.isin(np.arange(256), LEVELS, invert=True).astype(np.uint8)

BACKGROUND, FOREGROUND, IGNORED = 0, 1, 255
"""The classes of a training target."""


RED, GREEN, YELLOW, WHITE, GREY = (255, 0, 0), (0, 255, 0), (255, 255, 0), (255, 255, 255), (128, 128, 128)

LASIESTA_COLOURS = {(0, 0, 0): STATIC, RED: MOVING, GREEN: MOVING, YELLOW: MOVING, WHITE: MOVING, GREY: UNKNOWN}
"""LASIESTA's colours, as red, green, blue: background, three labels of moving objects, a moving object that now stands
still, uncertain."""


class MaskCode(Enum):
    """How a dataset writes its masks, and what that is in CDnet2014's grey levels."""

    CDNET = "cdnet"
    """CDnet2014's levels as they are."""
    BINARY = "binary"
    """Foreground from 128 on and background below: grey is but the soft edge of a drawing, as in Wallflower. A mask of
    0 and 1 has foreground at 1."""
    SBI2015 = "sbi2015"
    """As FgSegNet's published code reads SBI2015: some masks are written in 0 and 1, and grey between a quarter and
    four fifths of white is not to be scored."""
    LASIESTA = "lasiesta"
    """LASIESTA's colours."""

    @property
    def is_coloured(self) -> bool:
        """Whether a mask is decoded as RGB, shape ``(H, W, 3)``, and not as grey, shape ``(H, W)``."""
        return self is MaskCode.LASIESTA

    @property
    def known(self) -> str:
        """The values that a mask may hold, for messages."""
        if self is MaskCode.LASIESTA:
            return "black, red, green, yellow, white and the grey 128"
        return ", ".join(map(str, LEVELS)) if self is MaskCode.CDNET else "0 to 255"

    def unexpected(self, mask: NDArray[np.uint8]) -> list[str]:
        """Return the values of a decoded mask that do not exist, in ascending order.

        Example:
            >>> MaskCode.LASIESTA.unexpected(np.array([[[255, 255, 0], [255, 254, 0]]], np.uint8))
            ['(255, 254, 0)']
        """
        if self is MaskCode.CDNET:
            return [str(level) for level in unexpected_levels(mask)]
        if self is MaskCode.LASIESTA:
            strange = np.unique(mask[_lasiesta(mask) == _NO_LEVEL].reshape(-1, 3), axis=0)
            return [f"({red}, {green}, {blue})" for red, green, blue in strange.tolist()]
        return []

    def levels(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate a decoded mask, uint8, in which nothing is unexpected, to CDnet2014's levels.

        Args:
            mask: Grey of any shape, or RGB of shape ``(..., 3)`` (see :attr:`is_coloured`).

        Example:
            >>> MaskCode.BINARY.levels(np.array([0, 127, 128, 250], np.uint8)).tolist()
            [0, 0, 255, 255]
            >>> MaskCode.LASIESTA.levels(np.array([(0, 0, 0), (0, 255, 0), (128, 128, 128)], np.uint8)).tolist()
            [0, 255, 170]
        """
        if self is MaskCode.CDNET:
            return mask
        if self is MaskCode.LASIESTA:
            return _lasiesta(mask)
        if self is MaskCode.SBI2015:
            return np.take(_SBI2015, mask * np.uint8(255 if mask.max(initial=0) == 1 else 1))
        return np.where(mask >= (1 if mask.max(initial=0) == 1 else 128), MOVING, STATIC).astype(np.uint8)


_NO_LEVEL = 1
_SBI2015 = np.digitize(np.arange(256), [0.25 * 255, 0.8 * 255]).choose([STATIC, UNKNOWN, MOVING]).astype(np.uint8)


def _lasiesta(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The levels of RGB colours, shape ``(..., 3)``; ``_NO_LEVEL`` where a colour does not exist."""
    levels = np.full(mask.shape[:-1], _NO_LEVEL, np.uint8)
    for colour, level in LASIESTA_COLOURS.items():
        levels[(mask == np.array(colour, np.uint8)).all(-1)] = level
    return levels


class LabelRule(Enum):
    """Which grey levels are foreground, which are background; all others are ignored.

    The rule is the protocol's choice. The official evaluation of CDnet2014 is not among these rules, because it also
    needs the region of interest and counts shadows: it is :mod:`bgsub_lightning.metrics.counting`.
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
    strange = cv2.LUT(mask, _STRANGE)  # a fifth of the time of a histogram
    return np.unique(mask[strange != 0]).tolist() if cv2.countNonZero(strange) else []
