"""Wallflower as it lies on disk.

K. Toyama et al., "Wallflower: Principles and Practice of Background Maintenance", ICCV 1999.
"""

from __future__ import annotations

from bgsub_lightning.datasets.patterns import SequenceReader


class Wallflower(SequenceReader):
    """Reader of Wallflower, and of any footage that is laid out as it is.

    Frame numbers are those of the file names and begin at 0. Of each sequence one frame has a mask; every frame before
    it can be a reference, and every frame of a sequence without a mask.
    """

    name = "Wallflower"
    root_variable = "WALLFLOWER_ROOT"
    homepage = (
        "Microsoft Research, which published the paper's test images; unpack them and name the folder that holds "
        "WavingTrees/ and the others."
    )
    layout = "FOLDER/WavingTrees/{b%05d.bmp, hand_segmented_%05d.BMP}"
    categories = ("Wallflower",)
    sequences = (
        "Bootstrap",
        "Camouflage",
        "ForegroundAperture",
        "LightSwitch",
        "MovedObject",
        "TimeOfDay",
        "WavingTrees",
    )

    def __init__(self) -> None:
        super().__init__("{sequence}/b{number}.bmp", "{sequence}/hand_segmented_{number}.bmp")
