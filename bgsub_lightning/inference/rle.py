"""Masks as run lengths, as COCO has them."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray


class Rle(TypedDict):
    """A mask as COCO's tools read it.

    Attributes:
        size: Height and width.
        counts: Run lengths down the columns, the first of background, written as text.
    """

    size: list[int]
    counts: str


def encoded(mask: NDArray[np.uint8]) -> Rle:
    """Write a mask, shape ``(h, w)``, foreground not 0, as run lengths.

    Sources:
        ``rleToString`` of COCO's API: each length is the difference from the one but one before, from the third on, in
        groups of five bits, the lowest first, with a bit for the sign and a bit that says whether more follow.
    """
    flat = (mask != 0).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    bounds = np.concatenate([[0], changes, [flat.size]])
    runs = np.diff(bounds).tolist()
    if flat.size and flat[0]:
        runs = [0, *runs]
    return {"size": list(mask.shape), "counts": "".join(_text(runs, i) for i in range(len(runs)))}


def decoded(rle: Rle) -> NDArray[np.uint8]:
    """Return the mask of run lengths: shape ``(h, w)``, uint8, 0 and 255."""
    runs: list[int] = []
    value = shift = 0
    for character in rle["counts"]:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    levels = np.arange(len(runs)) % 2 * 255
    return np.repeat(levels.astype(np.uint8), runs).reshape(rle["size"], order="F")


def _text(runs: list[int], place: int) -> str:
    value = runs[place] - (runs[place - 2] if place > 2 else 0)
    written = ""
    while True:
        bits, value = value & 31, value >> 5
        more = value != (-1 if bits & 16 else 0)
        written += chr(48 + (bits | 32 if more else bits))
        if not more:
            return written
