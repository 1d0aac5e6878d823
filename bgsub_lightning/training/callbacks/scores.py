"""``scores.json`` and ``frames.csv`` of a test, the leak guard, and the table in the terminal."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.run_info import device_name, versions_of_run
from bgsub_lightning.core.text import join_some
from bgsub_lightning.data import EvaluationBatch
from bgsub_lightning.datasets import Scene
from bgsub_lightning.datasets.labels import UNKNOWN
from bgsub_lightning.evaluation import FrameScore, TestResult, VideoResult, dataset_of, video_of, write_frames
from bgsub_lightning.metrics import SceneConfusion
from bgsub_lightning.report.terminal import table
from bgsub_lightning.splits.leaks import leakage, trained_frames, worst
from bgsub_lightning.systems.arithmetic import flop_per_frame, parameter_count, shapes_of
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.training.callbacks.frames import FrameCallback
from bgsub_lightning.training.processes import gathered


class ScoreWriter(FrameCallback):
    """Refuses a test on frames that were trained on, and writes what a test has found.

    Args:
        show: Print the table.
    """

    stages = ("test",)

    def __init__(self, show: bool = True) -> None:
        self.show = show
        self.rows: list[FrameScore] = []
        self.shown = 0
        self.started = self.seconds = 0.0
        self.shapes: dict[str, Any] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Apply the leak guard.

        Raises:
            UserError: If test frames were trained on, and that is not allowed by the configuration, or the scenes are
                of several datasets.
        """
        module = cast("BgsModule", pl_module)
        dataset_of(module.datamodule.frames_of("test").scenes)
        self.leakage = leakage(module.trained_on, module.datamodule.frames_of("test"))
        leaking = [key for key, found in self.leakage.items() if found == "includes training frames"]
        if leaking and not module.datamodule.allow_training_frames:
            raise UserError(
                f"The checkpoint was trained on frames that this test would score, of {join_some(leaking)}. Test it on "
                f"the fold and the seed that it was trained with; or opt in by "
                f"--data.init_args.allow_training_frames=true, which marks the table."
            )
        self.rows, self.shown = [], 0
        self.started = time.perf_counter()

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keep what the first batch of a scene looks like, to count the arithmetic of a frame by it."""
        if batch["first_in_scene"]:
            self.shapes = shapes_of(batch)

    def on_frames(self, module: BgsModule, scene: Scene, outputs: Any, batch: EvaluationBatch, stage: str) -> None:  # noqa: D102
        self.shown += len(batch["number"])  # a system that carries state sees frames that are not scored
        scored = batch["is_scored"]
        unknown = (batch["ground_truth"][scored] == UNKNOWN).flatten(1).any(1)
        columns = (batch["number"][scored], outputs["counts"], outputs["is_test"], unknown)
        self.rows += [FrameScore(scene.key, *row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock after the last frame, before anything is written."""
        self.seconds = time.perf_counter() - self.started

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the files, on one process for all."""
        module = cast("BgsModule", pl_module)
        counts = module.confusion.by_scene()  # a sum over all processes, and so are the next
        of_draws = [cast("SceneConfusion", metric).by_scene() for metric in module.confusion_of_draws]
        at_thresholds = module.confusion_at_thresholds.by_scene()
        dice_at_thresholds = module.dice_at_thresholds.by_scene()
        parts = gathered(trainer, (self.rows, self.shown))
        rows = [row for part, _ in parts for row in part]
        if not trainer.is_global_zero:
            return
        data = module.datamodule
        bases = {key: base if isinstance(base, int) else str(base) for key, base in data.bases_of("test").items()}
        scenes = {scene.key: scene for scene in data.frames_of("test").scenes}
        scored = Counter(row.video for row in rows if row.is_test)
        missing = {
            scene.key: count
            for scene, numbers in data.frames_of("test")
            if (count := len({*numbers} - {bases.get(scene.key)}) - scored[scene.key])
        }
        remarks = [module.note(data, set(self.leakage.values()) <= {"unseen scenes"})]
        if missing:
            remarks.append(f"trainer.limit_test_batches={trainer.limit_test_batches} ended the test early.")
        folder = Path(trainer.default_root_dir)
        result = TestResult(
            name=folder.name,
            system=type(module).__name__,
            **dataset_of(scenes.values()),
            protocol=data.protocol.describe(data.fold),
            fold=data.fold,
            seed=data.seed,
            leakage=worst(self.leakage[key] for key in counts),
            remark=" ".join(filter(None, remarks)),
            checkpoint=str(trainer.ckpt_path) if trainer.ckpt_path else None,
            videos={
                key: VideoResult(
                    leakage=self.leakage[key],
                    draws=[draw[key] for draw in of_draws],
                    threshold_counts=at_thresholds[key],
                    threshold_dice=dice_at_thresholds[key],
                    base=bases.get(key),
                    **video_of([row for row in rows if row.video == key], scenes[key]),
                )
                for key in counts
            },
            missing=missing,
            frames_shown=sum(shown for _, shown in parts),
            seconds=self.seconds,
            threshold=module.threshold,
            threshold_from=module.threshold_from,
            device=device_name(module.device),
            versions=versions_of_run(),
            parameters=parameter_count(module),
            flop_per_frame=flop_per_frame(module, self.shapes, resizes=data.size is not None),
        )
        result.save(folder / "scores.json")
        trained = {key: trained_frames(module.trained_on, result.dataset, key) for key in {row.video for row in rows}}
        write_frames(folder / "frames.csv", rows, lambda row: str(int(row.number in trained[row.video])))
        if self.show:
            console.print(table([result]))
        console.print(f"{folder / 'scores.json'} and frames.csv hold the counts by video and by frame.")
