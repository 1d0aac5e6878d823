r"""A sixth system: a small network that compares a frame with the median of its scene's references.

Start in this folder, so that the class can be imported by its path:

    cd examples
    python -m bgsub_lightning fit --config own_network.yaml --data.init_args.root=FOLDER
    python -m bgsub_lightning export --modules own_network --out own.onnx \
        --checkpoint runs/own_network/checkpoints/last.ckpt
    python -m bgsub_lightning segment --checkpoint own.onnx --modules own_network --source VIDEO --out masks

A checkpoint may name classes of this package alone, and of modules that you allow: from any other folder
``--modules examples/own_network.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bgsub_lightning.backgrounds import SceneContext
from bgsub_lightning.data import EvaluationBatch, Image, References, SceneInputs, TrainingBatch
from bgsub_lightning.losses.cross_entropy import masked_cross_entropy
from bgsub_lightning.systems.base import BgsModule, identity


@dataclass
class Median(SceneContext):
    """State of a scene: the median of its references, ``(3, H, W)``."""

    median: Tensor


class MedianNet(BgsModule):
    """Three convolutions over a frame and the median of N references."""

    def __init__(self, references: int = 9, channels: int = 16, lr: float = 1e-3) -> None:
        """Make the network."""
        super().__init__()
        self.save_hyperparameters()
        self.inputs = (Image(), References(references))
        layers = [nn.Conv2d(6, channels, 5, padding=2), nn.ReLU(), nn.Conv2d(channels, channels, 5, padding=2)]
        self.network = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(channels, 2, 1))
        self.lr = lr

    def losses(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Return the cross-entropy."""
        logits = self.network(torch.cat([batch["image"], batch["references"].median(1).values], 1))
        return {"segmentation": masked_cross_entropy(logits, self.target(batch["mask"]))}

    def begin_scene(self, scene: SceneInputs) -> Median:
        """Compute the median, once per scene."""
        return Median(scene["references"][0].median(0).values)

    def probability(self, context: Median, batch: EvaluationBatch) -> Tensor:
        """Return the probability of foreground, ``(1, B, H, W)``."""
        image = batch["image"]
        return self.network(torch.cat([image, context.median.expand_as(image)], 1)).softmax(1)[None, :, 1]

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:
        """The network for `export`, which answers with one tensor."""
        return {"network.forward": identity}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)
