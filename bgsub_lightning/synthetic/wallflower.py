"""A synthetic twin of Wallflower: its seven sequences, each with the difficulty that the original is named after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bgsub_lightning.synthetic import effects
from bgsub_lightning.synthetic.actors import Actor, Track, company, left_behind
from bgsub_lightning.synthetic.models import Model, box, person
from bgsub_lightning.synthetic.render import Casting, Recipe, Renderer, SequencePlan, save
from bgsub_lightning.synthetic.themes import Scenery


def closely(model: Callable[[np.random.Generator], Model], speed: float = 0.2) -> Casting:
    """Return a casting of one who passes close to the camera, half way at the frame with the mask.

    Args:
        model: Who.
        speed: Metres per frame: those who are fast enter shortly before that frame, as in the original.
    """

    def casting(scene: Scenery, rng: np.random.Generator, unlabelled: int, labelled: int) -> list[Actor]:
        z = 0.9 * scene.view.nearest()
        left, right = scene.view.span(z, 1.0)
        track = Track.of(((left, z), (right, z))[:: int(rng.choice([-1, 1]))])
        duration = track.length / speed
        start = unlabelled + 1 - duration * rng.uniform(0.45, 0.55)
        return [Actor(model(rng), track, (start, start + duration), (0.0, track.length))]

    return casting


def _crowd(scene: Scenery, rng: np.random.Generator, unlabelled: int, labelled: int) -> list[Actor]:
    """People pass from the first frame to the last."""
    return company(scene, rng, unlabelled, 1, 1.0, 0.35, False) + closely(person)(scene, rng, unlabelled, labelled)


def _left(scene: Scenery, rng: np.random.Generator, unlabelled: int, labelled: int) -> list[Actor]:
    """A person leaves a suitcase and is gone before the mask; there the suitcase counts as background."""
    bay = next(bay for bay in scene.bays if bay.kind == "bag")
    track = Track.of(bay.route)
    way_out = track.length - float(track.knots[bay.stop])
    brisk = replace(bay, speed=way_out / (0.4 * unlabelled))
    return [replace(actor, labelled_from=np.inf) for actor in left_behind(brisk, rng, 0, unlabelled)]


def dull(rng: np.random.Generator) -> Model:
    """Return a person in the colours of the screen behind."""
    model, screen = person(rng), np.mean(effects.SCREEN, 0)

    def dulled(colour: tuple[float, float, float]) -> tuple[float, float, float]:
        blue, green, red = 0.3 * np.asarray(colour) + 0.7 * screen
        return float(blue), float(green), float(red)

    return replace(model, parts=tuple(replace(part, colour=dulled(part.colour)) for part in model.parts))


def _crate(rng: np.random.Generator) -> Model:
    """Return something large of one colour."""
    blue, green, red = rng.uniform(40, 200, 3)
    return Model(tuple(box((-0.4, 0.4), (0.0, 1.9), (-0.8, 0.8), (float(blue), float(green), float(red)))))


SEQUENCES: dict[str, tuple[str, Recipe]] = {
    "Bootstrap": ("People pass from the first frame on", Recipe(("plaza",), casting=_crowd)),
    "Camouflage": (
        "A person in the colours of a flickering screen",
        Recipe(("office",), before=(effects.bars,), casting=closely(dull)),
    ),
    "ForegroundAperture": (
        "The inside of a large plain object does not change while it moves",
        Recipe(("office",), casting=closely(_crate, 0.1)),
    ),
    "LightSwitch": (
        "The light goes off, and on again before a person enters",
        Recipe(("office",), after=(effects.switched,), casting=closely(person)),
    ),
    "MovedObject": ("A person leaves a suitcase, which becomes background", Recipe(("office",), casting=_left)),
    "TimeOfDay": (
        "It grows light, and a person enters",
        Recipe(("corridor",), after=(effects.dawn,), casting=closely(person)),
    ),
    "WavingTrees": (
        "A person passes in front of swaying trees",
        Recipe(("park",), before=(effects.wind,), casting=closely(person)),
    ),
}
"""Sequence → what happens in it, and its recipe."""


class WallflowerPlan(SequencePlan):
    """One sequence of Wallflower's twin."""

    dataset = "Wallflower"

    @property
    def recipe(self) -> Recipe:
        """Its recipe."""
        return SEQUENCES[self.name][1]

    def write(self, renderer: Renderer, folder: Path) -> None:
        """Render all frames in Wallflower's layout: numbered from 0, a mask with soft edges for the last."""
        last = renderer.setup.unlabelled
        for number in range(last + 1):
            shot = renderer.shot(number + 1)
            save(folder / f"b{number:05d}.bmp", shot.image)
        save(folder / f"hand_segmented_{last:05d}.BMP", np.repeat(shot.cover[..., None], 3, 2))
        text = f"{SEQUENCES[self.name][0]}\n\nTesting\n00000 - {last - 1:05d} Train\n{last:05d} Evaluate\n"
        (folder / "script.txt").write_text(text, encoding="ascii")


def plan(seed: int = 0) -> list[WallflowerPlan]:
    """List the sequences of a twin; rendered with one labelled frame each.

    Args:
        seed: Another seed gives other scenes, under the same names.
    """
    return [WallflowerPlan(name, seed) for name in SEQUENCES]
