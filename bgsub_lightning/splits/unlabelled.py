"""No labels: all labelled frames are tested, and systems learn from frames alone."""

from __future__ import annotations

from collections.abc import Sequence

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.splits.frameset import FrameSet
from bgsub_lightning.splits.protocols import OPTION, Protocol, left_after


class Unlabelled(Protocol):
    """All labelled frames of each scene are tested, and the training part is frames that have no labels.

    For systems that learn without labels, such as AE-NE, which train one model per scene; the datamodule's ``scene``
    chooses the scenes. They may see the tested frames as well, without labels. There is nothing to validate
    with: ``trainer.limit_val_batches`` must be 0.

    Args:
        exclude: Categories, or patterns of ``category/video``, that take no part.
    """

    def __init__(self, exclude: Sequence[str] = ()) -> None:
        super().__init__()
        self.exclude = tuple(exclude)

    def describe(self, fold: int) -> str:  # noqa: D102
        without = f", without {', '.join(self.exclude)}" if self.exclude else ""
        return f"no labels for training, all labelled frames for test{without}"

    def assign(  # noqa: D102
        self, scenes: Sequence[Scene], fold: int, seed: int
    ) -> tuple[FrameSet, FrameSet, tuple[Scene, ...]]:
        left = left_after(self.exclude, scenes)
        train = FrameSet.of((scene, set(scene.frames) - set(scene.masks)) for scene in left)
        for scene in left:
            if scene not in train.scenes:
                raise UserError(
                    f"{OPTION}: {scene.key} has no frame without a label, which training needs. Use "
                    f"bgsub_lightning.splits.LabelBudget, or leave the scene out by data.init_args.scene or "
                    f"{OPTION}.exclude."
                )
        labelled = FrameSet.labelled(left)
        return train, labelled, tuple(sorted(left, key=lambda scene: scene.key))
