"""Likelihood of Gaussian mixtures."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bgsub_lightning.losses.reduction import global_mean


def mixture_nll(samples: Tensor, log_weights: Tensor, deviations: Tensor, means: Tensor) -> Tensor:
    """Negative log-likelihood of samples under isotropic Gaussian mixtures (CDN-MEDAL-net, equations 11 to 14).

    log N(x) = −c/2 log(2π s²) − ‖x−μ‖²/(2 s²), summed over components by logsumexp: plain exponentials underflow.

    Args:
        samples: T of each of P mixtures, shape ``(..., T, C, P)``.
        log_weights: Logarithms of the weights, shape ``(..., K, P)``.
        deviations: Standard deviations s, shape ``(..., K, P)``.
        means: Shape ``(..., K, C, P)``.

    Returns:
        Summed over the T samples, mean over the mixtures: a scalar. The order of the samples does not matter.

    Example:
        >>> zero = torch.zeros(1, 3, 1)
        >>> round(mixture_nll(zero, torch.zeros(1, 1), torch.ones(1, 1), zero).item(), 4)  # 1.5 log(2π)
        2.7568
    """
    channels = samples.shape[-2]
    distances = torch.zeros((), dtype=samples.dtype, device=samples.device)
    for c in range(channels):  # one after the other: all together would be C times the memory
        distances = distances + (samples[..., None, c, :] - means[..., None, :, c, :]).square()
    scale = log_weights - channels * (deviations.log() + 0.5 * math.log(2 * math.pi))
    precision = 0.5 / deviations.square()
    likelihood = torch.logsumexp(scale.unsqueeze(-3) - distances * precision.unsqueeze(-3), dim=-2)
    of_mixtures = -likelihood.sum(-2)
    return global_mean(of_mixtures.sum(), of_mixtures.numel())
