"""The siamese network and its encoder-decoder as a LightningModule."""

from bgsub_lightning.systems.siamese.system import SiameseSystem
from bgsub_lightning.systems.staged import StagedModule


class Siamese(SiameseSystem, StagedModule):
    pass
