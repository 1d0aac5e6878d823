"""The autoencoder of AE-NE: an image of a scene to 16 numbers, and these to its background and the expected error.

B. Sauvalle, A. de La Fortelle, "Autoencoder-based background reconstruction and foreground segmentation with background
noise estimation", WACV 2023 (arXiv:2112.08001).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

Complexity = Literal["simple", "complex"]
"""``simple``: 3,877,480 parameters at 320×240; ``complex``: 13,881,224, for backgrounds that move a lot, as where the
camera does."""

SIZES = (16, 1215)
"""Least and largest width and height: three to six layers reduce them to 1."""

_GROUP = 16  # channels that are normalised together
_MIDDLE: dict[Complexity, tuple[tuple[int, ...], ...]] = {  # by the number of layers less 3, in units of 16 channels
    "simple": ((), (16,), (16, 16), (16, 32, 16)),
    "complex": ((), (40,), (40, 40), (40, 80, 40)),
}


class Reduction(NamedTuple):
    """How a layer of the encoder reduces a picture, and how the decoder's layer undoes it: height and width of each.

    Attributes:
        size: The size before it.
        kernel: Size of the kernel.
        stride: Its step.
        padding: Pixels added at each border.
        rest: Pixels at the lower and right border that the step leaves out.
        reduced: The size after it.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    rest: tuple[int, int]
    reduced: tuple[int, int]


def reductions(size: tuple[int, int]) -> Iterator[Reduction]:
    """Yield the layers that reduce a height and width to 1: to a third while above 5, then all that is left.

    Example:
        >>> [layer.reduced for layer in reductions((240, 320))]
        [(80, 107), (27, 36), (9, 12), (3, 4), (1, 1)]
    """
    while size != (1, 1):
        each = [(5, 3, 2) if length > 5 else (length, 1, 0) for length in size]
        kernel, stride, padding = ((a, b) for a, b in zip(*each, strict=True))
        left = [length + 2 * p - k for length, (k, _, p) in zip(size, each, strict=True)]
        rest = left[0] % stride[0], left[1] % stride[1]
        reduced = 1 + left[0] // stride[0], 1 + left[1] // stride[1]
        yield Reduction(size, kernel, stride, padding, rest, reduced)
        size = reduced


class Autoencoder(nn.Module):
    """Reconstructs images of one scene from few numbers, too few for what moves through it.

    Every layer sees two channels more: the row and the column of each pixel, from -½ to ½. It has 3,877,480 parameters
    for 320×240, or 13,881,224 where the background is complex.

    Args:
        size: Height and width of the images, from 16 to 1215.
        complexity: See :data:`Complexity`.
        width: Channels of the first layer; all others but the latent ones scale with it.
        latents: Numbers that an image is reconstructed from.
    """

    def __init__(
        self, size: tuple[int, int] = (240, 320), complexity: Complexity = "simple", width: int = 64, latents: int = 16
    ) -> None:
        super().__init__()
        self.size = size
        layers = list(reductions(size))
        last = 32 if complexity == "simple" else 16
        encoder = _scaled([64, *[160] * (len(layers) - 3), last], width)
        middle = [16 * units for units in _MIDDLE[complexity][len(layers) - 3]]
        decoder = _scaled([144, *middle, last], width)
        self.encoder = nn.Sequential(
            *(_layer(layer, *ends) for layer, ends in zip(layers, pairwise([3, *encoder, latents]), strict=True))
        )
        ends = [*pairwise([4, *decoder, latents])]
        self.decoder = nn.Sequential(
            *(
                _layer_back(layer, inputs, outputs, is_last=layer is layers[0])
                for layer, (outputs, inputs) in zip(reversed(layers), reversed(ends), strict=True)
            )
        )

    def forward(self, image: Tensor) -> Tensor:
        """Reconstruct images.

        Args:
            image: Shape ``(B, 3, H, W)`` of :attr:`size`, range [0, 1].

        Returns:
            The backgrounds, and as a fourth channel the mean absolute error of the other three that is to be expected,
            shape ``(B, 4, H, W)``, range (0, 1).

        Raises:
            ValueError: The images have another size.
        """
        if image.shape[-2:] != self.size:
            raise ValueError(f"Expected images of height and width {self.size}, got {tuple(image.shape[-2:])}.")
        logits = self.decoder(self.encoder(255 * image))
        # half precision has too few bits for differences of one grey level
        return torch.sigmoid(logits.to(torch.promote_types(logits.dtype, torch.float32)))


class WithCoordinates(nn.Module):
    """A layer that sees the place of each pixel.

    Args:
        layer: The layer, whose inputs have two channels more.
        size: Height and width of its inputs.
    """

    def __init__(self, layer: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.layer = layer
        # no arithmetic of tensors: it would import PyTorch's compiler where no memory is taken
        rows, columns = ([i / (n - 1) - 0.5 for i in range(n)] if n > 1 else [1.0] for n in size)
        self.register_buffer("rows", torch.tensor([[row] for row in rows]), persistent=False)
        self.register_buffer("columns", torch.tensor([columns]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        count, _, height, width = x.shape
        places = [cast("Tensor", each).expand(count, 1, height, width) for each in (self.rows, self.columns)]
        return self.layer(torch.cat([x, *places], 1))  # type: ignore[no-any-return]


def _layer(layer: Reduction, inputs: int, outputs: int) -> nn.Module:
    convolution = nn.Conv2d(inputs + 2, outputs, layer.kernel, layer.stride, layer.padding, bias=False)
    return nn.Sequential(WithCoordinates(convolution, layer.size), _norm(outputs), nn.CELU())


def _layer_back(layer: Reduction, inputs: int, outputs: int, is_last: bool) -> nn.Module:
    convolution = nn.ConvTranspose2d(
        inputs + 2, outputs, layer.kernel, layer.stride, layer.padding, layer.rest, bias=False
    )
    placed = WithCoordinates(convolution, layer.reduced)
    return placed if is_last else nn.Sequential(placed, _norm(outputs), nn.CELU())


def _norm(channels: int) -> nn.GroupNorm:
    """Normalise groups of 16 channels, or of the next larger number that divides them."""
    groups = next(count for count in range(max(1, channels // _GROUP), 0, -1) if channels % count == 0)
    return nn.GroupNorm(groups, channels)


def _scaled(channels: Sequence[int], width: int) -> list[int]:
    """Return numbers of channels, which are for a width of 64, for another one."""
    return [max(1, count * width // 64) for count in channels]
