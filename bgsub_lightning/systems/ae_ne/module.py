"""AE-NE as a LightningModule."""

from bgsub_lightning.systems.ae_ne.system import AeNeSystem
from bgsub_lightning.systems.staged import StagedModule


class AeNe(AeNeSystem, StagedModule):
    pass
