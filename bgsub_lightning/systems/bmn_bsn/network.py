"""BMN-BSN: two nested U-Nets.

V. Mondéjar-Guerra, J. Rouco, J. Novo, M. Ortega, "An end-to-end deep learning approach for simultaneous background
modeling and subtraction", BMVC 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bgsub_lightning.systems.unet import UNet


class BmnBsnNetwork(nn.Module):
    """Background modelling network and background subtraction network (section 3.1).

    With the paper's numbers the first has 31,058,380 parameters, the second 31,038,722.

    Args:
        references: Number of reference frames, N.
        maps: Number of background maps, M.
        channels: Channels of the first U-Net block, K.
        depth: Number of times that the resolution is halved.
    """

    def __init__(self, references: int = 16, maps: int = 12, channels: int = 64, depth: int = 4) -> None:
        super().__init__()
        self.bmn = UNet(3 * references, maps, channels, depth)
        self.bsn = UNet(maps + 3, 2, channels, depth)

    def background(self, references: Tensor) -> Tensor:
        """Model a scene's background.

        Args:
            references: Frames of one scene, shape ``(B, N, 3, H, W)``, range [0, 1].

        Returns:
            Background maps, shape ``(B, M, H, W)``, unbounded.
        """
        frames = references.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        return self.bmn(frames)  # type: ignore[no-any-return]

    def subtract(self, background: Tensor, image: Tensor) -> Tensor:
        """Segment a frame.

        Args:
            background: Background maps, shape ``(B, M, H, W)``.
            image: Target frame, shape ``(B, 3, H, W)``, range [0, 1].

        Returns:
            Logits of background and foreground, shape ``(B, 2, H, W)``.
        """
        return self.bsn(torch.cat([background, image], dim=1))  # type: ignore[no-any-return]

    def forward(self, references: Tensor, image: Tensor) -> Tensor:
        """Both steps; returns logits of shape ``(B, 2, H, W)``."""
        return self.subtract(self.background(references), image)
