"""Losses."""

from bgsub_lightning.losses.cross_entropy import masked_binary_cross_entropy, masked_cross_entropy
from bgsub_lightning.losses.likelihood import mixture_nll
from bgsub_lightning.losses.reconstruction import squared_error

__all__ = ["masked_binary_cross_entropy", "masked_cross_entropy", "mixture_nll", "squared_error"]
