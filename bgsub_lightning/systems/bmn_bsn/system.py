"""BMN-BSN.

V. Mondéjar-Guerra, J. Rouco, J. Novo, M. Ortega, "An end-to-end deep learning approach for simultaneous background
modeling and subtraction", BMVC 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data import EvaluationBatch, Image, References, SceneInputs, TrainingBatch
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.losses import masked_cross_entropy
from bgsub_lightning.systems.bmn_bsn.network import BmnBsnNetwork
from bgsub_lightning.systems.decay import cosine_decay
from bgsub_lightning.systems.sizes import sized
from bgsub_lightning.systems.system import BgsSystem, Threshold, identity
from bgsub_lightning.systems.trainer_types import OptimizerLRScheduler


@dataclass(frozen=True)
class BackgroundMaps(SceneContext):
    """The background of a scene, D draws of it.

    Attributes:
        references: The frames that it is modelled from, shape ``(D, N, 3, H, W)``, range [0, 1].
        maps: What is computed from them, shape ``(D, M, H, W)``.
    """

    references: Tensor
    maps: Tensor

    def pictures(self) -> dict[str, Tensor]:
        """Show the references of the first draw (figures 3a, 4a), and what is computed from them (figure 4b).

        The first reference at its own size, then all on one sheet; then the maps, each stretched to its own range,
        three at a time as RGB.
        """
        references = self.references[0].float()
        maps = self.maps[0].float()
        low, high = torch.quantile(maps.flatten(1), maps.new_tensor([0.01, 0.99]), dim=1)[..., None, None]
        stretched = ((maps - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
        padded = torch.cat(
            [stretched, stretched.new_zeros(-len(maps) % 3, *maps.shape[1:])]
        )  # what is left over is black
        shown = {"reference": references[0], "references": _sheet(references)}
        return shown | {f"maps {i + 1} to {i + 3}": padded[i : i + 3] for i in range(0, len(padded), 3)}


class BmnBsnSystem(BgsSystem):
    """Background modelling and subtraction by two nested U-Nets, trained end to end by the segmentation loss alone.

    The defaults are the paper's numbers (section 4.1).

    Args:
        references: Number of reference frames, N.
        maps: Number of background maps, M.
        channels: Channels of the first U-Net block, K.
        depth: Number of times that a U-Net halves the resolution.
        lr: Learning rate of Adam.
        decay_steps: Steps over which the rate falls to zero along a cosine, where it stays: the length of the run.
            0: the rate is constant, as in the paper.
        class_balanced: Give foreground and background the same share of the loss.
        reference_draws: Number of draws of reference frames whose probabilities a test averages.
        model_each_frame: Model the background again for each frame, as the paper's speed was measured; once per scene
            gives the same answer.
        labels: What the grey levels of a mask mean in training (section 4: shadow, unknown and non-ROI are ignored).
        threshold: Probability above which a pixel is called foreground; 0.5 is the argmax; or ``"validation"``, see
            :class:`BgsModule`.
    """

    def __init__(
        self,
        references: int = 16,
        maps: int = 12,
        channels: int = 64,
        depth: int = 4,
        lr: float = 1e-5,
        decay_steps: int = 0,
        class_balanced: bool = False,
        reference_draws: int = 1,
        model_each_frame: bool = False,
        labels: LabelRule = LabelRule.BMN_BSN,
        threshold: Threshold = 0.5,
    ) -> None:
        super().__init__(labels, threshold)
        check_range("model.init_args.", least=1, references=references, maps=maps, channels=channels)
        check_range("model.init_args.", least=1, most=8, depth=depth)
        check_range("model.init_args.", least=1, most=100, reference_draws=reference_draws)
        check_range("model.init_args.", above=0, lr=lr)
        check_range("model.init_args.", least=0, decay_steps=decay_steps)
        self.save_hyperparameters(ignore=["labels"])
        self.inputs = (Image(), References(references, reference_draws))
        self.reference_draws = reference_draws
        self.model_each_frame = model_each_frame
        network = sized(BmnBsnNetwork, references, maps, channels, depth)
        # as the images come; faster on every device
        self.network: BmnBsnNetwork = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.lr = lr
        self.decay_steps = decay_steps
        self.class_balanced = class_balanced

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {"network.bsn.core": identity, "network.bmn.core": identity}

    @property
    def draws(self) -> int:  # noqa: D102
        return self.reference_draws

    @property
    def compile_targets(self) -> list[nn.Module]:
        """The two U-Nets: an evaluation calls the first once per scene."""
        return [self.network.bmn, self.network.bsn]

    def forward(self, references: Tensor, image: Tensor) -> Tensor:
        """Return logits ``(B, 2, H, W)`` for references ``(B, N, 3, H, W)`` and targets ``(B, 3, H, W)`` in [0, 1]."""
        return self.network(references, image)  # type: ignore[no-any-return]

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:  # noqa: D102
        logits = self(batch["references"], batch["image"])
        return {"segmentation": masked_cross_entropy(logits, self.target(batch["mask"]), self.class_balanced)}

    def begin_scene(self, scene: SceneInputs) -> BackgroundMaps:
        """Model the background, once per scene."""
        references = scene["references"]
        return BackgroundMaps(references, self.network.background(references))

    def probability(self, context: BackgroundMaps, batch: EvaluationBatch) -> Tensor:  # noqa: D102
        maps, found = context.maps, []
        for images in torch.split(batch["image"], 1) if self.model_each_frame else [batch["image"]]:
            if self.model_each_frame:
                maps = self.network.background(context.references)
            draws = [self.network.subtract(one.expand(len(images), -1, -1, -1), images) for one in maps[:, None]]
            found.append(torch.stack(draws).softmax(2)[:, :, 1])
        return torch.cat(found, 1)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam (section 4.1)."""
        return cosine_decay(torch.optim.Adam(self.parameters(), lr=self.lr), self.decay_steps)


def _sheet(images: Tensor) -> Tensor:
    """Lay images ``(N, 3, H, W)`` out on one sheet, unscaled, as many columns as rows."""
    count, _, height, width = images.shape
    columns = math.ceil(math.sqrt(count))
    small = F.interpolate(images, (max(1, height // columns), max(1, width // columns)), mode="area")
    sheet = images.new_zeros(3, height, width)
    for i, image in enumerate(small):
        top, left = i // columns * small.shape[2], i % columns * small.shape[3]
        sheet[:, top : top + small.shape[2], left : left + small.shape[3]] = image
    return sheet
