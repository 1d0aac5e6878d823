"""CrossNet, with hierarchical optical flow: HOFAM.

D. Liang, D. Zhang, Q. Wang, Z. Wei, L. Zhang, "CrossNet: cross-scene background subtraction network via 3D optical
flow", IEEE Transactions on Multimedia 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_choice, check_range
from bgsub_lightning.data import EvaluationBatch, Hop, Image, TrainingBatch
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.systems.crossnet.loss import LIMIT, SCALE, Share, focal_loss, l1_loss, scale_weight
from bgsub_lightning.systems.crossnet.network import UNIT, CmDff, CrossNetNetwork, Form, Normalisation
from bgsub_lightning.systems.decay import cosine_decay
from bgsub_lightning.systems.sizes import sized
from bgsub_lightning.systems.system import BgsSystem, Threshold, identity
from bgsub_lightning.systems.trainer_types import OptimizerLRScheduler, ScenesDataModule

_SHOWN = -1  # the last step of the decoder, Att7 in figure 5


class CrossNetSystem(BgsSystem):
    """One model for all scenes: appearance and optical flow, joined by cross-modal dynamic feature filters.

    The defaults are the paper's numbers (section IV-A); its ablations (table I) are arguments.

    Args:
        taus: Intervals of the optical flow in frames, one channel for each; empty: no flow, and no second encoder.
        width: Channels of the encoders' first layers; the others scale with it.
        filters: Whether the decoder filters the encoders' features (CmDFF), or takes them as they are.
        form: Whether the decoder's steps are those of the authors' code or of equations 1 to 3; as printed they have
            batch normalisation, ``norm: batch``.
        norm: Normalisation of each sample over all its channels, as in the authors' code, or of the batch.
        dropout: Probability to drop a feature in training, in the decoder's first three steps, or in all of the printed
            form.
        freeze_fusion: Leave the convolutions that fuse appearance and motion, the bottleneck among them, as they were
            drawn. The authors' code does, as it trains the variables with ``g_`` in their names.
        lr: Learning rate of Adam.
        betas: Of Adam.
        decay_steps: Steps over which the rate falls to zero along a cosine, where it stays: the length of the run.
            0: the rate is constant, as in the paper.
        focal_weight: t₁ of equation 8: what the focal loss is multiplied by.
        l1_weight: t₂ of equation 8: what the absolute difference is multiplied by.
        beta: Whether foreground counts by how small it is in its image (CS-Focal, equation 6), or not (focal loss; in
            the authors' code it never does).
        beta_scale: t₃ of equation 6.
        beta_limit: The largest 1/S of equation 6.
        beta_share: What the foreground is divided by in S: all valid pixels, as in the authors' code, or those of the
            background, as in the text.
        alpha: Weight of foreground in the focal loss.
        gamma: How much less pixels count in the focal loss that are right already.
        labels: What the grey levels of a mask mean in training; the authors' rule is ``CROSSNET``.
        threshold: Probability above which a pixel is called foreground; or ``"validation"``, see :class:`BgsModule`.
    """

    checkpoint_keys = ("taus",)
    size_divisor = UNIT

    def __init__(
        self,
        taus: Sequence[int] = (1, 5, 10),
        width: int = 64,
        filters: bool = True,
        form: Form = "code",
        norm: Normalisation = "group",
        dropout: float = 0.5,
        freeze_fusion: bool = False,
        lr: float = 5e-5,
        betas: tuple[float, float] = (0.95, 0.999),
        decay_steps: int = 0,
        focal_weight: float = 0.8,
        l1_weight: float = 0.2,
        beta: Literal["paper", "off"] = "paper",
        beta_scale: float = SCALE,
        beta_limit: float = LIMIT,
        beta_share: Share = "all",
        alpha: float = 0.75,
        gamma: float = 0.0,
        labels: LabelRule = LabelRule.TRAINING,
        threshold: Threshold = 0.5,
    ) -> None:
        super().__init__(labels, threshold)
        check_range("model.init_args.", least=0, focal_weight=focal_weight, l1_weight=l1_weight)
        check_range("model.init_args.", above=0, **{"focal_weight + l1_weight": focal_weight + l1_weight})
        check_range("model.init_args.", least=0, most=1, alpha=alpha, dropout=dropout)
        check_range("model.init_args.", least=0, gamma=gamma, decay_steps=decay_steps)
        check_range("model.init_args.", above=0, lr=lr)
        check_range("model.init_args.", least=0, below=1, betas=betas)
        check_range("model.init_args.", least=1, width=width)
        check_range("model.init_args.", above=0, beta_scale=beta_scale, beta_limit=beta_limit)
        check_choice("model.init_args.", Share, beta_share=beta_share)
        check_choice("model.init_args.", Form, form=form)
        if freeze_fusion and not filters:
            raise UserError(
                "model.init_args.freeze_fusion: without filters there is no fusion to freeze. Leave one of them out."
            )
        self.save_hyperparameters(ignore=["labels"])
        self.inputs = (Image(), Hop(tuple(taus))) if taus else (Image(),)
        network = sized(CrossNetNetwork, len(taus), width, filters, norm, dropout, freeze_fusion, form)
        # as the images come; faster on every device
        self.network: CrossNetNetwork = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.norm = norm
        self.lr = lr
        self.betas = betas
        self.decay_steps = decay_steps
        self.focal_weight = focal_weight
        self.l1_weight = l1_weight
        self.beta = beta
        self.beta_scale = beta_scale
        self.beta_limit = beta_limit
        self.beta_share: Share = beta_share
        self.alpha = alpha
        self.gamma = gamma
        self.width = width

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {"network.forward": identity}

    def validate(self, data: ScenesDataModule) -> None:
        """Check the frames' size, and their number where the batch is normalised.

        Raises:
            UserError: If the network cannot take them.
        """
        if data.size is None or data.size[0] % UNIT or data.size[1] % UNIT:
            given = list(data.size) if data.size else "each scene's own"
            raise UserError(
                f"data.init_args.size: CrossNet halves its input eight times, so that width and height must be "
                f"multiples of {UNIT}, such as [256, 256]; got {given}."
            )
        if self.norm == "batch" and data.batch_size < 2:
            raise UserError(
                f"data.init_args.batch_size: batch normalisation over a vector needs 2 frames, got {data.batch_size}. "
                f"Set --model.init_args.norm=group for single ones."
            )

    def forward(self, image: Tensor, flow: Tensor | None = None) -> Tensor:
        """Return logits ``(B, H, W)`` for frames ``(B, 3, H, W)`` and flows ``(B, len(taus), H, W)`` in [0, 1]."""
        return self.network(*self._ranged(image, flow))  # type: ignore[no-any-return]

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:  # noqa: D102
        logits, target = self(batch["image"], batch.get("hop")), self.target(batch["mask"])
        terms = {}
        if self.focal_weight:
            by_scale = self.beta == "paper"
            beta = scale_weight(target, self.beta_scale, self.beta_limit, self.beta_share) if by_scale else None
            focal = focal_loss(logits, target, self.alpha, self.gamma, beta)
            terms["cs_focal" if by_scale else "focal"] = self.focal_weight * focal
        if self.l1_weight:
            terms["l1"] = self.l1_weight * l1_loss(logits, target)
        return terms

    def probability(self, context: SceneContext, batch: EvaluationBatch) -> Tensor:  # noqa: D102
        return self(batch["image"], batch.get("hop")).float().sigmoid()[None]  # type: ignore[no-any-return]

    def frame_pictures(self, context: SceneContext, batch: EvaluationBatch, position: int) -> dict[str, Tensor]:
        """Show the last filter of the decoder: means over its channels, each stretched to [0, 1] (figure 5)."""
        shown = self.network.decoder[_SHOWN]
        if not isinstance(shown, CmDff):
            return {}
        means: dict[str, Tensor] = {}

        def note(title: str, channels: slice, module: nn.Module, _: Any, output: Tensor) -> None:
            means[title] = output[0, channels].detach().float().mean(0)

        after_first = slice(self.width, None)  # what is upsampled
        hooks = [
            shown.weigh.register_forward_hook(partial(note, "B_w", slice(None))),
            shown.fuse.register_forward_hook(partial(note, "B_e_op", slice(None))),
            shown.register_forward_hook(partial(note, "B_w x B_e_op", after_first)),
        ]
        try:
            flow = batch["hop"][[position]] if "hop" in batch else None
            self.network.forward(*self._ranged(batch["image"][[position]], flow))  # not compiled: that skips the hooks
        finally:
            for hook in hooks:
                hook.remove()
        return {title: _stretched(each) for title, each in means.items()}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam (section IV-A)."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return cosine_decay(torch.optim.Adam(learning, lr=self.lr, betas=self.betas), self.decay_steps)

    @staticmethod
    def _ranged(image: Tensor, flow: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Bring both to [-1, 1]."""
        return 2 * image - 1, None if flow is None else 2 * flow - 1


def _stretched(values: Tensor) -> Tensor:
    """Bring values to the range [0, 1]."""
    low, high = values.aminmax()
    return (values - low) / (high - low).clamp(min=1e-12)
