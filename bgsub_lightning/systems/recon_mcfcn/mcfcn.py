"""MCFCN, the multi-channel fully convolutional network: a frame and its background, segmented.

See :mod:`bgsub_lightning.systems.recon_mcfcn.reconstruction` for the paper. It changes DeepLab-LargeFOV on VGG-16:
L.-C. Chen, G. Papandreou, I. Kokkinos, K. Murphy, A. L. Yuille, "Semantic image segmentation with deep convolutional
nets and fully connected CRFs", ICLR 2015.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.systems.vgg import Vgg, conv3x3, relu

STRIDE = 8
"""Pixels from one output to the next."""


class Mcfcn(Vgg):
    """DeepLab-LargeFOV with a first layer of 6 channels and another dilation of fc6 (section 3.2).

    It has 20,487,682 parameters. fc6 and fc7, which a plain VGG-16 does not give, stay as He's initialisation draws
    them: the paper's weights held them. fc8 is always drawn from N(0, 0.01²).

    Args:
        channels: Channels of the input: 6 for a frame and its background, 3 for the frame alone (Baseline-2).
        width: Channels of the first two layers, by which all others scale, up to the 16 · width of fc6 and fc7.
        dilation: Of fc6; DeepLab-LargeFOV has 12.
        dropout: Probability to drop an output of fc6 and fc7 in training.
    """

    from_small = ("fc8",)

    def __init__(self, channels: int = 6, width: int = 64, dilation: int = 6, dropout: float = 0.5) -> None:
        super().__init__(channels, width, STRIDE)
        self.conv5_1 = conv3x3(8 * width, 8 * width, 2)
        self.conv5_2 = conv3x3(8 * width, 8 * width, 2)
        self.conv5_3 = conv3x3(8 * width, 8 * width, 2)
        self.fc6 = conv3x3(8 * width, 16 * width, dilation)
        self.fc7 = nn.Conv2d(16 * width, 16 * width, 1)
        self.fc8 = nn.Conv2d(16 * width, 2, 1)
        self.dropout = nn.Dropout(dropout)
        self.initialise(from_scratch=True)

    def forward(self, x: Tensor) -> Tensor:
        """Segment.

        Args:
            x: Frame, and then background, shape ``(B, channels, H, W)`` with H and W of the form 8k + 1; 961 in the
                paper. In the range that pretrained weights were made for.

        Returns:
            Logits of background and foreground, shape ``(B, 2, (H - 1)/8 + 1, (W - 1)/8 + 1)``. Their corners are those
            of the input, so that resizing with aligned corners puts them where they belong.

        Raises:
            ValueError: Another number of channels, or another size.
        """
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"Expected an input of shape (B, {self.channels}, H, W), got {tuple(x.shape)}.")
        height, width = x.shape[-2:]
        if height % STRIDE != 1 or width % STRIDE != 1 or min(height, width) <= STRIDE:
            near = " × ".join(str(max(round((side - 1) / STRIDE), 1) * STRIDE + 1) for side in (height, width))
            raise ValueError(
                f"Expected height and width of the form {STRIDE}k + 1, got {height} × {width}; {near} would do."
            )
        x = self.first_ten(x)
        x = F.max_pool2d(x, 3, 1, 1)
        x = relu(self.conv5_3(relu(self.conv5_2(relu(self.conv5_1(x))))))
        x = F.avg_pool2d(F.max_pool2d(x, 3, 1, 1), 3, 1, 1)
        x = self.dropout(relu(self.fc6(x)))
        x = self.dropout(relu(self.fc7(x)))
        return self.fc8(x)  # type: ignore[no-any-return]
