"""LIMU as it lies on disk.

Laboratory for Image and Media Understanding, Kyushu University: "LIMU dataset", 2008.
"""

from __future__ import annotations

from bgsub_lightning.datasets.patterns import SequenceReader


class LIMU(SequenceReader):
    """Reader of the three sequences of LIMU that papers test on, and of any footage that is laid out like them.

    The layout of the published archives is not verified. By default each sequence has a folder ``input`` of
    frames and a folder ``groundtruth`` with the masks of every n-th of them, under the same numbers, white from 128 on;
    for a copy that differs, give other patterns.

    Args:
        frames: Pattern of the frames' paths below the dataset's folder, with ``{sequence}`` and ``{number}`` in it;
            ``*`` stands for anything in a name, ``**/`` for any folders.
        masks: Pattern of the masks' paths.
        opening: How many frames at the beginning of a sequence can be references, whether or not they are labelled;
            so can every frame before the first label.
    """

    name = "LIMU"
    root_variable = "LIMU_ROOT"
    homepage = "https://limu.ait.kyushu-u.ac.jp/dataset/en/; put the sequences into one folder."
    layout = "FOLDER/CameraParameter/{input/*%d.*, groundtruth/*%d.*}, unless patterns name another"
    categories = ("LIMU",)
    sequences = ("CameraParameter", "Intersection", "LightSwitch")

    def __init__(
        self,
        frames: str = "{sequence}/input/*{number}.*",
        masks: str = "{sequence}/groundtruth/*{number}.*",
        opening: int = 50,
    ) -> None:
        super().__init__(frames, masks, opening=opening)
