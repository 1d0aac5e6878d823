"""CDN-MEDAL-net as a LightningModule."""

from bgsub_lightning.systems.cdn_medal.system import CdnMedalSystem
from bgsub_lightning.systems.staged import StagedModule


class CdnMedal(CdnMedalSystem, StagedModule):
    pass
