"""FgSegNet_v2 as a LightningModule."""

from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.fgsegnet.system import FgSegNetSystem


class FgSegNet(FgSegNetSystem, BgsModule):
    pass
