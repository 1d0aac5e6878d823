"""CDN-MEDAL-net: a density network that learns the background, and an auto-encoder that compares frames with it."""

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.systems.cdn_medal.background import DensityBackground
from bgsub_lightning.systems.cdn_medal.cdn_gm import CdnGm, Mixture
from bgsub_lightning.systems.cdn_medal.loss import mixture_nll
from bgsub_lightning.systems.cdn_medal.medal_net import MedalNet
from bgsub_lightning.systems.cdn_medal.system import CdnMedalSystem

if TYPE_CHECKING:
    from bgsub_lightning.systems.cdn_medal.module import CdnMedal
else:
    __getattr__ = when_used(__name__, {"module": ["CdnMedal"]})

__all__ = [
    "CdnGm",
    "CdnMedal",
    "CdnMedalSystem",
    "DensityBackground",
    "MedalNet",
    "Mixture",
    "mixture_nll",
]
