"""The progress bar."""

from __future__ import annotations

from typing import cast

from lightning.pytorch import LightningModule, Trainer

from bgsub_lightning.core.compat.lightning import EpochProgressBar
from bgsub_lightning.systems.base import BgsModule


class ProgressBar(EpochProgressBar):
    """Lightning's bar, with the step of the run, its stage, and short names of what is logged."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, int | str | float]:  # type: ignore[override]  # noqa: D102
        metrics = super().get_metrics(trainer, pl_module)
        shown = {str(name).replace("train/loss/total", "loss"): value for name, value in metrics.items()}
        shown.pop("v_num", None)
        if not trainer.training:
            return {}
        plan = cast("BgsModule", pl_module).plan
        steps = len(plan) if plan else trainer.max_steps
        of = f"/{steps}" if steps > 0 else ""
        stage = {"stage": plan.at(trainer.global_step).name} if plan else {}
        return {"step": f"{trainer.global_step}{of}", **stage, **shown}  # type: ignore[dict-item]

    def describe_epoch(self, epoch: int) -> str:  # noqa: D102
        of = f"/{self.trainer.max_epochs}" if (self.trainer.max_epochs or -1) > 0 else ""
        return f"{f'Epoch {epoch + 1}{of}':{len(self.validation_description)}}"
