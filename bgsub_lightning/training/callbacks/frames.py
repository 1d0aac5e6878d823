"""The callback that looks at the frames of evaluations."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from bgsub_lightning.data import EvaluationBatch
from bgsub_lightning.datasets import Scene
from bgsub_lightning.systems.base import BgsModule


class FrameCallback(Callback):
    """Looks at the frames of each batch of some evaluations.

    Attributes:
        stages: Which: ``"validate"``, ``"test"``, ``"predict"``.
    """

    stages: ClassVar[tuple[str, ...]]

    @abstractmethod
    def on_frames(self, module: BgsModule, scene: Scene, outputs: Any, batch: EvaluationBatch, stage: str) -> None:
        """Look at the frames of a batch, all of one scene.

        Args:
            module: The system, with its trainer.
            scene: The scene.
            outputs: What its step returned; see :meth:`BgsModule.test_step` and :meth:`BgsModule.predict_step`.
            batch: The batch.
            stage: ``"validate"``, ``"test"`` or ``"predict"``.
        """

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *of_batch: Any) -> None:  # noqa: D102
        self._of_batch("validate", pl_module, *of_batch)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *of_batch: Any) -> None:  # noqa: D102
        self._of_batch("test", pl_module, *of_batch)

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *of_batch: Any) -> None:  # noqa: D102
        self._of_batch("predict", pl_module, *of_batch)

    def _of_batch(self, stage: str, module: LightningModule, outputs: Any, batch: Any, *_: int) -> None:
        if stage in self.stages:
            system = cast("BgsModule", module)
            self.on_frames(system, system.datamodule.frames_of(stage).scenes[batch["scene"]], outputs, batch, stage)
