"""Videos to train on: CDnet2014's categories and others, in its layout, with a mask for every frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bgsub_lightning.synthetic import effects
from bgsub_lightning.synthetic.actors import Actor, Track, left_behind, passers, visits
from bgsub_lightning.synthetic.geometry import View
from bgsub_lightning.synthetic.models import KINDS
from bgsub_lightning.synthetic.render import RECIPES, SUN, Recipe, VideoPlan, listed
from bgsub_lightning.synthetic.themes import Lane, Route, Scenery

_TALL = 1.75
"""Height of a person in metres."""
_WIDE = 2.2
"""How far apart vehicles pass each other, in metres."""


def _lanes(scene: Scenery) -> Iterator[Lane]:
    """Yield the lanes whose ends are out of sight, lest somebody vanish close to the camera."""
    for lane in scene.lanes:
        ends = (lane.route[0], lane.route[-1])
        if all(z > 6 or not scene.view.span(z)[0] < x < scene.view.span(z)[1] for x, z in ends):
            yield lane


def _passers(
    scene: Scenery, rng: np.random.Generator, last: int, pace: float, gap: float, blocked: Sequence[float] = ()
) -> list[Actor]:
    """Return those who pass through a whole video, but not at the depths that are blocked."""
    actors: list[Actor] = []
    for lane in _lanes(scene):
        if any(abs(z - lane.route[0][1]) < _WIDE for z in blocked):
            continue
        actors += passers(lane, rng, last, int(rng.integers(1, last + 1)), pace, gap)
    return actors


def _stay(rng: np.random.Generator, since: float, until: float, distance: float) -> tuple[list[float], list[float]]:
    """Return key frames and distances of a person who stands, but never quite still."""
    frames = [since]
    while frames[-1] + 12 < until:
        frames.append(min(frames[-1] + rng.uniform(8, 40), until))
    frames.append(until + 1e-3)
    moves = rng.uniform(0, 0.05, len(frames)) * (rng.random(len(frames)) < 0.6)
    return frames, [distance, *(distance + moves[1:-1]).tolist(), distance]


def _walk(
    kind: str, route: Route, stops: dict[int, float], start: float, speed: float, rng: np.random.Generator
) -> Actor:
    """Return one who goes along a route and stands for so many frames at some of its way points."""
    track = Track.of(route)
    frames, distances = [start], [0.0]
    for point, knot in enumerate(track.knots.tolist()):
        arrival = frames[-1] + (knot - distances[-1]) / speed
        if point in stops and kind == "person":
            more, moves = _stay(rng, arrival, arrival + stops[point], knot)
            frames += more
            distances += moves
        elif point in stops:
            frames += [arrival, arrival + stops[point]]
            distances += [knot, knot]
        else:
            frames.append(arrival)
            distances.append(knot)
    return Actor(KINDS[kind](rng), track, tuple(frames), tuple(distances))


def _depth(view: View, share: float) -> float:
    """Return the depth at which a person is as high as a share of the picture."""
    return _TALL * view.focal / (share * view.canvas[1])


def startled(scene: Scenery, rng: np.random.Generator, unlabelled: int, labelled: int) -> list[Actor]:
    """From the first frame on some stand in the way, many of them close by, or a crowd passes; they go one by one."""
    total, view = unlabelled + labelled, scene.view
    drive = any("vehicle" in lane.kinds for lane in scene.lanes)
    crowd = rng.random() < 0.35
    actors: list[Actor] = []
    parked: list[float] = []
    floor = max(_depth(view, 0.95), 0.62 * view.nearest())
    leaves = np.sort(rng.uniform(0.08, 0.8, int(rng.integers(1, 3) if crowd else rng.integers(2, 6)))) * total
    for number, leave in enumerate(leaves.tolist()):
        # At least one fills much of the picture.
        z = max(_depth(view, rng.uniform(0.55, 0.95) if number == 0 else rng.uniform(0.25, 0.8)), floor)
        if drive and rng.random() < 0.5:
            parked.append(max(z, 6.5) + _WIDE * len(parked))
            actors.append(_parked(view, rng, parked[-1], leave))
        else:
            actors.append(_standing(view, rng, z, leave, total))
    if crowd:
        full = round(rng.uniform(0.3, 0.6) * total)
        actors += _passers(scene, rng, full, 1.0, 0.3, parked)
        return actors + list(_strangers(scene, rng, round(0.4 * total), (0.4, 0.95), 25))
    return actors + _passers(scene, rng, total, 1.0, rng.uniform(1.0, 2.5), parked)


def _parked(view: View, rng: np.random.Generator, z: float, leave: float) -> Actor:
    """Return a vehicle that stands across the picture until it leaves."""
    left, right = view.span(z, 3.0)
    route: Route = ((rng.uniform(0.6 * left, 0.6 * right), z), (float(rng.choice([left, right])), z))
    return _walk("vehicle", route, {0: leave}, 0.0, rng.uniform(0.15, 0.4), rng)


def _standing(view: View, rng: np.random.Generator, z: float, leave: float, total: int) -> Actor:
    """Return a person who stands until it is time to leave, and may stop once more on the way."""
    left, right = view.span(z, 0.8)
    x, side = rng.uniform(0.65 * left, 0.65 * right), float(rng.choice([left, right]))
    # They look this way or that before they turn to go.
    look = np.pi / 2 * np.sign(side - x) + rng.uniform(-1.6, 1.6)
    turn = (x + 0.15 * float(np.sin(look)), z + 0.15 * float(np.cos(look)))
    route: Route = ((x, z), turn, (side, turn[1]))
    stops = {0: leave}
    if rng.random() < 0.35:
        route = (*route[:2], (turn[0] + 0.55 * (side - turn[0]), turn[1]), route[2])
        stops[2] = rng.uniform(0.1, 0.3) * total
    return _walk("person", route, stops, 0.0, rng.uniform(0.05, 0.09), rng)


def _strangers(
    scene: Scenery,
    rng: np.random.Generator,
    last: int,
    shares: tuple[float, float],
    gap: float,
    stops: float = 0.0,
) -> Iterator[Actor]:
    """Yield people who pass close to the camera, as high as a share of the picture.

    Args:
        scene: Where.
        rng: Random numbers.
        last: The last frame in which one may enter.
        shares: The least and the largest share.
        gap: Mean number of frames from one to the next.
        stops: How many of them stop on their way.
    """
    start = rng.uniform(-2 * gap, 0.5 * gap)
    while start < last:
        z, away = (_depth(scene.view, rng.uniform(*shares)) for _ in range(2))
        left, right = scene.view.span(max(z, away), 0.8)
        x = rng.uniform(0.75 * left, 0.75 * right) * min(z, away) / max(z, away)
        route: Route = ((left, z), (x, (z + away) / 2), (right, away))[:: int(rng.choice([-1, 1]))]
        stand = {1: rng.uniform(60, 300)} if rng.random() < stops else {}
        yield _walk("person", route, stand, start, rng.uniform(0.05, 0.1), rng)
        start += gap * rng.uniform(0.4, 1.6)


def closing(scene: Scenery, rng: np.random.Generator, unlabelled: int, labelled: int) -> list[Actor]:
    """People pass close to the camera and stop there, others pass behind them."""
    last = unlabelled + labelled
    actors = _passers(scene, rng, last, 1.0, rng.uniform(1.5, 4.0))
    actors += _strangers(scene, rng, last, (0.75, 1.15), rng.uniform(70, 150), 0.3)
    actors += _strangers(scene, rng, last, (0.5, 0.75), rng.uniform(60, 160), 0.5)
    return actors


TRAINING_RECIPES: dict[str, Recipe] = RECIPES | {
    "storm": Recipe(("avenue", "park", "avenue", "lake", "avenue", "plaza"), before=(effects.gale,)),
    "clouds": Recipe(("plaza", "street", "highway", "park"), SUN, before=(effects.clouds,), lights=(effects.daylight,)),
    "startUp": Recipe(("office", "street", "plaza", "corridor"), casting=startled, eye=(1.4, 2.6)),
    "closeUp": Recipe(("office", "corridor", "plaza"), casting=closing, eye=(1.25, 1.75)),
}
"""CDnet2014's eleven categories and four more → their recipes."""

TRAINING_CATEGORIES: tuple[str, ...] = tuple(TRAINING_RECIPES)
"""The categories to train on."""


class TrainingPlan(VideoPlan):
    """One video to train on, with a mask for each frame and the whole frame as its region of interest."""

    recipes = TRAINING_RECIPES
    masked_from_start = True

    @property
    def lot(self) -> str:
        """Name that seeds its random numbers, together with the seed; another than a twin's video has."""
        return f"training/{super().lot}"

    @property
    def outline(self) -> int:
        """The whole frame is its region of interest."""
        return 0

    def actors(self, scene: Scenery, rng: np.random.Generator, unlabelled: int, labelled: int) -> list[Actor]:
        """Choose who appears: something happens from the first frame to the last."""
        recipe = self.recipe
        if recipe.casting:
            return recipe.casting(scene, rng, unlabelled, labelled)
        last = unlabelled + labelled
        actors = _passers(scene, rng, last, recipe.pace, recipe.gap)
        for number, bay in enumerate(scene.bays if recipe.stops else ()):
            if bay.kind == "bag":
                actors += left_behind(bay, rng, 0, last)
            else:
                actors += visits(bay, rng, last, parked=number % 2 == 1)
        return actors


def training_plan(
    videos_per_category: int = 3, categories: Sequence[str] | None = None, seed: int = 0
) -> list[TrainingPlan]:
    """List videos to train on, for :func:`render_all`.

    Args:
        videos_per_category: How many videos each category has.
        categories: Categories to render; all of `TRAINING_CATEGORIES` by default.
        seed: Another seed gives other scenes, with other names.

    Raises:
        UserError: If a category is unknown, or no video is asked for.
    """
    return listed(TrainingPlan, videos_per_category, categories, seed)
