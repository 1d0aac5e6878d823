"""Systems with nothing to fit."""

from __future__ import annotations

from typing import NoReturn

from torch import Tensor

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import TrainingBatch
from bgsub_lightning.systems.base import BgsModule


class UntrainedModule(BgsModule):
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
        raise UserError(f"{type(self).__name__}: there is nothing to fit. Use `test` or `predict`.")
