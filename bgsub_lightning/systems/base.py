"""What all systems share: one step for validation and test, and the record of what was trained on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypedDict, cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import EvaluationBatch, Input, SceneInputs, StagePlan, TrainingBatch
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
from bgsub_lightning.splits import TrainingRecord, training_record

if TYPE_CHECKING:
    from bgsub_lightning.data import ScenesDataModule


Threshold = float | Literal["validation"]
"""Probability above which a pixel is called foreground; or the best one of the validation that a checkpoint was saved
after."""


Passes = Generator[Tensor, Tensor, Tensor]
"""See :meth:`BgsModule.passes`."""


class BestValidation(TypedDict):
    """What the newest validation of the final stage has found.

    Attributes:
        threshold: The threshold of the largest F-measure.
        f_measure: That F-measure.
        kind: Which frames it used: held out, or trained on.
    """

    threshold: float
    f_measure: float
    kind: str


def identity(tensor: Tensor) -> Tensor:
    """Return the one output of a network as it is."""
    return tensor


class BgsModule(LightningModule):
    """A system of background subtraction.

    A paper adds ``forward``, :meth:`losses`, :meth:`probability`, and, if it keeps something of a scene,
    :meth:`begin_scene`. Answers depend on weights, context and batch alone, so that one system serves several scenes at
    a time.

    Args:
        labels: What the grey levels of a mask mean in training.
        threshold: Probability above which a pixel is called foreground. ``"validation"``: a test and a prediction take
            the best one of the validation that their checkpoint was saved after; a fit has 0.5.
    """

    trainable: ClassVar[bool] = True
    """Whether there is something to fit, so that a test needs a checkpoint."""

    checkpoint_keys: ClassVar[tuple[str, ...]] = ()
    """Hyperparameters that weights depend on though their shapes do not: a checkpoint of other values is refused."""

    threshold_is_foreground: ClassVar[bool] = False
    """Whether what equals the threshold is foreground, as a paper that prints ≥ has it; else only what is above."""

    size_divisor: ClassVar[int] = 32
    """Frames whose height and width it divides are taken without padding."""

    inputs: tuple[Input, ...]
    plan: StagePlan | None = None

    def __init__(self, labels: LabelRule = LabelRule.TRAINING, threshold: Threshold = 0.5) -> None:
        super().__init__()
        if threshold != "validation" and not 0 <= threshold < 1:
            raise UserError(
                f"model.init_args.threshold: a probability in [0, 1) is needed, or 'validation', got {threshold}."
            )
        self.labels = labels
        self.threshold_from_validation = threshold == "validation"
        self.threshold = 0.5 if threshold == "validation" else threshold
        self.validated: BestValidation | None = None
        self.trained_on: TrainingRecord = {}
        self.contexts: dict[int, SceneContext] = {}
        self.register_buffer("_target_of_level", torch.from_numpy(labels.table), persistent=False)

    @classmethod
    def shipped(cls) -> Path | None:
        """Return the weights that ship with the package, which are used where no checkpoint is named; most have none.

        Raises:
            UserError: If they are damaged.
        """
        return None

    @abstractmethod
    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Return the terms of the loss by name, scalars; their sum is minimised."""

    def begin_scene(self, scene: SceneInputs) -> SceneContext:
        """Return the context of a scene of which no frame has been seen.

        Args:
            scene: What :attr:`inputs` load once per scene; the first batch of a scene holds it.
        """
        return SceneContext()

    @abstractmethod
    def probability(self, context: Any, batch: EvaluationBatch) -> Tensor:
        """Return the probability of foreground of a scene's next frames, and advance its context.

        Args:
            context: The scene's, of :meth:`begin_scene`.
            batch: The frames.

        Returns:
            Shape ``(D, B, H, W)``, range [0, 1]: D draws of what the system draws at random, 1 for most systems; their
            mean is the system's answer.
        """

    def passes(self, context: Any, batch: EvaluationBatch) -> Passes:
        """Answer as :meth:`probability` does, but leave a network's passes to the caller, who can join those of scenes.

        Systems that have none compute all by themselves.

        Args:
            context: The scene's.
            batch: The frames.

        Yields:
            What :meth:`network_pass` is to be shown, ``(n, …)``; what it returns is sent back.

        Returns:
            As :meth:`probability` does.
        """
        yield from ()
        return self.probability(context, batch)

    def network_pass(self, shown: Tensor) -> Tensor:
        """Show a network what :meth:`passes` yields, ``(n, …)``; the answer of an item depends on no other item."""
        raise NotImplementedError

    def frame_pictures(self, context: Any, batch: EvaluationBatch, position: int) -> dict[str, Tensor]:
        """Show what the system makes of a frame on the way to its answer: title → as :meth:`SceneContext.pictures`.

        Args:
            context: The scene's, after the batch.
            batch: A batch that was evaluated.
            position: Position of the frame in it.
        """
        return {}

    def mean_probability(self, context: Any, batch: EvaluationBatch, size: tuple[int, int]) -> Tensor:
        """Return the mean of the draws of :meth:`probability` at a height and width, shape ``(B, h, w)``."""
        return self.mean_of(self.probability(context, batch), size)

    def mean_of(self, draws: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the mean of draws, ``(D, B, H, W)``, at a height and width, shape ``(B, h, w)``."""
        return self._at_size(draws, size).mean(0)

    def context_of(self, batch: EvaluationBatch) -> SceneContext:
        """Return the context of a batch's scene, which is kept from its first batch until its last."""
        return self.contexts[batch["scene"]]

    def target(self, mask: Tensor) -> Tensor:
        """Return the classes of grey levels, shape ``(B, H, W)``, uint8: 0 background, 1 foreground, 255 ignored."""
        return cast("Tensor", self._target_of_level)[mask.int()]

    def is_foreground(self, probability: Tensor, threshold: float | None = None) -> Tensor:
        """Return which pixels are called foreground, bool, of the shape of their probabilities.

        Args:
            probability: Any shape.
            threshold: Another threshold than :attr:`threshold`.
        """
        level = self.threshold if threshold is None else threshold
        return probability >= level if self.threshold_is_foreground else probability > level

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

    def validate(self, data: ScenesDataModule) -> None:
        """Check that the data can serve this system, before anything takes time.

        Raises:
            UserError: If they cannot.
        """

    def training_inputs(self) -> tuple[Input, ...]:
        """Return what the batch of the next training step must hold."""
        return self.inputs

    def note(self, data: ScenesDataModule, all_unseen: bool) -> str:
        """Return what a table must say of a test; empty: nothing.

        Args:
            data: What is tested.
            all_unseen: Whether nothing of any tested scene was trained on.
        """
        return ""

    @property
    def threshold_from(self) -> str:
        """What has chosen :attr:`threshold`; empty: the configuration names it."""
        return f"validation on {self.validated['kind']}" if self.threshold_from_validation and self.validated else ""

    @property
    def in_last_stage(self) -> bool:
        """Whether the weights are worth choosing the best of; a staged system's are in its last stage."""
        return True

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:
        """The networks as they can be exported: path of a method → what makes its answer of the tensors it returns.

        Between them there is nothing that is learnt.
        """
        return {}

    @property
    def draws(self) -> int:
        """Number of draws that :meth:`probability` makes."""
        return 1

    @property
    def compile_targets(self) -> list[nn.Module]:
        """The networks that are called as a whole, for :func:`torch.compile`."""
        return [child for child in self.children() if next(child.parameters(), None) is not None]

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
            self.load_threshold()

    def on_test_start(self) -> None:
        """Take the threshold that validation has chosen, if it is asked for."""
        self.contexts = {}
        self.load_threshold()

    def on_predict_start(self) -> None:
        """Take the threshold that validation has chosen, if it is asked for."""
        self.contexts = {}
        self.load_threshold()

    def on_validation_epoch_end(self) -> None:
        """Log ``val/f_measure`` and its fellows; and the best threshold with its F-measure, for a test to use."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log ``test/f_measure`` and its fellows; the counts stay in :attr:`confusion`."""
        self._log_scores("test")

    def on_fit_start(self) -> None:
        """Note which frames the weights are about to see."""
        split = self.datamodule.split
        self.trained_on = training_record(split.train, split.validation, before=self.trained_on)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add which frames the weights have seen, for the leak guard, which network they are of, and the threshold."""
        checkpoint["trained_on"] = self.trained_on
        checkpoint["validated"] = self.validated
        checkpoint["module"] = type(self).__name__

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read that record.

        Raises:
            UserError: If the checkpoint is of another network, or has no record of its training frames.
        """
        if not {"state_dict", "trained_on"} <= checkpoint.keys():
            raise UserError(
                "--ckpt_path: the checkpoint has no record of its training frames (trained_on), so no test of it can "
                "be trusted. Name a checkpoint that `fit` has written."
            )
        _require_same_network(self, checkpoint)
        self.trained_on = checkpoint["trained_on"]
        self.validated = checkpoint.get("validated")

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

    @staticmethod
    def _at_size(probability: Tensor, size: tuple[int, int]) -> Tensor:
        if probability.shape[-2:] == size:
            return probability
        return F.interpolate(probability.float(), size, mode="bilinear", align_corners=False)

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
                    threshold=THRESHOLDS[best], f_measure=f_measure, kind=self.datamodule.split.validation_kind
                )
            for metric in (self.confusion, self.dice, self.confusion_at_thresholds, self.dice_at_thresholds):
                metric.reset()

    def load_threshold(self, verbose: bool = True) -> None:
        """Take the threshold that validation has chosen, if it is asked for.

        Args:
            verbose: Whether to print it.

        Raises:
            UserError: If the checkpoint has none.
        """
        if not self.threshold_from_validation:
            return
        if self.validated is None:
            raise UserError(
                "model.init_args.threshold: the checkpoint has no validation threshold of the last stage; got "
                "'validation'. Use the best checkpoint (--ckpt_path best; for `segment` --checkpoint …/best.ckpt), or "
                "set a probability: --model.init_args.threshold=0.5 (--threshold 0.5)."
            )
        self.threshold = self.validated["threshold"]
        if verbose and self.trainer.is_global_zero:
            console.print(
                f"Threshold {self.threshold:.2f}, chosen by validation on {self.validated['kind']} (F-measure "
                f"{self.validated['f_measure']:.4f} there).",
                soft_wrap=True,
            )

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


def _require_same_network(module: BgsModule, checkpoint: dict[str, Any]) -> None:
    """Compare names and shapes, and the hyperparameters that make the difference."""
    own = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    stored = {name: tuple(value.shape) for name, value in checkpoint["state_dict"].items()}
    hyperparameters = checkpoint.get("hyper_parameters", {})
    if own == stored:
        for name in module.checkpoint_keys:
            given = module.hparams[name]
            here, trained = (
                list(value) if isinstance(value, list | tuple) else value
                for value in (given, hyperparameters.get(name, given))
            )
            if here != trained:
                raise UserError(
                    f"model.init_args.{name}: the checkpoint was trained with {trained}; got {here}. "
                    f"Set --model.init_args.{name}={trained}."
                )
        return
    there, here = checkpoint.get("module", "another module"), type(module).__name__
    if there != here:
        raise UserError(
            f"The checkpoint holds the weights of {there}, this configuration builds {here}. "
            f"Use the configuration that the checkpoint was trained with: config.yaml in its run directory."
        )
    different = [
        f"--model.init_args.{name}={hyperparameters[name]}"
        for name, value in module.hparams.items()
        if name in hyperparameters and hyperparameters[name] != value
    ]
    first = next(name for name in {**own, **stored} if own.get(name) != stored.get(name))
    raise UserError(
        f"The checkpoint holds the weights of another {here} than this configuration builds ({first}: "
        f"{stored.get(first, 'absent')} there, {own.get(first, 'absent')} here). "
        + (
            f"It was trained with {' '.join(different)}."
            if different
            else "Use the configuration of its run directory."
        )
    )
