"""Two-stage MCFCN and its Baseline-2 as LightningModules."""

from bgsub_lightning.systems.recon_mcfcn.fcn import FrameFcnSystem
from bgsub_lightning.systems.recon_mcfcn.system import ReconMcfcnSystem
from bgsub_lightning.systems.staged import StagedModule


class FrameFcn(FrameFcnSystem, StagedModule):
    pass


class ReconMcfcn(ReconMcfcnSystem, StagedModule):
    pass
