"""Background pictures of ``predict``, on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import EvaluationBatch
from bgsub_lightning.datasets import Scene
from bgsub_lightning.frames import write_png
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.training.callbacks.frames import FrameCallback
from bgsub_lightning.training.callbacks.pictures import as_image


class BackgroundWriter(FrameCallback):
    """Writes pictures of a system's background model and of its intermediate results for a frame.

    The files are ``backgrounds/<category>/<video>/<frame>_<what>.png``.

    Args:
        every: Predicted frames between two pictures at least; they are taken after a batch. 0: none.
        folder: Where; ``None``: ``backgrounds`` in the run directory.
    """

    stages = ("predict",)

    def __init__(self, every: int = 0, folder: Path | None = None) -> None:
        if every < 0:
            raise UserError(f"backgrounds.every: must not be negative; got {every}.")
        self.every = every
        self.folder = folder
        self._since: dict[int, int] = {}
        self._written = 0

    def on_frames(self, module: BgsModule, scene: Scene, outputs: Any, batch: EvaluationBatch, stage: str) -> None:  # noqa: D102
        predicted = int(batch["is_scored"].sum())
        if not self.every or not predicted:
            return
        since = self._since.get(batch["scene"], self.every) + predicted  # the first batch has pictures
        self._since[batch["scene"]] = since % self.every if since >= self.every else since
        if since < self.every:
            return
        context = module.context_of(batch)
        for title, picture in {**context.pictures(), **module.frame_pictures(context, batch, -1)}.items():
            name = f"{int(batch['number'][-1]):06d}_{title.replace(' ', '_')}.png"
            folder = self._folder(module.trainer)
            within = self.folder or folder.parent
            write_png(folder / scene.category / scene.name / name, as_image(picture), within)
            self._written += 1

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        if not self.every:
            return
        count = torch.tensor(self._written, device=pl_module.device)
        written = int(trainer.strategy.reduce(count, reduce_op="sum"))
        if not trainer.is_global_zero:
            return
        console.print(
            f"{written} pictures of backgrounds in {self._folder(trainer)}"
            if written
            else f"{type(pl_module).__name__} has no background model to show, so --backgrounds.every wrote nothing."
        )

    def _folder(self, trainer: Trainer) -> Path:
        return self.folder or Path(trainer.default_root_dir) / "backgrounds"
