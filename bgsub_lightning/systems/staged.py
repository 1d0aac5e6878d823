"""Training in stages, in one ``fit``."""

from __future__ import annotations

from typing import cast

import torch
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from bgsub_lightning.core.compat.lightning import clear_logged, finds_unused_parameters
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Input, Span, TrainingBatch
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.clipping import clip
from bgsub_lightning.systems.kinds import StagedSystem

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class StagedModule(StagedSystem, BgsModule):
    """A system whose sub-networks learn in stages.

    There is one optimiser with one parameter group per sub-network, or two where some parameters have no weight decay;
    a stage sets the groups' rates and begins with fresh moments, or continues with those of the stage before. A
    sub-network that does not learn is in eval mode. Its ``requires_grad`` is never touched, because DDP would not
    notice: use ``ddp_find_unused_parameters_true`` on several devices, as the command line does where the strategy is
    left to it.

    A paper sets :attr:`plan`, whose names of sub-networks are those of the module's attributes. The whole plan is one
    epoch of the trainer.
    """

    @property
    def span(self) -> Span:  # noqa: D102
        return self.plan.at(self.global_step)

    @property
    def in_last_stage(self) -> bool:
        """Whether the last stage has done a step; the best weights are chosen from there on."""
        return self.global_step > self.plan.spans[-1].first

    def learns(self, network: str) -> bool:
        """Whether a sub-network learns at the next step."""
        return network in self.span.learns

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Give each sub-network a group, and each group the plan's rates."""
        networks = self.plan.networks
        groups = [
            {"name": name, "network": name, "params": list(self._network(name).parameters())} for name in networks
        ]
        optimizer = self.optimizer(groups)
        of_group = [group["network"] for group in optimizer.param_groups]
        rates = LambdaLR(optimizer, [lambda step, name=name: self.plan.rate(name, step) for name in of_group])  # type: ignore[misc]
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step", "name": "lr"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip each sub-network's gradients by themselves: a large loss of one must not shrink the steps of another.

        Their norms before that are logged as ``train/gradient_norm/<sub-network>``: where the norm is above
        ``gradient_clip_val`` at every step, training is normalised gradient descent, whose steps have the length
        lr · ``gradient_clip_val`` whatever the loss.
        """
        for name in self.plan.networks:
            learning = [parameter for parameter in self._network(name).parameters() if parameter.grad is not None]
            if not learning:
                continue
            norm = clip(learning, gradient_clip_val, gradient_clip_algorithm)
            self.log(f"train/gradient_norm/{name}", norm, on_step=True)

    def on_train_start(self) -> None:
        """Check the trainer, and set the modes: Lightning skips an epoch's start when it resumes inside one.

        Raises:
            UserError: If the trainer cannot run a plan.
        """
        if self.trainer.accumulate_grad_batches != 1:
            got = self.trainer.accumulate_grad_batches
            raise UserError(f"trainer.accumulate_grad_batches: must be 1 for a staged system; got {got}. Set it to 1.")
        strategy = self.trainer.strategy
        if isinstance(strategy, DDPStrategy) and not finds_unused_parameters(strategy):
            raise UserError(
                "trainer.strategy: must find unused parameters, because a stage trains a part of the networks. Set "
                "--trainer.strategy=ddp_find_unused_parameters_true."
            )
        if self.trainer.max_epochs != 1:
            raise UserError(
                f"trainer.max_epochs: must be 1, because all stages ({len(self.plan):,} steps) are one epoch; got "
                f"{self.trainer.max_epochs}. Set it to 1. The length of a stage is its steps, such as "
                f"--model.init_args.{self.plan.spans[-1].name}.steps."
            )
        self._set_modes()

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Begin a stage with fresh moments unless it continues, and drop the losses of the one before."""
        super().on_train_batch_start(batch, batch_idx)
        if self.global_step == self.span.first:
            clear_logged(self.trainer)
            if not self.span.goes_on:
                # not self.optimizers(): after a resume that wrapper holds a stale copy of the state
                # (https://github.com/Lightning-AI/pytorch-lightning/issues/18279)
                cast("torch.optim.Optimizer", self.optimizers(use_pl_optimizer=False)).state.clear()
            self._set_modes()

    def training_inputs(self) -> tuple[Input, ...]:  # noqa: D102
        return self.span.inputs

    def _set_modes(self) -> None:
        for name in self.plan.networks:
            network = self._network(name)
            network.train(self.learns(name))
            if name in self.span.running_statistics:
                for part in network.modules():
                    if isinstance(part, _BATCH_NORMS):
                        part.eval()

    def _network(self, name: str) -> nn.Module:
        return cast("nn.Module", getattr(self, name))
