"""MCFCN, the multi-channel fully convolutional network: a frame and its background, segmented.

See :mod:`bgsub_lightning.networks.reconstruction` for the paper. It changes DeepLab-LargeFOV on VGG-16:
L.-C. Chen, G. Papandreou, I. Kokkinos, K. Murphy, A. L. Yuille, "Semantic image segmentation with deep convolutional
nets and fully connected CRFs", ICLR 2015.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 8
"""Pixels from one output to the next."""

VGG_LAYERS = (
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"),
    *("conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7"),
)
"""The layers that pretrained files may hold, in their order; the last one, fc8, is always new."""


class Mcfcn(nn.Module):
    """DeepLab-LargeFOV with a first layer of 6 channels and another dilation of fc6 (section 3.2).

    It has 20,487,682 parameters; layers have DeepLab's names. The weights are those of
    ``initialise(from_scratch=True)`` until :func:`~bgsub_lightning.networks.weights.load_vgg` loads others.

    Args:
        channels: Channels of the input: 6 for a frame and its background, 3 for the frame alone (Baseline-2).
        width: Channels of the first two layers, by which all others scale, up to the 16 · width of fc6 and fc7.
        dilation: Of fc6; DeepLab-LargeFOV has 12.
        dropout: Probability to drop an output of fc6 and fc7 in training.
    """

    def __init__(self, channels: int = 6, width: int = 64, dilation: int = 6, dropout: float = 0.5) -> None:
        super().__init__()
        self.channels = channels
        self.conv1_1 = _conv(channels, width)
        self.conv1_2 = _conv(width, width)
        self.conv2_1 = _conv(width, 2 * width)
        self.conv2_2 = _conv(2 * width, 2 * width)
        self.conv3_1 = _conv(2 * width, 4 * width)
        self.conv3_2 = _conv(4 * width, 4 * width)
        self.conv3_3 = _conv(4 * width, 4 * width)
        self.conv4_1 = _conv(4 * width, 8 * width)
        self.conv4_2 = _conv(8 * width, 8 * width)
        self.conv4_3 = _conv(8 * width, 8 * width)
        self.conv5_1 = _conv(8 * width, 8 * width, 2)
        self.conv5_2 = _conv(8 * width, 8 * width, 2)
        self.conv5_3 = _conv(8 * width, 8 * width, 2)
        self.fc6 = _conv(8 * width, 16 * width, dilation)
        self.fc7 = nn.Conv2d(16 * width, 16 * width, 1)
        self.fc8 = nn.Conv2d(16 * width, 2, 1)
        self.dropout = nn.Dropout(dropout)
        self.initialise(from_scratch=True)

    def initialise(self, from_scratch: bool) -> None:
        """Draw all weights anew; biases are 0.

        Args:
            from_scratch: Whether nothing pretrained follows. Then all layers but fc8 are drawn as He et al. do, because
                N(0, 0.01²) through thirteen layers without normalisation does not train. Otherwise the first layer is
                drawn from N(0, 0.01²) (section 3.3), and the others as before, to be overwritten. fc6 and fc7, which a
                plain VGG-16 does not give, stay so: the paper's weights held them. fc8 is drawn from N(0, 0.01²).
        """
        for name, layer in self.named_children():
            if isinstance(layer, nn.Conv2d):
                if name == "fc8" or (name == "conv1_1" and not from_scratch):
                    nn.init.normal_(layer.weight, std=0.01)
                else:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

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
        x = _relu(self.conv1_2(_relu(self.conv1_1(x))))
        x = F.max_pool2d(x, 3, 2, 1)
        x = _relu(self.conv2_2(_relu(self.conv2_1(x))))
        x = F.max_pool2d(x, 3, 2, 1)
        x = _relu(self.conv3_3(_relu(self.conv3_2(_relu(self.conv3_1(x))))))
        x = F.max_pool2d(x, 3, 2, 1)
        x = _relu(self.conv4_3(_relu(self.conv4_2(_relu(self.conv4_1(x))))))
        x = F.max_pool2d(x, 3, 1, 1)
        x = _relu(self.conv5_3(_relu(self.conv5_2(_relu(self.conv5_1(x))))))
        x = F.avg_pool2d(F.max_pool2d(x, 3, 1, 1), 3, 1, 1)
        x = self.dropout(_relu(self.fc6(x)))
        x = self.dropout(_relu(self.fc7(x)))
        return self.fc8(x)  # type: ignore[no-any-return]


def _conv(inputs: int, outputs: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)


def _relu(x: Tensor) -> Tensor:
    return F.relu(x, inplace=True)  # in place: at 961 × 961 the first block's features alone take 236 MB a copy
