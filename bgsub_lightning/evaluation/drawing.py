"""Pictures of what a system sees and says."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.datasets.labels import MOVING, OUTSIDE_ROI, SHADOW, STATIC

GREEN, RED, PINK, BLACK = (0, 200, 0), (230, 0, 0), (255, 130, 190), (0, 0, 0)


def confusion_image(
    foreground: NDArray[np.bool_], truth: NDArray[np.uint8], roi: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Colour a mask as figures 3 and 5 of the BMN-BSN paper do.

    Args:
        foreground: What was called foreground, shape ``(H, W)``.
        truth: Grey levels of the mask, shape ``(H, W)``, uint8.
        roi: Region of interest, shape ``(H, W)``.

    Returns:
        RGB of shape ``(H, W, 3)``, uint8: TP green, FP red, FN pink, TN black; shadow, unknown and what lies outside
        the ROI in their own grey, except for false positives on shadow.
    """
    image = np.repeat(truth[..., None], 3, axis=2)
    moving, static = truth == MOVING, np.isin(truth, (STATIC, OUTSIDE_ROI))
    image[foreground & moving] = GREEN
    image[foreground & (static | (truth == SHADOW))] = RED
    image[~foreground & moving] = PINK
    image[~foreground & static] = BLACK
    image[~roi] = OUTSIDE_ROI
    return image


def comparison_panel(
    rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], titles: Sequence[str]
) -> NDArray[np.uint8]:
    """Lay out images in rows with a caption each, under column titles.

    Args:
        rows: Caption of each row and its images, grey ``(H, W)`` or RGB ``(H, W, 3)``, uint8, of any size.
        titles: Title of each column.

    Returns:
        RGB picture, uint8.
    """
    width, bar = 320, 22
    lines = [_caption([(title, i * (width + 4)) for i, title in enumerate(titles)], len(titles) * (width + 4), bar)]
    for caption, images in rows:
        height = round(width * images[0].shape[0] / images[0].shape[1])
        line = np.full((height, len(titles) * (width + 4), 3), 255, np.uint8)
        for i, image in enumerate(images):
            rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
            line[:, i * (width + 4) : i * (width + 4) + width] = cv2.resize(
                rgb, (width, height), interpolation=cv2.INTER_NEAREST
            )
        lines += [line, _caption([(caption, 0)], line.shape[1], bar)]
    return np.concatenate(lines)


def _caption(texts: Sequence[tuple[str, int]], width: int, height: int) -> NDArray[np.uint8]:
    bar = np.full((height, width, 3), 255, np.uint8)
    for text, x in texts:
        cv2.putText(bar, text, (x + 2, height - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    return bar
