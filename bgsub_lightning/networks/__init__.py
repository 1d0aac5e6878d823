"""Room 5: networks, pure torch. One file per network; ``unet.py`` and the like hold what papers share."""

from bgsub_lightning.networks.bmn_bsn import BmnBsnNetwork
from bgsub_lightning.networks.cdn_gm import CdnGm, Mixture
from bgsub_lightning.networks.medal_net import MedalNet
from bgsub_lightning.networks.unet import UNet

__all__ = ["BmnBsnNetwork", "CdnGm", "MedalNet", "Mixture", "UNet"]
