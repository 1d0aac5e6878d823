"""AnyScene as a LightningModule."""

from bgsub_lightning.systems.any_scene.system import AnySceneSystem
from bgsub_lightning.systems.base import BgsModule


class AnyScene(AnySceneSystem, BgsModule):
    pass
