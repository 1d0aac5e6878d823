"""A synthetic twin of SBI2015: its fourteen sequences, each with its empty background and a mask for every frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bgsub_lightning.datasets.labels import MOVING, MaskCode
from bgsub_lightning.synthetic import effects
from bgsub_lightning.synthetic.models import person
from bgsub_lightning.synthetic.render import Recipe, Renderer, SequencePlan, save
from bgsub_lightning.synthetic.wallflower import closely

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
"""Sequence → its recipe."""


_NAME = "in{:06d}.png"
_NAMES = {"CaVignal": "CaVignal_{:06d}.png", "Foliage": "in{:06d}.jpg"}
_WITH_REGIONS = {"Board", "HighwayI", "IBMtest2"}
"""Sequences with ROI.bmp, temporalROI.txt and masks of three levels."""


class SbiPlan(SequencePlan):
    """One sequence of SBI2015's twin."""

    dataset = "SBI2015"

    @property
    def recipe(self) -> Recipe:
        """Its recipe."""
        return SEQUENCES[self.name]

    def write(self, renderer: Renderer, folder: Path) -> None:
        """Render the background and all frames, each with its mask, named and numbered as in the public copy."""
        for name in ("input", "groundtruth"):
            (folder / name).mkdir()
        save(folder / f"GT_{self.name}.png", renderer.backdrop)
        count = renderer.setup.unlabelled + renderer.setup.labelled
        for number in range(count):  # from 0
            shot = renderer.shot(number + 1)
            save(folder / "input" / f"{_NAMES.get(self.name, _NAME).format(number)}", shot.image)
            code = MaskCode.SBI2015 if self.name in _WITH_REGIONS else MaskCode.BINARY
            save(folder / "groundtruth" / f"gt{number:06d}.png", code.levels(shot.cover))
        if self.name in _WITH_REGIONS:
            save(folder / "ROI.bmp", np.full(renderer.backdrop.shape[:2], MOVING, np.uint8))
            (folder / "temporalROI.txt").write_text(f"0 {count}")  # one more than there is, as in the copy


def plan(seed: int = 0) -> list[SbiPlan]:
    """List the sequences of a twin.

    Args:
        seed: Another seed gives other scenes, under the same names.
    """
    return [SbiPlan(name, seed) for name in SEQUENCES]
