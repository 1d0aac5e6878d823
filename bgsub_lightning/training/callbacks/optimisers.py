"""The optimisers' settings when a fit is resumed: those of the configuration, not those of the checkpoint."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim.lr_scheduler import LambdaLR

from bgsub_lightning.core.compat.torch import set_last_rates
from bgsub_lightning.core.console import console


class ConfiguredOptimisers(Callback):
    """Applies the configured settings of the optimisers to a resumed fit.

    A checkpoint's optimiser state holds its rates and weight decay as well, and would silently win over the
    configuration that ``config.yaml`` records. Moments and the place on the schedule stay the checkpoint's. Nothing
    changes where the two agree, so that a resumed fit stays bit-exact.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the settings as configured, before the checkpoint's replace them."""
        self._configured = [[_settings(group) for group in each.param_groups] for each in trainer.optimizers]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put them back where the checkpoint has others, and print each."""
        changed: dict[str, tuple[Any, Any]] = {}
        for optimizer, groups in zip(trainer.optimizers, self._configured, strict=True):
            for group, configured in zip(optimizer.param_groups, groups, strict=True):
                restored = _settings(group)
                changed |= {
                    name: (restored.get(name), value)
                    for name, value in configured.items()
                    if restored.get(name) != value
                }
                _apply(group, restored, configured)
        for config in trainer.lr_scheduler_configs:
            scheduler = config.scheduler
            if isinstance(scheduler, LambdaLR):
                _replace_base(scheduler, trainer.global_step if config.interval == "step" else trainer.current_epoch)
        if trainer.is_global_zero:
            for name, (before, value) in changed.items():
                console.print(
                    f"optimiser, {name}: {value} from step {trainer.global_step:,} on, as configured; the checkpoint "
                    f"had {before}.",
                    soft_wrap=True,
                )


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    """Return a group's settings; ``lr`` is that which a schedule starts from."""
    settings = {name: value for name, value in group.items() if name not in {"params", "lr", "initial_lr"}}
    return {**settings, "lr": group.get("initial_lr", group["lr"]), "schedule": "initial_lr" in group}


def _apply(group: dict[str, Any], restored: dict[str, Any], configured: dict[str, Any]) -> None:
    rate, has_schedule = configured["lr"], configured["schedule"]
    if has_schedule and restored["schedule"]:
        if rate != restored["lr"]:
            group["lr"] *= rate / restored["lr"]  # the schedule has multiplied it by some factor
            group["initial_lr"] = rate
    elif has_schedule:
        group["initial_lr"] = rate
    elif restored["schedule"] or rate != restored["lr"]:
        group["lr"] = rate
        group.pop("initial_lr", None)
    group |= {name: value for name, value in configured.items() if name not in {"lr", "schedule"}}


def _replace_base(scheduler: LambdaLR, place: int) -> None:
    """Let a schedule start from its groups' rates; one that the checkpoint did not have continues at this place."""
    if not scheduler.last_epoch:
        scheduler.last_epoch = place
    groups = scheduler.optimizer.param_groups
    scheduler.base_lrs = [group["initial_lr"] for group in groups]
    for group, factor in zip(groups, scheduler.lr_lambdas, strict=True):
        group["lr"] = group["initial_lr"] * factor(scheduler.last_epoch)
    set_last_rates(scheduler, [group["lr"] for group in groups])
