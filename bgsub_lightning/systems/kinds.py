"""Systems that learn in stages, and systems that learn nothing: of both, what needs no trainer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Span, StagePlan, TrainingBatch
from bgsub_lightning.frames import FrameStore, SceneFrames
from bgsub_lightning.splits import FrameSet
from bgsub_lightning.systems.system import BgsSystem


class StagedSystem(BgsSystem):
    """A system whose sub-networks learn in stages; see :class:`StagedModule`, which adds what trains it."""

    plan: StagePlan

    @property
    @abstractmethod
    def span(self) -> Span:
        """The stage of the next step, which :class:`StagedModule` knows."""

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Make the optimiser; its rate, 1, is multiplied by the plan's.

        Args:
            groups: One for each sub-network, with its ``name``, ``network`` and ``params``. A group may be divided, if
                its parts keep ``network`` and have a ``name`` each.
        """
        return torch.optim.Adam(groups, lr=1.0)

    def begin_stage(self, span: Span, pixels: Sequence[SceneFrames], frames: FrameSet, store: FrameStore) -> None:
        """Compute what a stage's samples need of the networks that earlier stages have trained; most need nothing.

        Called before the stage's first batch is loaded, by one process after the other.

        Args:
            span: The stage.
            pixels: The scenes' pixels.
            frames: The frames that it learns from.
            store: Where to keep it: the run's own.
        """


class UntrainedSystem(BgsSystem):
    """A system that is used as it is: it is tested and predicts without a checkpoint, and refuses to be fitted."""

    trainable = False

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Refuse.

        Raises:
            UserError: Always.
        """
        self._refuse()

    def configure_optimizers(self) -> None:
        """Refuse: there is nothing to optimise.

        Raises:
            UserError: Always; it is called by ``fit`` alone.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UserError(f"{self.kind}: there is nothing to fit. Use `test` or `predict`.")
