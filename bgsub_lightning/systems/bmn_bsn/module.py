"""BMN-BSN as a LightningModule."""

from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.bmn_bsn.system import BmnBsnSystem


class BmnBsn(BmnBsnSystem, BgsModule):
    pass
