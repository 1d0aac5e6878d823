"""The first ten convolutions of VGG-16, with which the networks of two papers begin.

K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, with the
pools of DeepLab: L.-C. Chen, G. Papandreou, I. Kokkinos, K. Murphy, A. L. Yuille, "Semantic image segmentation with
deep convolutional nets and fully connected CRFs", ICLR 2015.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

VGG_LAYERS = (
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"),
    *("conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7"),
)
"""The layers that pretrained files may hold, in their order; DeepLab's last one, fc8, is always new."""


class Vgg(nn.Module):
    """A network that begins with the first ten convolutions of VGG-16; layers have DeepLab's names.

    A network adds its own layers and calls :meth:`initialise`. Its weights are those of
    ``initialise(from_scratch=True)`` until :func:`~bgsub_lightning.systems.weights.load_vgg` loads others.

    Args:
        channels: Channels of the input.
        width: Channels of the first two layers, by which all others scale.
        stride: Pixels from one output to the next, after the third pool: 8 as in DeepLab; or 4, where that pool does
            not stride, and the convolutions of block 4 have dilation 2 instead, so that they see what they were
            pretrained on.
    """

    from_small: ClassVar[tuple[str, ...]] = ()
    """Layers that are drawn from N(0, 0.01²)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self._last_stride = stride // 4
        dilation = 8 // stride
        self.conv1_1 = conv3x3(channels, width)
        self.conv1_2 = conv3x3(width, width)
        self.conv2_1 = conv3x3(width, 2 * width)
        self.conv2_2 = conv3x3(2 * width, 2 * width)
        self.conv3_1 = conv3x3(2 * width, 4 * width)
        self.conv3_2 = conv3x3(4 * width, 4 * width)
        self.conv3_3 = conv3x3(4 * width, 4 * width)
        self.conv4_1 = conv3x3(4 * width, 8 * width, dilation)
        self.conv4_2 = conv3x3(8 * width, 8 * width, dilation)
        self.conv4_3 = conv3x3(8 * width, 8 * width, dilation)

    def initialise(self, from_scratch: bool) -> None:
        """Draw all weights; biases are 0.

        Args:
            from_scratch: Whether nothing pretrained follows. Then layers are drawn as He et al. do, because
                N(0, 0.01²) through ten layers without normalisation does not train. Otherwise the first layer is
                drawn from N(0, 0.01²) (two-stage MCFCN, section 3.3), and the others as before, to be overwritten.
        """
        small = self.from_small if from_scratch else ("conv1_1", *self.from_small)
        for name, layer in self.named_children():
            if isinstance(layer, nn.Conv2d):
                if name in small:
                    nn.init.normal_(layer.weight, std=0.01)
                else:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def first_ten(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, H, W)`` to ``(B, 8 · width, ⌈H/stride⌉, ⌈W/stride⌉)``."""
        x = relu(self.conv1_2(relu(self.conv1_1(x))))
        x = F.max_pool2d(x, 3, 2, 1)
        x = relu(self.conv2_2(relu(self.conv2_1(x))))
        x = F.max_pool2d(x, 3, 2, 1)
        x = relu(self.conv3_3(relu(self.conv3_2(relu(self.conv3_1(x))))))
        x = F.max_pool2d(x, 3, self._last_stride, 1)
        return relu(self.conv4_3(relu(self.conv4_2(relu(self.conv4_1(x))))))


def conv3x3(inputs: int, outputs: int, dilation: int = 1) -> nn.Conv2d:
    """Make a 3×3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)


def relu(x: Tensor) -> Tensor:
    """Rectify in place: at 961 × 961 the first block's features alone take 236 MB a copy."""
    return F.relu(x, inplace=True)
