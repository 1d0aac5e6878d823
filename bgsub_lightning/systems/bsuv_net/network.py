"""The network of BSUV-Net: its U-Net, and the normalisation of its images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bgsub_lightning.systems.bsuv_unet import BsuvUNet
from bgsub_lightning.systems.pretrained import IMAGENET_DEVIATION, IMAGENET_MEAN


class BsuvNetwork(nn.Module):
    """Normalises the images of a frame, and shows them to the U-Net together.

    Args:
        width: See :class:`BsuvUNet`.
        maps: Whether each image comes with a map of what could be foreground.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int = 64, maps: bool = False) -> None:
        super().__init__()
        self.unet = BsuvUNet(12 if maps else 9, 1, width)
        own = ([0.5], [0.5]) if maps else ([], [])
        mean, deviation = [*own[0], *IMAGENET_MEAN], [*own[1], *IMAGENET_DEVIATION]
        self.register_buffer("mean", torch.tensor(mean * 3)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation * 3)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, ``(B, H, W)``.

        Args:
            images: The empty background, the recent one and the frame, each of which a map of its foreground comes
                before if there are maps: ``(B, 9, H, W)`` or ``(B, 12, H, W)``, range [0, 1].
        """
        return self.unet((images - self.mean) / self.deviation)[:, 0]  # type: ignore[no-any-return]
