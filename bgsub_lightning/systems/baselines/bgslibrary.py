"""The subtractors of bgslibrary under the same protocols and metrics.

A. Sobral, T. Bouwmans, "BGS Library: a library framework for algorithm's evaluation in foreground/background
segmentation", Background Modeling and Foreground Detection for Video Surveillance, CRC Press, 2014. Among them:
P.-L. St-Charles et al., "SuBSENSE: a universal change detection method with local adaptive sensitivity", IEEE
Transactions on Image Processing, 2015; the same, "A self-adjusting approach to change detection based on background
word consensus", WACV 2015 (PAWCS); O. Barnich, M. Van Droogenbroeck, "ViBe: a universal background subtraction
algorithm for video sequences", IEEE Transactions on Image Processing, 2011.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.text import suggestion
from bgsub_lightning.data import SceneInputs
from bgsub_lightning.systems.baselines.classical import LibraryContext, LibrarySubtractor, StreamingSystem


@dataclass
class SilentContext(LibraryContext):
    """A model of the library, which prints at its first frame and at its end."""

    is_new: bool = True

    def __del__(self) -> None:
        """Keep its end from the terminal."""
        with _silent():
            del self.subtractor


class BgsLibrarySubtractorSystem(StreamingSystem):
    """A subtractor of bgslibrary, with its default parameters; it needs the extra ``bgslibrary``.

    Runs are alike: the library draws from C's generator, which is set with each scene. Those of its subtractors that
    read memory before they write it are not alike, whatever is done: KDE and SigmaDelta of version 3.3.

    Args:
        algorithm: The library's class, such as ``SuBSENSE``, ``PAWCS``, ``LOBSTER`` or ``ViBe``.

    Raises:
        UserError: If the library is not installed, or has no such class.
    """

    def __init__(self, algorithm: str = "SuBSENSE") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.algorithm = algorithm
        known = algorithms()
        if algorithm not in known:
            raise UserError(
                f"model.init_args.algorithm: bgslibrary has no {algorithm!r}. {suggestion(algorithm, known, 1)}"
            )

    def subtractor(self) -> LibrarySubtractor:  # noqa: D102
        # its constructors read parameters from ./config/NAME.xml, and write them there
        with _silent(), tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
            ctypes.CDLL(None).srand(0)
            created: LibrarySubtractor = getattr(_library(), self.algorithm)()
            return created

    def begin_scene(self, scene: SceneInputs) -> SilentContext:  # noqa: D102
        return SilentContext(self.subtractor())

    def masks(self, context: SilentContext, frames: NDArray[np.uint8]) -> NDArray[np.bool_]:  # type: ignore[override]  # noqa: D102
        if context.is_new:
            context.is_new = False
            with _silent():
                return super().masks(context, frames)
        return super().masks(context, frames)


def algorithms() -> list[str]:
    """Return the names of the library's subtractors.

    Raises:
        UserError: If it is not installed.
    """
    return sorted(name for name, value in vars(_library()).items() if isinstance(value, type))


def _library() -> Any:
    try:
        return importlib.import_module("pybgs")
    except ImportError as error:
        raise UserError(
            f"BgsLibrarySubtractor: bgslibrary cannot be imported ({error}). Install it by "
            f"pip install 'bgsub_lightning[bgslibrary]'; it is built from source, and needs a compiler, CMake and "
            f"OpenCV's headers, such as Debian's libopencv-dev."
        ) from None


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep from the terminal what the library writes past Python: the names of its classes, and missing settings."""
    streams = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        yield
    finally:
        for stream in streams:
            stream.flush()
        ctypes.CDLL(None).fflush(None)
        for descriptor, before in zip((1, 2), kept, strict=True):
            os.dup2(before, descriptor)
            os.close(before)
        os.close(nowhere)
