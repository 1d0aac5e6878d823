"""CDN-GM, the convolutional density network of Gaussian mixtures, first half of CDN-MEDAL-net.

S. V.-U. Ha, C. T. Nguyen, H. N. Phan, N. M. Chung, P. H. Ha, "CDN-MEDAL: two-stage density and difference approximation
framework for motion analysis", arXiv:2106.03776.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.core.ranges import check_choice, check_range
from bgsub_lightning.losses import SLOPE, hard_sigmoid

BLOCK = 7
"""Frames that one output of the first layer sees, and outputs of that layer that one of the second sees."""

GROUPS = 5
"""Outputs of the second layer, each of 7 blocks."""

_WIDTH = 7
_LOWEST, _HIGHEST = 16 / 255, 32 / 255  # the range of the spread (section IV-A)

Spread = Literal["deviation", "variance"]
"""How the spread σ of equation 6 is read: equation 12 has a standard deviation, equations 2 and 20 a variance."""


class Mixture(NamedTuple):
    """Gaussian mixtures of P pixels; K isotropic components over RGB in [0, 1]."""

    log_weights: Tensor
    """Logarithms of the weights π, shape ``(..., K, P)``."""
    spreads: Tensor
    """Spreads σ of equation 6 as the network gives them, in [16/255, 32/255], shape ``(..., K, P)``."""
    means: Tensor
    """Means μ, shape ``(..., K, 3, P)``, range [0, 1]."""

    def background(self) -> Tensor:
        """Return the mean of the component with the largest π/σ (equations 9 and 10), shape ``(..., 3, P)``."""
        best = (self.log_weights - self.spreads.log()).argmax(-2)
        return self.means.take_along_dim(best[..., None, None, :], -3).squeeze(-3)


class CdnGm(nn.Module):
    """Maps the history of a pixel to a Gaussian mixture (table I).

    Depthwise and pointwise convolutions over time are evaluated as the one linear map that they compose to, which is
    the same function, and several times faster.

    Args:
        components: Number of Gaussian components, K.
        history: Frames of a pixel's history, T: 245, which the layers fit exactly; or 240, padded by zeros.
        spread: How σ is read: as a standard deviation; or as a variance, as the authors' code does. With a variance of
            16/255 or more a component is at least 64 grey levels wide, so that the mixture hardly separates foreground
            from background.
        slope: Slope of the hard sigmoid that gives spreads and means, in (0, 1]; see :data:`SLOPE`.

    Raises:
        UserError: If an argument is out of its range.

    Example:
        >>> sum(parameter.numel() for parameter in CdnGm().parameters())
        694
    """

    def __init__(
        self,
        components: int = 3,
        history: Literal[245, 240] = 245,
        spread: Spread = "deviation",
        slope: float = SLOPE,
    ) -> None:
        super().__init__()
        check_range("", least=1, components=components)
        check_range("", above=0, most=1, slope=slope)
        check_choice("", Literal[245, 240], history=history)
        check_choice("", Spread, spread=spread)
        self.components = components
        self.history = history
        self.spread = spread
        self.slope = slope
        self.depthwise1 = nn.Conv1d(3, 3, BLOCK, BLOCK, groups=3, bias=False)
        self.pointwise1 = nn.Conv1d(3, _WIDTH, 1)
        self.depthwise2 = nn.Conv1d(_WIDTH, _WIDTH, BLOCK, BLOCK, groups=_WIDTH, bias=False)
        self.pointwise2 = nn.Conv1d(_WIDTH, _WIDTH, 1)
        self.weights = nn.Linear(GROUPS * _WIDTH, components)
        self.spreads = nn.Linear(GROUPS * _WIDTH, components)
        self.means = nn.Linear(GROUPS * _WIDTH, components * 3)

    def forward(self, history: Tensor) -> Mixture:
        """Model histories.

        Args:
            history: Of P pixels, shape ``(..., T, 3, P)``, from the oldest frame to the newest, range [0, 1].
        """
        if history.shape[-3:-1] != (self.history, 3):
            raise ValueError(f"Expected histories of shape (..., {self.history}, 3, P), got {tuple(history.shape)}.")
        if not self.fits:
            history = F.pad(history, (0, 0, 0, 0, 2, 3))
        return self.mixture(self.groups(self.blocks(history)))

    @property
    def fits(self) -> bool:
        """Whether the layers fit the history exactly, so that a block is the same in every window that holds it."""
        return self.history == BLOCK * BLOCK * GROUPS

    def blocks(self, frames: Tensor) -> Tensor:
        """Apply the first two layers: ``(..., 7 n, 3, P)`` → ``(..., n, 7, P)``; a block sees its 7 frames only."""
        return F.relu(_over_time(frames, self.depthwise1, self.pointwise1))

    def groups(self, blocks: Tensor) -> Tensor:
        """Apply layers three and four: ``(..., 7 n, 7, P)`` → ``(..., n, 7, P)``; a group sees its 7 blocks only."""
        return F.relu(_over_time(blocks, self.depthwise2, self.pointwise2))

    def mixture(self, groups: Tensor) -> Mixture:
        """Apply the dense layers (equations 4 to 8) to groups of shape ``(..., 5, 7, P)``.

        They are flattened as the layers' output is, channel after channel.
        """
        features = groups.transpose(-2, -3).flatten(-3, -2)
        heads = (self.weights, self.spreads, self.means)
        weight, bias = torch.cat([head.weight for head in heads]), torch.cat([head.bias for head in heads])
        out = weight @ features + bias[:, None]
        weights, spreads, means = torch.split(out, [head.out_features for head in heads], dim=-2)
        means = hard_sigmoid(means, self.slope)
        return Mixture(
            weights.log_softmax(-2),
            _LOWEST + (_HIGHEST - _LOWEST) * hard_sigmoid(spreads, self.slope),
            means.reshape(*means.shape[:-2], self.components, 3, means.shape[-1]),
        )

    def deviations(self, mixture: Mixture) -> Tensor:
        """Return the components' standard deviations, shape ``(..., K, P)``."""
        return mixture.spreads if self.spread == "deviation" else mixture.spreads.sqrt()


def _over_time(steps: Tensor, depthwise: nn.Conv1d, pointwise: nn.Conv1d) -> Tensor:
    """Apply a depthwise convolution over time, of width and stride 7, and a pointwise one: as one linear map."""
    composed = torch.einsum("oc,ct->otc", pointwise.weight[..., 0], depthwise.weight[:, 0]).flatten(1)
    *batch, count, channels, pixels = steps.shape
    blocks = steps.reshape(*batch, count // BLOCK, BLOCK * channels, pixels)
    return composed @ blocks + pointwise.bias[:, None]  # type: ignore[index]
