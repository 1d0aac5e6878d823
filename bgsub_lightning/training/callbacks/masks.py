"""Mask files of ``predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from bgsub_lightning.core.console import console
from bgsub_lightning.data import EvaluationBatch
from bgsub_lightning.datasets import Scene
from bgsub_lightning.evaluation.mask_record import MaskRecord
from bgsub_lightning.frames import write_png
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.training.callbacks.frames import FrameCallback


class MaskWriter(FrameCallback):
    """Writes ``results/<category>/<video>/bin%06d.png``, 0 and 255: CDnet's layout for submissions.

    ``results/masks.json`` records the system and what it was trained on, for ``evaluate`` and ``combine``.

    Args:
        folder: Where; ``None``: ``results`` in the run directory.
    """

    stages = ("predict",)

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.written = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the maker before the first mask."""
        if trainer.is_global_zero:
            folder = self._folder(trainer)
            module = cast("BgsModule", pl_module)
            record = MaskRecord.of_system(Path(trainer.default_root_dir).name, module.trained_on, folder)
            record.save(folder, self.folder or folder.parent)

    def on_frames(self, module: BgsModule, scene: Scene, outputs: Any, batch: EvaluationBatch, stage: str) -> None:  # noqa: D102
        foreground = module.is_foreground(cast("Tensor", outputs)).cpu().numpy()
        folder = self._folder(module.trainer)
        within = self.folder or folder.parent
        for mask, number, wanted in zip(foreground, batch["number"].tolist(), batch["is_scored"].tolist(), strict=True):
            if wanted:
                write_png(
                    folder / scene.category / scene.name / f"bin{number:06d}.png",
                    np.where(mask, np.uint8(255), np.uint8(0)),
                    within,
                )
                self.written += 1

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        written = trainer.strategy.reduce(torch.tensor(self.written, device=pl_module.device), reduce_op="sum")
        if trainer.is_global_zero:
            console.print(f"{int(written)} masks in {self._folder(trainer)}")

    def _folder(self, trainer: Trainer) -> Path:
        return self.folder or Path(trainer.default_root_dir) / "results"
