"""Low-polygon models of what moves or stands in a synthetic scene: x to the right, y up, z ahead, in metres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.synthetic.geometry import FloatArray
from bgsub_lightning.synthetic.materials import Colour, dimmed

Point = tuple[float, float, float]
Pose = Callable[[float], FloatArray]


@dataclass(frozen=True)
class Part:
    """A flat polygon, or the convex hull of balls.

    Attributes:
        points: Corners, or centres of the balls.
        colour: Blue, green, red.
        radii: Radii of the balls; empty for a polygon.
        normal: Outward normal of a polygon that is seen from one side alone, or zero.
        heat: Brightness to a thermal camera, 0…1.
        lift: How much nearer it counts when parts are sorted by depth, in metres.
    """

    points: Sequence[Point]
    colour: Colour
    radii: Sequence[float] = ()
    normal: Point = (0.0, 0.0, 0.0)
    heat: float = 0.35
    lift: float = 0.0


@dataclass(frozen=True)
class Lamp:
    """A light of a vehicle: where it is, its colour, and whether it shines ahead."""

    place: Point
    colour: Colour
    ahead: bool


@dataclass(frozen=True, eq=False)
class Model:
    """Parts, and where their points are in each phase of the motion.

    Attributes:
        parts: The parts in their resting pose.
        pose: Points of all parts, shape ``(N, 3)``, by the distance covered in metres; None for a rigid model.
        lamps: Lights that shine at night.
        afloat: Whether it is mirrored in water.
    """

    parts: tuple[Part, ...]
    pose: Pose | None = None
    lamps: tuple[Lamp, ...] = ()
    afloat: bool = False
    resting: FloatArray = field(init=False, repr=False)
    radii: FloatArray = field(init=False, repr=False)
    counts: NDArray[np.int64] = field(init=False, repr=False)
    starts: NDArray[np.int64] = field(init=False, repr=False)
    spans: tuple[slice, ...] = field(init=False, repr=False)
    normals: FloatArray = field(init=False, repr=False)
    colours: FloatArray = field(init=False, repr=False)
    heats: FloatArray = field(init=False, repr=False)
    lifts: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parts = self.parts
        counts = np.array([len(part.points) for part in parts])
        ends = np.cumsum(counts)
        arrays = {
            "resting": np.array([p for part in parts for p in part.points], np.float64),
            "radii": np.concatenate([part.radii or [0.0] * len(part.points) for part in parts]),
            "counts": counts,
            "starts": ends - counts,
            "spans": tuple(slice(int(end - count), int(end)) for end, count in zip(ends, counts, strict=True)),
            "normals": np.array([part.normal for part in parts], np.float64),
            "colours": np.array([part.colour for part in parts], np.float64),
            "heats": np.array([part.heat for part in parts], np.float64),
            "lifts": np.array([part.lift for part in parts], np.float64),
        }
        for name, array in arrays.items():
            object.__setattr__(self, name, array)

    def points(self, distance: float) -> FloatArray:
        """Return the points after a covered distance in metres."""
        return self.resting if self.pose is None else self.pose(distance)


def face(points: Sequence[Point], colour: Colour, centre: Point, heat: float = 0.35, lift: float = 0.0) -> Part:
    """Return a polygon that is seen from the side away from `centre`."""
    corners = np.asarray(points, np.float64)
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    normal /= max(float(np.linalg.norm(normal)), 1e-9)
    if normal @ (corners.mean(0) - np.asarray(centre)) < 0:
        normal = -normal
    return Part(points, colour, normal=(normal[0], normal[1], normal[2]), heat=heat, lift=lift)


def box(
    x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], colour: Colour, **extra: float
) -> list[Part]:
    """Return the five visible faces of a box."""
    centre = (sum(x) / 2, sum(y) / 2, sum(z) / 2)
    sides = [[(a, y[0], z[0]), (a, y[1], z[0]), (a, y[1], z[1]), (a, y[0], z[1])] for a in x]
    sides += [[(x[0], y[0], c), (x[0], y[1], c), (x[1], y[1], c), (x[1], y[0], c)] for c in z]
    sides += [[(x[0], y[1], z[0]), (x[1], y[1], z[0]), (x[1], y[1], z[1]), (x[0], y[1], z[1])]]
    return [face(side, colour, centre, **extra) for side in sides]


def limb(a: Point, b: Point, colour: Colour, radii: tuple[float, float], heat: float = 0.7, lift: float = 0.0) -> Part:
    """Return a tapered capsule."""
    return Part((a, b), colour, radii, heat=heat, lift=lift)


def _scaled(point: Point, centre: FloatArray, factor: float) -> Point:
    x, y, z = (float(c + factor * (p - c)) for p, c in zip(point, centre, strict=True))
    return x, y, z


@dataclass(frozen=True)
class _Body:
    """Side view of a vehicle: outline as (z, y) from the rear bumper over the roof to the front, belt line, width."""

    outline: tuple[tuple[float, float], ...]
    belt: float
    glass: tuple[int, ...]
    half: float = 0.88
    inset: float = 0.2
    wheels: tuple[float, float] = (-1.32, 1.35)


BODIES = {
    "sedan": _Body(
        (
            (-2.2, 0.34),
            (-2.24, 0.86),
            (-1.62, 0.97),
            (-1.0, 1.41),
            (0.25, 1.44),
            (1.0, 0.97),
            (2.05, 0.82),
            (2.2, 0.34),
        ),
        0.95,
        (2, 4),
    ),
    "hatchback": _Body(
        ((-1.9, 0.34), (-1.96, 0.95), (-1.5, 1.46), (0.2, 1.5), (0.95, 1.0), (1.8, 0.86), (1.95, 0.34)),
        0.97,
        (1, 3),
        wheels=(-1.2, 1.22),
    ),
    "wagon": _Body(
        ((-2.3, 0.38), (-2.34, 1.04), (-2.0, 1.66), (0.3, 1.7), (1.0, 1.1), (2.1, 0.98), (2.25, 0.38)),
        1.06,
        (1, 3),
        half=0.94,
    ),
    "van": _Body(
        ((-2.5, 0.4), (-2.55, 1.2), (-2.45, 2.15), (1.1, 2.15), (1.9, 1.2), (2.45, 1.05), (2.55, 0.4)),
        1.2,
        (1, 3),
        half=1.0,
        inset=0.12,
        wheels=(-1.5, 1.65),
    ),
}

PAINTS: tuple[Colour, ...] = (
    (214, 214, 212), (168, 170, 172), (96, 96, 98), (52, 50, 48), (44, 40, 150), (150, 86, 40), (96, 58, 36),
    (70, 104, 62), (128, 158, 176), (60, 128, 196), (188, 176, 150),
)  # fmt: skip
CLOTHES: tuple[Colour, ...] = (
    (52, 46, 44), (104, 66, 44), (46, 44, 148), (148, 108, 58), (70, 112, 74), (196, 198, 200), (90, 168, 206),
    (128, 76, 128), (60, 90, 128), (176, 158, 88), (60, 122, 214),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = ((92, 64, 48), (44, 42, 42), (88, 92, 96), (74, 96, 122), (120, 88, 66), (132, 152, 164))
SKINS: tuple[Colour, ...] = ((142, 168, 212), (110, 142, 192), (72, 98, 148), (48, 66, 104))
HAIRS: tuple[Colour, ...] = ((26, 28, 34), (36, 52, 82), (92, 142, 174), (110, 112, 116))


def _choose(rng: np.random.Generator, colours: Sequence[Colour], spread: float = 0.12) -> Colour:
    colour = np.asarray(colours[int(rng.integers(len(colours)))]) * rng.uniform(1 - spread, 1 + spread, 3)
    blue, green, red = np.clip(colour, 8, 245)
    return float(blue), float(green), float(red)


def vehicle(rng: np.random.Generator, kind: str | None = None) -> Model:
    """Return a car or a van: an extruded outline with windows, wheels, lamps and bumpers."""
    body = BODIES[kind or str(rng.choice(["sedan", "sedan", "hatchback", "hatchback", "wagon", "van"]))]
    paint = _choose(rng, PAINTS, 0.025)
    parts = [*_core(body, paint), *_shell(body, paint), *_sides(body, paint), *_wheels(body), *_ends(body)]
    front, rear = body.outline[-1][0], body.outline[0][0]
    x = body.half - 0.24
    lamps = [Lamp((side * x, 0.66, front), (205, 232, 250), True) for side in (-1, 1)]
    lamps += [Lamp((side * x, 0.76, rear), (24, 26, 220), False) for side in (-1, 1)]
    return Model(tuple(parts), lamps=tuple(lamps))


def _half(body: _Body, y: float) -> float:
    top = max(y for _, y in body.outline)
    return body.half - body.inset * min(max((y - body.belt) / (top - body.belt), 0.0), 1.0)


def _core(body: _Body, paint: Colour) -> list[Part]:
    """Fills the vehicle, so that the ground does not show through the seams of its shell."""
    lower = [(z, min(y, body.belt)) for z, y in body.outline]
    upper = [(z, y) for z, y in body.outline if y >= body.belt - 0.1]
    parts = []
    for outline in (lower, upper):
        corners = [(side * (_half(body, y) - 0.02), y - 0.01, z) for z, y in outline for side in (-1, 1)]
        parts.append(Part(corners, dimmed(paint, 0.85), [0.005] * len(corners), heat=0.42, lift=-4.0))
    return parts


def _shell(body: _Body, paint: Colour) -> list[Part]:
    """The bands across the vehicle: boot lid, roof, bonnet; windscreens are inset panes."""
    parts, centre = [], (0.0, body.belt * 0.8, 0.0)
    for index, ((z0, y0), (z1, y1)) in enumerate(pairwise(body.outline)):
        a, b = _half(body, y0), _half(body, y1)
        quad = [(-a, y0, z0), (a, y0, z0), (b, y1, z1), (-b, y1, z1)]
        parts.append(face(quad, paint, centre, heat=0.55 if z0 > 0.6 else 0.42))
        if index in body.glass:
            middle = np.mean(quad, 0)
            pane = [_scaled(p, middle, 0.84) for p in quad]
            parts.append(face(pane, (74, 66, 58), centre, heat=0.2, lift=0.1))
    return parts


def _sides(body: _Body, paint: Colour) -> list[Part]:
    parts: list[Part] = []
    lower = [(z, min(y, body.belt)) for z, y in body.outline]
    cabin = [(z, y) for z, y in body.outline if y >= body.belt - 0.02]
    z0, z1 = cabin[0][0], cabin[-1][0]
    mid_z, mid_y = (z0 + z1) / 2, (body.belt + max(y for _, y in cabin)) / 2
    sill = [
        (body.outline[0][0], 0.34),
        (body.outline[0][0], 0.5),
        (body.outline[-1][0], 0.5),
        (body.outline[-1][0], 0.34),
    ]
    for side in (-1, 1):
        inner = (0.0, 0.7, 0.0)
        flank = [(side * body.half, y, z) for z, y in lower]
        parts.append(face(flank, paint, inner, heat=0.42))
        parts.append(face([(side * body.half, y, z) for z, y in sill], dimmed(paint, 0.66), inner, lift=0.02))
        # Sunk a little into the flank, lest the ground shine through the seam.
        upper = [(z0, body.belt - 0.06), *cabin, (z1, body.belt - 0.06)]
        parts.append(face([(side * _half(body, y), y, z) for z, y in upper], paint, inner, heat=0.42))
        panes = [(mid_z + 0.84 * (z - mid_z), mid_y + 0.72 * (y - mid_y)) for z, y in cabin]
        parts.append(face([(side * _half(body, y), y, z) for z, y in panes], (66, 58, 50), inner, 0.2, lift=0.06))
        pillar = mid_z - 0.1
        post = [
            (pillar - 0.05, body.belt),
            (pillar - 0.05, mid_y + 0.2),
            (pillar + 0.05, mid_y + 0.2),
            (pillar + 0.05, body.belt),
        ]
        parts.append(face([(side * _half(body, y), y, z) for z, y in post], dimmed(paint, 0.8), inner, lift=0.1))
        mirror = (side * (body.half + 0.1), body.belt + 0.06, z1 - 0.25)
        parts.append(Part((mirror,), dimmed(paint, 0.85), (0.1,), heat=0.4))
    return parts


def _wheels(body: _Body) -> list[Part]:
    parts = []
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for side in (-1, 1):
        for z in body.wheels:
            for radius, colour, heat, lift in (
                (0.41, (20, 20, 20), 0.3, 0.1),
                (0.33, (34, 34, 34), 0.75, 0.2),
                (0.19, (142, 144, 146), 0.6, 0.3),
            ):
                rim = [(side * (body.half + 0.02), 0.33 + radius * np.sin(a), z + radius * np.cos(a)) for a in angles]
                parts.append(face(rim, colour, (0.0, 0.33, z), heat, lift))
    return parts


def _ends(body: _Body) -> list[Part]:
    """Lamps, grille, bumpers and number plates."""
    parts: list[Part] = []
    ends = ((body.outline[-1][0] + 0.01, (226, 234, 238), 1), (body.outline[0][0] - 0.01, (36, 34, 168), -1))
    for z, lamp, sign in ends:
        inner = (0.0, 0.7, 0.0)

        def rect(
            x: tuple[float, float],
            y: tuple[float, float],
            colour: Colour,
            lift: float,
            z: float = z,
            inner: Point = inner,
        ) -> None:
            quad = [(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)]
            parts.append(face(quad, colour, inner, 0.5, lift))

        rect((-body.half, body.half), (0.3, 0.5), (54, 54, 54), 0.08)
        rect((-0.26, 0.26), (0.42, 0.53), (206, 212, 214), 0.16)
        if sign > 0:
            rect((-0.45, 0.45), (0.56, 0.7), (40, 40, 40), 0.1)
        for side in (-1, 1):
            rect((side * (body.half - 0.34), side * (body.half - 0.06)), (0.6, 0.74), lamp, 0.14)
    return parts


@dataclass(frozen=True)
class _Build:
    """A person's proportions and clothes."""

    height: float
    skin: Colour
    hair: Colour
    shirt: Colour
    sleeves: Colour
    trousers: Colour
    stripe: Colour | None
    bag: Colour | None
    coat: bool

    @classmethod
    def of(cls, rng: np.random.Generator) -> _Build:
        """Draw a person."""
        skin, shirt = _choose(rng, SKINS), _choose(rng, CLOTHES)
        stripe = _choose(rng, CLOTHES) if rng.random() < 0.45 else None
        bag = _choose(rng, CLOTHES) if rng.random() < 0.35 else None
        sleeves = skin if rng.random() < 0.35 else dimmed(shirt, 0.92)
        return cls(
            height=float(rng.uniform(1.6, 1.86)),
            skin=skin,
            hair=_choose(rng, HAIRS),
            shirt=shirt,
            sleeves=sleeves,
            trousers=_choose(rng, TROUSERS),
            stripe=stripe,
            bag=bag,
            coat=bool(rng.random() < 0.25),
        )


_STRIDE = 1.45
"""Metres that a person walks in two steps."""


def _walk(distance: float) -> dict[str, Point]:
    """Joints of a walking person of 1.75 m."""
    phase = 2 * np.pi * distance / _STRIDE
    bob = 0.02 * float(np.cos(2 * phase))
    joints: dict[str, Point] = {
        "hip": (0.0, 0.95 + bob, 0.0),
        "chest": (0.0, 1.3 + bob, 0.03),
        "neck": (0.0, 1.47 + bob, 0.03),
        "head": (0.0, 1.62 + bob, 0.06),
    }
    for name, side in (("left", -1), ("right", 1)):
        swing = float(np.sin(phase)) * side
        bend = max(0.0, -float(np.cos(phase)) * side)
        thigh, shin = 0.4 * swing + 0.05, 0.4 * swing - 0.8 * bend - 0.05
        knee = (side * 0.1, 0.93 + bob - 0.44 * np.cos(thigh), 0.44 * np.sin(thigh))
        ankle = (side * 0.1, knee[1] - 0.43 * np.cos(shin), knee[2] + 0.43 * np.sin(shin))
        ankle = (ankle[0], max(float(ankle[1]), 0.06), ankle[2])
        arm = -0.36 * swing
        elbow = (side * 0.27, 1.4 + bob - 0.28 * np.cos(arm), 0.28 * np.sin(arm))
        hand = (side * 0.27, elbow[1] - 0.25 * np.cos(arm + 0.3), elbow[2] + 0.25 * np.sin(arm + 0.3))
        joints |= {f"{name} hip": (side * 0.09, 0.93 + bob, 0.0), f"{name} knee": knee, f"{name} ankle": ankle}
        joints |= {f"{name} toe": (side * 0.11, ankle[1] - 0.02, ankle[2] + 0.16)}
        joints |= {f"{name} shoulder": (side * 0.2, 1.41 + bob, 0.02), f"{name} elbow": elbow, f"{name} hand": hand}
    return joints


def _ride(distance: float) -> dict[str, Point]:
    """Joints of a person who pedals or paddles, sitting 0.9 m above the ground."""
    phase = 2 * np.pi * distance / 3.2
    joints: dict[str, Point] = {
        "hip": (0.0, 0.98, -0.28),
        "chest": (0.0, 1.32, -0.02),
        "neck": (0.0, 1.46, 0.06),
        "head": (0.0, 1.6, 0.12),
    }
    for name, side in (("left", -1), ("right", 1)):
        foot = (side * 0.1, 0.36 + 0.16 * side * np.sin(phase), 0.02 + 0.16 * side * np.cos(phase))
        knee = (side * 0.12, 0.55 + foot[1] * 0.5, 0.16 + 0.3 * foot[2])
        joints |= {f"{name} hip": (side * 0.09, 0.95, -0.26), f"{name} knee": knee, f"{name} ankle": foot}
        joints |= {f"{name} toe": (side * 0.1, foot[1] - 0.03, foot[2] + 0.14)}
        joints |= {f"{name} shoulder": (side * 0.19, 1.4, 0.0), f"{name} elbow": (side * 0.25, 1.16, 0.16)}
        joints |= {f"{name} hand": (side * 0.22, 1.04, 0.44)}
    return joints


def _person_parts(b: _Build, j: dict[str, Point]) -> list[Part]:
    parts = []
    for side in ("left", "right"):
        parts += [
            limb(j[f"{side} hip"], j[f"{side} knee"], b.trousers, (0.095, 0.07), 0.72),
            limb(j[f"{side} knee"], j[f"{side} ankle"], b.trousers, (0.07, 0.05), 0.68),
            limb(j[f"{side} ankle"], j[f"{side} toe"], (40, 38, 40), (0.055, 0.045), 0.5),
            limb(j[f"{side} shoulder"], j[f"{side} elbow"], b.sleeves, (0.075, 0.055), 0.75),
            limb(j[f"{side} elbow"], j[f"{side} hand"], b.sleeves, (0.05, 0.045), 0.85),
            Part((j[f"{side} hand"],), b.skin, (0.055,), heat=1.0, lift=0.02),
        ]
    hip, chest, neck, head = j["hip"], j["chest"], j["neck"], j["head"]
    parts.append(limb(hip, chest, b.shirt, (0.145, 0.175), 0.78, 0.04))
    parts.append(limb(j["left shoulder"], j["right shoulder"], b.shirt, (0.085, 0.085), 0.78, 0.04))
    if b.coat:
        parts.append(limb(hip, (hip[0], hip[1] - 0.32, hip[2]), b.shirt, (0.155, 0.185), 0.72, 0.06))
    if b.stripe:
        y, z = 0.6 * chest[1] + 0.4 * hip[1], 0.6 * chest[2] + 0.4 * hip[2]
        parts.append(limb((-0.1, y, z), (0.1, y, z), b.stripe, (0.07, 0.07), 0.78, 0.2))
    if b.bag:
        parts.append(
            limb(
                (0.0, chest[1] - 0.22, chest[2] - 0.2),
                (0.0, chest[1] + 0.08, chest[2] - 0.2),
                b.bag,
                (0.13, 0.12),
                0.45,
            )
        )
    back = (head[0], head[1] + 0.035, head[2] - 0.035)
    parts += [limb(neck, head, b.skin, (0.06, 0.1), 1.0, 0.05), Part((back,), b.hair, (0.108,), heat=0.85, lift=0.02)]
    return parts


def _articulate(parts: Callable[[float], list[Part]], height: float = 1.75, afloat: bool = False) -> Model:
    factor = height / 1.75

    def scaled(part: Part) -> Part:
        points = [(factor * x, factor * y, factor * z) for x, y, z in part.points]
        return replace(part, points=points, radii=[factor * radius for radius in part.radii])

    # A frame asks twice for the same pose: for the shadow, and for the model.
    @lru_cache(maxsize=2)
    def pose(distance: float) -> FloatArray:
        return np.array([p for part in parts(distance / factor) for p in part.points], np.float64) * factor

    return Model(tuple(scaled(part) for part in parts(0.0)), pose, afloat=afloat)


def person(rng: np.random.Generator) -> Model:
    """Return a pedestrian with swinging legs and arms."""
    build = _Build.of(rng)
    offset = rng.uniform(0, _STRIDE)
    return _articulate(lambda distance: _person_parts(build, _walk(distance + offset)), build.height)


def cyclist(rng: np.random.Generator) -> Model:
    """Return a pedalling cyclist."""
    build, frame = _Build.of(rng), _choose(rng, PAINTS)
    angles = np.linspace(0, 2 * np.pi, 13)

    def bicycle() -> list[Part]:
        parts = []
        for z in (-0.52, 0.54):
            rim = [(0.0, 0.34 + 0.32 * float(np.sin(a)), z + 0.32 * float(np.cos(a))) for a in angles]
            parts += [limb(a, b, (36, 36, 36), (0.025, 0.025), 0.5) for a, b in pairwise(rim)]
        bars: list[tuple[Point, Point]] = [
            ((0, 0.34, -0.52), (0, 0.36, 0.0)),
            ((0, 0.36, 0.0), (0, 0.86, -0.2)),
            ((0, 0.36, 0.0), (0, 0.8, 0.36)),
        ]
        bars += [
            ((0, 0.8, -0.16), (0, 0.84, 0.36)),
            ((0, 0.34, 0.54), (0, 1.0, 0.34)),
            ((-0.2, 1.0, 0.4), (0.2, 1.0, 0.4)),
        ]
        return parts + [limb(a, b, frame, (0.03, 0.03), 0.4) for a, b in bars]

    static = bicycle()
    return _articulate(lambda distance: static + _person_parts(build, _ride(distance)))


def dog(rng: np.random.Generator) -> Model:
    """Return a trotting dog."""
    coat = _choose(rng, HAIRS, 0.05)

    def parts(distance: float) -> list[Part]:
        phase = 2 * np.pi * distance / 0.7
        wag = 0.06 * float(np.sin(phase))
        body = [
            limb((0, 0.42, -0.25), (0, 0.45, 0.28), coat, (0.12, 0.14), 0.85),
            limb((0, 0.52, 0.32), (0, 0.62, 0.44), coat, (0.08, 0.09), 0.9),
            limb((0, 0.62, 0.46), (0, 0.57, 0.6), coat, (0.08, 0.045), 1.0),
            limb((0, 0.5, -0.32), (wag, 0.64, -0.5), coat, (0.035, 0.025), 0.7),
        ]
        for x, z, lag in ((-0.08, 0.24, 0.0), (0.08, 0.24, np.pi), (-0.08, -0.24, np.pi), (0.08, -0.24, 0.0)):
            swing = 0.14 * float(np.sin(phase + lag))
            body.append(limb((x, 0.36, z), (x, 0.03, z + swing), dimmed(coat, 0.85), (0.055, 0.035), 0.8))
        return body

    return _articulate(parts)


def boat(rng: np.random.Generator) -> Model:
    """Return a canoe with two or three paddlers."""
    hull, crew = _choose(rng, PAINTS[3:]), int(rng.integers(2, 4))
    stations = [
        (-2.4, 0.03, 0.62),
        (-2.0, 0.3, 0.44),
        (-0.8, 0.46, 0.36),
        (0.8, 0.46, 0.36),
        (2.0, 0.3, 0.44),
        (2.4, 0.03, 0.62),
    ]
    sides: list[Part] = []
    for (z0, w0, y0), (z1, w1, y1) in pairwise(stations):
        for side in (-1, 1):
            rail = [(side * w0, y0, z0), (side * w1, y1, z1)]
            quad = [*rail, (side * w1 * 0.6, -0.02, z1 * 0.94), (side * w0 * 0.6, -0.02, z0 * 0.94)]
            sides.append(face(quad, hull, (0.0, 0.1, 0.0), 0.45, lift=0.25))
            sides.append(limb(rail[0], rail[1], dimmed(hull, 0.6), (0.025, 0.025), 0.4, 0.3))
    deck = [(w, y - 0.04, z) for z, w, y in stations] + [(-w, y - 0.04, z) for z, w, y in reversed(stations)]
    sides.append(Part(deck, dimmed(hull, 0.4), heat=0.4, lift=-0.3))
    builds = [(_Build.of(rng), z) for z in np.linspace(-1.4, 1.4, crew)]

    def parts(distance: float) -> list[Part]:
        found = list(sides)
        for number, (build, z) in enumerate(builds):
            found += _paddler(build, float(z), distance + 0.9 * number, 1 if number % 2 else -1)
        return found

    return _articulate(parts, afloat=True)


def _paddler(build: _Build, z: float, distance: float, side: int) -> list[Part]:
    sweep = float(np.sin(2 * np.pi * distance / 3.0))
    hand_up, hand_low = (side * 0.12, 1.0, z + 0.35 + 0.1 * sweep), (side * 0.42, 0.62, z + 0.35 + 0.22 * sweep)
    blade = (side * 0.58, 0.1 + 0.18 * max(sweep, 0.0), z + 0.35 + 0.5 * sweep)
    return [
        limb((0, 0.3, z), (0, 0.78, z + 0.04), build.shirt, (0.17, 0.18), 0.8),
        limb((0, 0.92, z + 0.05), (0, 1.05, z + 0.08), build.skin, (0.07, 0.1), 1.0),
        Part(((0.0, 1.1, z + 0.05),), build.hair, (0.11,), heat=0.9),
        limb((0.18, 0.82, z), hand_up if side > 0 else hand_low, build.sleeves, (0.07, 0.05), 0.85, 0.1),
        limb((-0.18, 0.82, z), hand_low if side > 0 else hand_up, build.sleeves, (0.07, 0.05), 0.85, 0.1),
        limb(hand_up, blade, (70, 110, 150), (0.02, 0.03), 0.4, 0.15),
    ]


def bag(rng: np.random.Generator) -> Model:
    """Return a suitcase that somebody leaves behind."""
    colour = _choose(rng, CLOTHES)
    x, z = (0.28, 0.72), (-0.14, 0.14)
    parts = box(x, (0.04, 0.66), z, colour, heat=0.4)
    parts += box((0.3, 0.7), (0.3, 0.36), (-0.15, 0.15), dimmed(colour, 0.6), heat=0.4, lift=0.05)
    parts.append(limb((0.4, 0.78, 0.0), (0.6, 0.78, 0.0), (40, 40, 40), (0.02, 0.02)))
    return Model(tuple(parts))


KINDS: dict[str, Callable[[np.random.Generator], Model]] = {
    "vehicle": vehicle,
    "person": person,
    "cyclist": cyclist,
    "dog": dog,
    "boat": boat,
    "bag": bag,
}


def post(height: float, colour: Colour = (72, 76, 78), arm: float = 0.0) -> Model:
    """Return a lamp post or a bollard."""
    parts = [limb((0, 0, 0), (0, height, 0), colour, (0.09, 0.06))]
    if arm:
        parts += [limb((0, height, 0), (arm, height + 0.2, 0), colour, (0.05, 0.04))]
        parts += [limb((arm, height + 0.18, 0), (arm * 1.35, height + 0.16, 0), (196, 200, 200), (0.1, 0.08))]
    return Model(tuple(parts))


def bench(colour: Colour = (52, 84, 116)) -> Model:
    """Return a park bench that faces z."""
    parts = box((-0.9, 0.9), (0.42, 0.48), (-0.22, 0.25), colour) + box((-0.9, 0.9), (0.6, 0.95), (-0.3, -0.24), colour)
    for x in (-0.75, 0.75):
        parts += box((x - 0.05, x + 0.05), (0, 0.44), (-0.22, 0.22), (50, 50, 50))
    return Model(tuple(parts))


def fence(length: float, height: float = 1.0, colour: Colour = (74, 92, 82)) -> Model:
    """Return a fence along z."""
    parts = [limb((0, y, 0), (0, y, length), colour, (0.03, 0.03)) for y in (0.35 * height, 0.95 * height)]
    parts += [limb((0, 0, float(z)), (0, height, float(z)), colour, (0.04, 0.04)) for z in np.arange(0, length, 1.5)]
    return Model(tuple(parts))


def shed(rng: np.random.Generator, colour: Colour) -> Model:
    """Return a hangar with a pitched roof, a gate and a few windows."""
    half, height = float(rng.uniform(4, 7)), float(rng.uniform(3, 4.2))
    parts = box((-half, half), (0, height), (-3, 3), colour)
    roof = [
        (-half - 0.3, height, -3.2),
        (half + 0.3, height, -3.2),
        (half - 0.4, height + 1.6, 0.0),
        (0.4 - half, height + 1.6, 0.0),
    ]
    parts.append(Part(roof, dimmed(colour, 0.6), lift=0.5))
    gate = float(rng.uniform(-half + 2, half - 2))
    parts += box((gate - 1.3, gate + 1.3), (0, 0.75 * height), (-3.05, -3), dimmed(colour, 0.45), lift=0.4)
    for x in np.arange(-half + 0.6, half - 1, 1.9):
        if abs(x + 0.5 - gate) > 2:
            parts += box((float(x), float(x) + 0.9), (0.5 * height, 0.75 * height), (-3.05, -3), (86, 78, 70), lift=0.4)
    return Model(tuple(parts))


def furniture(rng: np.random.Generator, kind: str) -> Model:
    """Return a desk with a screen, a cabinet, a shelf of books, or a basin of a fountain."""
    wood = _choose(rng, ((70, 106, 146), (104, 140, 176), (150, 154, 156), (60, 74, 92)))
    if kind == "desk":
        parts = box((-0.9, 0.9), (0.7, 0.76), (-0.4, 0.4), wood) + box(
            (-0.88, -0.5), (0, 0.7), (-0.38, 0.36), dimmed(wood, 0.8)
        )
        parts += box((0.8, 0.88), (0, 0.7), (-0.38, 0.36), dimmed(wood, 0.7))
        parts += box((-0.1, 0.5), (0.9, 1.3), (0.05, 0.1), (46, 44, 44)) + box(
            (0.15, 0.25), (0.76, 0.9), (0.05, 0.1), (60, 60, 60)
        )
        parts += box((-0.07, 0.47), (0.93, 1.27), (0.04, 0.06), (150, 120, 84), lift=0.05)
        return Model(tuple(parts + box((-0.6, -0.3), (0.76, 0.8), (-0.2, 0.1), (214, 222, 224))))
    if kind == "shelf":
        parts = box((-0.6, 0.6), (0, 2.0), (-0.2, 0.2), wood)
        for y in (0.1, 0.48, 0.86, 1.24, 1.62):
            parts += box((-0.55, 0.55), (y, y + 0.33), (-0.22, -0.2), dimmed(wood, 0.4), lift=0.1)
            for x in np.arange(-0.52, 0.5, 0.07):
                if rng.random() < 0.8:
                    top = y + float(rng.uniform(0.2, 0.3))
                    parts += box((x, x + 0.06), (y, top), (-0.25, -0.22), _choose(rng, CLOTHES), lift=0.2)[2:3]
        return Model(tuple(parts))
    parts = box((-0.5, 0.5), (0, 1.1), (-0.25, 0.25), wood)
    for y in (0.06, 0.4, 0.74):
        parts += box((-0.45, 0.45), (y, y + 0.3), (-0.27, -0.25), dimmed(wood, 1.12), lift=0.1)
        parts += box((-0.08, 0.08), (y + 0.14, y + 0.17), (-0.29, -0.27), (60, 60, 60), lift=0.2)
    return Model(tuple(parts))
