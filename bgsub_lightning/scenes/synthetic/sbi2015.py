"""A synthetic twin of SBI2015: its fourteen sequences, each with its empty background and a mask for every frame."""

from __future__ import annotations

from pathlib import Path

from bgsub_lightning.scenes.synthetic import effects
from bgsub_lightning.scenes.synthetic.models import person
from bgsub_lightning.scenes.synthetic.render import Recipe, Renderer, SequencePlan, save
from bgsub_lightning.scenes.synthetic.wallflower import closely

_LEAVES = Recipe(("park",), before=(effects.wind,), casting=closely(person))

SEQUENCES: dict[str, Recipe] = {
    "Board": Recipe(("office",), gap=0.35),
    "CAVIAR1": Recipe(("corridor",), gap=1.2),
    "CAVIAR2": Recipe(("corridor",)),
    "CaVignal": Recipe(("plaza",), gap=0.5),
    "Candela_m1.10": Recipe(("office",), stops=True, gap=1.5),
    "Foliage": _LEAVES,
    "HallAndMonitor": Recipe(("corridor",), gap=0.6),
    "HighwayI": Recipe(("highway",), gap=0.4),
    "HighwayII": Recipe(("highway",)),
    "HumanBody2": Recipe(("office",), casting=closely(person)),
    "IBMtest2": Recipe(("corridor",), casting=closely(person)),
    "PeopleAndFoliage": _LEAVES,
    "Snellen": _LEAVES,
    "Toscana": Recipe(("plaza",), casting=closely(person)),
}
"""Sequence → what it is made of."""


class SbiPlan(SequencePlan):
    """One sequence of SBI2015's twin."""

    dataset = "SBI2015"

    @property
    def recipe(self) -> Recipe:
        """What it is made of."""
        return SEQUENCES[self.name]

    def write(self, renderer: Renderer, folder: Path) -> None:
        """Render the background and all frames, each with its mask, in the layout that the reader expects."""
        for name in ("input", "groundtruth"):
            (folder / name).mkdir()
        save(folder / f"GT_{self.name}.png", renderer.backdrop)
        for number in range(1, renderer.stage.unlabelled + renderer.stage.labelled + 1):
            shot = renderer.shot(number)
            save(folder / "input" / f"in{number:06d}.png", shot.image)
            save(folder / "groundtruth" / f"gt{number:06d}.png", shot.cover)


def plan(seed: int = 0) -> list[SbiPlan]:
    """List the sequences of a twin.

    Args:
        seed: Another seed gives other scenes, under the same names.
    """
    return [SbiPlan(name, seed) for name in SEQUENCES]
