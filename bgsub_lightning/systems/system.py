"""The half of all systems that answers, in PyTorch alone, so that inference imports no Lightning."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Generator, MutableMapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypedDict, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import EvaluationBatch, Input, SceneInputs, StagePlan, TrainingBatch
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.splits import TrainingRecord
from bgsub_lightning.systems.trainer_types import ScenesDataModule
from bgsub_lightning.systems.weights import require_finite

Threshold = float | Literal["validation"]
"""Probability above which a pixel is called foreground; or the best one of the validation that a checkpoint was saved
after."""


Passes = Generator[Tensor, Tensor, Tensor]
"""See :meth:`BgsSystem.passes`."""


class BestValidation(TypedDict):
    """Result of the newest validation of the final stage.

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


class BgsSystem(nn.Module):
    """A system of background subtraction, without what trains and evaluates it: :class:`BgsModule` adds that.

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

    tests_weights: ClassVar[bool] = False
    """Whether a test that names ``weights`` among the arguments needs no checkpoint."""

    checkpoint_keys: ClassVar[tuple[str, ...]] = ()
    """Hyperparameters that weights depend on though their shapes do not: a checkpoint of other values is refused."""

    threshold_is_foreground: ClassVar[bool] = False
    """Whether what equals the threshold is foreground, as a paper that prints ≥ has it; else only what is above."""

    size_divisor: ClassVar[int] = 32
    """Frames whose height and width it divides are taken without padding."""

    initial_weights: Path | None = None
    """Checkpoint whose weights a fit begins with, in place of those that the arguments name; see
    :meth:`BgsModule.load_initial_weights`."""

    validation_seen: bool = False
    """Whether these weights had seen frames that validation looks at."""

    has_checkpoint: bool = False
    """Whether a checkpoint gives it weights: the command line knows that before a trainer does."""

    inputs: tuple[Input, ...]
    plan: StagePlan | None = None

    def __init__(self, labels: LabelRule = LabelRule.TRAINING, threshold: Threshold = 0.5) -> None:
        super().__init__()
        if threshold != "validation" and not 0 <= threshold < 1:
            raise UserError(
                f"model.init_args.threshold: must be a probability in [0, 1), or 'validation'; got {threshold}."
            )
        self.labels = labels
        self.threshold_from_validation = threshold == "validation"
        self.threshold = 0.5 if threshold == "validation" else threshold
        self.validated: BestValidation | None = None
        self.trained_on: TrainingRecord = {}
        self._arguments: dict[str, Any] = {}
        self.register_buffer("_target_of_level", torch.from_numpy(labels.table), persistent=False)

    @property
    def kind(self) -> str:
        """The name by which configurations know the system: that of NAMESystem is NAME."""
        return type(self).__name__.removesuffix("System")

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return cast("Tensor", self._target_of_level).device

    @property
    def dtype(self) -> torch.dtype | str:
        """Type of its parameters; PyTorch's default where it has none."""
        return next((each.dtype for each in self.parameters()), torch.get_default_dtype())

    @property
    def hparams(self) -> MutableMapping[str, Any]:
        """Values that :meth:`save_hyperparameters` has kept."""
        return self._arguments

    def save_hyperparameters(self, *, ignore: Sequence[str] = ()) -> None:
        """Keep the arguments of the constructor that calls this, as Lightning's method of that name does.

        Args:
            ignore: Names of those that are left out.
        """
        frame = inspect.currentframe()
        assert frame is not None
        assert frame.f_back is not None
        (_, *names), _, _, values = inspect.getargvalues(frame.f_back)
        self._arguments = {name: values[name] for name in names if name not in ignore}

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
        found = self._at_size(draws, size)
        return found[0] if len(found) == 1 else found.mean(0)  # one alone needs no copy

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

    def validate(self, data: ScenesDataModule) -> None:
        """Check that the data can serve this system, before anything takes time.

        Raises:
            UserError: If they cannot.
        """

    def training_inputs(self) -> tuple[Input, ...]:
        """Return what the batch of the next training step must hold."""
        return tuple(entry for entry in self.inputs if entry.in_training)

    def note(self, data: ScenesDataModule, all_unseen: bool) -> str:
        """Return what a table must say of a test; empty: nothing.

        Args:
            data: What is tested.
            all_unseen: Whether nothing of any tested scene was trained on.
        """
        return ""

    @property
    def threshold_from(self) -> str:
        """Source of a chosen :attr:`threshold`; empty: the configuration names it."""
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

    def begin_fit(self) -> None:
        """Begin a fit with the weights that the configuration names, if it names some; not where a run is resumed.

        Evaluations begin so as well where :attr:`tests_weights` says so and there is no checkpoint.
        """

    def require_initial_weights(self) -> None:
        """Check, before a fit that no checkpoint gives weights to, that none are needed.

        Raises:
            UserError: If some are.
        """

    def add_to_initial_weights(self) -> None:
        """Load what a fit that begins with the weights of another run takes from elsewhere; most take nothing."""

    def require_weights(self) -> None:
        """Check, before an evaluation that no checkpoint gives weights to, that none are needed.

        Raises:
            UserError: If some are.
        """

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add which frames the weights have seen, for the leak guard, which network they are of, and the threshold.

        Raises:
            UserError: If the weights are infinite or no numbers, so that those of before stay.
        """
        require_finite(checkpoint["state_dict"])
        checkpoint["trained_on"] = self.trained_on
        checkpoint["validated"] = self.validated
        checkpoint["module"] = self.kind
        checkpoint["validation_seen"] = self.validation_seen

    def require_compatible(self, checkpoint: dict[str, Any]) -> None:
        """Check that the weights of a checkpoint serve this system.

        Raises:
            UserError: If they are of another network, or there is no record of their training frames.
        """
        if not {"state_dict", "trained_on"} <= checkpoint.keys():
            raise UserError(
                "The checkpoint has no record of its training frames (trained_on), so no test of it can be trusted. "
                "Name a checkpoint that `fit` has written."
            )
        _require_same_network(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read that record.

        Raises:
            UserError: As :meth:`require_compatible` does.
        """
        self.require_compatible(checkpoint)
        self.validation_seen = checkpoint.get("validation_seen", False)
        self.trained_on = checkpoint["trained_on"]
        self.validated = checkpoint.get("validated")

    def load_threshold(self) -> None:
        """Take the threshold that validation has chosen, if it is asked for.

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

    @staticmethod
    def _at_size(probability: Tensor, size: tuple[int, int]) -> Tensor:
        if probability.shape[-2:] == size:
            return probability
        return F.interpolate(probability.float(), size, mode="bilinear", align_corners=False)


def _require_same_network(module: BgsSystem, checkpoint: dict[str, Any]) -> None:
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
    there, here = checkpoint.get("module", "another module"), module.kind
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
