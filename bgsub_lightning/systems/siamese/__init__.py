"""Siamese network and encoder-decoder: any two frames of a scene compared by learnt features, then segmented."""

from bgsub_lightning.systems.siamese.loss import class_constant, contrastive, pair_classes
from bgsub_lightning.systems.siamese.network import SiameseNetwork
from bgsub_lightning.systems.siamese.system import Siamese

__all__ = [
    "Siamese",
    "SiameseNetwork",
    "class_constant",
    "contrastive",
    "pair_classes",
]
