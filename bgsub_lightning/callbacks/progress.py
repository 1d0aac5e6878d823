"""The progress bar."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


class ProgressBar(RichProgressBar):
    """Lightning's bar, with the step of the run and short names of what is logged."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, int | str | float]:  # type: ignore[override]  # noqa: D102
        metrics = super().get_metrics(trainer, pl_module)
        shown = {str(name).replace("train/loss/total", "loss"): value for name, value in metrics.items()}
        shown.pop("v_num", None)
        of = f"/{trainer.max_steps}" if trainer.max_steps > 0 else ""
        return {"step": f"{trainer.global_step}{of}", **shown} if trainer.training else {}  # type: ignore[dict-item]

    def _get_train_description(self, current_epoch: int) -> str:
        of = f"/{self.trainer.max_epochs}" if (self.trainer.max_epochs or -1) > 0 else ""
        return f"{f'Epoch {current_epoch + 1}{of}':{len(self.validation_description)}}"
