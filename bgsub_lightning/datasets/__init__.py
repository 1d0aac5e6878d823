"""Datasets as they lie on disk.

A reader turns a dataset's folder into :class:`Scene` objects and says what is wrong with each; no other room knows a
dataset's layout.
"""

from bgsub_lightning.datasets.cdnet2014 import CDnet2014
from bgsub_lightning.datasets.joined import Joined
from bgsub_lightning.datasets.lasiesta import LASIESTA
from bgsub_lightning.datasets.limu import LIMU
from bgsub_lightning.datasets.patterns import SequenceReader
from bgsub_lightning.datasets.sbi2015 import SBI2015
from bgsub_lightning.datasets.scene import Problem, Reader, Scene, raise_for_errors, with_mask_code
from bgsub_lightning.datasets.wallflower import Wallflower

__all__ = [
    "LASIESTA",
    "LIMU",
    "SBI2015",
    "CDnet2014",
    "Joined",
    "Problem",
    "Reader",
    "Scene",
    "SequenceReader",
    "Wallflower",
    "raise_for_errors",
    "with_mask_code",
]
