"""FgSegNet_v2: one model per scene, from a frame alone to its mask."""

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.systems.fgsegnet.system import FgSegNetSystem

if TYPE_CHECKING:
    from bgsub_lightning.systems.fgsegnet.module import FgSegNet
else:
    __getattr__ = when_used(__name__, {"module": ["FgSegNet"]})

__all__ = ["FgSegNet", "FgSegNetSystem"]
