"""FgSegNet_v2.

L. A. Lim, H. Yalim Keles, "Learning multi-scale features for foreground segmentation", Pattern Analysis and
Applications 2019 (arXiv:1808.01477).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from bgsub_lightning.core.console import console
from bgsub_lightning.core.ranges import check_choice, check_range
from bgsub_lightning.data import EvaluationBatch, Image, TrainingBatch
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.losses import masked_binary_cross_entropy
from bgsub_lightning.systems.fgsegnet.network import FgSegNetwork, Norm
from bgsub_lightning.systems.pretrained import Pretrained, PretrainedVgg
from bgsub_lightning.systems.sizes import sized
from bgsub_lightning.systems.system import Threshold, identity
from bgsub_lightning.systems.trainer_types import OptimizerLRScheduler

_LEAST_GAIN = 1e-4  # of the loss in validation, as in Keras


class FgSegNetSystem(PretrainedVgg):
    """One model per scene, from a frame alone to its mask: it learns what a scene looks like.

    The defaults are those of the authors' code.

    Args:
        width: Channels of VGG's first layers; the others scale with it.
        norm: What is normalised: see :data:`Norm`.
        freeze: Blocks of VGG, from the first, that do not learn, where they begin with pretrained weights.
        class_balanced: Give foreground and background of an image the same share of its loss, as the authors meant;
            their weights had no effect.
        lr: Learning rate of RMSprop.
        alpha: Smoothing of its mean of squares.
        patience: Validations in a row without a smaller ``val/loss`` after which the rate falls to a tenth; ``None``:
            it is constant.
        pretrained: What VGG begins with.
        labels: What the grey levels of a mask mean in training.
        threshold: Probability above which a pixel is called foreground; or ``"validation"``, see :class:`BgsModule`.
    """

    size_divisor = 4

    def __init__(
        self,
        width: int = 64,
        norm: Norm = "image",
        freeze: int = 3,
        class_balanced: bool = False,
        lr: float = 1e-4,
        alpha: float = 0.9,
        patience: int | None = 5,
        pretrained: Pretrained = Pretrained(),
        labels: LabelRule = LabelRule.TRAINING,
        threshold: Threshold = 0.5,
    ) -> None:
        super().__init__(labels, threshold)
        check_range("model.init_args.", least=1, width=width)
        check_range("model.init_args.", least=0, most=4, freeze=freeze)
        check_range("model.init_args.", above=0, lr=lr)
        check_range("model.init_args.", least=0, below=1, alpha=alpha)
        check_range("model.init_args.", least=1, patience=patience)
        check_choice("model.init_args.", Norm, norm=norm)
        self.save_hyperparameters(ignore=["labels"])
        self.inputs = (Image(),)
        self.pretrained = pretrained
        self.network: FgSegNetwork = sized(FgSegNetwork, width, norm).to(  # type: ignore[call-overload]
            memory_format=torch.channels_last
        )
        self.class_balanced = class_balanced
        self.lr, self.alpha, self.patience = lr, alpha, patience
        self.frozen = freeze if pretrained.weights else 0  # random blocks would be a random projection
        for block in self.network.pretrained_blocks[: self.frozen]:
            for layer in block:
                layer.requires_grad_(False)

    @property
    def vgg(self) -> FgSegNetwork:  # noqa: D102
        return self.network

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {"network.core": identity}

    def begin_fit(self) -> None:  # noqa: D102
        super().begin_fit()
        if not self.pretrained.weights:
            console.print("All blocks of VGG learn: only pretrained ones are frozen.")

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, ``(B, H, W)``, for frames, ``(B, 3, H, W)``, in [0, 1]."""
        return self.network(self.ranged(image))  # type: ignore[no-any-return]

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Binary cross-entropy over the valid pixels."""
        logits, target = self(batch["image"]), self.target(batch["mask"])
        loss = masked_binary_cross_entropy(logits, target, "logistic", class_balanced=self.class_balanced)
        return {"segmentation": loss}

    def probability(self, context: Any, batch: EvaluationBatch) -> Tensor:  # noqa: D102
        return torch.sigmoid(self(batch["image"]).float())[None]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """RMSprop, whose rate falls to a tenth where validation finds nothing better."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.RMSprop(learning, self.lr, self.alpha, eps=1e-8)
        if self.patience is None:
            return optimizer
        plateau = ReduceLROnPlateau(optimizer, "min", 0.1, self.patience - 1, _LEAST_GAIN, "abs")  # Keras counts to it
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": plateau, "interval": "epoch", "monitor": "val/loss", "strict": False},
        }
