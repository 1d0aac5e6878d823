"""A synthetic twin of LIMU: its three sequences, a mask for every fifth frame."""

from __future__ import annotations

from pathlib import Path

from bgsub_lightning.synthetic import effects
from bgsub_lightning.synthetic.render import Recipe, Renderer, SequencePlan, save

EVERY = 5
"""Frames from one mask to the next."""

SEQUENCES: dict[str, Recipe] = {
    "CameraParameter": Recipe(("plaza",), after=(effects.dawn,)),
    "Intersection": Recipe(("street",), gap=0.5),
    "LightSwitch": Recipe(("office",), after=(effects.switched,)),
}
"""Sequence → its recipe."""


class LimuPlan(SequencePlan):
    """One sequence of LIMU's twin."""

    dataset = "LIMU"

    @property
    def recipe(self) -> Recipe:
        """Its recipe."""
        return SEQUENCES[self.name]

    def write(self, renderer: Renderer, folder: Path) -> None:
        """Render all frames in the layout that the reader expects; the last of every five labelled ones has a mask."""
        for name in ("input", "groundtruth"):
            (folder / name).mkdir()
        setup = renderer.setup
        for number in range(1, setup.unlabelled + setup.labelled + 1):
            shot = renderer.shot(number)
            save(folder / "input" / f"image{number:04d}.jpg", shot.image)
            if number > setup.unlabelled and (number - setup.unlabelled) % EVERY == 0:
                save(folder / "groundtruth" / f"image{number:04d}.png", shot.cover)


def plan(seed: int = 0) -> list[LimuPlan]:
    """List the sequences of a twin; of its labelled part every fifth frame has a mask.

    Args:
        seed: Another seed gives other scenes, under the same names.
    """
    return [LimuPlan(name, seed) for name in SEQUENCES]
