"""Room 7: one LightningModule per paper, and nothing in it but its training rule."""

from bgsub_lightning.modules.base import BgsModule
from bgsub_lightning.modules.bmn_bsn import BmnBsn
from bgsub_lightning.modules.classical import ClassicalSubtractor

__all__ = ["BgsModule", "BmnBsn", "ClassicalSubtractor"]
