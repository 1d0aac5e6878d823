"""A synthetic twin of LASIESTA: sequences of its fourteen categories, every frame with a coloured mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets.labels import GREEN, GREY, RED, WHITE, YELLOW
from bgsub_lightning.synthetic import effects
from bgsub_lightning.synthetic.drawing import Light
from bgsub_lightning.synthetic.effects import Shot
from bgsub_lightning.synthetic.geometry import ByteArray
from bgsub_lightning.synthetic.render import Recipe, Renderer, SequencePlan, outlined, save
from bgsub_lightning.synthetic.wallflower import closely, dull

_CLOUDS = Light(shadow=0.15, softness=0.4)
_SUN = Light((0.62, 0.6, 0.5), (-1.0, -0.45), shadow=0.52, softness=0.03, hard=True)

RECIPES: dict[str, Recipe] = {
    "I_SI": Recipe(("office", "corridor")),
    "I_CA": Recipe(("office",), before=(effects.bars,), casting=closely(dull)),
    "I_OC": Recipe(("office", "corridor"), gap=0.5),
    "I_IL": Recipe(("office",), after=(effects.switched,)),
    "I_MB": Recipe(("office",), stops=True, gap=1.5),
    "I_BS": Recipe(("corridor", "office"), gap=0.35),
    "I_MC": Recipe(("corridor", "office"), camera=effects.shaken, margin=(1.16, 1.16)),
    "I_SM": Recipe(("office", "corridor"), camera=effects.steered, margin=(1.85, 1.3), density=1.25),
    "O_CL": Recipe(("street", "park"), _CLOUDS),
    "O_RA": Recipe(("plaza", "street"), _CLOUDS, haze=90.0, noise=3.5),
    "O_SN": Recipe(("street", "park"), _CLOUDS, after=(effects.snowfall,), haze=75.0, snow=True),
    "O_SU": Recipe(("plaza", "street"), _SUN),
    "O_MC": Recipe(("street", "plaza"), camera=effects.shaken, margin=(1.16, 1.16)),
    "O_SM": Recipe(("plaza", "parking"), camera=effects.steered, margin=(1.85, 1.3), density=1.25),
}
"""Category → the recipe of its sequences."""


class LasiestaPlan(SequencePlan):
    """One sequence of LASIESTA's twin."""

    dataset = "LASIESTA"

    @property
    def recipe(self) -> Recipe:
        """The recipe of its category."""
        return RECIPES[self.name.rpartition("_")[0]]

    def write(self, renderer: Renderer, folder: Path) -> None:
        """Render all frames in LASIESTA's layout, numbered from 1: a folder of frames, and one of masks next to it."""
        frames, masks = folder / self.name, folder / f"{self.name}-GT"
        frames.mkdir()
        masks.mkdir()
        for number in range(1, renderer.setup.unlabelled + renderer.setup.labelled + 1):
            shot = renderer.shot(number)
            save(frames / f"{self.name}-{number}.bmp", shot.image)
            save(masks / f"{self.name}-GT_{number}.png", _mask(shot)[..., ::-1])


def _mask(shot: Shot) -> ByteArray:
    """Return RGB: things that touch each other share a colour."""
    around, inside = outlined(shot.cover)
    mask = np.zeros((*inside.shape, 3), np.uint8)
    mask[around] = GREY
    _, labels = cv2.connectedComponents(around.astype(np.uint8))
    colours = np.array((RED, GREEN, YELLOW), np.uint8)
    mask[inside] = colours[np.asarray(labels)[inside] % 3]
    mask[inside & (shot.still >= 128)] = WHITE
    return mask


def plan(videos_per_category: int = 2, categories: Sequence[str] | None = None, seed: int = 0) -> list[LasiestaPlan]:
    """List the sequences of a twin.

    Args:
        videos_per_category: How many sequences each category has; 2 in the original, but for the simulated motion.
        categories: Categories to render; all fourteen by default.
        seed: Another seed gives other scenes, under the same names.

    Raises:
        UserError: If a category is unknown, or no video is asked for.
    """
    check_range("--", least=1, most=10_000, videos_per_category=videos_per_category)
    chosen = tuple(RECIPES) if categories is None else tuple(dict.fromkeys(categories))
    if unknown := [category for category in chosen if category not in RECIPES]:
        raise UserError(f"--categories: unknown {', '.join(unknown)}; choose among {', '.join(RECIPES)}.")
    return [
        LasiestaPlan(f"{category}_{index + 1:02d}", seed, index)
        for category in chosen
        for index in range(videos_per_category)
    ]
