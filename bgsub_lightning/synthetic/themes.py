"""The places that synthetic videos show: their materials, what stands there, and where things move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bgsub_lightning.synthetic import models
from bgsub_lightning.synthetic.drawing import Light, Place, draw, plant, stamp, tree
from bgsub_lightning.synthetic.foliage import bough, twiggy
from bgsub_lightning.synthetic.geometry import (
    FloatArray,
    Format,
    Lens,
    Material,
    Noise,
    Painting,
    Plane,
    Texels,
    View,
    paint,
)
from bgsub_lightning.synthetic.materials import (
    Colour,
    bricks,
    facade,
    grass,
    mix,
    panelled,
    plain,
    shaded,
    sky,
    slabs,
    strips,
    water,
)

Route = tuple[tuple[float, float], ...]
"""Way points (x, z) on the ground, in metres."""


@dataclass(frozen=True)
class Lane:
    """Where objects pass: their kinds, the way, metres per frame, and frames between two of them."""

    kinds: tuple[str, ...]
    route: Route
    speed: float
    gap: float


@dataclass(frozen=True)
class Bay:
    """Where an object stops: its kind, the way there and away; `stop` is the way point at which it stays."""

    kind: str
    route: Route
    stop: int
    speed: float


@dataclass(frozen=True)
class Scenery:
    """A place, ready for its actors."""

    view: View
    painting: Painting
    lanes: tuple[Lane, ...]
    bays: tuple[Bay, ...]
    noise: Noise
    water: float = 0.0
    fountain: tuple[float, float] | None = None
    lamps: tuple[tuple[float, float, float], ...] = ()
    indoor: bool = False


@dataclass(frozen=True)
class Set:
    """Tools with which a theme builds a scene.

    Attributes:
        rng: Random numbers.
        format: The canvas.
        light: The light on props.
        snow: Whether the ground is covered with snow.
        night: Whether windows are lit.
        windy: Whether leaves are kept apart from the background, so that a gale can move them.
        eye: Height of the camera in metres, instead of the theme's own.
    """

    rng: np.random.Generator
    format: Format
    light: Light
    snow: bool = False
    night: bool = False
    windy: bool = False
    eye: float | None = None
    noise: Noise = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", Noise.of(self.rng))

    def view(self, lens: Lens) -> View:
        """Return the camera; one at eye level sees people close by from head to foot."""
        if self.eye is not None:
            lens = replace(lens, altitude=self.eye, horizon=self.rng.uniform(0.14, 0.28))
        return self.format.view(lens)

    def pick(self, *colours: Colour, spread: float = 0.015) -> Colour:
        """Draw one of some colours, varied a little in hue and more in brightness."""
        hue = self.rng.uniform(1 - spread, 1 + spread, 3) * self.rng.uniform(0.9, 1.08)
        chosen = np.asarray(colours[int(self.rng.integers(len(colours)))]) * hue
        return float(chosen[0]), float(chosen[1]), float(chosen[2])

    def ground(self, material: Material, cover: float = 0.88) -> Material:
        """Return a ground, under snow in winter."""
        if not self.snow:
            return material
        white = plain((232, 228, 224), 2.0, 0.05, 0.03)

        def snowy(t: Texels) -> FloatArray:
            patches = np.clip(cover + 0.28 * t.fractal(2.5), 0, 1)
            return mix(material(t), white(t), patches)

        return snowy

    def sky(self) -> Material:
        """Return a sky."""
        if self.snow:
            return sky((190, 186, 182), (206, 204, 202), 0.2)
        return sky(
            self.pick((214, 168, 122), (206, 184, 160), (196, 150, 100)), (226, 220, 214), self.rng.uniform(0.2, 1)
        )

    def leaves(self) -> Colour:
        """Return a colour of leaves."""
        return self.pick((46, 120, 84), (40, 96, 60), (52, 128, 112), (44, 104, 92), spread=0.1)

    def plant(
        self, painting: Painting, view: View, trees: Sequence[tuple[float, float, float]], trunk: float = 0.28
    ) -> None:
        """Plant trees (x, z, height), farthest first."""
        tallest = max((height * view.focal / z for _, z, height in trees), default=0.0)
        pixels = int(np.clip(tallest, 12, 1.2 * view.canvas[1]))
        kinds = [tree(self.rng, pixels, self.leaves(), trunk, bare=self.snow and trunk > 0.1) for _ in range(5)]
        if self.windy and trunk > 0.1:
            kinds[1:] = [twiggy(self.rng, pixels, self.leaves(), trunk) for _ in range(4)]
        for x, z, height in sorted(trees, key=lambda t: -t[1]):
            sprite = kinds[int(self.rng.integers(len(kinds)))][:, :: int(self.rng.choice([-1, 1]))]
            tone = self.rng.uniform(0.8, 1.1, 4) * (1, 1, 1, 0) + (0, 0, 0, 1)
            plant(painting, view, np.clip(sprite * tone, 0, 255).astype(np.uint8), x, z, height, self.windy)

    def overhang(self, painting: Painting, view: View, boughs: int, depth: float) -> None:
        """Let boughs hang into the picture from above and from the sides, close to the camera."""
        width, height = view.canvas
        for _ in range(boughs):
            side = self.rng.choice(["left", "right", "top"], p=[0.3, 0.3, 0.4])
            along = float(self.rng.uniform(0.0, 0.45) * height)
            start, angle = {
                "left": ((-0.02 * width, along), self.rng.uniform(-0.3, 0.8)),
                "right": ((1.02 * width, along), np.pi - self.rng.uniform(-0.3, 0.8)),
                "top": ((self.rng.uniform(0, 1) * width, -0.03 * height), self.rng.uniform(0.6, 2.5)),
            }[str(side)]
            reach = self.rng.uniform(0.3, 0.6) * height
            painting.loose.append(bough(self.rng, view.canvas, start, reach, float(angle), self.leaves(), depth))

    def erect(self, painting: Painting, view: View, props: Sequence[tuple[models.Model, Place]]) -> None:
        """Put up models that never move, farthest first."""
        for model, place in sorted(props, key=lambda p: -p[1].z):
            if patch := draw(view, model, place, self.light):
                stamp(painting, patch, place.z)


def _across(view: View, z: float, pad: float = 3.0, to_left: bool = False, slope: float = 0.0) -> Route:
    left, right = view.span(z, pad)
    route = ((left, z - slope), (right, z + slope))
    return route[::-1] if to_left else route


def _row(
    rng: np.random.Generator, view: View, z: float, step: float, height: tuple[float, float]
) -> list[tuple[float, float, float]]:
    left, right = view.span(z, 2.0)
    places = np.arange(left, right, step) + rng.uniform(-0.3, 0.3, len(np.arange(left, right, step))) * step
    return [(float(x), z * float(rng.uniform(0.96, 1.04)), float(rng.uniform(*height))) for x in places]


_WHITE: Colour = (226, 230, 232)
_YELLOW: Colour = (96, 186, 222)


def highway(s: Set) -> Scenery:
    """A road seen from an overpass, running away from the camera."""
    rng = s.rng
    side = float(rng.choice([-1, 1]))
    lens = Lens(
        rng.uniform(1.5, 1.7), rng.uniform(0.06, 0.14), rng.uniform(6.2, 7.0), 0.5 + side * rng.uniform(0.1, 0.2)
    )
    view = s.view(lens)
    near = view.nearest()
    shift = -side * 2.2
    tar = shaded(plain(s.pick((112, 112, 114), (98, 96, 94), (122, 126, 132)), 3.0, 0.07, 0.05), 0.16, 7.0)
    verge = s.ground(grass())
    bands = [(-99.0, verge), (-7.2 + shift, s.ground(plain((150, 156, 162)), 0.4)), (-5.8 + shift, s.ground(tar, 0.1))]
    bands += [(5.8 + shift, s.ground(plain((150, 156, 162)), 0.4)), (7.2 + shift, verge)]
    marks = [
        (-5.3 + shift, 0.16, _WHITE),
        (5.3 + shift, 0.16, _YELLOW),
        (-1.77 + shift, -0.16, _WHITE),
        (1.77 + shift, -0.16, _WHITE),
    ]
    painting = paint(view, [Plane("y", 0, strips("u", bands, marks), v=(0.5, 900))], s.sky(), s.noise)
    trees = [
        (float(x) + shift, float(z), rng.uniform(5, 9))
        for z in np.geomspace(near * 1.3, 180, 22)
        for x in (-rng.uniform(10, 16), rng.uniform(10, 16))
    ]
    trees += [(float(rng.uniform(-60, 60)), float(rng.uniform(150, 220)), rng.uniform(8, 14)) for _ in range(40)]
    s.plant(painting, view, trees, 0.12)
    rails = [
        (models.fence(9.0, 0.9, (126, 130, 132)), Place(sign * 7.6 + shift, float(z)))
        for sign in (-1, 1)
        for z in np.arange(near * 0.8, 110, 9.0)
    ]
    s.erect(painting, view, rails)
    ways = [(-3.5, True), (0.0, True), (3.5, False)]
    lanes = []
    for x, towards in ways:
        route: Route = ((x + shift, 130.0), (x + shift, near - 3.5))
        lanes.append(Lane(("vehicle",), route if towards else route[::-1], rng.uniform(1.1, 1.5), rng.uniform(38, 60)))
    curb = 6.4 * side * -1 + shift
    bays = tuple(
        Bay("vehicle", ((shift, 120.0), (shift, z + 14), (curb * 0.82, z), (shift, z - 9), (shift, near - 4)), 2, 1.2)
        for z in (near + 9, near + 20)
    )
    lamps = tuple((sign * 7.0 + shift, float(z), 6.0) for z in np.arange(near + 6, 120, 24) for sign in (-1, 1))
    return Scenery(view, painting, tuple(lanes), bays, s.noise, lamps=lamps)


def street(s: Set) -> Scenery:
    """A road along a row of houses."""
    rng = s.rng
    view = s.view(Lens(rng.uniform(1.05, 1.2), rng.uniform(0.3, 0.36), rng.uniform(3.2, 3.8), rng.uniform(0.4, 0.6)))
    tar = shaded(plain(s.pick((104, 104, 106), (88, 88, 92), (116, 120, 124)), 2.5, 0.07, 0.05), 0.12)
    paving = s.ground(slabs(s.pick((150, 156, 160), (138, 150, 166), (160, 158, 152))), 0.65)
    kerb = s.ground(plain((176, 180, 182), 1, 0.04), 0.5)
    bands = [(0.0, paving), (7.3, kerb), (7.55, s.ground(tar, 0.12)), (14.2, kerb), (14.5, paving)]
    marks = [(10.9, -0.14, _WHITE), (7.9, 0.12, _YELLOW)]
    wall: Callable[[], Material] = lambda: (  # noqa: E731 - drawn again for each house
        bricks(s.pick((84, 96, 156), (96, 112, 150), (120, 136, 168)))
        if rng.random() < 0.5
        else plain(s.pick((176, 196, 208), (150, 178, 206), (190, 192, 186), (160, 186, 176)), 3.0, 0.05)
    )
    planes = [Plane("y", 0, strips("v", bands, marks, 6.0), v=(0.3, 60))]
    left, right = view.span(18.5, 4)
    edge = left
    while edge < right:
        width, height = 2.6 * int(rng.integers(3, 6)), 3.1 * int(rng.integers(2, 5)) + 0.5
        house = facade(wall(), s.pick((224, 226, 226), (60, 66, 72), (150, 190, 200)), lit=s.night)
        planes.append(Plane("z", 18.5 + rng.uniform(0, 0.3), _from(house, edge), u=(edge, edge + width), v=(0, height)))
        edge += width
    painting = paint(view, planes, s.sky(), s.noise)
    s.plant(
        painting,
        view,
        [(float(x), 15.3, rng.uniform(3.6, 5)) for x in np.arange(left * 0.7 + rng.uniform(0, 4), right * 0.8, 8.5)],
        0.4,
    )
    s.erect(
        painting,
        view,
        [(models.post(5.5, arm=-0.9), Place(float(x), 14.9)) for x in np.arange(left * 0.8 + 4, right, 13.0)],
    )
    lanes = (
        Lane(
            ("vehicle", "vehicle", "vehicle", "cyclist"),
            _across(view, 9.3, 4),
            rng.uniform(0.38, 0.5),
            rng.uniform(60, 75),
        ),
        Lane(
            ("person", "person", "person", "dog"),
            _across(view, 6.5, 1, bool(rng.random() < 0.5)),
            rng.uniform(0.08, 0.1),
            rng.uniform(55, 75),
        ),
        Lane(("vehicle",), _across(view, 11.8, 4, True), rng.uniform(0.4, 0.52), rng.uniform(60, 85)),
        Lane(
            ("person",), _across(view, 16.6, 1, bool(rng.random() < 0.5)), rng.uniform(0.08, 0.1), rng.uniform(60, 90)
        ),
    )
    bays = tuple(
        Bay(
            "vehicle",
            (*_across(view, 11.9, 5)[1:], (x + 5, 11.9), (x, 13.4), (x - 5, 11.9), *_across(view, 11.9, 5)[:1]),
            2,
            0.35,
        )
        for x in (-2.6, 3.4)
    )
    lamps = tuple((float(x), 14.0, 5.5) for x in np.arange(left * 0.8 + 4, right, 13.0))
    return Scenery(view, painting, lanes, bays, s.noise, lamps=lamps)


def _from(material: Material, edge: float) -> Material:
    """Shift a material so that its pattern begins at an edge."""
    return lambda t: material(replace(t, u=t.u - edge))


def plaza(s: Set) -> Scenery:
    """A paved square in front of a large building."""
    rng = s.rng
    view = s.view(Lens(rng.uniform(1.15, 1.3), rng.uniform(0.22, 0.3), rng.uniform(3.6, 4.1), rng.uniform(0.35, 0.65)))
    stone = s.pick((160, 170, 178), (140, 156, 176), (170, 172, 168))
    paving = s.ground(shaded(slabs(stone, (1.2, 0.8), 0.03), 0.12))
    bands = [
        (0.0, paving),
        (11.0, s.ground(slabs((110, 122, 136), (0.4, 0.4)))),
        (11.9, paving),
        (22.0, s.ground(grass())),
    ]
    wall = plain(s.pick((150, 176, 200), (178, 186, 190), (128, 146, 170)), 4.0, 0.05)
    wall = bricks(s.pick((96, 110, 156), (132, 148, 168))) if rng.random() < 0.4 else wall
    bay, storey = float(rng.choice([2.6, 3.2, 4.0])), float(rng.choice([3.2, 3.6]))
    front = facade(wall, s.pick((70, 74, 78), (214, 216, 216)), bay, storey, lit=s.night)
    planes = [Plane("y", 0, strips("v", bands), v=(0.3, 120)), Plane("z", 27.0, front, v=(0, 3 * storey + 0.6))]
    painting = paint(view, planes, s.sky(), s.noise)
    s.plant(painting, view, _row(rng, view, 24.0, 6.5, (4.0, 6.0)), 0.3)
    s.plant(painting, view, _row(rng, view, 22.6, 1.3, (0.8, 1.2)), 0.02)
    if s.windy:
        s.plant(painting, view, _row(rng, view, 17.0, 7.0, (6.0, 9.0)), 0.3)
        s.overhang(painting, view, int(rng.integers(2, 5)), 4.0)
    left, right = view.span(15.0)
    props = [(models.bench(), Place(float(x), 20.8, np.pi)) for x in np.arange(left, right, 6.0)]
    props += [(models.post(4.5), Place(float(x), 18.5)) for x in np.arange(left + 2, right, 11.0)]
    s.erect(painting, view, props)
    lanes = (
        Lane(
            ("person",),
            _across(view, 8.4, 1, bool(rng.random() < 0.5), 0.9),
            rng.uniform(0.09, 0.11),
            rng.uniform(50, 64),
        ),
        Lane(
            ("person", "cyclist", "person", "dog"),
            _across(view, 11.4, 1, bool(rng.random() < 0.5), -0.6),
            rng.uniform(0.11, 0.14),
            rng.uniform(48, 60),
        ),
        Lane(
            ("person",),
            _across(view, 14.5, 1, bool(rng.random() < 0.5), 1.5),
            rng.uniform(0.09, 0.11),
            rng.uniform(64, 90),
        ),
        Lane(
            ("person",),
            ((rng.uniform(-3, 0), 24.0), (rng.uniform(0, 2.5), 4.2)),
            rng.uniform(0.1, 0.12),
            rng.uniform(90, 120),
        ),
    )
    bays = (
        Bay("person", (*_across(view, 9.4, 1)[:1], (-1.6, 9.6), *_across(view, 9.0, 1)[1:]), 1, 0.1),
        Bay("person", (*_across(view, 8.0, 1)[1:], (1.9, 7.6), *_across(view, 8.6, 1)[:1]), 1, 0.1),
    )
    lamps = tuple((float(x), 18.5, 4.5) for x in np.arange(left + 2, right, 11.0))
    return Scenery(view, painting, lanes, bays, s.noise, fountain=(rng.uniform(-1, 1), 15.5), lamps=lamps)


def park(s: Set) -> Scenery:
    """A path through a lawn with trees."""
    rng = s.rng
    view = s.view(Lens(rng.uniform(1.15, 1.3), rng.uniform(0.3, 0.36), rng.uniform(2.5, 2.8), rng.uniform(0.4, 0.6)))
    lawn = s.ground(shaded(grass(s.pick((52, 124, 96), (60, 140, 118), (44, 104, 84))), 0.25, 4.0))
    gravel = s.ground(plain(s.pick((150, 172, 186), (168, 178, 184), (132, 152, 170)), 1.2, 0.06, 0.08), 0.5)
    bands = [(0.0, lawn), (6.6, gravel), (9.4, lawn), (16.0, gravel), (17.6, lawn)]
    painting = paint(view, [Plane("y", 0, strips("v", bands), v=(0.3, 400))], s.sky(), s.noise)
    trees = [t for z, step in ((60.0, 4.0), (45.0, 6.0), (30.0, 7.0)) for t in _row(rng, view, z, step, (7, 11))]
    trees += [
        (float(x), float(rng.uniform(12.5, 15)), rng.uniform(5, 6.5)) for x in (-rng.uniform(2.5, 6), rng.uniform(3, 6))
    ]
    s.plant(painting, view, trees, 0.22)
    s.plant(painting, view, _row(rng, view, 20.0, 1.4, (0.9, 1.5)), 0.02)
    if s.windy:
        s.overhang(painting, view, int(rng.integers(1, 4)), 4.0)
    left, right = view.span(10.0)
    s.erect(painting, view, [(models.bench(), Place(float(x), 10.0, np.pi)) for x in (left * 0.5, right * 0.5)])
    lanes = (
        Lane(
            ("person", "person", "cyclist", "dog"),
            _across(view, 7.4, 1, bool(rng.random() < 0.5), 0.3),
            rng.uniform(0.09, 0.12),
            rng.uniform(34, 46),
        ),
        Lane(
            ("person", "cyclist"),
            _across(view, 8.6, 1, bool(rng.random() < 0.5), 0.3),
            rng.uniform(0.1, 0.13),
            rng.uniform(36, 52),
        ),
        Lane(
            ("person",), _across(view, 16.8, 1, bool(rng.random() < 0.5)), rng.uniform(0.09, 0.12), rng.uniform(50, 75)
        ),
    )
    bays = (
        Bay("person", (*_across(view, 8.2, 1)[:1], (-1.2, 8.3), *_across(view, 8.0, 1)[1:]), 1, 0.1),
        Bay("person", (*_across(view, 7.2, 1)[1:], (1.6, 7.0), *_across(view, 7.4, 1)[:1]), 1, 0.1),
    )
    return Scenery(
        view, painting, lanes, bays, s.noise, lamps=tuple((float(x), 9.6, 4.0) for x in np.arange(left, right, 7.0))
    )


def avenue(s: Set) -> Scenery:
    """A road among large trees, seen from under the boughs of another."""
    rng = s.rng
    view = s.view(Lens(rng.uniform(1.05, 1.3), rng.uniform(0.38, 0.54), rng.uniform(2.0, 3.4), rng.uniform(0.35, 0.65)))
    lawn = s.ground(shaded(grass(s.pick((52, 124, 96), (60, 140, 118), (56, 118, 124))), 0.35, 3.0))
    tar = shaded(plain(s.pick((112, 112, 114), (98, 96, 94), (126, 130, 136)), 2.5, 0.07, 0.05), 0.35, 3.0)
    gravel = shaded(plain(s.pick((150, 172, 186), (168, 178, 184), (132, 152, 170)), 1.2, 0.06, 0.08), 0.3, 3.0)
    road = bool(rng.random() < 0.7)
    kerb = plain((172, 176, 178), 1, 0.04)
    bands = [(0.0, lawn), (7.6, gravel), (9.2, kerb), (9.4, tar if road else gravel), (15.4, kerb), (15.6, lawn)]
    marks = [(12.4, -0.14, _WHITE)] if road else []
    planes = [Plane("y", 0, strips("v", bands, marks, 6.0), v=(0.3, 300))]
    if rng.random() < 0.6:
        front = facade(
            plain(s.pick((120, 160, 190), (176, 186, 190), (96, 128, 160)), 4.0, 0.05),
            s.pick((70, 74, 78), (214, 216, 216)),
        )
        left, right = sorted(rng.uniform(-30, 30, 2))
        planes.append(Plane("z", 48.0, front, u=(left - 8, right + 8), v=(0, 3.2 * int(rng.integers(2, 5)))))
    painting = paint(view, planes, s.sky(), s.noise)
    s.plant(
        painting, view, _row(rng, view, 60.0, 5.0, (8, 15)) + _row(rng, view, 40.0, rng.uniform(6, 11), (8, 13)), 0.15
    )
    s.plant(painting, view, _row(rng, view, 18.5, rng.uniform(4.5, 9.0), (6, 10)), 0.25)
    s.plant(painting, view, _row(rng, view, 22.0, 1.5, (1.0, 2.2)), 0.02)
    if rng.random() < 0.7:
        x = rng.uniform(0.55, 0.95) * float(rng.choice([-1, 1])) * view.span(6.0)[1]
        s.plant(painting, view, [(x, 6.0, rng.uniform(4.2, 6.0))], 0.3)
    if rng.random() < 0.5:
        z = max(1.05 * view.nearest(), 3.2)
        left, right = view.span(z)
        hedge = np.arange(left, rng.uniform(0.3, 1.0) * right, 0.5)[:: int(rng.choice([-1, 1]))]
        s.plant(painting, view, [(float(x), z, rng.uniform(0.6, 1.1)) for x in hedge], 0.02)
    s.overhang(painting, view, int(rng.integers(2, 7)), 3.6)
    wheels = ("vehicle", "vehicle", "cyclist") if road else ("cyclist", "person")
    speed = rng.uniform(0.3, 0.45) if road else rng.uniform(0.12, 0.18)
    lanes = (
        Lane(
            ("person", "person", "dog", "cyclist"),
            _across(view, 8.3, 1, bool(rng.random() < 0.5), 0.2),
            rng.uniform(0.09, 0.12),
            rng.uniform(60, 90),
        ),
        Lane(wheels, _across(view, 10.8, 4), speed, rng.uniform(60, 80)),
        Lane(wheels, _across(view, 13.9, 4, True), speed, rng.uniform(60, 90)),
        Lane(
            ("person",), _across(view, 20.3, 1, bool(rng.random() < 0.5)), rng.uniform(0.09, 0.12), rng.uniform(60, 90)
        ),
    )
    bays = (
        Bay("person", (*_across(view, 8.4, 1)[:1], (-1.4, 8.2), *_across(view, 8.0, 1)[1:]), 1, 0.1),
        Bay("person", (*_across(view, 7.6, 1)[1:], (1.4, 7.4), *_across(view, 7.6, 1)[:1]), 1, 0.1),
    )
    return Scenery(view, painting, lanes, bays, s.noise)


def office(s: Set) -> Scenery:
    """A room with a desk, shelves, a door and a window."""
    rng = s.rng
    view = s.view(Lens(rng.uniform(0.9, 1.0), rng.uniform(0.26, 0.32), rng.uniform(2.3, 2.5), rng.uniform(0.38, 0.62)))
    wall = panelled(
        plain(s.pick((196, 206, 208), (176, 196, 200), (198, 190, 176)), 2.0, 0.03, 0.02),
        1.0,
        s.pick((150, 170, 176), (164, 150, 128), (120, 150, 170)),
    )
    floor = (
        slabs(s.pick((96, 128, 160), (80, 104, 132), (140, 146, 148)), (0.18, 1.4), 0.012)
        if rng.random() < 0.6
        else plain(s.pick((120, 108, 96), (96, 104, 120)), 0.8, 0.05, 0.09)
    )
    left, right, back = -rng.uniform(2.9, 3.3), rng.uniform(3.2, 3.8), rng.uniform(6.4, 7.0)
    planes = [
        Plane("y", 0, floor, u=(left, right), v=(0, back)),
        Plane("y", 2.9, plain((214, 216, 216), 2, 0.02, 0.01), u=(left, right), v=(0, back)),
        Plane("z", back, wall, u=(left, right), v=(0, 2.9)),
        Plane("x", left, wall, u=(0, back), v=(0, 2.9)),
        Plane("x", right, wall, u=(0, back), v=(0, 2.9)),
    ]
    door = rng.uniform(0.3, 1.4)
    planes += [
        Plane("z", back - 0.03, plain((214, 218, 220), 1, 0.02), u=(door - 0.6, door + 0.6), v=(0, 2.25)),
        Plane(
            "z",
            back - 0.05,
            plain(s.pick((70, 100, 140), (110, 120, 120), (96, 84, 70)), 0.7, 0.06),
            u=(door - 0.5, door + 0.5),
            v=(0, 2.15),
        ),
        Plane("x", left + 0.03, plain((226, 228, 228), 1, 0.02), u=(3.2, 5.4), v=(0.95, 2.3)),
        Plane("x", left + 0.05, sky((232, 214, 190), (240, 238, 232)), u=(3.3, 5.3), v=(1.05, 2.2)),
        Plane(
            "z",
            back - 0.03,
            plain(s.pick((90, 130, 170), (150, 110, 80), (80, 120, 90)), 0.3, 0.3),
            u=(door - 2.6, door - 1.4),
            v=(1.3, 2.1),
        ),
    ]
    painting = paint(view, planes, plain((200, 200, 200)), s.noise)
    props = [
        (models.furniture(rng, "shelf"), Place(right - 0.7, back - 0.3)),
        (models.furniture(rng, "cabinet"), Place(left + 1.0, back - 0.35)),
        (models.furniture(rng, "desk"), Place(left + 1.1, 4.6, 0.1)),
    ]
    s.erect(painting, view, props)
    lanes = (
        Lane(
            ("person",),
            _across(view, 4.6, 0.5, bool(rng.random() < 0.5), 0.2),
            rng.uniform(0.075, 0.09),
            rng.uniform(75, 95),
        ),
        Lane(
            ("person",),
            ((door, back - 0.3), (door - 0.3, 5.4), (right + 0.8, 4.0)),
            rng.uniform(0.07, 0.085),
            rng.uniform(70, 95),
        ),
    )
    bays = (
        Bay("person", (*_across(view, 3.9, 0.5)[:1], (-0.4, 4.0), *_across(view, 4.0, 0.5)[1:]), 1, 0.08),
        Bay("bag", (*_across(view, 5.3, 0.5)[1:], (1.0, 5.4), *_across(view, 5.5, 0.5)[1:]), 1, 0.08),
    )
    return Scenery(view, painting, lanes, bays, s.noise, indoor=True)


def corridor(s: Set) -> Scenery:
    """A long corridor with doors, along which people walk."""
    rng = s.rng
    view = s.view(Lens(rng.uniform(1.05, 1.25), rng.uniform(0.2, 0.26), rng.uniform(2.5, 2.7), rng.uniform(0.38, 0.62)))
    half = rng.uniform(1.9, 2.2)
    wall = panelled(
        plain(s.pick((204, 212, 214), (188, 204, 204), (206, 200, 188)), 2.5, 0.03, 0.02),
        1.1,
        s.pick((150, 120, 92), (120, 150, 150), (110, 130, 170)),
    )
    floor = slabs(s.pick((150, 158, 164), (132, 140, 150), (120, 146, 160)), (0.5, 0.5), 0.015)
    planes = [
        Plane("y", 0, floor, u=(-half, half), v=(0, 26)),
        Plane("y", 2.9, slabs((214, 216, 216), (0.6, 0.6), 0.03), u=(-half, half), v=(0, 26)),
        Plane("z", 26, facade(plain((180, 186, 188)), (90, 96, 100), 1.4, 2.9, False), u=(-half, half), v=(0, 2.9)),
    ]
    leaf = s.pick((70, 96, 132), (120, 96, 70), (96, 110, 112))
    for sign in (-1, 1):
        planes.append(Plane("x", sign * half, wall, v=(0, 2.9)))
        for z in np.arange(5.0 + rng.uniform(0, 2), 25, 4.2):
            planes.append(Plane("x", sign * (half - 0.02), plain((196, 200, 202)), u=(z - 0.6, z + 0.6), v=(0, 2.2)))
            planes.append(Plane("x", sign * (half - 0.04), plain(leaf, 0.7, 0.05), u=(z - 0.5, z + 0.5), v=(0, 2.1)))
    painting = paint(view, planes, plain((190, 190, 190)), s.noise)
    s.erect(
        painting,
        view,
        [
            (models.bench(), Place(half - 0.4, 8.6, -np.pi / 2)),
            (models.furniture(rng, "cabinet"), Place(-half + 0.4, 10.4, np.pi / 2)),
        ],
    )
    near = view.nearest() - 1.5
    # From eye level one sees who comes close: they turn off to a side instead of ending before the camera.
    left: Route = ((-0.3, near),) if s.eye is None else ((-0.5, 3.4), (-2.8, 1.7))
    right: Route = ((0.5, near),) if s.eye is None else ((2.8, 1.7), (0.5, 3.4))
    lanes = (
        Lane(("person",), ((-0.7, 24.0), *left), rng.uniform(0.12, 0.15), rng.uniform(44, 60)),
        Lane(("person",), (*right, (0.8, 24.0)), rng.uniform(0.12, 0.15), rng.uniform(50, 70)),
    )
    bays = (
        Bay("person", ((-0.8, 22.0), (-0.6, 5.6), *(((0.4, near),) if s.eye is None else left)), 1, 0.13),
        Bay(
            "bag",
            (*(((0.6, near),) if s.eye is None else right), (0.6, 5.0), (-0.4, 24.0)),
            1 if s.eye is None else 2,
            0.13,
        ),
    )
    return Scenery(view, painting, lanes, bays, s.noise, indoor=True)


def lake(s: Set) -> Scenery:
    """Open water with boats in front of a wooded bank."""
    rng = s.rng
    view = s.view(Lens(rng.uniform(1.25, 1.4), rng.uniform(0.28, 0.36), rng.uniform(2.8, 3.2), rng.uniform(0.4, 0.6)))
    surface = water(s.pick((124, 108, 74), (110, 112, 84), (96, 86, 66)), s.pick((206, 200, 186), (196, 196, 190)))
    bands = [(0.0, surface), (42.0, s.ground(plain((110, 132, 142), 1.0, 0.12))), (43.5, s.ground(grass()))]
    painting = paint(view, [Plane("y", 0, strips("v", bands), v=(0.3, 200))], s.sky(), s.noise)
    for z, step in ((70.0, 2.4), (58.0, 2.6), (50.0, 3.2)):
        s.plant(painting, view, _row(rng, view, z, step, (8, 13)), 0.05)
    s.plant(painting, view, _row(rng, view, 44.5, 1.2, (1.0, 2.2)), 0.02)
    lanes = (
        Lane(
            ("boat",),
            _across(view, 11.5, 3.5, bool(rng.random() < 0.5), 0.4),
            rng.uniform(0.12, 0.16),
            rng.uniform(66, 84),
        ),
        Lane(
            ("boat",),
            _across(view, 19.0, 3.5, bool(rng.random() < 0.5), -0.5),
            rng.uniform(0.14, 0.18),
            rng.uniform(80, 100),
        ),
        Lane(
            ("boat",), _across(view, 29.0, 3.5, bool(rng.random() < 0.5)), rng.uniform(0.16, 0.2), rng.uniform(100, 140)
        ),
    )
    bays = (Bay("boat", (*_across(view, 13.0, 3)[:1], (-1.0, 13.2), *_across(view, 12.6, 3)[1:]), 1, 0.15),)
    return Scenery(view, painting, lanes, bays, s.noise, water=42.0)


def parking(s: Set) -> Scenery:
    """A car park seen from above, with bays along its far side."""
    rng = s.rng
    view = s.view(Lens(rng.uniform(1.0, 1.1), rng.uniform(0.14, 0.2), rng.uniform(5.6, 6.2), rng.uniform(0.4, 0.6)))
    tar = shaded(plain(s.pick((106, 106, 108), (92, 94, 98), (120, 122, 126)), 3.0, 0.08, 0.05), 0.1)
    marked = strips("u", [(-99, tar)], [(2.7 * k + 1.35, 0.12, _WHITE) for k in range(-14, 14)])
    bands = [
        (0.0, s.ground(grass(), 0.6)),
        (6.6, s.ground(tar, 0.15)),
        (14.2, s.ground(marked, 0.15)),
        (19.6, s.ground(plain((170, 174, 176)), 0.6)),
        (20.0, s.ground(grass(), 0.7)),
    ]
    front = facade(bricks(s.pick((92, 104, 158), (120, 140, 170))), (220, 222, 222), 3.0, 3.2, False, s.night)
    planes = [Plane("y", 0, strips("v", bands), v=(0.3, 120)), Plane("z", 30.0, front, v=(0, 6.8))]
    painting = paint(view, planes, s.sky(), s.noise)
    s.plant(painting, view, _row(rng, view, 25.0, 5.5, (3.5, 5.5)), 0.25)
    s.plant(painting, view, _row(rng, view, 20.8, 1.1, (0.7, 1.0)), 0.02)
    free = {-1, 0, 2}
    left, right = view.span(17.0, 2.0)
    slots = [k for k in range(-14, 14) if left < 2.7 * k < right and k not in free and rng.random() < 0.7]
    s.erect(
        painting,
        view,
        [
            (models.vehicle(rng), Place(2.7 * k + rng.uniform(-0.15, 0.15), 17.0, 0.0 if rng.random() < 0.6 else np.pi))
            for k in slots
        ],
    )
    lanes = (
        Lane(
            ("person",),
            _across(view, 8.6, 1, bool(rng.random() < 0.5), 0.5),
            rng.uniform(0.09, 0.11),
            rng.uniform(46, 64),
        ),
        Lane(
            ("vehicle",), _across(view, 10.6, 4, bool(rng.random() < 0.5)), rng.uniform(0.26, 0.34), rng.uniform(70, 90)
        ),
        Lane(
            ("person",),
            _across(view, 13.4, 1, bool(rng.random() < 0.5), 0.4),
            rng.uniform(0.09, 0.11),
            rng.uniform(50, 70),
        ),
    )

    def bay(slot: int) -> Bay:
        x = 2.7 * slot
        enter, leave = _across(view, 11.2, 4)
        return Bay(
            "vehicle",
            (
                enter,
                (x - 4.5, 11.2),
                (x - 1.2, 12.0),
                (x, 14.0),
                (x, 16.9),
                (x, 14.0),
                (x + 1.2, 12.0),
                (x + 4.5, 11.2),
                leave,
            ),
            4,
            0.25,
        )

    return Scenery(
        view,
        painting,
        lanes,
        (bay(0), bay(-1), bay(2)),
        s.noise,
        lamps=tuple((float(x), 14.0, 5.0) for x in np.arange(left, right, 8.0)),
    )


def airfield(s: Set) -> Scenery:
    """A road across a dry plain, far away, through a telephoto lens."""
    rng = s.rng
    view = s.view(Lens(rng.uniform(6.5, 8.0), rng.uniform(0.3, 0.4), rng.uniform(5.5, 6.5), rng.uniform(0.4, 0.6)))
    soil = plain(s.pick((116, 146, 166), (128, 150, 160), (110, 130, 140)), 6.0, 0.12, 0.06)
    green = s.pick((70, 120, 112), (96, 136, 146), (60, 112, 92))
    dry = s.pick((110, 150, 160), (130, 164, 180))
    tar = plain((128, 130, 132), 5.0, 0.05, 0.03)
    bands = [
        (0.0, shaded(grass(green, dry), 0.2, 12.0)),
        (88.0, soil),
        (96.0, tar),
        (112.0, soil),
        (124.0, grass(green, dry)),
        (180.0, soil),
    ]
    painting = paint(
        view, [Plane("y", 0, strips("v", bands, [(104.0, -0.4, _WHITE)], 12.0), v=(1, 3000))], s.sky(), s.noise
    )
    far = _row(rng, view, 420.0, 5.0, (9, 15)) + _row(rng, view, 300.0, 22.0, (6, 9))
    s.plant(painting, view, far, 0.1)
    sheds = [
        models.shed(rng, s.pick((150, 160, 170), (110, 120, 160), (170, 170, 166), (140, 120, 96))) for _ in range(3)
    ]
    left, right = view.span(230.0)
    s.erect(
        painting,
        view,
        [
            (shed, Place(left + (right - left) * k, 230.0))
            for shed, k in zip(sheds, rng.uniform((0, 0.35, 0.7), (0.3, 0.65, 1)), strict=True)
        ],
    )
    s.erect(painting, view, [(models.post(3.0), Place(float(x), 114.0)) for x in np.arange(*view.span(114.0), 6.0)])
    lanes = (
        Lane(("vehicle",), _across(view, 100.0, 4), rng.uniform(0.26, 0.34), rng.uniform(45, 60)),
        Lane(("vehicle", "cyclist"), _across(view, 108.0, 4, True), rng.uniform(0.26, 0.34), rng.uniform(45, 65)),
        Lane(
            ("person",), _across(view, 92.0, 1, bool(rng.random() < 0.5)), rng.uniform(0.09, 0.12), rng.uniform(50, 80)
        ),
    )
    bays = (Bay("vehicle", (*_across(view, 106.0, 4)[:1], (0.0, 106.0), *_across(view, 106.0, 4)[1:]), 1, 0.3),)
    return Scenery(view, painting, lanes, bays, s.noise)


THEMES: dict[str, Callable[[Set], Scenery]] = {
    "highway": highway,
    "street": street,
    "plaza": plaza,
    "park": park,
    "office": office,
    "corridor": corridor,
    "lake": lake,
    "parking": parking,
    "airfield": airfield,
    "avenue": avenue,
}
