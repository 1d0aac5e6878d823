"""The pinhole camera that looks at a synthetic scene, and what it looks at: planes covered with materials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
ByteArray = NDArray[np.uint8]


@dataclass(frozen=True)
class Lens:
    """A level camera, in units of the frame's height, so that twins of different sizes look alike.

    Attributes:
        focal: Focal length.
        horizon: Distance of the horizon from the top of the frame.
        altitude: Height of the camera above the ground, in metres.
        centre: Horizontal position of the vanishing point, as a fraction of the frame's width.
    """

    focal: float
    horizon: float
    altitude: float
    centre: float = 0.5


@dataclass(frozen=True)
class Format:
    """The canvas on which a scene is painted: the frame, its margin for a moving camera, and its density.

    Attributes:
        size: Width and height of the frame in pixels.
        margin: Width and height of the canvas as multiples of the frame's.
        density: Canvas pixels per frame pixel.
    """

    size: tuple[int, int]
    margin: tuple[float, float] = (1.0, 1.0)
    density: float = 1.0

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height of the canvas in pixels."""
        width, height = (round(s * m * self.density) for s, m in zip(self.size, self.margin, strict=True))
        return width, height

    def view(self, lens: Lens) -> View:
        """Return the camera of a lens on this canvas; the frame's own view is at the canvas' centre."""
        width, height = (self.density * s for s in self.size)
        canvas = self.canvas
        return View(
            canvas,
            focal=lens.focal * height,
            centre=canvas[0] / 2 + (lens.centre - 0.5) * width,
            horizon=(canvas[1] - height) / 2 + lens.horizon * height,
            altitude=lens.altitude,
        )


@dataclass(frozen=True)
class View:
    """A camera at ``(0, altitude, 0)`` that looks along z; x is to the right, y up; metres become canvas pixels."""

    canvas: tuple[int, int]
    focal: float
    centre: float
    horizon: float
    altitude: float

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Project points ``(N, 3)`` in metres to pixels ``(N, 2)`` and give the pixels per metre there, ``(N,)``."""
        scale = self.focal / np.maximum(points[:, 2], 0.4)
        x = self.centre + points[:, 0] * scale
        y = self.horizon + (self.altitude - points[:, 1]) * scale
        return np.stack([x, y], 1), scale

    def span(self, depth: float, pad: float = 0.0) -> tuple[float, float]:
        """Return the x of the canvas' left and right border at a depth, `pad` metres further out."""
        scale = self.focal / depth
        return -self.centre / scale - pad, (self.canvas[0] - self.centre) / scale + pad

    def nearest(self) -> float:
        """Return the depth of the ground at the canvas' lower border."""
        return self.focal * self.altitude / max(self.canvas[1] - self.horizon, 1.0)


@dataclass(frozen=True)
class Noise:
    """Fixed random tables that materials and effects look up by position."""

    tile: NDArray[np.float32]
    table: NDArray[np.float32]

    @classmethod
    def of(cls, rng: np.random.Generator) -> Noise:
        """Draw the tables."""
        return cls(rng.standard_normal((256, 256), np.float32), rng.random((64, 64), np.float32))

    def sample(self, u: FloatArray, v: FloatArray) -> NDArray[np.float32]:
        """Interpolate the tile, wrapped around, at positions ``(H, W)``."""
        # np.mod takes ten times as long.
        u, v = (np.asarray(c - 256 * np.floor(c * (1 / 256)), np.float32) for c in (u, v))
        return np.asarray(cv2.remap(self.tile, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP), np.float32)


@dataclass(frozen=True)
class Texels:
    """The positions of a surface in metres ``(H, W)``, and how many metres a pixel spans there along each axis."""

    u: FloatArray
    v: FloatArray
    du: FloatArray
    dv: FloatArray
    noise: Noise

    def fractal(self, period: float, octaves: int = 5, stretch: float = 1.0, gain: float = 0.62) -> FloatArray:
        """Return multi-octave noise of unit-like deviation; octaves finer than a pixel fade out."""
        step = np.sqrt(self.du * self.dv)
        total, power = np.zeros_like(self.u), 0.0
        for octave in range(octaves):
            size, weight = period / 2**octave, gain**octave
            fade = np.clip(size / step - 0.7, 0, 1)
            shift = 17.3 * octave + 3.1 * period
            total += weight * fade * self.noise.sample(self.u / (size * stretch) + shift, self.v / size + 2 * shift)
            power += weight**2
        return np.asarray(total / np.sqrt(power))

    def lines(self, axis: Literal["u", "v"], spacing: float, width: float, shift: float = 0.0) -> FloatArray:
        """Return the coverage 0…1 of equidistant lines across an axis."""
        position, step = (self.u, self.du) if axis == "u" else (self.v, self.dv)
        distance = np.abs(np.mod((position - shift) / spacing + 0.5, 1) - 0.5) * spacing
        coverage = np.clip((width / 2 + step / 2 - distance) / step, 0, 1) * np.clip(width / step, 0, 1)
        return np.asarray(np.where(step < spacing, coverage, width / spacing))

    def inside(self, axis: Literal["u", "v"], low: float, high: float) -> FloatArray:
        """Return the coverage 0…1 of the interval from `low` to `high` of an axis."""
        position, step = (self.u, self.du) if axis == "u" else (self.v, self.dv)
        rise = np.clip((position - low) / step + 0.5, 0, 1)
        return np.asarray(rise * np.clip((high - position) / step + 0.5, 0, 1))

    def cells(self, across: float, up: float) -> FloatArray:
        """Return one random number 0…1 for each cell of a grid."""
        i, j = (np.floor(c / s).astype(np.int64) % 64 for c, s in ((self.u, across), (self.v, up)))
        return np.asarray(self.noise.table[j, i])


Material = Callable[[Texels], FloatArray]
"""Cover of a surface: texels ``(H, W)`` → BGR colours ``(H, W, 3)`` in 0…255."""


@dataclass(frozen=True)
class Plane:
    """An axis-parallel rectangle: ``axis = offset``, bounded along the two other axes.

    Its texture coordinates are (x, z) on a floor (axis y), (x, y) on a wall across the view (axis z), and (z, y) on a
    wall along the view (axis x).
    """

    axis: Literal["x", "y", "z"]
    offset: float
    material: Material
    u: tuple[float, float] = (-1e4, 1e4)
    v: tuple[float, float] = (-1e4, 1e4)


@dataclass(frozen=True)
class Sprite:
    """Leaves that are not painted into the background, lest they could not leave their place.

    Attributes:
        left: First column of the canvas that it covers.
        top: First row.
        pixels: Premultiplied BGRA, ``(h, w, 4)``.
        depth: Its depth in metres.
        sway: How far its pixels follow the wind, 0…1, ``(h, w)``.
    """

    left: int
    top: int
    pixels: ByteArray
    depth: float
    sway: FloatArray

    @property
    def box(self) -> tuple[slice, slice]:
        """The rows and columns of the canvas that it covers."""
        return np.s_[self.top : self.top + self.pixels.shape[0], self.left : self.left + self.pixels.shape[1]]


@dataclass
class Painting:
    """A painted scene without its actors.

    Attributes:
        image: BGR colours ``(H, W, 3)``, float32, in 0…255.
        depth: Depth of what is seen in each pixel in metres, ``(H, W)``.
        occluder: Depth of props that can hide an actor, infinite elsewhere, ``(H, W)``.
        foliage: How far each pixel follows the wind, 0…1, ``(H, W)``.
        loose: Leaves that are laid over the image frame by frame, in a gale.
    """

    image: FloatArray
    depth: FloatArray
    loose: list[Sprite] = field(default_factory=list)
    occluder: FloatArray = field(init=False)
    foliage: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.occluder = np.full(self.depth.shape, np.inf, np.float32)
        self.foliage = np.zeros(self.depth.shape, np.float32)


def paint(view: View, planes: Sequence[Plane], sky: Material, noise: Noise, oversampling: int = 2) -> Painting:
    """Cast a ray through each pixel at the planes, nearest first, and the sky behind them.

    Args:
        view: The camera.
        planes: What it looks at.
        sky: Material of the rest; its texture coordinates are in canvas heights.
        noise: Random tables of the materials.
        oversampling: Rays along each side of a pixel.
    """
    width, height = (oversampling * side for side in view.canvas)
    focal = view.focal * oversampling
    x = (np.arange(width, dtype=np.float32) + 0.5 - view.centre * oversampling) / focal
    y = (view.horizon * oversampling - np.arange(height, dtype=np.float32) - 0.5) / focal
    x, y = np.meshgrid(x, y)
    unit = np.full_like(x, 1 / height)
    image = sky(Texels(x * focal / height, y * focal / height, unit, unit, noise)).astype(np.float32)
    depth = np.full(x.shape, 1e4, np.float32)
    for plane in planes:
        _cast(image, depth, plane, (x, y), view.altitude, focal, noise)
    size = view.canvas
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    return Painting(small, np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST), np.float32))


def _cast(
    image: FloatArray,
    depth: FloatArray,
    plane: Plane,
    rays: tuple[FloatArray, FloatArray],
    altitude: float,
    focal: float,
    noise: Noise,
) -> None:
    x, y = rays
    with np.errstate(divide="ignore", invalid="ignore"):
        z = {"x": plane.offset / x, "y": (plane.offset - altitude) / y, "z": np.full_like(x, plane.offset)}[plane.axis]
        points = {"x": x * z, "y": altitude + y * z, "z": z}
        u, v = (points[axis] for axis in {"x": "zy", "y": "xz", "z": "xy"}[plane.axis])
        hit = (z > 0.05) & (z < depth) & (u >= plane.u[0]) & (u <= plane.u[1]) & (v >= plane.v[0]) & (v <= plane.v[1])
    if not hit.any():
        return
    rows, columns = (np.flatnonzero(hit.any(axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    hit = hit[box]
    u, v, z = (np.where(hit, c[box], 1.0) for c in (u, v, z))
    step = z / focal
    slant = step * z / max(abs(plane.offset - (altitude if plane.axis == "y" else 0)), 0.1)
    du = slant if plane.axis == "x" else step
    dv = slant if plane.axis == "y" else step
    image[box][hit] = plane.material(Texels(u, v, du, dv, noise))[hit]
    depth[box][hit] = z[hit]
