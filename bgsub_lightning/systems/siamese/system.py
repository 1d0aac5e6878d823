"""Metric learning on two frames, then an encoder-decoder.

"Foreground subtraction by a fully convolutional siamese network and an encoder-decoder" (in Chinese).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_choice, check_range
from bgsub_lightning.data import (
    BaseImage,
    BaseMask,
    EvaluationBatch,
    Image,
    SceneInputs,
    Span,
    Stage,
    StagePlan,
    TrainingBatch,
)
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.frames import pseudo_coloured
from bgsub_lightning.losses import masked_binary_cross_entropy
from bgsub_lightning.systems.pretrained import Pretrained, Sgd, VggSystem
from bgsub_lightning.systems.siamese.loss import class_constant, contrastive, pair_classes
from bgsub_lightning.systems.siamese.network import Fusion, SiameseNetwork, distance, fuse
from bgsub_lightning.systems.sizes import sized
from bgsub_lightning.systems.system import Threshold, identity
from bgsub_lightning.systems.unet import UNet

_PRIOR = 0.03  # share of foreground that the encoder-decoder begins with


@dataclass(frozen=True)
class BaseFeatures(SceneContext):
    """The base image of a scene.

    Attributes:
        base: The base image, shape ``(3, H, W)``, range [0, 1].
        features: Its features, shape ``(1, C, h, w)``.
    """

    base: Tensor
    features: Tensor

    def pictures(self) -> dict[str, Tensor]:  # noqa: D102
        return {"base image": self.base}


class SiameseSystem(VggSystem):
    """A frame is compared with any other of its scene, and what has changed is added to it and segmented.

    Stage ``metric`` trains the siamese network on pairs of training frames of a scene, by contrast; ``segment`` the
    encoder-decoder on the frame with the map of the first, which is fixed. An evaluation compares all frames of a scene
    with one base image, whose features are computed once.

    Args:
        width: Channels of VGG's first layers; the siamese network's others scale with it.
        channels: Channels of the encoder-decoder's first block, doubled by each of the following.
        depth: Number of times that the encoder halves the resolution.
        normalise: Batch normalisation in the encoder-decoder. Not stated in the paper; without it SGD from scratch was
            seen to stay with the share of the foreground as its answer everywhere.
        metric: Numbers of the first stage; batch and rate are the paper's (section 2.1), which states no steps.
        segment: Numbers of the second, of which the paper states none.
        tolerance: Distance in [0, 2) up to which similar pixels are left alone: what C(Y) of equation 2 is meant to do
            where a camera moves, and cannot, as it has no gradient. Below 0.5 the map rounds it away.
        margin: m of equation 2, in (0, 2]: from which distance on changed pixels are left alone. Below 2 the best
            distances are no longer the 2, 1 and 0 that the map is rounded to.
        tau: τ of C(Y), in (1, 2), to add that constant to the loss as the paper does; ``None``: it is left out.
        fusion: How the map and the frame become one image of the range [0, 1]: stretched to it as a whole, or the mean
            of the frame and the halved map; see :func:`fuse`.
        base: What an evaluation compares with: the number of a frame, or an image file; or a scene's key → one of
            these; or the ``scores.json`` of a test, or its run directory, for the bases of that test. ``None``, and for
            scenes that are not named: a frame with many foreground pixels (see :class:`BaseImage`).
        sgd: How both networks learn; the paper states the weight decay alone.
        pretrained: What the siamese network begins with.
        labels: What the grey levels of a mask mean in training.
        threshold: Probability above which a pixel is called foreground; or ``"validation"``, see :class:`BgsModule`.
    """

    checkpoint_keys = ("fusion",)

    def __init__(
        self,
        width: int = 64,
        channels: int = 64,
        depth: int = 4,
        normalise: bool = True,
        metric: Stage = Stage(20_000, 4, 1e-5),
        segment: Stage = Stage(20_000, 4, 1e-2),
        tolerance: float = 0.0,
        margin: float = 2.0,
        tau: float | None = None,
        fusion: Fusion = "stretch",
        base: int | Path | dict[str, int | Path] | None = None,
        sgd: Sgd = Sgd(),
        pretrained: Pretrained = Pretrained(),
        labels: LabelRule = LabelRule.TRAINING,
        threshold: Threshold = 0.5,
    ) -> None:
        super().__init__(sgd, pretrained, labels, threshold)
        self.save_hyperparameters(ignore=["labels", "base"])
        if not 0 <= tolerance < 2:
            raise UserError(f"model.init_args.tolerance: must be a distance in [0, 2]; got {tolerance}.")
        check_range("model.init_args.", above=0, most=2, margin=margin)
        check_choice("model.init_args.", Fusion, fusion=fusion)
        if tau is not None and not 1 < tau < 2:
            raise UserError(f"model.init_args.tau: must be between 1 and 2; got {tau}.")
        check_range("model.init_args.", least=1, width=width, channels=channels)
        check_range("model.init_args.", least=1, most=8, depth=depth)
        self.siamese = sized(SiameseNetwork, width)
        self.segmentation = sized(UNet, 3, 1, channels, depth, normalise)
        # as rare as foreground is, or the first steps do nothing but lower all answers, and kill features by it
        # (T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017, section 4.1)
        nn.init.normal_(self.segmentation.head.weight, std=0.01)
        nn.init.constant_(cast("Tensor", self.segmentation.head.bias), math.log(_PRIOR / (1 - _PRIOR)))
        self.tolerance = tolerance
        self.margin = margin
        self.fusion: Fusion = fusion
        self.tau = tau
        pair = (Image(), BaseImage(base))
        self.inputs = pair
        self.plan = StagePlan(
            Span("metric", ("siamese",), metric, (*pair, BaseMask(pair[1])), metric.batch_size),
            Span("segment", ("segmentation",), segment, pair, segment.batch_size),
        )

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {"segmentation.core": identity, "siamese.features": identity}

    @property
    def vgg(self) -> SiameseNetwork:  # noqa: D102
        return self.siamese

    def forward(self, image: Tensor, base: Tensor) -> Tensor:
        """Return logits ``(B, H, W)`` for frames and base images ``(B, 3, H, W)`` in [0, 1]."""
        return self._segment(self.siamese(self.ranged(image), self.ranged(base)), image)

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:  # noqa: D102
        image, base = batch["image"], batch["base_image"]
        compares = "base_mask" in batch  # as in the first stage alone; in the second the siamese network is fixed
        with torch.set_grad_enabled(compares):
            distances = self.siamese(self.ranged(image), self.ranged(base))
        if not compares:
            logits = self._segment(distances, image)
            return {"segmentation": masked_binary_cross_entropy(logits, self.target(batch["mask"]), "logistic")}
        places = distances.shape[-2:]
        classes = pair_classes(self._classes(batch["mask"], places), self._classes(batch["base_mask"], places))
        terms = {"contrast": contrastive(distances, classes, self.margin, self.tolerance)}
        if self.tau is not None:
            terms["constant"] = class_constant(classes, self.tau)
        return terms

    def begin_scene(self, scene: SceneInputs) -> BaseFeatures:
        """Compute the features of the base image, once per scene."""
        base = scene["base_image"]
        return BaseFeatures(base[0], self.siamese.features(self.ranged(base)))

    def probability(self, context: BaseFeatures, batch: EvaluationBatch) -> Tensor:  # noqa: D102
        image = batch["image"]
        return self._segment(self._distances(context, image), image).sigmoid()[None]

    def frame_pictures(self, context: BaseFeatures, batch: EvaluationBatch, position: int) -> dict[str, Tensor]:
        """Show a frame's distances from the base image, these as they are rounded, and both with the frame.

        Distances are in pseudo-colour (figures 3 and 4): dark blue is 0, dark red 2.
        """
        image = batch["image"][[position]]
        distances = self._distances(context, image)
        return {
            "distance from the base": _coloured(distances[0]),
            "rounded": _coloured(distances[0].round()),
            "fused image": fuse(distances, image, self.fusion)[0],
        }

    def _distances(self, context: BaseFeatures, image: Tensor) -> Tensor:
        return distance(self.siamese.features(self.ranged(image)), context.features)

    def _segment(self, distances: Tensor, image: Tensor) -> Tensor:
        return self.segmentation(fuse(distances, image, self.fusion))[:, 0]  # type: ignore[no-any-return]

    def _classes(self, mask: Tensor, size: torch.Size) -> Tensor:
        """Return the classes of a mask at the size of the map: in the middle of what a place becomes when enlarged."""
        small = F.interpolate(mask[:, None].float(), size, mode="nearest-exact")[:, 0]
        return self.target(small.byte())


def _coloured(distances: Tensor) -> Tensor:
    """Colour distances ``(h, w)``, range [0, 2]: ``(3, h, w)``, range [0, 1]."""
    grey = (distances.float() * 127.5).round().clamp(0, 255).byte().cpu().numpy()
    return torch.from_numpy(pseudo_coloured(grey)).movedim(-1, 0) / 255
