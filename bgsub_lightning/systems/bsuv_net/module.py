"""BSUV-Net 2.0 as a LightningModule."""

from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.bsuv_net.system import BsuvNetSystem


class BsuvNet(BsuvNetSystem, BgsModule):
    pass
