"""Blobs of foreground, and their boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Box:
    """A blob of foreground.

    Attributes:
        x: Left edge in pixels.
        y: Upper edge.
        width: Width in pixels.
        height: Height in pixels.
        area: Pixels of foreground.
    """

    x: int
    y: int
    width: int
    height: int
    area: int


def boxes(mask: NDArray[np.uint8], least: int = 50) -> list[Box]:
    """Find the blobs of a mask, connected across corners too (8), from the largest to the smallest.

    Args:
        mask: Shape ``(h, w)``, uint8; foreground is not 0.
        least: Area in pixels below which a blob is left out.
    """
    _, _, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = [Box(*map(int, row)) for row in statistics[1:] if row[cv2.CC_STAT_AREA] >= least]
    return sorted(found, key=lambda box: (-box.area, box.y, box.x))


def blobs(mask: NDArray[np.uint8], found: Sequence[Box]) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
    """Go through boxes of a mask, each with a mask of its blob alone: shape ``(h, w)``, uint8, 0 and 255."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    places = {tuple(map(int, row)): label for label, row in enumerate(statistics) if label}
    for box in found:
        label = places[box.x, box.y, box.width, box.height, box.area]
        yield box, np.where(labels == label, 255, 0).astype(np.uint8)


def blob_of(mask: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Return a mask with what is in one box alone: shape ``(h, w)``, uint8, 0 and 255."""
    alone = np.zeros_like(mask)
    rows, columns = slice(max(0, box.y), box.y + box.height), slice(max(0, box.x), box.x + box.width)
    alone[rows, columns] = mask[rows, columns]
    return alone
