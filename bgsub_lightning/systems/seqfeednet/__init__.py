"""SeqFeedNet: a network that keeps and renews features of a scene, and one that judges frames by them."""

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.systems.seqfeednet.system import SeqFeedNetSystem

if TYPE_CHECKING:
    from bgsub_lightning.systems.seqfeednet.module import SeqFeedNet
else:
    __getattr__ = when_used(__name__, {"module": ["SeqFeedNet"]})

__all__ = ["SeqFeedNet", "SeqFeedNetSystem"]
