"""The loss of AE-NE, and its measure of how complex a background is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_BETA = 3 / 255  # below it a difference counts by its square
_SCALE = 0.25  # τ₁: the sum of a pixel's differences that counts as foreground


def pixel_errors(image: Tensor, background: Tensor) -> Tensor:
    """Return the smooth L1 error of each pixel, summed over the channels: ``(B, 3, H, W)`` → ``(B, H, W)``."""
    return F.smooth_l1_loss(background, image, reduction="none", beta=_BETA).sum(1)


def foreground_weights(errors: Tensor, strength: float = 6.0, window: int = 75) -> Tensor:
    """Return how much each pixel counts: the less, the more of its surroundings is not reconstructed.

    It is exp(−β · m), m the mean of tanh(error / 0.25) in a square of 2⌊W / r⌋ + 1 pixels around it, or of what of that
    is in the picture. No gradient passes.

    Args:
        errors: Of :func:`pixel_errors`, ``(B, H, W)``.
        strength: β.
        window: r: how many times the width has half the square.
    """
    radius = errors.shape[-1] // window
    unlike = torch.tanh(errors.detach() / _SCALE)[:, None]
    around = F.avg_pool2d(unlike, 2 * radius + 1, 1, radius, count_include_pad=False)
    return torch.exp(-strength * around)[:, 0]


def reconstruction_losses(
    image: Tensor, reconstruction: Tensor, strength: float = 6.0, window: int = 75
) -> dict[str, Tensor]:
    """Return the weighted error of the background, and that of the error that was expected.

    Args:
        image: Shape ``(B, 3, H, W)``, range [0, 1].
        reconstruction: The background and, as the fourth channel, the expected error, shape ``(B, 4, H, W)``.
        strength: See :func:`foreground_weights`.
        window: See :func:`foreground_weights`.

    Returns:
        ``background`` and ``error``, scalars: means over pixels and images.
    """
    image = image.to(reconstruction.dtype)
    errors = pixel_errors(image, reconstruction[:, :3])
    of_expected = F.smooth_l1_loss(reconstruction[:, 3], errors.detach() / 3, reduction="none", beta=_BETA)
    weights = foreground_weights(errors, strength, window)
    return {"background": (errors * weights).mean(), "error": (of_expected * weights).mean()}


def background_complexity(backgrounds: Tensor) -> float:
    """Return how much the backgrounds of a scene differ from their median, in [0, 1).

    It is the mean of tanh(d / 0.25), d the absolute difference of a pixel from the median, summed over the channels.

    Args:
        backgrounds: Shape ``(N, 3, H, W)``, uint8, range [0, 255]: of floats the sort would take four times the memory.
    """
    middle = backgrounds.median(0).values.float()
    unlike = [torch.tanh((each - middle).abs().sum(0) / 255 / _SCALE).mean() for each in backgrounds]
    return float(torch.stack(unlike).mean())
