"""CrossNet/HOFAM: one model for all scenes, of appearance and optical flow at three intervals."""

from bgsub_lightning.systems.crossnet.loss import focal_loss, l1_loss, scale_weight
from bgsub_lightning.systems.crossnet.network import CrossNetNetwork
from bgsub_lightning.systems.crossnet.raft import RaftFlow
from bgsub_lightning.systems.crossnet.system import CrossNet

__all__ = [
    "CrossNet",
    "CrossNetNetwork",
    "RaftFlow",
    "focal_loss",
    "l1_loss",
    "scale_weight",
]
