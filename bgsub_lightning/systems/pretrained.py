"""Systems one of whose networks begins with VGG-16: what they share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.systems.decay import decay_groups
from bgsub_lightning.systems.kinds import StagedSystem
from bgsub_lightning.systems.system import BgsSystem, Threshold
from bgsub_lightning.systems.vgg import Vgg
from bgsub_lightning.systems.weights import FirstLayer, load_vgg

Range = Literal["unit", "imagenet", "caffe", "raw"]
"""Range of a network's input: [-1, 1]; RGB less the mean of ImageNet by its deviation, as torchvision's weights
take it; BGR in grey levels less that mean, as DeepLab's do; or RGB in grey levels, as FgSegNet_v2's code gives it to
weights of Keras."""

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the red, the green and the blue channel, range [0, 1]."""
_CAFFE_MEAN = (104.00699, 116.66877, 122.67892)


@dataclass(frozen=True)
class Sgd:
    """How SGD learns; the defaults are DeepLab's.

    Args:
        momentum: Its momentum.
        weight_decay: Its weight decay.
        decay_all: Whether that acts on biases and normalisation as well.
    """

    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay_all: bool = False

    def __post_init__(self) -> None:
        check_range("model.init_args.sgd.", least=0, below=1, momentum=self.momentum)
        check_range("model.init_args.sgd.", least=0, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Pretrained:
    """The weights that VGG-16 begins with.

    Args:
        weights: File or URL of a VGG-16 or of DeepLab-LargeFOV; ``None``: from scratch.
        sha256: Its SHA-256 digest, to be checked.
        range: What range the weights were made for: DeepLab's ``caffe``, torchvision's ``imagenet``.
    """

    weights: str | None = None
    sha256: str | None = None
    range: Range = "caffe"


class PretrainedVgg(BgsSystem):
    """Base of systems whose network begins with VGG-16, pretrained or from scratch.

    Attributes:
        pretrained: What it begins with.
    """

    pretrained: Pretrained

    first_layer: FirstLayer = "normal"
    """Initial weights of a first layer of more than 3 channels."""

    @property
    @abstractmethod
    def vgg(self) -> Vgg:
        """The network that the weights are for."""

    @property
    def keeps_vgg(self) -> bool:
        """Whether that network keeps the weights of a checkpoint."""
        return True

    @property
    def input_range(self) -> Range:
        """Range of that network's input."""
        return self.pretrained.range if self.pretrained.weights else "unit"

    def begin_fit(self) -> None:
        """Load the given weights, or say that training starts from scratch."""
        if self.pretrained.weights is None:
            console.print("No pretrained weights are given: VGG's layers start from He's initialisation.")
            return
        report = load_vgg(self.vgg, self.pretrained.weights, self.pretrained.sha256, self.first_layer)
        console.print(str(report), soft_wrap=True)

    def require_compatible(self, checkpoint: dict[str, Any]) -> None:
        """Check as well that the network has learnt from inputs of the range that it is given here.

        Raises:
            UserError: If it has not.
        """
        super().require_compatible(checkpoint)
        if not self.keeps_vgg:
            return
        of_run = checkpoint.get("hyper_parameters", {}).get("pretrained", {})
        given = Pretrained(**of_run) if isinstance(of_run, dict) else of_run  # the command line keeps plain values
        there = given.range if given.weights else "unit"
        if there != self.input_range:
            raise UserError(
                f"model.init_args.pretrained: the checkpoint has learnt from inputs of the range {there}; got "
                f"{self.input_range}. Set --model.init_args.pretrained.weights and range as in that run."
            )

    def ranged(self, image: Tensor) -> Tensor:
        """Bring images in [0, 1] to :attr:`input_range`."""
        if self.input_range == "unit":
            return 2 * image - 1
        if self.input_range == "raw":
            return 255 * image
        if self.input_range == "imagenet":
            mean, deviation = (
                image.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_DEVIATION)
            )
            return (image - mean) / deviation
        return 255 * image.flip(-3) - image.new_tensor(_CAFFE_MEAN)[:, None, None]


class VggSystem(PretrainedVgg, StagedSystem):
    """A system trained by SGD, one of whose networks begins with pretrained weights or from scratch.

    Args:
        sgd: How it learns.
        pretrained: What it begins with.
        labels: What the grey levels of a mask mean in training.
        threshold: Probability above which a pixel is called foreground; or ``"validation"``, see :class:`BgsModule`.
    """

    def __init__(
        self,
        sgd: Sgd,
        pretrained: Pretrained,
        labels: LabelRule,
        threshold: Threshold,
    ) -> None:
        super().__init__(labels, threshold)
        self.sgd = sgd
        self.pretrained = pretrained

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """SGD with the papers' momentum and weight decay."""
        decayed = decay_groups(groups, self.sgd.weight_decay, self.sgd.decay_all)
        return torch.optim.SGD(decayed, lr=1.0, momentum=self.sgd.momentum)
