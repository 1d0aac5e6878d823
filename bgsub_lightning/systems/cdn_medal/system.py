"""CDN-MEDAL-net.

S. V.-U. Ha, C. T. Nguyen, H. N. Phan, N. M. Chung, P. H. Ha, "CDN-MEDAL: two-stage density and difference approximation
framework for motion analysis", arXiv:2106.03776.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from torch import Tensor, nn

from bgsub_lightning.backgrounds import BackgroundContext, BackgroundSource, SourceBackgrounds
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data import (
    Background,
    EvaluationBatch,
    Histories,
    Image,
    SceneInputs,
    Span,
    Stage,
    StagePlan,
    Stream,
    TrainingBatch,
)
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.frames import FrameStore, SceneFrames
from bgsub_lightning.losses import SLOPE, hard_sigmoid, masked_binary_cross_entropy
from bgsub_lightning.splits import FrameSet
from bgsub_lightning.systems.cdn_medal.background import DensityBackground
from bgsub_lightning.systems.cdn_medal.loss import mixture_nll
from bgsub_lightning.systems.cdn_medal.medal_net import MedalNet
from bgsub_lightning.systems.kinds import StagedSystem
from bgsub_lightning.systems.system import Threshold, identity
from bgsub_lightning.systems.with_background import RecordedBackground


class CdnMedalSystem(RecordedBackground, StagedSystem):
    """A background by a mixture density network, then a small auto-encoder that compares each frame with it.

    Stage ``density`` trains CDN-GM on histories of pixels, by likelihood and without labels: it sees every frame of the
    training scenes, as in the paper, those that are tested as well. Stage ``difference`` trains MEDAL-net on labelled
    frames and their backgrounds, with no gradient into CDN-GM. Each scene has its own model.

    Args:
        background: What gives the backgrounds; ``None``: CDN-GM with the paper's numbers. Another source has no stage
            ``density``.
        density: Numbers of the first stage: the paper's rate and the published code's amount, of pixels that are all of
            one window of frames for ``repeat`` steps; each process has its own window.
        difference: Numbers of the second, the paper's: 1,000 epochs of 200 frames, one a step.
        sigmoid: What makes probabilities of MEDAL-net's logits in training; the paper's hard sigmoid gives no gradient
            to pixels that are saturated and wrong. Predictions are those of the hard sigmoid in either case.
        slope: Slope of that hard sigmoid, in (0, 1]; see :data:`bgsub_lightning.losses.SLOPE`. CDN-GM has its
            own, an argument of :class:`DensityBackground`.
        initial: Checkpoint of a system that has trained ``background``, such as one of AE-NE: a fit begins with its
            weights. Sources that have weights and no stage here need it.
        labels: What the grey levels of a mask mean in training.
        threshold: Probability from which a pixel is called foreground, ε (section IV-A): where it is ε or more
            (equation 22); or ``"validation"``, see :class:`BgsModule`.
    """

    checkpoint_keys = ("slope",)
    threshold_is_foreground = True

    def __init__(
        self,
        background: BackgroundSource | None = None,
        density: Stage = Stage(96_000, 128, 1e-4, repeat=1_200),
        difference: Stage = Stage(200_000, 1, 5e-3),
        sigmoid: Literal["logistic", "hard"] = "logistic",
        slope: float = SLOPE,
        initial: Path | None = None,
        labels: LabelRule = LabelRule.TRAINING,
        threshold: Threshold = 0.3,
    ) -> None:
        super().__init__(labels, threshold)
        check_range("model.init_args.", above=0, most=1, slope=slope)
        self.save_hyperparameters(ignore=["labels", "background", "initial"])
        self.background = DensityBackground() if background is None else background
        if initial is not None and not self.background.state_dict():
            raise UserError(
                f"model.init_args.initial: {type(self.background).__name__} has no weights; got {initial}. Leave the "
                f"option out."
            )
        self.initial = initial
        self.difference = MedalNet()
        self.sigmoid: Literal["logistic", "hard"] = sigmoid
        self.slope = slope
        self.inputs = (Stream(),)
        spans = []
        if isinstance(self.background, DensityBackground):
            histories = Histories(self.background.network.history, density.batch_size)
            spans.append(Span("density", ("background",), density, (histories,), 1))
        pairs = (Image(), Background())
        spans.append(Span("difference", ("difference",), difference, pairs, difference.batch_size))
        self.plan = StagePlan(*spans)

    @property
    def compile_targets(self) -> list[nn.Module]:
        """Both networks; an evaluation calls the parts of CDN-GM, which are not compiled."""
        return [self.difference, *super().compile_targets]

    def require_initial_weights(self) -> None:
        """Check that the background's weights come from somewhere.

        Raises:
            UserError: If no stage trains them and no checkpoint is named.
        """
        source = self.background
        if self.initial is None and source.state_dict() and not isinstance(source, DensityBackground):
            raise UserError(
                f"model.init_args.background: {type(source).__name__} has weights that no stage of CDN-MEDAL-net "
                f"trains. Name a checkpoint of the system that has trained them by --model.init_args.initial FILE; or "
                f"name DensityBackground, or a source without weights."
            )

    def begin_fit(self) -> None:
        """Begin with the background that another run has trained, if one is named."""
        super().begin_fit()
        if self.initial is not None:
            try:
                self.load_background(self.initial)
            except UserError as error:
                raise UserError(f"model.init_args.initial: {error}") from error

    def forward(self, image: Tensor, background: Tensor) -> Tensor:
        """Return logits ``(B, H, W)`` for frames and backgrounds ``(B, 3, H, W)`` in [0, 1]."""
        return self.difference(image, background)  # type: ignore[no-any-return]

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:  # noqa: D102
        if "history" in batch:
            return {"density": self._density_loss(batch["history"])}
        logits = self(batch["image"], batch["background"])
        target = self.target(batch["mask"])
        return {"difference": masked_binary_cross_entropy(logits, target, self.sigmoid, self.slope)}

    def begin_stage(self, span: Span, pixels: Sequence[SceneFrames], frames: FrameSet, store: FrameStore) -> None:
        """Compute the backgrounds of the frames that MEDAL-net learns from."""
        for entry in span.inputs:
            if isinstance(entry, Background):
                entry.fill(pixels, frames, store, SourceBackgrounds(self.background, self.device))

    def begin_scene(self, scene: SceneInputs) -> BackgroundContext:  # noqa: D102
        return self.background.begin_scene()

    def probability(self, context: BackgroundContext, batch: EvaluationBatch) -> Tensor:
        """Return the probability of the frames that are scored, shape ``(1, B, H, W)``; 0 for those that only pass."""
        image, scored = batch["image"], batch["is_scored"]
        backgrounds = self.background.push(context, image)
        probability = image.new_zeros(len(image), *image.shape[-2:])
        if bool(scored.any()):
            logits = self(image[scored], backgrounds[scored])
            probability[scored] = hard_sigmoid(logits, self.slope).to(probability.dtype)
        return probability[None]

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {"difference.core": identity, **super().export_targets}

    def _density_loss(self, history: Tensor) -> Tensor:
        network = cast("DensityBackground", self.background).network  # no other source's plan has these batches
        mixture = network(history)
        return mixture_nll(history, mixture.log_weights, network.deviations(mixture), mixture.means)
