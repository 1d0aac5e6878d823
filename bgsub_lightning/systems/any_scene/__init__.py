"""AnyScene: foreground of any fixed camera at once."""

from typing import TYPE_CHECKING

from bgsub_lightning.core.lazy import when_used
from bgsub_lightning.systems.any_scene.inputs import EarlierFrame, Relit, SampleBanks
from bgsub_lightning.systems.any_scene.network import AnySceneNetwork
from bgsub_lightning.systems.any_scene.stream import Rules, SceneStream
from bgsub_lightning.systems.any_scene.system import AnySceneSystem

if TYPE_CHECKING:
    from bgsub_lightning.systems.any_scene.module import AnyScene
else:
    __getattr__ = when_used(__name__, {"module": ["AnyScene"]})

__all__ = [
    "AnyScene",
    "AnySceneNetwork",
    "AnySceneSystem",
    "EarlierFrame",
    "Relit",
    "Rules",
    "SampleBanks",
    "SceneStream",
]
