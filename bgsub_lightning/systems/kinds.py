"""Systems that learn in stages, in several steps of a batch, or nothing: of each, what needs no trainer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Sequence
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


class SuccessiveSystem(BgsSystem):
    """A system that minimises several losses of a batch, one after the other; see :class:`SuccessiveModule`."""

    @property
    @abstractmethod
    def steps_each(self) -> bool:
        """Whether the optimiser takes a step for each loss; otherwise it takes one for their sum."""

    @abstractmethod
    def successive_losses(self, batch: TrainingBatch) -> Generator[Tensor, None, Tensor]:
        """Yield the losses of a batch, scalars, and return the last.

        Weights may change at each ``yield``. The graph of a yielded loss is its own, of parameters that the others may
        share; no gradient of another loss flows through it.
        """

    def losses(self, batch: TrainingBatch, step: Callable[[Tensor], Tensor] = lambda loss: loss) -> dict[str, Tensor]:
        """Return the sum of the losses before the last, if there are any, and the last.

        Args:
            batch: The batch.
            step: Called with each loss but the last, before the next one is computed; returns what the sum counts.
        """
        losses = self.successive_losses(batch)
        earlier: list[Tensor] = []
        while True:
            try:
                loss = next(losses)
            except StopIteration as end:
                before = {"earlier": torch.stack(earlier).sum()} if earlier else {}
                return {**before, "last": end.value}
            earlier.append(step(loss))


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
