"""SeqFeedNet as a LightningModule."""

from bgsub_lightning.systems.seqfeednet.system import SeqFeedNetSystem
from bgsub_lightning.systems.successive import SuccessiveModule


class SeqFeedNet(SeqFeedNetSystem, SuccessiveModule):
    pass
