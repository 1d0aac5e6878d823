"""Losses; each is a mean over what all processes see together."""

from bgsub_lightning.losses.contrastive import class_constant, contrastive, pair_classes
from bgsub_lightning.losses.cross_entropy import masked_binary_cross_entropy, masked_cross_entropy
from bgsub_lightning.losses.dice import batch_dice, image_dice
from bgsub_lightning.losses.focal import focal_loss, l1_loss, scale_weight
from bgsub_lightning.losses.likelihood import mixture_nll
from bgsub_lightning.losses.reconstruction import squared_error
from bgsub_lightning.losses.reduction import global_count, global_mean, global_sum

__all__ = [
    "batch_dice",
    "class_constant",
    "contrastive",
    "focal_loss",
    "global_count",
    "global_mean",
    "global_sum",
    "image_dice",
    "l1_loss",
    "masked_binary_cross_entropy",
    "masked_cross_entropy",
    "mixture_nll",
    "pair_classes",
    "scale_weight",
    "squared_error",
]
