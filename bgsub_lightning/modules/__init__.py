"""Room 7: one LightningModule per paper, and nothing in it but its training rule."""

from bgsub_lightning.modules.base import BgsModule
from bgsub_lightning.modules.bmn_bsn import BmnBsn
from bgsub_lightning.modules.cdn_medal import CdnMedal
from bgsub_lightning.modules.classical import ClassicalSubtractor
from bgsub_lightning.modules.staged import StagedModule

__all__ = ["BgsModule", "BmnBsn", "CdnMedal", "ClassicalSubtractor", "StagedModule"]
