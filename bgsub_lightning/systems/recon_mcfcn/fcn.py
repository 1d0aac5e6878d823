"""Fully convolutional segmentation by DeepLab-LargeFOV: what two-stage MCFCN and its Baseline-2 share, and Baseline-2.

See :mod:`bgsub_lightning.systems.recon_mcfcn.system` for the paper.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data import EvaluationBatch, Image, Input, Span, Stage, StagePlan, TrainingBatch
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.losses import masked_cross_entropy
from bgsub_lightning.systems.pretrained import Pretrained, Sgd, VggSystem
from bgsub_lightning.systems.recon_mcfcn.mcfcn import STRIDE, Mcfcn
from bgsub_lightning.systems.resizing import resize
from bgsub_lightning.systems.sizes import sized
from bgsub_lightning.systems.system import Threshold, identity

SEGMENT = Stage(6_000, 2, 1e-3)
"""Numbers of the stage that trains the segmentation (section 3.3)."""


class FcnSystem(VggSystem):
    """A system whose answer is that of DeepLab-LargeFOV on some images, trained by SGD.

    Args:
        channels: Channels of the network's input: 3 per image.
        mcfcn_width: Channels of VGG's first layers; the others scale with it.
        size: Height and width of the network's input, 8k + 1.
        loss_size: Where the loss is taken: on the network's output grid with nearest labels, as DeepLab does, or at
            ``size`` with logits resized.
        sgd: How it learns.
        pretrained: What it begins with.
        labels: What the grey levels of a mask mean in training.
        threshold: Probability above which a pixel is called foreground; or ``"validation"``, see :class:`BgsModule`.
    """

    def __init__(
        self,
        channels: int,
        mcfcn_width: int,
        size: int,
        loss_size: Literal["grid", "full"],
        sgd: Sgd,
        pretrained: Pretrained,
        labels: LabelRule,
        threshold: Threshold,
    ) -> None:
        super().__init__(sgd, pretrained, labels, threshold)
        check_range("model.init_args.", least=1, mcfcn_width=mcfcn_width)
        check_range("model.init_args.", most=4097, size=size)
        if size % STRIDE != 1 or size <= STRIDE:
            raise UserError(f"model.init_args.size: must be {STRIDE}k + 1 pixels; got {size}.")
        network = sized(Mcfcn, channels, mcfcn_width)
        # faster on a CPU, in batches of any size
        self.segmentation: Mcfcn = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.size = size
        self.loss_size = loss_size
        self.inputs: tuple[Input, ...] = (Image(),)

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {"segmentation.forward": identity}

    @property
    def vgg(self) -> Mcfcn:  # noqa: D102
        return self.segmentation

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Return logits of background and foreground on the output grid for frames ``(B, 3, H, W)`` in [0, 1]."""

    def segment(self, *images: Tensor) -> Tensor:
        """Return those logits for images at :attr:`size`, in [0, 1]."""
        return self.segmentation(torch.cat([self.ranged(each) for each in images], dim=1))  # type: ignore[no-any-return]

    def segmentation_loss(self, logits: Tensor, batch: TrainingBatch) -> Tensor:
        """Return the cross-entropy over the valid pixels (equation 2)."""
        mask = F.interpolate(batch["mask"][:, None].float(), (self.size, self.size), mode="nearest-exact")[:, 0]
        if self.loss_size == "grid":
            mask = mask[:, ::STRIDE, ::STRIDE]  # where the outputs lie: the first and the last are corners of the input
        else:
            logits = self.from_grid(logits)
        return masked_cross_entropy(logits, self.target(mask.byte()))

    def probability(self, context: Any, batch: EvaluationBatch) -> Tensor:  # noqa: D102
        return self._probability_of(self(batch["image"]), batch["image"])

    def _probability_of(self, logits: Tensor, image: Tensor) -> Tensor:
        # by half-pixel centres; not averaged where they shrink: they are smooth already, and small objects would vanish
        logits = F.interpolate(self.from_grid(logits), image.shape[-2:], mode="bilinear", align_corners=False)
        return logits.softmax(1)[None, :, 1]

    def from_grid(self, logits: Tensor) -> Tensor:
        """Enlarge logits to :attr:`size`, where output i of a row or column lies on pixel 8i: corners are aligned."""
        return F.interpolate(logits, (self.size, self.size), mode="bilinear", align_corners=True)

    def resized(self, image: Tensor) -> Tensor:
        """Bring frames to the network's size."""
        return resize(image, (self.size, self.size))


class FrameFcnSystem(FcnSystem):
    """Baseline-2: the same network on the frame alone (section 4.3).

    Args:
        mcfcn_width: Channels of VGG's first layers; the others scale with it.
        size: Height and width of the network's input, 8k + 1.
        segment: Numbers of its one stage; the defaults are the paper's (section 3.3).
        loss_size: See :class:`ReconMcfcn`.
        sgd: How it learns.
        pretrained: What it begins with.
        labels: What the grey levels of a mask mean in training.
        threshold: Probability above which a pixel is called foreground; or ``"validation"``, see :class:`BgsModule`.
    """

    def __init__(
        self,
        mcfcn_width: int = 64,
        size: int = 961,
        segment: Stage = SEGMENT,
        loss_size: Literal["grid", "full"] = "grid",
        sgd: Sgd = Sgd(),
        pretrained: Pretrained = Pretrained(),
        labels: LabelRule = LabelRule.TRAINING,
        threshold: Threshold = 0.5,
    ) -> None:
        super().__init__(3, mcfcn_width, size, loss_size, sgd, pretrained, labels, threshold)
        self.save_hyperparameters(ignore=["labels"])
        self.plan = StagePlan(Span("segment", ("segmentation",), segment, (Image(),), segment.batch_size))

    def forward(self, image: Tensor) -> Tensor:  # noqa: D102
        return self.segment(self.resized(image))

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:  # noqa: D102
        return {"segmentation": self.segmentation_loss(self(batch["image"]), batch)}
