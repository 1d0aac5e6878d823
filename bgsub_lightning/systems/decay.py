"""Decay: of the rate over a run, and of weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from bgsub_lightning.systems.trainer_types import OptimizerLRScheduler


def cosine_decay(optimizer: Optimizer, steps: int, warm_up: int = 0) -> OptimizerLRScheduler:
    """Let the rate fall to zero along a cosine over that many steps, and stay there.

    Args:
        optimizer: Whose rate.
        steps: Length of the cosine; 0: the rate is constant.
        warm_up: First steps, over which the rate rises linearly to the cosine.
    """
    if not steps:
        return optimizer

    def factor(step: int) -> float:
        return 0.5 * (1 + math.cos(math.pi * min(step / steps, 1))) * min(1.0, (step + 1) / (warm_up + 1))

    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}


def decay_groups(groups: Iterable[dict[str, Any]], weight_decay: float, decay_all: bool) -> list[dict[str, Any]]:
    """Give parameter groups their weight decay.

    Biases, and the scales and offsets of normalisation, are vectors. Pulled towards zero they change what a layer can
    say and do not make it simpler (K. He et al., "Bag of tricks for image classification with convolutional neural
    networks", CVPR 2019, section 3.1): they get none unless asked.

    Args:
        groups: Groups as optimisers take them, each with a ``name`` and the list of its ``params``.
        weight_decay: Of the weights.
        decay_all: Of vectors as well.

    Returns:
        The groups, each followed by one of its vectors, of the name ``NAME_undecayed``; empty ones are left out.
    """
    if decay_all:
        return [{**group, "weight_decay": weight_decay} for group in groups]
    divided = []
    for group in groups:
        vectors: list[nn.Parameter] = []
        weights: list[nn.Parameter] = []
        for parameter in group["params"]:
            (weights if parameter.ndim > 1 else vectors).append(parameter)
        divided.append({**group, "params": weights, "weight_decay": weight_decay})
        divided.append({**group, "name": f"{group['name']}_undecayed", "params": vectors, "weight_decay": 0.0})
    return [group for group in divided if group["params"]]
