"""Losses."""

from bgsub_lightning.losses.cross_entropy import masked_binary_cross_entropy, masked_cross_entropy
from bgsub_lightning.losses.likelihood import mixture_nll

__all__ = ["masked_binary_cross_entropy", "masked_cross_entropy", "mixture_nll"]
