"""SBI2015 (SBMI) as it lies on disk.

L. Maddalena, A. Petrosino, "Towards benchmarking scene background initialization", ICIAP Workshops 2015.
"""

from __future__ import annotations

from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.datasets.patterns import SequenceReader


class SBI2015(SequenceReader):
    """Reader of SBI2015, and of any footage that is laid out as it is.

    The dataset was built for background initialisation: each sequence comes with one image of the empty scene, and in
    some foreground covers the background from the first frame on. A public copy of five sequences with their masks was
    looked at (Board, CaVignal, Foliage, HighwayI, IBMtest2): frames ``input/in%06d.png`` (``.jpg`` in Foliage,
    ``CaVignal_%06d.png`` in CaVignal) and masks ``groundtruth/gt%06d.png`` under the same numbers, from 0; their levels
    are 0, 170 and 255, or 0 and 255; Board, HighwayI and IBMtest2 have a uniform ``ROI.bmp`` and a ``temporalROI.txt``,
    which are followed. The other sequences, and the backgrounds' names (``GT_Board.png`` and so on, as the
    dataset's own evaluation has them), are not verified; for a copy that differs, give other patterns.

    Args:
        frames: Pattern of the frames' paths below the dataset's folder, with ``{sequence}`` and ``{number}`` in it;
            ``*`` stands for anything in a name, ``**/`` for any folders.
        masks: Pattern of the masks' paths.
        background: Pattern of the backgrounds' paths, without ``{number}``; ``None``: there are none.
        opening: How many frames at the beginning of a sequence can be references. Every frame is labelled, so that none
            comes before the labelled part; their masks are not looked at.
    """

    name = "SBI2015"
    root_variable = "SBI2015_ROOT"
    homepage = "https://sbmi2015.na.icar.cnr.it; put the sequences, with their masks, into one folder."
    layout = "FOLDER/HighwayI/{input/*%d.*, groundtruth/*%d.*}, FOLDER/**/GT_HighwayI.*, unless patterns name others"
    categories = ("SBI2015",)
    sequences = (
        "Board",
        "CAVIAR1",
        "CAVIAR2",
        "CaVignal",
        "Candela_m1.10",
        "Foliage",
        "HallAndMonitor",
        "HighwayI",
        "HighwayII",
        "HumanBody2",
        "IBMtest2",
        "PeopleAndFoliage",
        "Snellen",
        "Toscana",
    )
    mask_code = MaskCode.SBI2015
    has_regions = True

    def __init__(
        self,
        frames: str = "{sequence}/input/*{number}.*",
        masks: str = "{sequence}/groundtruth/*{number}.*",
        background: str | None = "**/GT_{sequence}.*",
        opening: int = 50,
    ) -> None:
        super().__init__(frames, masks, background, opening)
