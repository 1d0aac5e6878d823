"""Twigs with single leaves and gaps between them, for trees close to the camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bgsub_lightning.synthetic.geometry import ByteArray, FloatArray, Sprite
from bgsub_lightning.synthetic.materials import Colour

_LEAF = np.array([(0, 0), (0.22, 0.2), (0.5, 0.26), (0.8, 0.14), (1, 0), (0.8, -0.14), (0.5, -0.26), (0.22, -0.2)])
"""Outline of a leaf of length 1 along x."""
_SHIFT = 3
"""Fractional bits of the corners that OpenCV fills."""


@dataclass(frozen=True)
class _Twig:
    """A straight piece of a branch, its thickness in pixels, and how far along the way from the trunk it ends, 0…1."""

    start: tuple[float, float]
    end: tuple[float, float]
    thickness: float
    reach: float
    young: bool


def _grown(
    rng: np.random.Generator,
    start: tuple[float, float],
    length: float,
    angle: float,
    generations: int,
    droop: float,
    reach: float = 0.0,
) -> list[_Twig]:
    """Grow a branch, which forks at its end and on its way."""
    end = (start[0] + length * float(np.cos(angle)), start[1] + length * float(np.sin(angle)))
    further = reach + (1 - reach) * 0.4
    twigs = [_Twig(start, end, max(0.05 * length, 1.0), further, generations < 2)]
    if generations:
        middle = (0.5 * (start[0] + end[0]), 0.5 * (start[1] + end[1]))
        for fork, bend in ((end, -1), (end, 1), (middle, float(rng.choice([-1, 1])))):
            turned = angle + bend * rng.uniform(0.2, 0.75)
            turned += droop * float(np.sin(np.pi / 2 - turned))
            longer = length * rng.uniform(0.55, 0.8)
            twigs += _grown(rng, fork, longer, turned, generations - 1, droop, further)
    return twigs


def _painted(
    rng: np.random.Generator, size: tuple[int, int], twigs: list[_Twig], colour: Colour, leaf: float, count: int
) -> tuple[ByteArray, ByteArray]:
    """Paint twigs and so many leaves for each young one; return premultiplied BGRA and the reach of what is there."""
    width, height = size
    pixels, reaches = np.zeros((height, width, 4), np.uint8), np.zeros((height, width), np.uint8)
    bark = np.array([40, 54, 66]) * rng.uniform(0.5, 1.2)
    for twig in twigs:
        first, last = ((round(x), round(y)) for x, y in (twig.start, twig.end))
        cv2.line(pixels, first, last, (*bark.tolist(), 255.0), max(1, round(twig.thickness)))
        cv2.line(reaches, first, last, (255 * twig.reach,), max(1, round(twig.thickness)))
    young = [twig for twig in twigs if twig.young]
    starts, ends = (
        np.repeat(np.array(points), count, 0)
        for points in (
            [twig.start for twig in young],
            [twig.end for twig in young],
        )
    )
    total = len(starts)
    feet = starts + rng.random((total, 1)) * (ends - starts) + rng.normal(0, 0.35 * leaf, (total, 2))
    angles = np.arctan2(*(ends - starts).T[::-1]) + rng.uniform(-1.4, 1.4, total) + 0.3
    lengths = leaf * rng.uniform(0.6, 1.3, total)
    # A leaf seen from its edge is narrow.
    shapes = _LEAF * np.stack([np.ones(total), rng.uniform(0.3, 1.3, total)], 1)[:, None] * lengths[:, None, None]
    cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
    x = feet[:, :1] + cosine * shapes[..., 0] - sine * shapes[..., 1]
    y = feet[:, 1:] + sine * shapes[..., 0] + cosine * shapes[..., 1]
    corners = np.rint(np.stack([x, y], 2) * 2**_SHIFT).astype(np.int32)
    # Leaves in the shade, in the light, and in the sun or lit through from behind.
    kind = rng.choice(3, total, p=[0.4, 0.4, 0.2])
    light = np.array([0.35, 0.9, 1.55])[kind] * rng.uniform(0.75, 1.25, total)
    hues = np.asarray(colour) * rng.uniform(0.85, 1.15, (total, 3)) + (kind == 2)[:, None] * np.array([8, 22, 26])
    colours = np.clip(hues * light[:, None], 4, 250).tolist()
    reach = np.repeat([255 * twig.reach for twig in young], count).tolist()
    for index in np.argsort(kind + rng.normal(0, 0.6, total)).tolist():
        cv2.fillConvexPoly(pixels, corners[index], (*colours[index], 255.0), cv2.LINE_8, _SHIFT)
        cv2.fillConvexPoly(reaches, corners[index], (reach[index],), cv2.LINE_8, _SHIFT)
    return pixels, reaches


def twiggy(rng: np.random.Generator, height: int, colour: Colour, trunk: float = 0.3) -> ByteArray:
    """Paint a tree through whose crown the sky is seen.

    Args:
        rng: Random numbers.
        height: Height of the picture in pixels.
        colour: Colour of the leaves.
        trunk: Height of the lowest branches as a fraction of the tree's height.

    Returns:
        Premultiplied BGRA, ``(height, width, 4)``, with a width of 0.8 times the height.
    """
    side = 2 * max(height, 16)
    width = round(0.8 * side)
    twigs = [_Twig((width / 2, side), (width / 2, 0.3 * side), 0.03 * side, 0.0, False)]
    for level in np.linspace(1 - trunk, 0.25, 9):
        for bend in (-1, 1):
            spread = rng.uniform(0.75, 1.25) * (1.3 - 0.9 * abs(level - 0.55))
            angle = -np.pi / 2 + bend * rng.uniform(0.35, 1.35)
            twigs += _grown(rng, (width / 2, level * side), 0.13 * spread * side, angle, 3, 0.05)
    pixels, _ = _painted(
        rng, (width, side), twigs, colour, max(rng.uniform(0.018, 0.034) * side, 3.0), int(rng.integers(2, 5))
    )
    size = (max(width * height // side, 2), height)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def bough(
    rng: np.random.Generator,
    canvas: tuple[int, int],
    start: tuple[float, float],
    length: float,
    angle: float,
    colour: Colour,
    depth: float,
) -> Sprite:
    """Paint a bough that hangs into the picture.

    Args:
        rng: Random numbers.
        canvas: Width and height of the canvas.
        start: Where it enters the picture.
        length: Its length in pixels.
        angle: Where it points, 0 to the right, a quarter turn down.
        colour: Colour of the leaves.
        depth: Its depth in metres.
    """
    twigs = _grown(rng, (2 * start[0], 2 * start[1]), 0.8 * length, angle, 4, 0.18)
    leaf = 2 * canvas[1] * rng.choice([0.018, 0.03, 0.05]) * rng.uniform(0.8, 1.3)
    count = max(1, round(0.05 * canvas[1] / leaf * rng.uniform(1, 2.5)))
    pixels, reaches = _painted(rng, (2 * canvas[0], 2 * canvas[1]), twigs, colour, leaf, count)
    blur = float(rng.uniform(0.3, 1.0)) * canvas[1] / 240
    small, reach = (cv2.resize(plane, canvas, interpolation=cv2.INTER_AREA) for plane in (pixels, reaches))
    soft = np.asarray(cv2.GaussianBlur(small, (0, 0), blur), np.uint8)
    sway: FloatArray = np.asarray(reach, np.float32) / 255
    return Sprite(0, 0, soft, depth, sway)
