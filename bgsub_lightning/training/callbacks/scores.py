"""``scores.json`` and ``frames.csv`` of a test, the leak guard, and the table in the terminal."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.run_info import device_name, versions
from bgsub_lightning.core.text import csv_cell
from bgsub_lightning.data import EvaluationBatch
from bgsub_lightning.datasets import Scene
from bgsub_lightning.datasets.labels import UNKNOWN, MaskCode
from bgsub_lightning.evaluation import TestResult, VideoResult
from bgsub_lightning.metrics import COUNTS, SceneConfusion, dice_counts
from bgsub_lightning.report import table
from bgsub_lightning.splits.leaks import leakage, trained_frames, worst
from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.training.processes import gathered


class Row(NamedTuple):
    """What was found in one frame.

    Attributes:
        video: ``category/name``.
        number: Frame number.
        counts: TP, FP, FN, TN and shadow errors.
        headline: Whether it is a test frame; other frames are of the training part, and scored besides.
        unknown: Whether its mask has a pixel that is unknown (170).
    """

    video: str
    number: int
    counts: list[int]
    headline: bool
    unknown: bool


FRAMES_HEADER = ("video", "frame", *COUNTS, "trained_on", "headline")

_SOME = 0.1  # of the frames with foreground: a few may have none of it at a boundary


class ScoreWriter(Callback):
    """Refuses a test on frames that were trained on, and writes what a test has found.

    Args:
        show: Print the table.
    """

    def __init__(self, show: bool = True) -> None:
        self.show = show
        self.rows: list[Row] = []
        self.shown = 0
        self.started = self.seconds = 0.0

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Apply the leak guard.

        Raises:
            UserError: If test frames were trained on, and that is not allowed by the configuration, or the scenes are
                of several datasets.
        """
        module = cast("BgsModule", pl_module)
        of_dataset(module.datamodule.frames_of("test").scenes)
        self.leakage = leakage(module.trained_on, module.datamodule.frames_of("test"))
        leaking = [key for key, found in self.leakage.items() if found == "includes training frames"]
        if leaking and not module.datamodule.allow_training_frames:
            raise UserError(
                f"The checkpoint was trained on frames that this test would score, of {', '.join(leaking[:5])}"
                f"{' and others' if len(leaking) > 5 else ''}. Test it on the fold and the seed that it was trained "
                f"with; or set --data.init_args.allow_training_frames=true, and the table will say so."
            )
        self.rows, self.shown = [], 0
        self.started = time.perf_counter()

    def on_test_batch_end(  # noqa: D102
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        module, batch = cast("BgsModule", pl_module), cast("EvaluationBatch", batch)
        self.shown += len(batch["number"])  # a system that carries state sees frames that are not scored
        key = module.datamodule.frames_of("test").scenes[batch["scene"]].key
        scored = batch["is_scored"]
        unknown = (batch["ground_truth"][scored] == UNKNOWN).flatten(1).any(1)
        columns = (batch["number"][scored], outputs["counts"], outputs["headline"], unknown)
        self.rows += [Row(key, *row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock after the last frame, before anything is written."""
        self.seconds = time.perf_counter() - self.started

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the files, on one process for all."""
        module = cast("BgsModule", pl_module)
        counts = module.confusion.by_scene()  # a sum over all processes, and so are the next
        of_draws = [cast("SceneConfusion", metric).by_scene() for metric in module.confusion_of_draws]
        dice = module.dice.by_scene()
        at_thresholds = module.confusion_at_thresholds.by_scene()
        dice_at_thresholds = module.dice_at_thresholds.by_scene()
        parts = gathered(trainer, (self.rows, self.shown))
        rows = [row for part, _ in parts for row in part]
        if not trainer.is_global_zero:
            return
        data = module.datamodule
        bases = {key: base if isinstance(base, int) else str(base) for key, base in data.bases_of("test").items()}
        scenes = {scene.key: scene for scene in data.frames_of("test").scenes}
        scored = Counter(row.video for row in rows if row.headline)
        missing = {
            scene.key: count
            for scene, numbers in data.frames_of("test")
            if (count := len({*numbers} - {bases.get(scene.key)}) - scored[scene.key])
        }
        remarks = [module.remark(data, set(self.leakage.values()) <= {"unseen scenes"})]
        if missing:
            remarks.append(f"trainer.limit_test_batches={trainer.limit_test_batches} ended the test early.")
        folder = Path(trainer.default_root_dir)
        result = TestResult(
            name=folder.name,
            system=type(module).__name__,
            **of_dataset(scenes.values()),
            protocol=data.protocol.describe(data.fold),
            fold=data.fold,
            seed=data.seed,
            leakage=worst(self.leakage[key] for key in counts),
            remark=" ".join(filter(None, remarks)),
            checkpoint=str(trainer.ckpt_path) if trainer.ckpt_path else None,
            videos={
                key: VideoResult(
                    counts=of_video,
                    leakage=self.leakage[key],
                    draws=[draw[key] for draw in of_draws],
                    dice=dice[key],
                    threshold_counts=at_thresholds[key],
                    threshold_dice=dice_at_thresholds[key],
                    base=bases.get(key),
                    **of_frames([row for row in rows if row.video == key], scenes[key]),
                )
                for key, of_video in counts.items()
            },
            missing=missing,
            frames_shown=sum(shown for _, shown in parts),
            seconds=self.seconds,
            threshold=module.threshold,
            threshold_from=module.threshold_from,
            device=device_name(module.device),
            versions=versions(),
        )
        result.save(folder / "scores.json")
        trained = {key: trained_frames(module.trained_on, result.dataset, key) for key in {row.video for row in rows}}
        write_frames(folder / "frames.csv", rows, lambda row: str(int(row.number in trained[row.video])))
        if self.show:
            console.print(table([result]))
        console.print(f"{folder / 'scores.json'} and frames.csv hold the counts by video and by frame.")


def write_frames(path: Path, rows: Iterable[Row], trained_on: Callable[[Row], str]) -> None:
    """Write ``frames.csv``.

    Args:
        path: The file.
        rows: What was found in each frame.
        trained_on: Whether a frame was trained on: 1 or 0; empty where that is not known.
    """
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FRAMES_HEADER)
        for row in sorted(rows):
            writer.writerow([csv_cell(row.video), row.number, *row.counts, trained_on(row), int(row.headline)])


def of_dataset(scenes: Iterable[Scene]) -> dict[str, Any]:
    """Return the name of the scenes' dataset, and who rendered it: fields of :class:`TestResult`.

    Raises:
        UserError: If they are of several datasets, whose figures would be averaged under one name.
    """
    found = dict.fromkeys((scene.dataset, str(scene.origin or "")) for scene in scenes)
    if len(found) > 1:
        names = ", ".join(f"{dataset} ({origin})" if origin else dataset for dataset, origin in found)
        raise UserError(
            f"data.init_args.protocol: must test scenes of one dataset at a time; got {names}. "
            f"Test each dataset separately: name its scenes by --data.init_args.scene."
        )
    ((dataset, origin),) = found
    return {"dataset": dataset, "origin": origin}


def of_frames(rows: list[Row], scene: Scene) -> dict[str, Any]:
    """Return what the rows of a video say except the counts of its headline: fields of :class:`VideoResult`."""
    headline = [row for row in rows if row.headline]
    with_foreground = [row for row in headline if row.counts[0] + row.counts[2]]
    binary = sum(not row.unknown for row in with_foreground) if scene.mask_code is MaskCode.CDNET else 0
    found: dict[str, Any] = {
        "frames": len(headline),
        "binary_truth": binary > _SOME * len(with_foreground),
        "departure": scene.departure,
    }
    if len(rows) > len(headline):
        found["counts_with_training"] = [sum(column) for column in zip(*(row.counts for row in rows), strict=True)]
        found["dice_with_training"] = dice_counts(torch.tensor([row.counts for row in rows])).sum(0).tolist()
        found["frames_with_training"] = len(rows)
    return found
