"""Training with several steps of the optimiser in one batch, in one ``fit``."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from bgsub_lightning.core.compat.lightning import loss_scale
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import TrainingBatch
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.clipping import clip
from bgsub_lightning.systems.kinds import SuccessiveSystem


class SuccessiveModule(SuccessiveSystem, BgsModule):
    """A system whose optimiser takes a step for each of several losses of a batch.

    The steps before the last are taken inside of :meth:`training_step`. The last one is Lightning's own, so that the
    trainer counts, logs, schedules, saves and stops by batches, as with any other system. A step changes parameters
    that its loss reaches, and no others: Adam leaves those without a gradient, and their moments, as they are.

    Gradients of the earlier losses are averaged over processes here: DDP, which expects one backward pass of each
    batch, sees the last loss alone, and that one must reach all parameters.
    """

    def on_train_start(self) -> None:
        """Check the trainer.

        Raises:
            UserError: If it would join the gradients of several batches.
        """
        if self.steps_each and self.trainer.accumulate_grad_batches != 1:
            raise UserError(
                f"trainer.accumulate_grad_batches: must be 1 where the optimiser takes several steps in a batch; got "
                f"{self.trainer.accumulate_grad_batches}. Set it to 1, or model.init_args.updates to once."
            )

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Take a step for each loss but the last, which is returned; log their sum, and the last."""
        if not self.steps_each:
            return super().training_step(batch, batch_idx)
        self._require(batch, {entry.key for entry in self.training_inputs()})
        # not self.optimizers(): each step of that wrapper counts as one of the trainer
        optimizer = cast("torch.optim.Optimizer", self.optimizers(use_pl_optimizer=False))
        terms = self.losses(batch, partial(self._take_step, optimizer))
        self._log_losses({name: term.detach() for name, term in terms.items()}, batch)
        return terms["last"]

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip each parameter group by itself: a large gradient of one must not shrink the steps of another."""
        for group in optimizer.param_groups:
            if learning := [parameter for parameter in group["params"] if parameter.grad is not None]:
                clip(learning, gradient_clip_val, gradient_clip_algorithm)

    def _take_step(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
        """Take a step for a loss, unless scaled gradients overflow; return what is logged of it."""
        optimizer.zero_grad()
        self.trainer.strategy.backward(loss, None)
        gradients = [parameter.grad for parameter in self.parameters() if parameter.grad is not None]
        if (scale := loss_scale(self.trainer)) is not None:
            for gradient in gradients:
                gradient.div_(scale)
        if self.trainer.world_size > 1:
            flat = self.trainer.strategy.reduce(torch.cat([each.flatten() for each in gradients]), reduce_op="mean")
            parts = torch.split(cast("Tensor", flat), [each.numel() for each in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))
        if scale is not None and not all(bool(each.isfinite().all()) for each in gradients):
            return loss.detach()  # no step, as the scaler decides for the last loss
        clipping: dict[str, Any] = {
            "gradient_clip_val": self.trainer.gradient_clip_val,
            "gradient_clip_algorithm": self.trainer.gradient_clip_algorithm,
        }
        self.configure_gradient_clipping(optimizer, **clipping)
        optimizer.step()
        return loss.detach()
