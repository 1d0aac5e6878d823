"""The schedule of systems that learn in one piece."""

from __future__ import annotations

import math

from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def cosine_decay(optimizer: Optimizer, steps: int) -> OptimizerLRScheduler:
    """Let the rate fall to zero along a cosine over that many steps, and stay there; 0 steps: it is constant."""
    if not steps:
        return optimizer
    decay = LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step / steps, 1))))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": decay, "interval": "step"}}
