"""Siamese network and encoder-decoder: any two frames of a scene compared by learnt features, then segmented."""

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.systems.siamese.loss import class_constant, contrastive, pair_classes
from bgsub_lightning.systems.siamese.network import SiameseNetwork
from bgsub_lightning.systems.siamese.system import SiameseSystem

if TYPE_CHECKING:
    from bgsub_lightning.systems.siamese.module import Siamese
else:
    __getattr__ = when_used(__name__, {"module": ["Siamese"]})

__all__ = [
    "Siamese",
    "SiameseNetwork",
    "SiameseSystem",
    "class_constant",
    "contrastive",
    "pair_classes",
]
