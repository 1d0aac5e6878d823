"""Room 7: one LightningModule per paper, and nothing in it but its training rule."""

from bgsub_lightning.modules.base import BgsModule, alone
from bgsub_lightning.modules.bgslibrary import BgsLibrarySubtractor
from bgsub_lightning.modules.bmn_bsn import BmnBsn
from bgsub_lightning.modules.cdn_medal import CdnMedal
from bgsub_lightning.modules.classical import ClassicalSubtractor
from bgsub_lightning.modules.crossnet import CrossNet
from bgsub_lightning.modules.fcn import FrameFcn
from bgsub_lightning.modules.recon_mcfcn import ReconMcfcn
from bgsub_lightning.modules.siamese import Siamese
from bgsub_lightning.modules.staged import StagedModule
from bgsub_lightning.modules.thresholded import ThresholdedDifference
from bgsub_lightning.modules.untrained import UntrainedModule

__all__ = [
    "BgsLibrarySubtractor",
    "BgsModule",
    "BmnBsn",
    "CdnMedal",
    "ClassicalSubtractor",
    "CrossNet",
    "FrameFcn",
    "ReconMcfcn",
    "Siamese",
    "StagedModule",
    "ThresholdedDifference",
    "UntrainedModule",
    "alone",
]
