"""BMN-BSN: two nested U-Nets that subtract scenes they have never seen."""

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.systems.bmn_bsn.network import BmnBsnNetwork
from bgsub_lightning.systems.bmn_bsn.system import BmnBsnSystem

if TYPE_CHECKING:
    from bgsub_lightning.systems.bmn_bsn.module import BmnBsn
else:
    __getattr__ = when_used(__name__, {"module": ["BmnBsn"]})

__all__ = [
    "BmnBsn",
    "BmnBsnNetwork",
    "BmnBsnSystem",
]
