"""LASIESTA as it lies on disk.

C. Cuevas, E. M. Yáñez, N. García, "Labeled dataset for integral evaluation of moving object detection algorithms:
LASIESTA", Computer Vision and Image Understanding 152, 2016.
"""

from __future__ import annotations

import re

from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.datasets.patterns import SequenceReader

_SINGLE = ("I_BS", "I_CA", "I_IL", "I_MB", "I_MC", "I_OC", "I_SI", "O_CL", "O_MC", "O_RA", "O_SN", "O_SU")
_SIMULATED = ("I_SM", "O_SM")  # motion of the camera is simulated


class LASIESTA(SequenceReader):
    """Reader of LASIESTA, and of any footage that is laid out as it is.

    A sequence is two folders of one name, anywhere below the dataset's, as the published archives are unpacked: that of
    the frames, and that of the masks with ``-GT`` at the end, or ``_GT``, as the official page also writes it. Numbers
    are not padded (``I_MB_02-1.bmp``); padded ones are taken as well. Its category is its name without the number.
    Masks are coloured (see :class:`MaskCode`): moving objects in red, green and yellow, those that now stand still in
    white, uncertain pixels in grey, which are ignored.

    Args:
        opening: How many frames at the beginning of a sequence can be references. The dataset labels every frame, so
            that none comes before the labelled part; their masks are not looked at.
    """

    name = "LASIESTA"
    root_variable = "LASIESTA_ROOT"
    homepage = (
        "Grupo de Tratamiento de Imágenes, Universidad Politécnica de Madrid (gti.ssr.upm.es/data), by "
        f"`{PROGRAM} download LASIESTA` or by hand; unpack the archives of sequences and masks below one folder."
    )
    layout = "FOLDER/{I_SI_01/I_SI_01-%d.bmp, I_SI_01-GT/I_SI_01-GT_%d.png}, or in folders of archives"
    categories = tuple(sorted(_SINGLE + _SIMULATED))
    sequences = tuple(
        f"{category}_{number:02d}"
        for category in sorted(_SINGLE + _SIMULATED)
        for number in range(1, 13 if category in _SIMULATED else 3)
    )
    mask_code = MaskCode.LASIESTA

    def __init__(self, opening: int = 50) -> None:
        super().__init__(
            "**/{sequence}/{sequence}-{number}.bmp", "**/{sequence}?GT/{sequence}?GT_{number}.png", opening=opening
        )

    def category(self, sequence: str) -> str:
        """Return the category of a sequence: its name without the number at the end."""
        return re.sub(r"_\d+$", "", sequence)
