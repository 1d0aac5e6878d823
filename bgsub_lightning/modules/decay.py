"""The schedule of systems that learn in one piece."""

from __future__ import annotations

import math

from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


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
