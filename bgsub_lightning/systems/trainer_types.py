"""Types that annotations of a system name, and that are not imported for them.

Imports under ``TYPE_CHECKING`` in a system's own module would be executed by jsonargparse, which builds the system.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

    from bgsub_lightning.data import ScenesDataModule
else:
    OptimizerLRScheduler = ScenesDataModule = Any

__all__ = ["OptimizerLRScheduler", "ScenesDataModule"]
