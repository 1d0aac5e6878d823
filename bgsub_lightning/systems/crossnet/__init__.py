"""CrossNet/HOFAM: one model for all scenes, of appearance and optical flow at three intervals."""

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.systems.crossnet.loss import focal_loss, l1_loss, scale_weight
from bgsub_lightning.systems.crossnet.network import CrossNetNetwork
from bgsub_lightning.systems.crossnet.raft import RaftFlow
from bgsub_lightning.systems.crossnet.system import CrossNetSystem

if TYPE_CHECKING:
    from bgsub_lightning.systems.crossnet.module import CrossNet
else:
    __getattr__ = when_used(__name__, {"module": ["CrossNet"]})

__all__ = [
    "CrossNet",
    "CrossNetNetwork",
    "CrossNetSystem",
    "RaftFlow",
    "focal_loss",
    "l1_loss",
    "scale_weight",
]
