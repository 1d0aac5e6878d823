"""OpenCV's own background subtractors, and those of opencv-contrib where its build is installed."""

from __future__ import annotations

import threading
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError

OpenCvName = Literal["MOG2", "KNN", "GSOC", "CNT", "LSBP"]

OPENCV: tuple[OpenCvName, ...] = get_args(OpenCvName)
"""Their names."""

CONTRIB: tuple[OpenCvName, ...] = ("GSOC", "CNT", "LSBP")
"""Those of opencv-contrib. They find no shadows; learning rates and known foreground mean something else to them."""

_RACING = ("GSOC", "LSBP")
_one_thread = threading.Lock()


class _OneThread:
    """A subtractor whose threads draw from one generator, each time in another order: it computes in one thread."""

    def __init__(self, subtractor: Any) -> None:
        self._subtractor = subtractor
        self.getBackgroundImage = subtractor.getBackgroundImage

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Take the next frame and return its mask."""
        with _one_thread:  # the number of threads is the process's
            threads = cv2.getNumThreads()
            cv2.setNumThreads(1)
            try:
                return np.asarray(self._subtractor.apply(image), np.uint8)
            finally:
                cv2.setNumThreads(threads)


def require_opencv(name: str) -> None:
    """Check that the installed OpenCV has a subtractor.

    Raises:
        UserError: If it is one of :data:`CONTRIB`, and OpenCV was built without them.
    """
    if name in CONTRIB and not hasattr(cv2, "bgsegm"):
        try:
            pinned = f"=={version('opencv-python-headless')}"
        except PackageNotFoundError:
            pinned = ""
        raise UserError(
            f"{name}: needs opencv-contrib-python-headless in place of opencv-python-headless; got OpenCV "
            f"{cv2.__version__} without bgsegm. Exchange them: pip uninstall -y opencv-python-headless, then "
            f"pip install opencv-contrib-python-headless{pinned}."
        )


def opencv_subtractor(name: str) -> Any:
    """Return one with its default parameters, whose random numbers do not depend on whatever ran before.

    Raises:
        UserError: See :func:`require_opencv`.
    """
    require_opencv(name)
    cv2.setRNGSeed(0)  # KNN draws from a generator that whatever ran before has moved
    module: Any = getattr(cv2, "bgsegm", None) if name in CONTRIB else cv2
    subtractor = getattr(module, f"createBackgroundSubtractor{name}")()
    return _OneThread(subtractor) if name in _RACING else subtractor
