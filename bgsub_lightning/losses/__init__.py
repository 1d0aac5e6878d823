"""Losses that systems share; each is a mean over what all processes see together."""

from bgsub_lightning.losses.cross_entropy import masked_binary_cross_entropy, masked_cross_entropy
from bgsub_lightning.losses.dice import batch_dice, image_dice
from bgsub_lightning.losses.hard_sigmoid import SLOPE, hard_sigmoid
from bgsub_lightning.losses.jaccard import batch_jaccard
from bgsub_lightning.losses.reduction import global_count, global_mean, global_sum

__all__ = [
    "SLOPE",
    "batch_dice",
    "batch_jaccard",
    "global_count",
    "global_mean",
    "global_sum",
    "hard_sigmoid",
    "image_dice",
    "masked_binary_cross_entropy",
    "masked_cross_entropy",
]
