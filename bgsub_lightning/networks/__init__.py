"""Room 5: networks, pure torch. One file per network; ``unet.py`` and the like hold what papers share."""

from bgsub_lightning.networks.bmn_bsn import BmnBsnNetwork
from bgsub_lightning.networks.cdn_gm import CdnGm, Mixture
from bgsub_lightning.networks.compiling import compile_in_place
from bgsub_lightning.networks.crossnet import CrossNet
from bgsub_lightning.networks.mcfcn import Mcfcn
from bgsub_lightning.networks.medal_net import MedalNet
from bgsub_lightning.networks.raft import RaftFlow
from bgsub_lightning.networks.reconstruction import BackgroundReconstruction
from bgsub_lightning.networks.resizing import resize
from bgsub_lightning.networks.siamese import SiameseNetwork
from bgsub_lightning.networks.unet import UNet
from bgsub_lightning.networks.weights import LoadReport, damage, load_state_dict, load_vgg

__all__ = [
    "BackgroundReconstruction",
    "BmnBsnNetwork",
    "CdnGm",
    "CrossNet",
    "LoadReport",
    "Mcfcn",
    "MedalNet",
    "Mixture",
    "RaftFlow",
    "SiameseNetwork",
    "UNet",
    "compile_in_place",
    "damage",
    "load_state_dict",
    "load_vgg",
    "resize",
]
