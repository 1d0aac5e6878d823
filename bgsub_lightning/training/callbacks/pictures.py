"""Pictures of validation and test, in the logs and in the run directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.core.console import console
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data import EvaluationBatch
from bgsub_lightning.datasets import Scene
from bgsub_lightning.evaluation.drawing import comparison_panel, confusion_image
from bgsub_lightning.frames import write_png
from bgsub_lightning.metrics import metrics
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.training.callbacks.frames import FrameCallback
from bgsub_lightning.training.processes import gathered


def as_image(pixels: Tensor) -> NDArray[np.uint8]:
    """Make a picture of ``(3, H, W)`` or ``(H, W)``, range [0, 1] or uint8: RGB or grey, uint8."""
    image = pixels if pixels.dtype == torch.uint8 else (pixels.float().clamp(0, 1) * 255).round().byte()
    return cast("NDArray[np.uint8]", (image.movedim(0, -1) if image.ndim == 3 else image).cpu().numpy())


@dataclass(frozen=True)
class _Shown:
    """The frame that stands for a scene, the one with the most foreground, and its images.

    Attributes:
        foreground: Its pixels of foreground.
        caption: Its name and score.
        panels: Name of a panel → title → image: the comparison, the background model, the system's
            intermediate results.
    """

    foreground: int
    caption: str
    panels: dict[str, dict[str, NDArray[np.uint8]]]


class Pictures(FrameCallback):
    """Draws frame, truth, prediction and coloured confusion of some scenes, the background models, and inner pictures.

    Args:
        scenes: Number of scenes that are shown, the first of each category before the second of any; 0: no pictures.
    """

    stages = ("validate", "test")

    def __init__(self, scenes: int = 4) -> None:
        check_range("pictures.", least=0, scenes=scenes)
        self.scenes = scenes
        self.shown: dict[str, _Shown] = {}

    def _forget(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.shown = {}

    on_validation_epoch_start = on_test_epoch_start = _forget

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        if not trainer.sanity_checking:
            self._draw(trainer, "validation")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        if path := self._draw(trainer, "test"):
            console.print(f"{path} shows frame, truth, prediction and confusion.")

    def on_frames(self, module: BgsModule, scene: Scene, outputs: Any, batch: EvaluationBatch, stage: str) -> None:  # noqa: D102
        if scene.key not in self._chosen(module, stage):
            return
        counts, is_test = outputs["counts"].cpu(), outputs["is_test"].cpu()
        if not is_test.any():
            return
        best = int(((counts[:, 0] + counts[:, 2] + 1) * is_test).argmax())  # a frame of the test part
        foreground = int(counts[best, 0] + counts[best, 2])
        if scene.key in self.shown and foreground <= self.shown[scene.key].foreground:
            return
        position = int(batch["is_scored"].nonzero()[best, 0])
        prediction = module.is_foreground(outputs["probability"][best]).cpu().numpy()
        truth = batch["ground_truth"][position].cpu().numpy()
        comparison = {
            "frame": as_image(batch["image"][position]),
            "truth": truth,
            "prediction": np.where(prediction, np.uint8(255), np.uint8(0)),
            "TP green, FP red, FN pink, TN black": confusion_image(prediction, truth, batch["roi"].cpu().numpy()),
        }
        score = metrics(counts[best].tolist())["f_measure"]
        caption = f"{scene.key}, frame {int(batch['number'][position])}: F {score:.3f}"
        context = module.context_of(batch)
        background = {title: as_image(each) for title, each in context.pictures().items()}
        inner = {title: as_image(each) for title, each in module.frame_pictures(context, batch, position).items()}
        if inner:
            inner = {"frame": comparison["frame"]} | inner
        panels = {"": comparison, "_background": background, "_inner": inner}
        self.shown[scene.key] = _Shown(foreground, caption, panels)

    def _chosen(self, module: BgsModule, stage: str) -> set[str]:
        """The keys of the scenes that are shown."""
        seen: dict[str, int] = {}
        ranked = []
        for scene in module.datamodule.frames_of(stage).scenes:
            seen[scene.category] = seen.get(scene.category, 0) + 1
            ranked.append((seen[scene.category], scene.key))
        return {key for _, key in sorted(ranked)[: self.scenes]}

    def _draw(self, trainer: Trainer, phase: str) -> Path | None:
        found, self.shown = gathered(trainer, self.shown), {}
        for key, shown in (item for part in found for item in part.items()):
            if key not in self.shown or shown.foreground > self.shown[key].foreground:
                self.shown[key] = shown
        if not self.shown or not trainer.is_global_zero:
            return None
        kept = {}
        for name in next(iter(self.shown.values())).panels:
            rows = [
                (shown.caption, shown.panels[name]) for _, shown in sorted(self.shown.items()) if shown.panels[name]
            ]
            if rows:
                panel = comparison_panel(
                    [(caption, list(images.values())) for caption, images in rows], list(rows[0][1])
                )
                kept[name] = self._keep(trainer, phase + name, panel)
        return kept[""]

    def _keep(self, trainer: Trainer, name: str, picture: NDArray[np.uint8]) -> Path:
        step = f"_step{trainer.global_step:07d}" if name.startswith("validation") else ""
        path = Path(trainer.default_root_dir) / "pictures" / f"{name}{step}.png"
        write_png(path, picture, Path(trainer.default_root_dir))
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image(name, [picture], step=trainer.global_step)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(name, picture, trainer.global_step, dataformats="HWC")
            elif isinstance(logger, MLFlowLogger):
                logger.experiment.log_artifact(logger.run_id, str(path), "pictures")
        return path
