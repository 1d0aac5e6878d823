"""Two-stage reconstruction and MCFCN: restore the background, compare the frame with it, optimise both jointly."""

from bgsub_lightning.systems.recon_mcfcn.background import ReconstructedBackground
from bgsub_lightning.systems.recon_mcfcn.fcn import FrameFcn
from bgsub_lightning.systems.recon_mcfcn.loss import squared_error
from bgsub_lightning.systems.recon_mcfcn.mcfcn import Mcfcn
from bgsub_lightning.systems.recon_mcfcn.reconstruction import BackgroundReconstruction
from bgsub_lightning.systems.recon_mcfcn.system import ReconMcfcn

__all__ = [
    "BackgroundReconstruction",
    "FrameFcn",
    "Mcfcn",
    "ReconMcfcn",
    "ReconstructedBackground",
    "squared_error",
]
