"""Losses."""

from bgsub_lightning.losses.cross_entropy import masked_cross_entropy

__all__ = ["masked_cross_entropy"]
