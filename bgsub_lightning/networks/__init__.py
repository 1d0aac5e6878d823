"""Room 5: networks, pure torch. One file per paper; ``unet.py`` and the like hold what papers share."""

from bgsub_lightning.networks.bmn_bsn import BmnBsnNetwork
from bgsub_lightning.networks.unet import UNet

__all__ = ["BmnBsnNetwork", "UNet"]
