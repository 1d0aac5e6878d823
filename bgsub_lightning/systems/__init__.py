"""Systems, each in a folder of its own: network, inputs, training rule and what it keeps of a scene."""

from bgsub_lightning.systems.any_scene import AnyScene

__all__ = ["AnyScene"]
