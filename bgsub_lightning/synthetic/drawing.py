"""Draws models and trees, anti-aliased, through a scene's camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.synthetic.geometry import ByteArray, FloatArray, Painting, Sprite, View
from bgsub_lightning.synthetic.materials import Colour
from bgsub_lightning.synthetic.models import Model

_CIRCLE = np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 12, endpoint=False)), np.sin(a)], 1)
Corners = NDArray[np.int32]
_SHIFT = 4
"""Fractional bits of the corners that OpenCV fills: a corner is given to 1/16 of an oversampled pixel."""


@dataclass(frozen=True)
class Place:
    """Where a model stands: x and z in metres, heading in radians (0 = away from the camera), distance covered."""

    x: float
    z: float
    heading: float = 0.0
    distance: float = 0.0

    def put(self, points: FloatArray) -> FloatArray:
        """Return points ``(N, 3)`` of the model in the scene."""
        moved = points @ _turn(self.heading)
        moved += (self.x, 0.0, self.z)
        return moved


@dataclass(frozen=True)
class Light:
    """How a scene is lit.

    Attributes:
        direction: Unit vector (x, y, z) to the brightest part of the sky.
        fall: How far a shadow falls along x and z for each metre of height; (0, 0) is a contact shadow.
        shadow: How dark the shadows are, 0…1.
        softness: Width of their penumbra in metres.
        hard: Whether shadows are labelled as shadows.
        thermal: Whether the camera sees heat instead of light.
    """

    direction: tuple[float, float, float] = (0.5, 0.8, -0.33)
    fall: tuple[float, float] = (0.0, 0.0)
    shadow: float = 0.3
    softness: float = 0.25
    hard: bool = False
    thermal: bool = False


@dataclass(frozen=True)
class Patch:
    """Part of the canvas: its upper left corner, and its pixels, ``(h, w, 4)`` premultiplied BGRA or ``(h, w)``."""

    left: int
    top: int
    pixels: ByteArray

    @property
    def box(self) -> tuple[slice, slice]:
        """The rows and columns of the canvas that it covers."""
        return np.s_[self.top : self.top + self.pixels.shape[0], self.left : self.left + self.pixels.shape[1]]


def _turn(heading: float) -> FloatArray:
    cosine, sine = np.cos(heading), np.sin(heading)
    return np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])


@dataclass(frozen=True)
class _Outline:
    """Projected points of a model on an oversampled patch."""

    xy: FloatArray
    radii: FloatArray
    left: int
    top: int
    size: tuple[int, int]
    factor: int

    @classmethod
    def of(cls, view: View, points: FloatArray, radii: FloatArray, grow: int = 1, factor: int = 0) -> _Outline | None:
        """Fit a patch around points, finer if it is small; None if it lies outside the canvas."""
        xy, scale = view.project(points)
        radii = radii * scale
        low = np.maximum(np.floor((xy - radii[:, None]).min(0)).astype(int) - grow, 0)
        high = np.minimum(np.ceil((xy + radii[:, None]).max(0)).astype(int) + grow, view.canvas)
        width, height = int(high[0] - low[0]), int(high[1] - low[1])
        if width <= 0 or height <= 0:
            return None
        factor = factor or (4 if width * height < 2500 else 3)
        return cls(
            (xy - low) * factor, radii * factor, int(low[0]), int(low[1]), (width * factor, height * factor), factor
        )

    def corners(self) -> Corners:
        """Return the points in the fixed-point coordinates of :func:`cv2.fillPoly`, ``(N, 2)``."""
        return _fixed(self.xy)

    def balls(self, shrink: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> Corners:
        """Return the circles around the points as polygons, ``(N, 12, 2)``."""
        radii = np.maximum(self.radii, 0.5)[:, None]
        return _fixed((self.xy + radii * shift)[:, None] + (shrink * radii)[..., None] * _CIRCLE)

    def patch(self, pixels: ByteArray) -> Patch:
        """Return the patch at the canvas' resolution."""
        size = (self.size[0] // self.factor, self.size[1] // self.factor)
        return Patch(self.left, self.top, np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8))


def _fixed(xy: FloatArray) -> Corners:
    return np.asarray(np.rint((xy - 0.5) * 2**_SHIFT), np.int32)


def _hull(balls: Corners) -> Corners:
    return balls[0] if len(balls) == 1 else np.asarray(cv2.convexHull(balls.reshape(-1, 2)), np.int32)


@dataclass(frozen=True)
class _Palette:
    """A model's normals and the colours of its parts under a light: of polygons, and of balls in shade and light."""

    normals: FloatArray
    flat: list[list[float]]
    dark: list[list[float]]
    bright: list[list[float]]

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, model: Model, heading: float, light: Light) -> _Palette:
        """Shade the colours."""
        normals = model.normals @ _turn(heading)
        tones = 0.62 + 0.46 * np.clip(normals @ np.asarray(light.direction), 0, 1) + 0.1 * normals[:, 1]
        colours, shade = model.colours, 0.8
        if light.thermal:
            colours, tones, shade = (44 + 150 * model.heats[:, None]) * np.ones(3), 0.85 + 0.15 * tones, 0.95
        flat, dark, bright = (
            np.clip(np.column_stack([colours * tone, np.full(len(colours), 255.0)]), 0, 255).tolist()
            for tone in (tones[:, None], shade, 1.0)
        )
        return cls(normals, flat, dark, bright)


def draw(view: View, model: Model, place: Place, light: Light) -> Patch | None:
    """Draw a model's visible parts from far to near; None if it lies outside the canvas."""
    points = place.put(model.points(place.distance))
    outline = _Outline.of(view, points, model.radii)
    if outline is None:
        return None
    palette = _Palette.of(model, place.heading, light)
    middles = np.add.reduceat(points, model.starts) / model.counts[:, None]
    to_eye = np.array([0.0, view.altitude, 0.0]) - middles
    hidden = (to_eye * palette.normals).sum(1) < -1e-9
    corners, balls = outline.corners(), outline.balls()
    lit = outline.balls(0.66, (0.3 * light.direction[0], -0.22)) if outline.size[1] > 40 * outline.factor else None
    pixels = np.zeros((outline.size[1], outline.size[0], 4), np.uint8)
    for index in np.argsort(model.lifts - np.linalg.norm(to_eye, axis=1), kind="stable").tolist():
        part = model.spans[index]
        if not model.parts[index].radii:
            if not hidden[index]:
                cv2.fillPoly(pixels, [corners[part]], palette.flat[index], shift=_SHIFT)
        elif lit is None:
            cv2.fillPoly(pixels, [_hull(balls[part])], palette.flat[index], shift=_SHIFT)
        else:
            cv2.fillPoly(pixels, [_hull(balls[part])], palette.dark[index], shift=_SHIFT)
            cv2.fillPoly(pixels, [_hull(lit[part])], palette.bright[index], shift=_SHIFT)
    return outline.patch(pixels)


def cast(view: View, model: Model, place: Place, light: Light) -> Patch | None:
    """Draw the shadow that a model casts on the ground, as coverage 0…255."""
    points = place.put(model.points(place.distance))
    fallen = points + points[:, 1:2] * np.array([light.fall[0], -1.0, light.fall[1]])
    fallen[:, 2] = np.maximum(fallen[:, 2], 0.5)
    soft = light.softness * view.focal / place.z if place.z > 0.5 else 0.0
    outline = _Outline.of(view, fallen, model.radii, 2 + int(2 * soft), factor=0 if light.hard else 1)
    if outline is None:
        return None
    pixels = np.zeros((outline.size[1], outline.size[0]), np.uint8)
    corners = outline.corners()
    if light.hard:
        balls = outline.balls()
        for part, span in zip(model.parts, model.spans, strict=True):
            cv2.fillPoly(pixels, [_hull(balls[span]) if part.radii else corners[span]], (255,), shift=_SHIFT)
    else:
        cv2.fillPoly(pixels, [_hull(corners[:, None])], (255,), shift=_SHIFT)
    patch = outline.patch(pixels)
    if soft < 0.5:
        return patch
    # A box blur twice is as good as a Gaussian here, and does not slow down with its width.
    window = (1 + 2 * round(soft), 1 + 2 * round(soft))
    return Patch(patch.left, patch.top, np.asarray(cv2.blur(cv2.blur(patch.pixels, window), window), np.uint8))


def mirror(view: View, model: Model, place: Place, light: Light) -> Patch | None:
    """Draw a model's dim reflection in the water that it floats on."""
    patch = draw(view, model, place, light)
    if patch is None:
        return None
    waterline = round(view.horizon + view.altitude * view.focal / place.z)
    flipped = patch.pixels[::-1]
    top = 2 * waterline - patch.top - flipped.shape[0]
    flipped = flipped[max(0, -top) : max(0, view.canvas[1] - top)]
    if not flipped.size:
        return None
    blurred = cv2.blur(flipped, (1, 1 + 2 * (flipped.shape[0] // 12)))
    return Patch(patch.left, max(top, 0), np.asarray(blurred * 0.55, np.uint8))


def tree(rng: np.random.Generator, height: int, colour: Colour, trunk: float = 0.3, bare: bool = False) -> ByteArray:
    """Paint a tree or a bush by dabs of leaves.

    Args:
        rng: Random numbers.
        height: Height of the picture in pixels.
        colour: Colour of the leaves.
        trunk: Height of the lowest leaves as a fraction of the tree's height.
        bare: Whether it has branches without leaves.

    Returns:
        Premultiplied BGRA, ``(height, width, 4)``, with a width of 0.8 times the height.
    """
    side = 3 * max(height, 12)
    width = round(0.8 * side)
    pixels = np.zeros((side, width, 4), np.uint8)
    bark = tuple(float(c) for c in np.array([46, 62, 78]) * rng.uniform(0.7, 1.2))
    _branches(
        pixels, rng, (width / 2, side), side * (0.3 if bare else trunk + 0.14), -np.pi / 2, bark, 6 if bare else 1
    )
    if not bare:
        _leaves(pixels, rng, colour, trunk)
    return np.asarray(
        cv2.resize(pixels, (max(width * height // side, 2), height), interpolation=cv2.INTER_AREA), np.uint8
    )


def _branches(
    pixels: ByteArray,
    rng: np.random.Generator,
    start: tuple[float, float],
    length: float,
    angle: float,
    bark: tuple[float, ...],
    generations: int,
) -> None:
    end = (start[0] + length * np.cos(angle), start[1] + length * np.sin(angle))
    thickness = max(1, round(length * 0.11))
    first, last = ((round(x), round(y)) for x, y in (start, end))
    cv2.line(pixels, first, last, (*bark, 255.0), thickness)
    if generations:
        for side in (-1, 1):
            bend = side * rng.uniform(0.2, 0.65)
            _branches(pixels, rng, end, length * rng.uniform(0.5, 0.75), angle + bend, bark, generations - 1)


def _leaves(pixels: ByteArray, rng: np.random.Generator, colour: Colour, trunk: float) -> None:
    side, width = pixels.shape[:2]
    lobes = 9
    centres = np.stack([rng.uniform(0.3, 0.7, lobes) * width, rng.uniform(0.2, 0.92 - trunk, lobes) * side], 1)
    centres[0] = (0.5 * width, (0.6 - trunk / 2) * side)
    spread = rng.uniform(0.09, 0.16, lobes) * side
    spread[0] = 0.2 * side
    count = 1500
    lobe = rng.integers(0, lobes, count)
    angle, radius = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.random(count))
    offset = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
    dabs = centres[lobe] + offset * spread[lobe, None]
    light = 0.66 - 0.34 * offset[:, 1] - 0.16 * offset[:, 0] + rng.normal(0, 0.15, count)
    light = light * np.where(np.arange(count) < count // 3, 0.55, 1.0)
    hue = np.asarray(colour) * rng.uniform(0.85, 1.15, (count, 3))
    sizes = rng.uniform(0.008, 0.03, count) * side
    colours = np.clip(hue * np.clip(light, 0.15, 1.4)[:, None], 0, 255).tolist()
    radii = np.maximum(np.rint(sizes), 1).astype(int).tolist()
    for centre, radius, leaf in zip(np.rint(dabs).astype(int).tolist(), radii, colours, strict=True):
        cv2.circle(pixels, centre, radius, (*leaf, 255.0), -1)


def stamp(painting: Painting, patch: Patch, depth: float, sway: FloatArray | None = None) -> None:
    """Paint a patch into the background, where it will hide actors behind it.

    Args:
        painting: The background.
        patch: Premultiplied BGRA.
        depth: Depth of the patch in metres.
        sway: How far its pixels follow the wind, ``(h, w)``.
    """
    box = patch.box
    alpha = patch.pixels[..., 3:].astype(np.float32) / 255
    painting.image[box] = painting.image[box] * (1 - alpha) + patch.pixels[..., :3]
    covered = alpha[..., 0] > 0.5
    painting.depth[box][covered] = depth
    painting.occluder[box][covered] = depth
    follow = 0.0 if sway is None else sway
    painting.foliage[box] = painting.foliage[box] * (1 - alpha[..., 0]) + alpha[..., 0] * follow


def plant(
    painting: Painting, view: View, sprite: ByteArray, x: float, z: float, height: float, loose: bool = False
) -> None:
    """Stand a picture of a tree on the ground: as part of the background, or loose, for a gale to bend."""
    scale = view.focal / z
    tall = max(3, round(height * scale))
    wide = max(2, round(tall * sprite.shape[1] / sprite.shape[0]))
    pixels = cv2.resize(
        sprite, (wide, tall), interpolation=cv2.INTER_AREA if tall < sprite.shape[0] else cv2.INTER_LINEAR
    )
    foot = view.horizon + view.altitude * scale
    left, top = round(view.centre + x * scale - wide / 2), round(foot - tall)
    rows = slice(max(0, -top), max(0, view.canvas[1] - top))
    columns = slice(max(0, -left), max(0, view.canvas[0] - left))
    pixels = np.asarray(pixels, np.uint8)[rows, columns]
    if pixels.size:
        sway = np.broadcast_to(np.linspace(1, 0, tall, dtype=np.float32)[rows, None], pixels.shape[:2])
        if loose:
            # A trunk is stiff.
            sway = np.asarray(sway**1.6, np.float32)
            painting.loose.append(Sprite(max(left, 0), max(top, 0), pixels, z, sway))
        else:
            stamp(painting, Patch(max(left, 0), max(top, 0), pixels), z, sway)
