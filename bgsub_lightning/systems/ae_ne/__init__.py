"""AE-NE: an autoencoder that learns the background of a scene, and where it may be wrong, without labels."""

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.systems.ae_ne.background import AutoencoderBackground
from bgsub_lightning.systems.ae_ne.system import AeNeSystem

if TYPE_CHECKING:
    from bgsub_lightning.systems.ae_ne.module import AeNe
else:
    __getattr__ = when_used(__name__, {"module": ["AeNe"]})

__all__ = ["AeNe", "AeNeSystem", "AutoencoderBackground"]
