"""Fully convolutional segmentation by DeepLab-LargeFOV: what two-stage MCFCN and its Baseline-2 share, and Baseline-2.

See :mod:`bgsub_lightning.modules.recon_mcfcn` for the paper.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bgsub_lightning.console import console
from bgsub_lightning.data import EvaluationBatch, Image, Input, Span, Stage, StagePlan, TrainingBatch
from bgsub_lightning.errors import UserError
from bgsub_lightning.losses import masked_cross_entropy
from bgsub_lightning.modules.staged import StagedModule
from bgsub_lightning.networks import Mcfcn
from bgsub_lightning.networks.mcfcn import STRIDE
from bgsub_lightning.networks.weights import load_vgg
from bgsub_lightning.scenes.labels import LabelRule

Range = Literal["unit", "imagenet", "caffe"]
"""What range a network's input has: [-1, 1]; RGB less the mean of ImageNet by its deviation, as torchvision's weights
take it; or BGR in grey levels less that mean, as DeepLab's do."""

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (104.00699, 116.66877, 122.67892)


@dataclass(frozen=True)
class SegmentStage(Stage):
    """Numbers of the stage that trains the segmentation; the defaults are the paper's (section 3.3).

    Args:
        steps: Optimiser steps.
        batch_size: Frames per process and step.
        lr: Learning rate.
        decay: See :class:`Stage`.
    """

    steps: int = 6_000
    batch_size: int = 2
    lr: float = 1e-3


torch.serialization.add_safe_globals([SegmentStage])


class FcnModule(StagedModule):
    """A system whose answer is that of DeepLab-LargeFOV on some images, trained by SGD.

    Args:
        channels: Channels of the network's input: 3 per image.
        mcfcn_width: Channels of VGG's first layers; the others scale with it.
        size: Height and width of the network's input, 8k + 1.
        loss_size: Where the loss is taken: on the network's output grid with nearest labels, as DeepLab does, or at
            ``size`` with logits resized.
        momentum: Of SGD.
        weight_decay: Of SGD.
        weights: File or URL of weights to begin with; ``None``: from scratch.
        weights_sha256: Its SHA-256 digest.
        weights_range: What range the weights were made for.
        first_layer: What a first layer of more than 3 channels begins with.
        labels: What the grey levels of a mask mean in training.
        threshold: Probability above which a pixel is called foreground.
    """

    def __init__(
        self,
        channels: int,
        mcfcn_width: int,
        size: int,
        loss_size: Literal["grid", "full"],
        momentum: float,
        weight_decay: float,
        weights: str | None,
        weights_sha256: str | None,
        weights_range: Range,
        first_layer: Literal["normal", "frame"],
        labels: LabelRule,
        threshold: float,
    ) -> None:
        super().__init__(labels, threshold)
        if size % STRIDE != 1 or size <= STRIDE:
            raise UserError(f"model.init_args.size: the network needs {STRIDE}k + 1 pixels, got {size}.")
        self.segmentation = Mcfcn(channels, mcfcn_width)
        self.size = size
        self.loss_size = loss_size
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.weights = weights
        self.weights_sha256 = weights_sha256
        self.weights_range = weights_range
        self.first_layer = first_layer
        self.inputs: tuple[Input, ...] = (Image(),)

    def on_fit_start(self) -> None:
        """Begin with the weights that the configuration names, if no run is continued."""
        if self.trainer.ckpt_path is None:
            # DDP has already made the processes' weights alike; what is drawn from here on must be so by itself
            torch.manual_seed(self.trainer.strategy.broadcast(torch.initial_seed()))
            self.initialise()
        super().on_fit_start()  # which adds to what the weights have seen before

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Let dropout depend on the step and the process alone: no checkpoint holds the generator's state."""
        super().on_train_batch_start(batch, batch_idx)
        seeds = np.random.SeedSequence((self.datamodule.seed, self.global_step, self.global_rank))
        torch.manual_seed(int(seeds.generate_state(1)[0]))

    @property
    def input_range(self) -> Range:
        """What range the network's input has."""
        return self.weights_range if self.weights else "unit"

    def initialise(self) -> None:
        """Load the given weights, or say that training starts from scratch."""
        if self.weights is None:
            console.print("No pretrained weights are given: VGG's layers start from He's initialisation.")
            return
        report = load_vgg(self.segmentation, self.weights, self.weights_sha256, self.first_layer)
        console.print(str(report), soft_wrap=True)

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Return logits of background and foreground on the output grid for frames ``(B, 3, H, W)`` in [0, 1]."""

    def segment(self, *images: Tensor) -> Tensor:
        """Return those logits for images at :attr:`size`, in [0, 1]."""
        ranged = [_in_range(each, self.input_range) for each in images]
        return self.segmentation(torch.cat(ranged, dim=1))  # type: ignore[no-any-return]

    def segmentation_loss(self, logits: Tensor, batch: TrainingBatch) -> Tensor:
        """Return the cross-entropy over the valid pixels (equation 2)."""
        mask = F.interpolate(batch["mask"][:, None].float(), (self.size, self.size), mode="nearest-exact")[:, 0]
        if self.loss_size == "grid":
            mask = mask[:, ::STRIDE, ::STRIDE]  # where the outputs lie: the first and the last are corners of the input
        else:
            logits = F.interpolate(logits, (self.size, self.size), mode="bilinear", align_corners=True)
        return masked_cross_entropy(logits, self.target(mask.byte()))

    def probability(self, batch: EvaluationBatch) -> Tensor:  # noqa: D102
        image = batch["image"]
        logits = F.interpolate(self(image), image.shape[-2:], mode="bilinear", align_corners=True)
        return logits.softmax(1)[None, :, 1]

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """SGD with DeepLab's momentum and weight decay."""
        return torch.optim.SGD(groups, lr=1.0, momentum=self.momentum, weight_decay=self.weight_decay)

    def resized(self, image: Tensor) -> Tensor:
        """Bring frames to the network's size."""
        return shrunk(image, self.size)


class FrameFcn(FcnModule):
    """Baseline-2: the same network on the frame alone (section 4.3).

    Args:
        mcfcn_width: Channels of VGG's first layers; the others scale with it.
        size: Height and width of the network's input, 8k + 1.
        segment: Numbers of its one stage.
        loss_size: See :class:`FcnModule`.
        momentum: Of SGD; DeepLab's.
        weight_decay: Of SGD; DeepLab's.
        weights: File or URL of a VGG-16 or of DeepLab-LargeFOV to begin with; ``None``: from scratch.
        weights_sha256: Its SHA-256 digest, to be checked.
        weights_range: What range the weights were made for: DeepLab's ``caffe``, torchvision's ``imagenet``.
        labels: What the grey levels of a mask mean in training.
        threshold: Probability above which a pixel is called foreground.
    """

    def __init__(
        self,
        mcfcn_width: int = 64,
        size: int = 961,
        segment: SegmentStage = SegmentStage(),
        loss_size: Literal["grid", "full"] = "grid",
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        weights: str | None = None,
        weights_sha256: str | None = None,
        weights_range: Range = "caffe",
        labels: LabelRule = LabelRule.TRAINING,
        threshold: float = 0.5,
    ) -> None:
        super().__init__(
            *(3, mcfcn_width, size, loss_size, momentum, weight_decay),
            *(weights, weights_sha256, weights_range, "frame", labels, threshold),
        )
        self.save_hyperparameters(ignore=["labels"])
        self.plan = StagePlan(Span("segment", ("segmentation",), segment, (Image(),), segment.batch_size))

    def forward(self, image: Tensor) -> Tensor:  # noqa: D102
        return self.segment(self.resized(image))

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:  # noqa: D102
        return {"segmentation": self.segmentation_loss(self(batch["image"]), batch)}


def shrunk(image: Tensor, size: int) -> Tensor:
    """Resize images to a square; in single precision, as the CPU has no antialiasing in others."""
    sized = F.interpolate(image.float(), (size, size), mode="bilinear", align_corners=False, antialias=True)
    return sized.to(image.dtype)


def _in_range(image: Tensor, wanted: Range) -> Tensor:
    """Bring an image in [0, 1] to the range of a network's input."""
    if wanted == "unit":
        return 2 * image - 1
    if wanted == "imagenet":
        mean, deviation = (image.new_tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
        return (image - mean) / deviation
    return 255 * image.flip(-3) - image.new_tensor(_CAFFE_MEAN)[:, None, None]
