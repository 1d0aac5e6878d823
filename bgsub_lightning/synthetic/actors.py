"""Who moves through a scene, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bgsub_lightning.synthetic.drawing import Place
from bgsub_lightning.synthetic.geometry import FloatArray
from bgsub_lightning.synthetic.models import KINDS, Model
from bgsub_lightning.synthetic.themes import Bay, Lane, Route, Scenery


@dataclass(frozen=True)
class Track:
    """A way on the ground: where one is, and which way one looks, after each distance."""

    knots: FloatArray
    x: FloatArray
    z: FloatArray
    turns: FloatArray
    headings: FloatArray

    @classmethod
    def of(cls, route: Route) -> Track:
        """Measure a route; after a reversal of more than 120° a vehicle goes backwards, as out of a parking bay."""
        points = np.asarray(route, np.float64)
        steps = np.diff(points, axis=0)
        lengths = np.hypot(steps[:, 0], steps[:, 1])
        headings, gear = [float(np.arctan2(*steps[0]))], 0.0
        for step in steps[1:]:
            turn = _wrapped(float(np.arctan2(*step)) + gear - headings[-1])
            if abs(turn) > np.deg2rad(120):
                gear += np.pi
                turn = _wrapped(turn + np.pi)
            headings.append(headings[-1] + turn)
        knots = np.concatenate([[0.0], np.cumsum(lengths)])
        return cls(knots, points[:, 0], points[:, 1], (knots[1:] + knots[:-1]) / 2, np.asarray(headings))

    @property
    def length(self) -> float:
        """Length in metres."""
        return float(self.knots[-1])

    def place(self, distance: float) -> Place:
        """Return where one is after a distance in metres."""
        x, z = (float(np.interp(distance, self.knots, c)) for c in (self.x, self.z))
        return Place(x, z, float(np.interp(distance, self.turns, self.headings)), distance)


def _wrapped(angle: float) -> float:
    return (angle + np.pi) % (2 * np.pi) - np.pi


@dataclass(frozen=True)
class Actor:
    """A model on its track.

    Attributes:
        model: The model.
        track: Its way.
        frames: Key frames; the actor exists from the first to the last.
        distances: Distance covered at each of them, in metres.
        labelled_from: The frame from which it counts as foreground: what was parked before is background until then.
    """

    model: Model
    track: Track
    frames: tuple[float, ...]
    distances: tuple[float, ...]
    labelled_from: float = -np.inf

    def place(self, frame: int) -> Place | None:
        """Return where it is, or None while it is not there."""
        if not self.frames[0] <= frame <= self.frames[-1]:
            return None
        return self.track.place(float(np.interp(frame, self.frames, self.distances)))

    def rests(self, frame: int) -> bool:
        """Whether it stands where it stood in the frame before."""
        before, now = np.interp((frame - 1, frame), self.frames, self.distances)
        return bool(before == now)


def passers(lane: Lane, rng: np.random.Generator, last: int, focus: int, pace: float, gap: float) -> Iterator[Actor]:
    """Yield those who pass along a lane, one of them half way at the frame `focus`.

    Args:
        lane: The lane.
        rng: Random numbers.
        last: The last frame of the video.
        focus: A frame that is not to be empty.
        pace: Factor on speeds.
        gap: Factor on the time between two of them.
    """
    track = Track.of(lane.route)
    duration = track.length / (lane.speed * pace)
    spacing = lane.gap * gap / pace
    start = focus - duration * rng.uniform(0.45, 0.6)
    while start > 1 - duration:
        start -= spacing * rng.uniform(0.75, 1.35)
    while start < last:
        model = KINDS[str(rng.choice(lane.kinds))](rng)
        yield Actor(model, track, (start, start + duration), (0.0, track.length))
        start += spacing * rng.uniform(0.75, 1.35)


def visitor(bay: Bay, rng: np.random.Generator, unlabelled: int, labelled: int, parked: bool) -> Actor:
    """Return one who stops for long: arrives and leaves in the labelled part, or is there from the start and leaves."""
    track = Track.of(bay.route)
    stop = float(track.knots[bay.stop])
    ride = (track.length - stop) / bay.speed
    leave = unlabelled + labelled * (rng.uniform(0.3, 0.4) if parked else rng.uniform(0.72, 0.8))
    model = KINDS[bay.kind](rng)
    if parked:
        return Actor(model, track, (0.0, leave, leave + ride), (stop, stop, track.length), leave)
    arrive = unlabelled + labelled * rng.uniform(0.12, 0.22)
    frames = (arrive - stop / bay.speed, arrive, leave, leave + ride)
    return Actor(model, track, frames, (0.0, stop, stop, track.length))


def left_behind(bay: Bay, rng: np.random.Generator, unlabelled: int, labelled: int) -> list[Actor]:
    """Return a person who leaves a suitcase, and the suitcase, which stays."""
    owner = visitor(Bay("person", bay.route, bay.stop, bay.speed), rng, unlabelled, labelled, parked=False)
    arrive, goes = owner.frames[1], owner.frames[1] + 0.15 * labelled
    owner = Actor(
        owner.model,
        owner.track,
        (owner.frames[0], arrive, goes, goes + owner.frames[3] - owner.frames[2]),
        owner.distances,
    )
    case = Actor(
        KINDS["bag"](rng), owner.track, (owner.frames[0], arrive, np.inf), (0.0, owner.distances[1], owner.distances[1])
    )
    return [owner, case]


def visits(bay: Bay, rng: np.random.Generator, last: int, parked: bool) -> Iterator[Actor]:
    """Yield those who stop for long in a bay, one after another through a whole video.

    Args:
        bay: The bay.
        rng: Random numbers.
        last: The last frame of the video.
        parked: Whether one is there from the start, as background until it leaves.
    """
    track = Track.of(bay.route)
    stop = float(track.knots[bay.stop])
    way, ride = stop / bay.speed, (track.length - stop) / bay.speed
    scale = min(1.0, last / 480)
    free = rng.uniform(-way, 60 * scale)
    if parked:
        leave = rng.uniform(30, 150) * scale
        yield Actor(KINDS[bay.kind](rng), track, (0.0, leave, leave + ride), (stop, stop, track.length), leave)
        free = leave + 0.5 * ride
    while free + way < last:
        leave = free + way + rng.uniform(80, 280) * scale
        frames = (free, free + way, leave, leave + ride)
        yield Actor(KINDS[bay.kind](rng), track, frames, (0.0, stop, stop, track.length))
        free = leave + ride * rng.uniform(0.5, 1.2)


def company(
    scene: Scenery, rng: np.random.Generator, unlabelled: int, labelled: int, pace: float, gap: float, stops: bool
) -> list[Actor]:
    """Return all who appear in a video."""
    actors: list[Actor] = []
    focus = unlabelled + max(1, round(0.35 * labelled))
    for lane in scene.lanes:
        actors += passers(lane, rng, unlabelled + labelled, focus, pace, gap)
        focus += labelled // 4
    for number, bay in enumerate(scene.bays if stops else ()):
        if bay.kind == "bag":
            actors += left_behind(bay, rng, unlabelled, labelled)
        else:
            actors.append(visitor(bay, rng, unlabelled, labelled, parked=number % 2 == 1))
    return actors
