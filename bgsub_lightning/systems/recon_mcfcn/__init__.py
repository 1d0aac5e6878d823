"""Two-stage reconstruction and MCFCN: restore the background, compare the frame with it, optimise both jointly."""

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.systems.recon_mcfcn.background import ReconstructedBackground
from bgsub_lightning.systems.recon_mcfcn.fcn import FrameFcnSystem
from bgsub_lightning.systems.recon_mcfcn.loss import squared_error
from bgsub_lightning.systems.recon_mcfcn.mcfcn import Mcfcn
from bgsub_lightning.systems.recon_mcfcn.reconstruction import BackgroundReconstruction
from bgsub_lightning.systems.recon_mcfcn.system import ReconMcfcnSystem

if TYPE_CHECKING:
    from bgsub_lightning.systems.recon_mcfcn.module import FrameFcn, ReconMcfcn
else:
    __getattr__ = when_used(__name__, {"module": ["FrameFcn", "ReconMcfcn"]})

__all__ = [
    "BackgroundReconstruction",
    "FrameFcn",
    "FrameFcnSystem",
    "Mcfcn",
    "ReconMcfcn",
    "ReconMcfcnSystem",
    "ReconstructedBackground",
    "squared_error",
]
