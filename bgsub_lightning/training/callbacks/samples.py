"""A picture of what training sees: samples as crops, augmentations and inputs have made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.core.console import console
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data import TrainingBatch
from bgsub_lightning.evaluation.drawing import comparison_panel
from bgsub_lightning.frames import write_png
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.kinds import StagedSystem
from bgsub_lightning.training.callbacks.pictures import as_image

_MOST = 8  # images of an input that has several


class SamplePictures(Callback):
    """Draws samples of a run's first batch, and of the first of each stage: ``pictures/samples.png``.

    A row is a sample; its columns are the images of its inputs, and its mask. A picture that is there stays.

    Args:
        count: Training samples that the picture shows; 0: no picture.
    """

    def __init__(self, count: int = 4) -> None:
        check_range("samples.", least=0, most=1000, count=count)
        self.count = count
        self._drawn: set[str] = set()

    def on_train_batch_start(  # noqa: D102
        self, trainer: Trainer, pl_module: LightningModule, batch: TrainingBatch, batch_idx: int
    ) -> None:
        stage = f"_{pl_module.span.name}" if isinstance(pl_module, StagedSystem) else ""
        if not self.count or stage in self._drawn or not trainer.is_global_zero or not isinstance(pl_module, BgsModule):
            return
        self._drawn.add(stage)
        folder = Path(trainer.default_root_dir)
        path = folder / f"pictures/samples{stage}.png"
        masks = {entry.key: entry.is_mask for entry in pl_module.training_inputs() if entry.is_image}
        if "mask" in batch and not any(masks.values()):
            masks["mask"] = True
        if not masks or path.exists():
            return
        rows, titles = [], []
        for place in range(min(self.count, len(batch["number"]))):
            shown = {key: _images(batch[key][place], is_mask) for key, is_mask in masks.items()}  # type: ignore[literal-required]
            titles = [
                f"{key} {number}" if len(images) > 1 else key
                for key, images in shown.items()
                for number, _ in enumerate(images, 1)
            ]
            scene = pl_module.datamodule.frames_of("fit").scenes[int(batch["scene"][place])]
            caption = f"{scene.key}, frame {int(batch['number'][place])}"
            rows.append((caption, [image for images in shown.values() for image in images]))
        write_png(path, comparison_panel(rows, titles), folder)
        console.print(f"{path} shows samples of the training.")


def _images(sample: Tensor, is_mask: bool) -> list[NDArray[np.uint8]]:
    """Return the pictures of an input: ``(..., C, H, W)``, of as many grey ones as channels, or ``(..., H, W)``."""
    is_whole = not is_mask and sample.shape[-3] in (1, 3)
    images = sample.reshape(-1, *sample.shape[-3:]) if is_whole else sample.reshape(-1, *sample.shape[-2:])
    return [as_image(each[0] if len(each) == 1 and each.ndim == 3 else each) for each in images[:_MOST]]
