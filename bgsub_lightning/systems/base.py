"""Training and evaluation of all systems by Lightning: one step for validation and test, and its log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import EvaluationBatch, TrainingBatch
from bgsub_lightning.datasets.labels import FOREGROUND, IGNORED, LabelRule
from bgsub_lightning.metrics import (
    THRESHOLDS,
    SceneConfusion,
    SceneDice,
    ThresholdConfusion,
    ThresholdDice,
    best_of,
    confusion_counts,
    dice_counts,
    scores,
    scores_at_thresholds,
    threshold_counts,
)
from bgsub_lightning.splits import Split, leakage, training_record, worst
from bgsub_lightning.systems.system import BestValidation, BgsSystem, Threshold, identity
from bgsub_lightning.systems.weights import read_checkpoint

if TYPE_CHECKING:
    from bgsub_lightning.data import ScenesDataModule

__all__ = ["BgsModule", "identity"]


class BgsModule(BgsSystem, LightningModule):
    """A system of background subtraction.

    A paper adds ``forward``, :meth:`losses`, :meth:`probability`, and, if it keeps something of a scene,
    :meth:`begin_scene`. Answers depend on weights, context and batch alone, so that one system serves several scenes at
    a time.

    Args:
        labels: What the grey levels of a mask mean in training.
        threshold: Probability above which a pixel is called foreground. ``"validation"``: a test and a prediction take
            the best one of the validation that their checkpoint was saved after; a fit has 0.5.
    """

    # where Lightning has the same, Lightning's is used: a trainer sets it
    device = LightningModule.device
    dtype = LightningModule.dtype
    hparams = LightningModule.hparams
    save_hyperparameters = LightningModule.save_hyperparameters

    def __init__(self, labels: LabelRule = LabelRule.TRAINING, threshold: Threshold = 0.5) -> None:
        super().__init__(labels, threshold)
        self.contexts: dict[int, SceneContext] = {}

    @property
    def kind(self) -> str:  # noqa: D102
        return type(self).__name__

    def context_of(self, batch: EvaluationBatch) -> SceneContext:
        """Return the context of a batch's scene, which is kept from its first batch until its last."""
        return self.contexts[batch["scene"]]

    def setup(self, stage: str) -> None:
        """Make the metrics of each evaluation, and one for each draw if there are several."""
        for name in {"fit": ["validate"], "validate": ["validate"], "test": ["test"]}.get(stage, []):
            keys = [scene.key for scene in self.datamodule.frames_of(name).scenes]
            self.confusion = SceneConfusion(keys)
            self.confusion_of_draws = torch.nn.ModuleList(
                SceneConfusion(keys) for _ in range(self.draws) if self.draws > 1
            )
            self.dice = SceneDice(keys)
            self.confusion_at_thresholds = ThresholdConfusion(keys)
            self.dice_at_thresholds = ThresholdDice(keys)
        if self.tests_weights and stage != "fit" and not self.has_checkpoint:
            self.begin_fit()

    @property
    def datamodule(self) -> ScenesDataModule:
        """The trainer's datamodule."""
        return cast("ScenesDataModule", self.trainer.datamodule)  # type: ignore[attr-defined]

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Let dropout depend on the step and the process alone: no checkpoint holds the generator's state."""
        seeds = np.random.SeedSequence((self.datamodule.seed, self.global_step, batch_idx, self.global_rank))
        torch.manual_seed(int(seeds.generate_state(1)[0]))

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Sum the terms of the loss and log each."""
        self._require(batch, {entry.key for entry in self.training_inputs()})
        terms = self.losses(batch)
        return self._log_losses(terms, batch)

    def _log_losses(self, terms: Mapping[str, Tensor], batch: TrainingBatch) -> Tensor:
        """Log the terms of a loss and their sum, and return that."""
        loss = torch.stack(list(terms.values())).sum()
        of_step: dict[str, Any] = {"on_step": True, "batch_size": len(batch["number"]), "sync_dist": True}
        for name, term in {**terms, "total": loss}.items():
            self.log(f"train/loss/{name}", term.detach(), prog_bar=name == "total", **of_step)
        return loss

    def validation_step(self, batch: EvaluationBatch, batch_idx: int) -> dict[str, Tensor]:
        """Score frames of one scene as :meth:`test_step` does, and log the cross-entropy at their own size."""
        outputs = self._evaluate(batch)
        target = self.target(batch["ground_truth"][batch["is_scored"]])
        valid = target != IGNORED
        foreground = outputs["probability"].float()  # autocast forbids F.binary_cross_entropy
        chances = torch.where(target == FOREGROUND, foreground, 1 - foreground).clamp(min=1e-6)
        of_frames = -(chances.log() * valid).sum((1, 2)) / valid.sum((1, 2)).clamp(min=1)
        loss = of_frames.sum() / max(len(target), 1)  # over frames: the same however they are put in batches
        self.log("val/loss", loss, batch_size=len(target), sync_dist=True)
        return outputs

    def test_step(self, batch: EvaluationBatch, batch_idx: int) -> dict[str, Tensor]:
        """Score frames of one scene at their own size, by CDnet's official rule.

        Returns:
            For callbacks: ``probability`` ``(B, h, w)`` and ``counts`` ``(B, 5)`` of the frames that are scored, and
            ``is_test`` ``(B,)``, bool: those that count for :attr:`confusion` and :attr:`dice`, and at every threshold
            for :attr:`confusion_at_thresholds` and :attr:`dice_at_thresholds`. The others are of the training part.
        """
        return self._evaluate(batch)

    def predict_step(self, batch: EvaluationBatch, batch_idx: int) -> Tensor:
        """Return the probability of foreground at the frames' own size, shape ``(B, h, w)``, range [0, 1]."""
        return self.mean_probability(self._context(batch), batch, _size_of(batch))

    def on_validation_batch_end(self, outputs: Any, batch: EvaluationBatch, *_: int) -> None:
        """Let a scene's context go after its last batch; callbacks have seen it."""
        self._end_scene(batch)

    def on_test_batch_end(self, outputs: Any, batch: EvaluationBatch, *_: int) -> None:
        """Let a scene's context go after its last batch; callbacks have seen it."""
        self._end_scene(batch)

    def on_predict_batch_end(self, outputs: Any, batch: EvaluationBatch, *_: int) -> None:
        """Let a scene's context go after its last batch; callbacks have seen it."""
        self._end_scene(batch)

    def on_validation_start(self) -> None:
        """Take the threshold that validation has chosen, if it is asked for; not while a fit is looking for it."""
        self.contexts = {}
        if self.trainer.state.fn == TrainerFn.VALIDATING:
            self._begin_evaluation()

    def on_test_start(self) -> None:
        """Take the threshold that validation has chosen, if it is asked for."""
        self._begin_evaluation()

    def on_predict_start(self) -> None:
        """Take the threshold that validation has chosen, if it is asked for."""
        self._begin_evaluation()

    def on_validation_epoch_end(self) -> None:
        """Log ``val/f_measure`` and the other metrics, and the best threshold with its F-measure, for a test to use."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log ``test/f_measure`` and the other metrics; the counts stay in :attr:`confusion`."""
        self._log_scores("test")

    def on_fit_start(self) -> None:
        """Begin with the weights that are asked for, and note which frames they are about to see."""
        if self.trainer.ckpt_path is None:
            # DDP has already made the processes' weights alike; what is drawn from here on must be so by itself
            torch.manual_seed(self.trainer.strategy.broadcast(torch.initial_seed()))
            if self.initial_weights is None:
                self.require_initial_weights()
                self.begin_fit()
            else:
                self.load_initial_weights(self.initial_weights, self.datamodule.split)
        split = self.datamodule.split
        self.trained_on = training_record(self.datamodule.masks_seen, split.validation, before=self.trained_on)

    def load_initial_weights(self, path: Path, split: Split) -> None:
        """Take the weights of another run, as after a pretraining, and the record of what they have seen.

        Args:
            path: Its checkpoint.
            split: The frames of this run.

        Raises:
            UserError: If the checkpoint cannot be read, is of another network, or has no record of its training frames.
        """
        try:
            checkpoint = read_checkpoint(path)
        except UserError as error:  # which names the file
            raise UserError(f"initial_weights: {error}") from error
        try:
            self.require_compatible(checkpoint)
        except UserError as error:
            raise UserError(f"initial_weights: {path}: {error}") from error
        self.load_state_dict(checkpoint["state_dict"])
        self.trained_on = checkpoint["trained_on"]
        self.add_to_initial_weights()
        self.validation_seen = worst(leakage(self.trained_on, split.validation).values()) == "includes training frames"

    def validation_kind(self, split: Split) -> str:
        """Say what is special about the frames that validation looks at."""
        return f"{split.validation_kind}{', seen by the initial weights' if self.validation_seen else ''}"

    def _begin_evaluation(self) -> None:
        self.contexts = {}
        if self.trainer.ckpt_path is None:
            self.require_weights()
        self.load_threshold()
        if self.threshold_from_validation and self.validated and self.trainer.is_global_zero:
            console.print(
                f"Threshold {self.threshold:.2f}, chosen by validation on {self.validated['kind']} (F-measure "
                f"{self.validated['f_measure']:.4f} there).",
                soft_wrap=True,
            )

    def _evaluate(self, batch: EvaluationBatch) -> dict[str, Tensor]:
        draws = self._at_size(self.probability(self._context(batch), batch), _size_of(batch))
        scored = batch["is_scored"]
        truth, probability = batch["ground_truth"][scored], draws.mean(0)[scored]
        counts = confusion_counts(self.is_foreground(probability), truth, batch["roi"])
        is_test = (scored & ~batch["also_scored"] if "also_scored" in batch else scored)[scored]
        at_thresholds = threshold_counts(
            probability[is_test], truth[is_test], batch["roi"], self.threshold_is_foreground
        )
        self.confusion.update(counts[is_test], batch["scene"])
        self.dice.update(dice_counts(counts[is_test]), batch["scene"])
        self.confusion_at_thresholds.update(at_thresholds, batch["scene"])
        self.dice_at_thresholds.update(dice_counts(at_thresholds), batch["scene"])
        for metric, draw in zip(self.confusion_of_draws, draws, strict=False):
            of_draw = confusion_counts(self.is_foreground(draw[scored]), truth, batch["roi"])
            cast("SceneConfusion", metric).update(of_draw[is_test], batch["scene"])
        return {"probability": probability, "counts": counts, "is_test": is_test}

    def _context(self, batch: EvaluationBatch) -> SceneContext:
        self._require(batch, {"image"})
        if batch["first_in_scene"]:
            self.contexts[batch["scene"]] = self.begin_scene(batch)
        return self.context_of(batch)

    def _end_scene(self, batch: EvaluationBatch) -> None:
        if batch["last_in_scene"]:
            del self.contexts[batch["scene"]]

    def _log_scores(self, phase: str) -> None:
        overall = scores(self.confusion.by_scene(), dice=self.dice.by_scene()).overall
        for name in ("f_measure", "pwc", "recall", "precision", "mean_dice"):
            self.log(f"{phase}/{name}", torch.tensor(overall.get(name, 0.0)), prog_bar=name == "f_measure")
        if phase == "val":
            at_thresholds = scores_at_thresholds(self.confusion_at_thresholds.by_scene())
            best = best_of(at_thresholds)
            self.log("val/best_threshold", torch.tensor(THRESHOLDS[best]))
            f_measure = at_thresholds[best].overall.get("f_measure", 0.0)
            self.log("val/best_f_measure", torch.tensor(f_measure))
            if self.in_last_stage and self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
                self.validated = BestValidation(
                    threshold=THRESHOLDS[best], f_measure=f_measure, kind=self.validation_kind(self.datamodule.split)
                )
            for metric in (self.confusion, self.dice, self.confusion_at_thresholds, self.dice_at_thresholds):
                metric.reset()

    def _require(self, batch: TrainingBatch | EvaluationBatch, keys: set[str]) -> None:
        if missing := sorted(keys - set(batch)):
            raise UserError(
                f"{type(self).__name__} needs {', '.join(missing)} in its batches, which hold {', '.join(batch)}. "
                f"The datamodule builds what data.init_args.inputs names; the command line takes that from the model."
            )


def _size_of(batch: EvaluationBatch) -> tuple[int, int]:
    """Height and width of a batch's frames as they were recorded."""
    height, width = batch["roi"].shape
    return height, width
