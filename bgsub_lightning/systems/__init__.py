"""Systems, each in its folder: network, loss, training rule, state of a scene; next to them what they share."""

from bgsub_lightning.systems.any_scene import AnyScene
from bgsub_lightning.systems.base import BgsModule, identity
from bgsub_lightning.systems.baselines import BgsLibrarySubtractor, ClassicalSubtractor, ThresholdedDifference
from bgsub_lightning.systems.bmn_bsn import BmnBsn
from bgsub_lightning.systems.cdn_medal import CdnMedal
from bgsub_lightning.systems.crossnet import CrossNet
from bgsub_lightning.systems.recon_mcfcn import FrameFcn, ReconMcfcn
from bgsub_lightning.systems.siamese import Siamese
from bgsub_lightning.systems.staged import StagedModule
from bgsub_lightning.systems.untrained import UntrainedModule

__all__ = [
    "AnyScene",
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
    "identity",
]
