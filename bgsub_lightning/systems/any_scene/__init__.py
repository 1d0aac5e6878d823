"""AnyScene: foreground of any fixed camera at once."""

from bgsub_lightning.systems.any_scene.inputs import EarlierFrame, Relit, SampleBanks
from bgsub_lightning.systems.any_scene.network import AnySceneNetwork
from bgsub_lightning.systems.any_scene.stream import Rules, SceneStream
from bgsub_lightning.systems.any_scene.system import AnyScene

__all__ = ["AnyScene", "AnySceneNetwork", "EarlierFrame", "Relit", "Rules", "SampleBanks", "SceneStream"]
