"""BSUV-Net 2.0: one model for all scenes, which compares a frame with an empty and with a recent background."""

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.systems.bsuv_net.system import BsuvNetSystem

if TYPE_CHECKING:
    from bgsub_lightning.systems.bsuv_net.module import BsuvNet
else:
    __getattr__ = when_used(__name__, {"module": ["BsuvNet"]})

__all__ = ["BsuvNet", "BsuvNetSystem"]
