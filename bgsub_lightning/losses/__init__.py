"""Losses."""

from bgsub_lightning.losses.cross_entropy import masked_binary_cross_entropy, masked_cross_entropy
from bgsub_lightning.losses.focal import focal_loss, l1_loss, scale_weight
from bgsub_lightning.losses.likelihood import mixture_nll
from bgsub_lightning.losses.reconstruction import squared_error

__all__ = [
    "focal_loss",
    "l1_loss",
    "masked_binary_cross_entropy",
    "masked_cross_entropy",
    "mixture_nll",
    "scale_weight",
    "squared_error",
]
