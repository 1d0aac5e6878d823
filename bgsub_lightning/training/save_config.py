"""The configuration of a run, in its directory and in its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.trainer.states import TrainerFn

from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.run_info import model_config


class SaveConfig(SaveConfigCallback):
    """Saves the whole configuration in the run directory: ``config.yaml`` of a fit, ``test.yaml`` of a test.

    It does so when the first batch is about to come, and not before: a start that is refused, whose checkpoint does not
    fit or whose data are missing, leaves the record of the run as it was.

    Args:
        arguments: Lightning's.
        on_start: Is called at that time, in each process.
        settings: Lightning's.
    """

    def __init__(self, *arguments: Any, on_start: Callable[[], None] = lambda: None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._on_start = on_start

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wait."""

    def _record(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.already_saved:
            return
        self.already_saved = True
        self._on_start()
        if trainer.is_global_zero:
            self.save_config(trainer, pl_module, cast("TrainerFn", trainer.state.fn).value)

    on_sanity_check_start = on_train_start = on_validation_start = on_test_start = on_predict_start = _record

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: D102
        path = Path(trainer.default_root_dir) / ("config.yaml" if stage == "fit" else f"{stage}.yaml")
        config = self.config.clone()
        config.ckpt_path = None  # where this start began from is no part of the experiment
        with atomic_write(path) as file:
            file.write(self.parser.dump(config, skip_unset=False))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add how the system is built, so that the file alone is enough to use it."""
        checkpoint["system"] = self._system

    @cached_property
    def _system(self) -> str:
        return model_config(yaml.safe_load(self.parser.dump(self.config, skip_unset=False)))
