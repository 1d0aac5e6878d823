"""CrossNet as a LightningModule."""

from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.crossnet.system import CrossNetSystem


class CrossNet(CrossNetSystem, BgsModule):
    pass
