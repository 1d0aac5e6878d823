"""Systems with nothing to fit."""

from bgsub_lightning.systems.base import BgsModule
from bgsub_lightning.systems.kinds import UntrainedSystem


class UntrainedModule(UntrainedSystem, BgsModule):
    """A system that is used as it is: it is tested and predicts without a checkpoint, and refuses to be fitted."""
