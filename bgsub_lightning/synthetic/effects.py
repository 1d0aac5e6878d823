"""Difficulties of each category: moving backgrounds, lights at night, moving cameras, weather and hot air."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.synthetic.actors import Actor
from bgsub_lightning.synthetic.drawing import Light, Place, draw, stamp
from bgsub_lightning.synthetic.geometry import ByteArray, FloatArray, Format
from bgsub_lightning.synthetic.models import Model, limb
from bgsub_lightning.synthetic.themes import Scenery


@dataclass
class Shot:
    """A frame in the making.

    Attributes:
        image: BGR ``(H, W, 3)``, uint8 or float32, in 0…255.
        cover: How much of each pixel is foreground, ``(H, W)``, uint8.
        shade: How much of each pixel lies in a labelled shadow, ``(H, W)``, uint8.
        still: How much of each pixel is foreground that stands still, ``(H, W)``, uint8.
        cast: Who is in it, and where.
        occluder: Depth of what can hide an actor where it moves, ``(H, W)``; the painting's if None.
        sun: How much of the sun reaches each pixel, 0…1, ``(H, W)``; all of it if None.
    """

    image: NDArray[Any]
    cover: ByteArray
    shade: ByteArray
    still: ByteArray
    cast: list[tuple[Actor, Place]]
    occluder: FloatArray | None = None
    sun: FloatArray | None = None


@dataclass(frozen=True)
class EffectSetup:
    """Context of an effect: the scene on its canvas, the number of frames, and its own random numbers."""

    scene: Scenery
    format: Format
    unlabelled: int
    labelled: int
    index: int
    rng: np.random.Generator


Effect = Callable[[Shot, int], None]
EffectFactory = Callable[[EffectSetup], Effect]
Camera = Callable[[int], FloatArray]
CameraFactory = Callable[[EffectSetup], Camera]


class _Flow:
    """Smooth random displacements ``(H, W, 2)`` in pixels that change smoothly with time."""

    def __init__(
        self, rng: np.random.Generator, size: tuple[int, int], cells: int, amplitude: float, speed: float
    ) -> None:
        self.size, self.amplitude = size, amplitude
        shape = (4, cells, round(cells * size[0] / size[1]), 2)
        self.fields = rng.standard_normal(shape).astype(np.float32)
        self.rates = rng.uniform(0.6, 1.4, 4) * speed
        self.phases = rng.uniform(0, 2 * np.pi, 4)
        x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
        self.grid = np.stack([x, y], 2)

    def __call__(self, frame: float, weight: FloatArray | float = 1.0) -> NDArray[np.float32]:
        """Return the positions to look up, ``(H, W, 2)``."""
        waves = np.sin(self.phases + self.rates * frame).astype(np.float32)
        coarse = np.tensordot(waves, self.fields, 1) * np.float32(self.amplitude / np.sqrt(2))
        fine = np.asarray(cv2.resize(coarse, self.size, interpolation=cv2.INTER_CUBIC))
        return np.asarray(
            self.grid + fine * (weight[..., None] if isinstance(weight, np.ndarray) else weight), np.float32
        )


def _looked_up(image: NDArray[Any], where: NDArray[np.float32]) -> NDArray[Any]:
    maps = where[..., 0], where[..., 1]
    return np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def wind(setup: EffectSetup) -> Effect:
    """Trees and bushes sway."""
    foliage = np.asarray(cv2.GaussianBlur(setup.scene.painting.foliage, (0, 0), 1.0), np.float32)
    height = setup.format.size[1] * setup.format.density
    gusts = _Flow(setup.rng, setup.format.canvas, 14, 0.011 * height, 0.35)
    rustle = _Flow(setup.rng, setup.format.canvas, 44, 0.004 * height, 0.9)

    def effect(shot: Shot, frame: int) -> None:
        where = gusts(frame, foliage) + (rustle(frame, foliage) - rustle.grid)
        shot.image = _looked_up(shot.image, where)

    return effect


@dataclass(frozen=True)
class _Leaves:
    """Loose leaves that move together, and the part of the canvas that they reach.

    Attributes:
        box: The rows and columns of that part.
        pixels: Premultiplied BGRA, ``(H, W, 4)``.
        depth: Depth in metres, infinite where there are none, ``(H, W)``.
        sway: How far they follow the wind, 0…1, ``(H, W)``.
        amplitude: How far they move in a gust, in pixels.
    """

    box: tuple[slice, slice]
    pixels: ByteArray
    depth: FloatArray
    sway: FloatArray
    amplitude: float


def _leaves(setup: EffectSetup) -> Iterator[_Leaves]:
    """Yield the loose leaves of a scene, from far to near."""
    view, painting = setup.scene.view, setup.scene.painting
    height = setup.format.size[1] * setup.format.density
    # Neighbours near the camera do not move alike.
    groups = [
        sorted((s for s in painting.loose if near <= s.depth < far), key=lambda s: -s.depth)[first::step]
        for far, near, step in ((np.inf, 26.0, 1), (26.0, 9.0, 2), (9.0, 0.0, 3))
        for first in range(step)
    ]
    for sprites in filter(None, groups):
        pixels = np.zeros((*painting.depth.shape, 4), np.uint8)
        depth, sway = np.full(painting.depth.shape, np.inf, np.float32), np.zeros(painting.depth.shape, np.float32)
        for sprite in sprites:
            alpha = sprite.pixels[..., 3:].astype(np.float32) / 255
            pixels[sprite.box] = pixels[sprite.box] * (1 - alpha) + sprite.pixels
            depth[sprite.box][alpha[..., 0] > 0.5] = sprite.depth
            sway[sprite.box] = sway[sprite.box] * (1 - alpha[..., 0]) + sprite.sway * alpha[..., 0]
        hidden = painting.occluder < depth
        hidden &= np.isfinite(depth)
        pixels[hidden], depth[hidden] = 0, np.inf
        # Leaves move where there are none as well, so that they swing out over their surroundings.
        blur, alpha = 0.04 * height, pixels[..., 3].astype(np.float32) / 255
        near = np.asarray(cv2.GaussianBlur(sway * alpha, (0, 0), blur), np.float32)
        spread = near / (np.asarray(cv2.GaussianBlur(alpha, (0, 0), blur), np.float32) + np.float32(1e-3))
        metres = float(np.median([sprite.depth for sprite in sprites]))
        amplitude = np.clip((0.18 + 0.018 * metres) * view.focal / metres, 0.009 * height, 0.045 * height)
        rows, columns = (np.flatnonzero(pixels[..., 3].any(axis)) for axis in (1, 0))
        if rows.size:
            low, high = ((ends[0] - 3 * amplitude, ends[-1] + 3 * amplitude) for ends in (rows, columns))
            box = tuple(slice(max(0, int(first)), int(last) + 1) for first, last in (low, high))
            yield _Leaves((box[0], box[1]), pixels[box], depth[box], spread[box], float(amplitude))


def _gusts(rng: np.random.Generator, total: int) -> FloatArray:
    """Return the strength of the wind in each frame: gusts of all sizes, and calm in between."""
    strength = np.full(total, rng.uniform(0.06, 0.16))
    frames, start = np.arange(total), rng.uniform(-60, 15)
    while start < total:
        rise, hold, fall = rng.uniform(4, 16), rng.uniform(0, 45), rng.uniform(15, 50)
        knots = start + np.cumsum([0, rise, hold, fall])
        peak = float(np.clip(rng.lognormal(-0.1, 0.4), 0.35, 1.5))
        strength = np.maximum(strength, np.interp(frames, knots, (0.0, peak, 0.8 * peak, 0.0)))
        start = knots[3] + rng.uniform(-20, 70)
    return strength


def gale(setup: EffectSetup) -> Effect:
    """Trees and boughs toss in gusts that run through the picture; who is behind them is hidden by turns."""
    rng, (width, height) = setup.rng, setup.format.canvas
    small = (round(40 * width / height), 40)
    lag = 24
    total = setup.unlabelled + setup.labelled + 1
    gusts = _gusts(rng, total + lag)
    # The wind also drives the swaying faster.
    times = np.cumsum(0.4 + 0.9 * np.minimum(gusts, 1.2))
    columns = np.linspace(0, lag, width)[:: int(rng.choice([-1, 1]))]
    lean = float(rng.choice([-0.7, 0.7]))
    layers = [
        (
            leaves,
            _Flow(rng, small, 4, 0.6 * leaves.amplitude, 0.3),
            _Flow(rng, small, 10, 0.35 * leaves.amplitude, 0.6),
            _Flow(rng, small, 30, min(0.2 * leaves.amplitude, 0.006 * height), 1.2),
        )
        for leaves in _leaves(setup)
    ]
    across, down = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]

    def effect(shot: Shot, frame: int) -> None:
        occluder = setup.scene.painting.occluder.copy()
        force = np.interp(frame + columns, np.arange(total + lag), gusts).astype(np.float32)
        for leaves, *flows in layers:
            moves = [flow(float(times[frame + lag // 2])) - flow.grid for flow in flows]
            # Leaves that turn show their bright or dark side.
            glint = np.clip(moves[2][..., :1] / flows[2].amplitude, -2, 3) * np.float32(0.22)
            moves[0][..., 0] += np.float32(lean * 0.5 * leaves.amplitude)
            fields = cv2.resize(np.concatenate([sum(moves), glint], 2), (width, height))[leaves.box]
            push = leaves.sway * force[leaves.box[1]]
            x, y, shine = cv2.split(fields * push[..., None])
            x += across[: x.shape[1]]
            y += down[: y.shape[0]]
            pixels = cv2.remap(leaves.pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            depth = cv2.remap(leaves.depth, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
            alpha, shine = pixels[..., 3], shine + np.float32(1)
            colours = cv2.multiply(pixels[..., :3], cv2.merge([shine] * 3), dtype=cv2.CV_8U)
            gap = cv2.merge([255 - alpha] * 3)
            shot.image[leaves.box] = cv2.add(cv2.multiply(shot.image[leaves.box], gap, scale=1 / 255), colours)
            np.minimum(occluder[leaves.box], depth, out=occluder[leaves.box])
        shot.occluder = occluder

    return effect


def ripples(strength: float) -> EffectFactory:
    """Return an effect by which the water of a scene ripples."""

    def factory(setup: EffectSetup) -> Effect:
        scene, view = setup.scene, setup.scene.view
        width, height = view.canvas
        y = np.arange(height, dtype=np.float32)[:, None] + 0.5 - view.horizon
        z = np.broadcast_to(np.where(y > 0.5, view.focal * view.altitude / np.maximum(y, 0.5), 1e4), (height, width))
        wet = (z < scene.water) & np.isinf(scene.painting.occluder)
        x = (np.arange(width, dtype=np.float32)[None] - view.centre) * z / view.focal
        rows = np.flatnonzero(wet.any(1))
        if not rows.size:
            return lambda shot, frame: None
        band = slice(int(rows[0]), int(rows[-1]) + 1)
        x, z, weight = x[band], z[band], np.where(wet[band], strength, 0.0)
        fade = np.clip(view.focal * 3.0 / z / (0.25 * height), 0.25, 1.0).astype(np.float32)
        weight = (weight * fade).astype(np.float32)[..., None]

        def effect(shot: Shot, frame: int) -> None:
            swell = scene.noise.sample(x / 0.9 + 0.05 * frame, z / 0.6 - 0.16 * frame)
            chop = scene.noise.sample(x / 0.3 - 0.09 * frame, z / 0.2 + 0.13 * frame)
            glints = np.maximum(0.7 * swell + chop - 1.2, 0) * 2.2
            change = (0.5 * swell + 0.6 * chop + glints)[..., None] * weight
            shot.image[band] = np.clip(shot.image[band] + change, 0, 255).astype(np.uint8)

        return effect

    return factory


def fountain(setup: EffectSetup) -> Effect:
    """Jets of water rise from a basin and fall back, where the scene has a place for it."""
    if setup.scene.fountain is None:
        return lambda shot, frame: None
    x, z = setup.scene.fountain
    view, count = setup.scene.view, 420
    rim = [(2.0 * np.cos(a), 0.35, 2.0 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 25)]
    walls = [limb(a, b, (150, 158, 162), (0.16, 0.16)) for a, b in pairwise(rim)]
    pool = limb((-0.9, 0.2, 0), (0.9, 0.2, 0), (156, 140, 108), (0.3, 0.3), lift=-2.0)
    if patch := draw(view, Model((*walls, pool)), Place(x, z), Light()):
        stamp(setup.scene.painting, patch, z)
    rng = setup.rng
    start, angle = rng.random(count), rng.uniform(0, 2 * np.pi, count)
    reach = np.where(rng.random(count) < 0.5, rng.uniform(0.0, 0.35, count), rng.uniform(0.9, 1.5, count))
    top = np.where(reach < 0.5, rng.uniform(2.2, 2.9, count), rng.uniform(1.1, 1.5, count))
    radius = max(1, round(0.05 * view.focal / z))
    near = view.project(np.array([[x - 2.2, 3.4, z], [x + 2.2, 0.0, z]]))[0]
    (left, upper), (right, lower) = np.clip(near, 0, view.canvas).astype(int)

    def effect(shot: Shot, frame: int) -> None:
        if right <= left or lower <= upper:
            return
        time = np.mod(start + frame * 0.043, 1)
        drops = np.stack(
            [x + reach * time * np.cos(angle), 0.3 + 4 * top * time * (1 - time), z + reach * time * np.sin(angle)], 1
        )
        spray = np.zeros((lower - upper, right - left), np.uint8)
        for px, py in np.round(view.project(drops)[0] - (left, upper)).astype(int):
            cv2.line(spray, (int(px), int(py)), (int(px), int(py) + radius), (255,), radius)
        alpha = cv2.GaussianBlur(spray, (0, 0), 0.5 + 0.4 * radius).astype(np.float32)[..., None] / 255 * 0.85
        area = shot.image[upper:lower, left:right]
        area[:] = (area + (np.float32(240) - area) * alpha).astype(np.uint8)

    return effect


SCREEN = ((96.0, 84.0, 72.0), (190.0, 176.0, 160.0))
"""The darkest and the brightest colour of a screen, blue, green, red."""


def bars(setup: EffectSetup) -> Effect:
    """Bars roll over a large screen behind the actors."""
    width, height = setup.format.canvas
    box = np.s_[round(0.08 * height) : round(0.82 * height), round(0.2 * width) : round(0.8 * width)]
    rows = np.arange(box[0].stop - box[0].start)[:, None, None] / height
    dark, bright = np.asarray(SCREEN)

    def effect(shot: Shot, frame: int) -> None:
        shot.image[box] = dark + (bright - dark) * (0.5 + 0.5 * np.sin(30 * rows - 0.7 * frame))

    return effect


def switched(setup: EffectSetup) -> Effect:
    """The light goes off, and on again a little before the labelled part."""
    off = range(round(0.35 * setup.unlabelled), round(0.9 * setup.unlabelled))

    def effect(shot: Shot, frame: int) -> None:
        shot.image = shot.image.astype(np.float32) * np.float32(0.25 if frame in off else 1.0)

    return effect


def dawn(setup: EffectSetup) -> Effect:
    """It grows light, from a fifth in the first frame to all of it in the last."""
    total = setup.unlabelled + setup.labelled

    def effect(shot: Shot, frame: int) -> None:
        shot.image = shot.image.astype(np.float32) * np.float32(0.2 + 0.8 * frame / total)

    return effect


def clouds(setup: EffectSetup) -> Effect:
    """Clouds drift before the sun, so that it shines on all, on parts or on nothing of the scene."""
    rng, (width, height) = setup.rng, setup.format.canvas
    total = setup.unlabelled + setup.labelled + 1
    knots, levels, covered = [float(rng.uniform(0, 0.15) * total)], [], float(rng.random() < 0.5)
    levels.append(covered)
    while knots[-1] < total:
        covered = 1 - covered
        fade, hold = rng.uniform(20, np.clip(0.6 * total, 21, 200)), rng.uniform(5, 100)
        knots += [knots[-1] + fade, knots[-1] + fade + hold]
        levels += [covered * rng.uniform(0.75, 1.0), covered * rng.uniform(0.75, 1.0)]
    x, y = np.meshgrid(np.linspace(0, 2.2 * width / height, 48), np.linspace(0, 2.2, 36))
    drift = rng.uniform(0.01, 0.04) * np.array([rng.choice([-1, 1]), rng.uniform(-0.4, 0.4)])
    shift, patchy = rng.uniform(0, 200, 2), rng.uniform(0.15, 0.5)

    def effect(shot: Shot, frame: int) -> None:
        level = float(np.interp(frame, knots, levels))
        cloud = setup.scene.noise.sample(x + shift[0] + drift[0] * frame, y + shift[1] + drift[1] * frame)
        sun = 1 / (1 + np.exp(9 * (level - 0.5 + patchy * cloud * 0.6)))
        shot.sun = np.asarray(cv2.resize(sun.astype(np.float32), (width, height)))

    return effect


def daylight(setup: EffectSetup) -> Effect:
    """The scene is as bright as the clouds let it; the camera changes its exposure now and then, in one frame."""
    rng = setup.rng
    total = setup.unlabelled + setup.labelled + 1
    exposure = np.ones(total)
    for frame in range(1, total):
        exposure[frame] = rng.uniform(0.82, 1.22) if rng.random() < 1 / 150 else exposure[frame - 1]
    # Without the sun, the blue light of the sky is left; the sky itself dims less, or becomes brighter.
    shade = rng.uniform(0.45, 0.65) * np.array([rng.uniform(1.0, 1.12), 1.0, rng.uniform(0.9, 1.0)])
    sky = np.full(3, rng.uniform(0.72, 1.08))
    open_sky = (setup.scene.painting.depth > 9e3) & np.isinf(setup.scene.painting.occluder)
    dim = np.where(open_sky[..., None], sky, shade).astype(np.float32)
    exposure *= rng.uniform(1.0, 1.25)

    def effect(shot: Shot, frame: int) -> None:
        sun = np.ones(dim.shape[:2], np.float32) if shot.sun is None else shot.sun
        light = dim + (1 - dim) * sun[..., None]
        shot.image = np.minimum(shot.image * light * np.float32(exposure[frame]), 255)

    return effect


def night(setup: EffectSetup) -> Effect:
    """Street lamps light pools of the ground; vehicles have glaring lamps that light the road ahead."""
    view, scale = setup.scene.view, 4
    width, height = view.canvas
    small = (width // scale, height // scale)
    pools = np.zeros((small[1], small[0], 3), np.float32)
    for x, z, tall in sorted(setup.scene.lamps, key=lambda lamp: -lamp[1]):
        _pool(pools, view.project(np.array([[x, 0, z], [x, tall, z]])), scale, tall)
    spread = np.asarray(cv2.GaussianBlur(pools, (0, 0), small[1] * 0.05))
    ambient = np.array([0.25, 0.21, 0.185], np.float32)
    windows = np.clip(setup.scene.painting.image.max(2, keepdims=True) / 255 - 1.05, 0, 1)
    lit = np.asarray(cv2.resize(ambient + spread * np.array([0.3, 0.46, 0.56], np.float32), (width, height)))
    lit = np.maximum(lit, windows * np.array([0.34, 0.62, 0.78])).astype(np.float32)

    def effect(shot: Shot, frame: int) -> None:
        beams = np.zeros((small[1], small[0], 3), np.float32)
        glare = np.zeros_like(beams)
        for actor, place in shot.cast:
            _headlights(beams, glare, setup, actor, place, scale)
        beams = np.asarray(cv2.GaussianBlur(beams, (0, 0), small[1] * 0.022))
        halo = 0.55 * cv2.GaussianBlur(glare, (0, 0), small[1] * 0.012) + 1.1 * cv2.GaussianBlur(
            glare, (0, 0), small[1] * 0.06
        )
        image = shot.image * (lit + cv2.resize(beams, (width, height))) + cv2.resize(halo, (width, height))
        _bulbs(image, shot, setup)
        shot.image = np.asarray(np.clip(image, 0, 255), np.float32)

    return effect


def _pool(pools: FloatArray, projected: tuple[FloatArray, FloatArray], scale: int, tall: float) -> None:
    (foot, _), (metre, _) = projected
    centre = (round(float(foot[0]) / scale), round(float(foot[1]) / scale))
    axes = (max(1, round(0.8 * tall * float(metre) / scale)), max(1, round(0.22 * tall * float(metre) / scale)))
    cv2.ellipse(pools, centre, axes, 0, 0, 360, (1.0, 1.0, 1.0), -1)


def _headlights(
    beams: FloatArray, glare: FloatArray, setup: EffectSetup, actor: Actor, place: Place, scale: int
) -> None:
    view = setup.scene.view
    for lamp in actor.model.lamps:
        ahead = 1.0 if lamp.ahead else -1.0
        x, y, z = lamp.place
        points = np.array(
            [
                (x, y, z),
                (x - 0.4, 0, z + ahead),
                (x + 0.4, 0, z + ahead),
                (1.9 * x + 1.2, 0, z + 11 * ahead),
                (1.9 * x - 1.2, 0, z + 11 * ahead),
            ]
        )
        world = place.put(points)
        xy, metre = view.project(world)
        if lamp.ahead and world[:, 2].min() > 0.6:
            beam = np.zeros(beams.shape[:2], np.float32)
            cv2.fillConvexPoly(beam, np.round(xy[1:] / scale).astype(np.int32), (1.0,))
            beams += beam[..., None] * np.array([0.34, 0.42, 0.44], np.float32)
        facing = _facing(view.altitude, world[0], place.heading, ahead)
        if facing > 0 and world[0, 2] > 0.6:
            strength = facing**2 * (1.0 if lamp.ahead else 0.3)
            radius = max(1, round((0.16 + 0.1 * facing) * float(metre[0]) / scale))
            spot = np.zeros_like(glare)
            centre = (round(float(xy[0, 0]) / scale), round(float(xy[0, 1]) / scale))
            blue, green, red = (strength * c for c in lamp.colour)
            cv2.circle(spot, centre, radius, (blue, green, red), -1)
            glare += spot


def _facing(altitude: float, lamp: FloatArray, heading: float, ahead: float) -> float:
    to_camera = np.array([0.0, altitude, 0.0]) - lamp
    beam = np.array([np.sin(heading), 0.0, np.cos(heading)]) * ahead
    return float(beam @ to_camera / np.linalg.norm(to_camera))


def _bulbs(image: FloatArray, shot: Shot, setup: EffectSetup) -> None:
    view = setup.scene.view
    for actor, place in shot.cast:
        for lamp in actor.model.lamps:
            world = place.put(np.array([lamp.place]))
            ahead = 1.0 if lamp.ahead else -1.0
            if _facing(view.altitude, world[0], place.heading, ahead) > 0.05 and world[0, 2] > 0.6:
                xy, metre = view.project(world)
                centre = (round(float(xy[0, 0]) * 16), round(float(xy[0, 1]) * 16))
                blue, green, red = (min(255.0, 1.1 * c) for c in lamp.colour)
                radius = max(8, round(0.11 * float(metre[0]) * 16))
                cv2.circle(image, centre, radius, (blue, green, red), -1, cv2.LINE_8, 4)


def still(setup: EffectSetup) -> Camera:
    """Return a camera that never moves."""
    return lambda frame: _look(setup.format, (0.0, 0.0), 1.0, 0.0)


def shaken(setup: EffectSetup) -> Camera:
    """Return a camera on a mast that shakes in the wind."""
    total = setup.unlabelled + setup.labelled + 1
    moves = np.zeros((total, 3))
    for frame in range(1, total):
        moves[frame] = 0.62 * moves[frame - 1] + setup.rng.normal(0, (0.011, 0.009, 0.0035))
    return lambda frame: _look(
        setup.format,
        (np.clip(moves[frame, 0], -0.05, 0.05), np.clip(moves[frame, 1], -0.05, 0.05)),
        1.0,
        np.clip(moves[frame, 2], -0.01, 0.01),
    )


def steered(setup: EffectSetup) -> Camera:
    """Return a camera that pans and tilts, zooms in and out, or goes to and fro between two views, by turns."""
    total = setup.unlabelled + setup.labelled
    period = 0.9 * total
    phase = setup.rng.uniform(0, 1)

    def camera(frame: int) -> FloatArray:
        turn = 2 * np.pi * (frame / period + phase)
        if setup.index % 3 == 0:
            return _look(setup.format, (0.38 * np.sin(turn), 0.07 * np.sin(2 * turn)), 1.0, 0.0)
        if setup.index % 3 == 1:
            return _look(setup.format, (0.1 * np.sin(turn / 2), 0.0), float(1.1 - 0.35 * np.cos(turn)), 0.0)
        return _look(setup.format, (0.36 * np.tanh(3.5 * np.sin(1.5 * turn)), 0.03), 1.0, 0.0)

    return camera


def _look(format_: Format, aim: tuple[float, float], zoom: float, angle: float) -> FloatArray:
    """Return the map from canvas to frame, ``(2, 3)``; the aim is in frame sizes from the canvas' centre."""
    width, height = format_.size
    scale = zoom / format_.density
    middle = np.array([s / 2 for s in format_.canvas]) + np.multiply(aim, (width, height)) * format_.density
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # Pixel centres lie at half-integers of the geometry but at integers of OpenCV's warp.
    offset = np.array([width / 2, height / 2]) - turn @ middle + (turn @ np.array([0.5, 0.5])) - 0.5
    return np.concatenate([turn, offset[:, None]], 1)


def hot_air(setup: EffectSetup) -> Effect:
    """Rising hot air distorts the whole picture."""
    height = setup.format.size[1]
    slow = _Flow(setup.rng, setup.format.size, 9, 0.0042 * height, 0.4)
    fast = _Flow(setup.rng, setup.format.size, 26, 0.0028 * height, 1.1)

    def effect(shot: Shot, frame: int) -> None:
        where = slow(frame) + (fast(frame) - fast.grid)
        planes = (shot.image, shot.cover, shot.shade, shot.still)
        shot.image, shot.cover, shot.shade, shot.still = (_looked_up(plane, where) for plane in planes)

    return effect


def snowfall(setup: EffectSetup) -> Effect:
    """Snow falls near and far."""
    width, height = setup.format.size
    rng = setup.rng
    layers: list[tuple[int, float, float, float]] = [
        (260, 0.0022, 0.018, 0.45),
        (110, 0.0042, 0.035, 0.6),
        (26, 0.0085, 0.075, 0.5),
    ]
    drift = rng.uniform(-0.6, 0.6)
    flakes = [(rng.random((count, 2)), radius, speed, alpha) for count, radius, speed, alpha in layers]

    def effect(shot: Shot, frame: int) -> None:
        image = shot.image.astype(np.float32)
        for places, radius, speed, alpha in flakes:
            sway = 0.012 * np.sin(0.3 * frame + 40 * places[:, 0])
            x = np.mod(places[:, 0] + drift * speed * frame + sway, 1.0) * width
            y = (np.mod(places[:, 1] + speed * frame * (0.8 + 0.4 * places[:, 0]), 1.1) - 0.05) * height
            layer = np.zeros((height, width), np.uint8)
            length = 0.5 * speed * height
            ends = np.stack([x, y, x + drift * length, y + length], 1)
            thickness = max(1, round(2 * radius * height))
            for x0, y0, x1, y1 in np.round(ends * 16).astype(int).tolist():
                cv2.line(layer, (x0, y0), (x1, y1), (255,), thickness, cv2.LINE_8, 4)
            soft = np.asarray(cv2.GaussianBlur(layer, (0, 0), 0.3 + radius * height * 0.7), np.float32)
            image += (238 - image) * (soft * np.float32(alpha / 255))[..., None]
        shot.image = image

    return effect


def thermal(setup: EffectSetup) -> Effect:
    """Grey, blurred, with the stripes of an uncooled sensor."""
    width, height = setup.format.size
    stripes = setup.rng.normal(0, 1.1, (1, width)).astype(np.float32)

    def effect(shot: Shot, frame: int) -> None:
        grey = np.asarray(shot.image[..., 1], np.float32)
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), 0.0042 * height)) + stripes
        shot.image = np.repeat(grey[..., None], 3, 2)

    return effect


def steps(setup: EffectSetup) -> Effect:
    """The light changes from one frame to another, as it does when frames are far apart in time."""
    total = setup.unlabelled + setup.labelled + 1
    level = np.ones(total)
    for frame in range(1, total):
        level[frame] = setup.rng.uniform(0.86, 1.12) if setup.rng.random() < 0.12 else level[frame - 1]

    def effect(shot: Shot, frame: int) -> None:
        shot.image = shot.image.astype(np.float32) * np.float32(level[frame])

    return effect


def sensor(noise: float, blur: float) -> EffectFactory:
    """Return a camera sensor.

    Args:
        noise: Standard deviation of its noise in grey levels.
        blur: Blur of the lens, as a fraction of the frame's height.
    """

    def factory(setup: EffectSetup) -> Effect:
        width, height = setup.format.size
        rng = setup.rng
        bank = rng.standard_normal((height + 64, width + 64, 3), np.float32)
        bank = (0.75 * bank.mean(2, keepdims=True) * np.sqrt(3) + 0.66 * bank) * np.float32(noise)
        tint = rng.uniform(0.985, 1.015, 3).astype(np.float32)
        phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(50, 120)

        def effect(shot: Shot, frame: int) -> None:
            gain = tint if shot.image.ndim == 3 and not _grey(shot) else np.ones(3, np.float32)
            drift = np.float32(1 + 0.012 * np.sin(phase + 2 * np.pi * frame / period))
            image = np.asarray(cv2.GaussianBlur(shot.image.astype(np.float32), (0, 0), max(blur * height, 0.3)))
            top, left = rng.integers(0, 64, 2)
            grain = bank[top : top + height, left : left + width]
            if _grey(shot):
                grain = np.repeat(grain[..., :1], 3, 2)
            if rng.random() < 0.5:
                grain = grain[:, ::-1]
            shot.image = np.clip(image * (gain * drift) + grain, 0, 255).astype(np.uint8)

        return effect

    return factory


def _grey(shot: Shot) -> bool:
    return bool((shot.image[0, :, 0] == shot.image[0, :, 2]).all())
