"""BMN-BSN: two nested U-Nets that subtract scenes they have never seen."""

from bgsub_lightning.systems.bmn_bsn.network import BmnBsnNetwork
from bgsub_lightning.systems.bmn_bsn.system import BmnBsn

__all__ = [
    "BmnBsn",
    "BmnBsnNetwork",
]
