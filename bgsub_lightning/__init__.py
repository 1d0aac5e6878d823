"""The experiment suite of deep background subtraction, on PyTorch Lightning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bgsub_lightning.core.version import __version__

if TYPE_CHECKING:
    from bgsub_lightning.inference import Result, StreamSubtractor

__all__ = ["__version__", "load", "stream"]


def load(source: str | Path = "AnyScene", *, modules: Sequence[str] = (), **options: Any) -> StreamSubtractor:
    """Load a background subtractor that takes frames one by one, as OpenCV's do.

    On a CPU, call :func:`bgsub_lightning.core.memory.keep_freed_memory` first: it makes some systems faster. It changes
    how the whole program keeps memory, and so is left to you.

    Args:
        source: ``AnyScene``, whose weights ship with the package; the checkpoint of any system; ``MOG2``, ``KNN`` or
            ``TemporalMedian``, which have no weights (``GSOC``, ``CNT`` and ``LSBP`` with opencv-contrib); or an
            experiment, ``.yaml``, whose system needs no checkpoint.
        modules: Modules outside of this package whose classes a checkpoint may name: import paths, or files such as
            ``own_network.py``. They are executed.
        options: Those of :class:`bgsub_lightning.inference.Subtractor`: ``device`` (``"cuda:1"``), ``reference_pool``
            (clean frames, RGB, or the path of some), ``refresh_interval`` and ``stride`` (in frames), ``batch_size``,
            ``threshold``, ``precision``, ``range`` (of frames of 16 bits) and others.

    Raises:
        UserError: If it is something else, or an option makes no sense.
    """
    from bgsub_lightning.core.errors import UserError
    from bgsub_lightning.inference import OPENCV, OpenCvSubtractor  # here, so that the command line's help is instant

    if not isinstance(source, (str, Path)):
        raise UserError(f"source: must be the name of a subtractor, or the path of a checkpoint; got {source!r}.")
    if isinstance(modules, str) or not isinstance(modules, Sequence):
        raise UserError(f"modules: must be a list of import paths or files; got {modules!r}.")
    if source in OPENCV:
        return OpenCvSubtractor(source, **options)
    from bgsub_lightning.inference import Subtractor, load_system  # with PyTorch

    return Subtractor(load_system(source, modules), **options)


def stream(
    source: str | Path | int,
    *,
    probability: bool = False,
    work_size: int | None = None,
    rate: float | None = None,
    reconnect: float = 10.0,
    range: tuple[float, float] | None = None,
    frames: int | None = None,
    **options: Any,
) -> Iterator[Result]:
    """Go through a video, images or a camera frame by frame, with masks, boxes, objects and events.

    Example::

        for result in bgsub_lightning.stream("street.mp4"):
            print(result.time, [track.id for track in result.tracks])

    Args:
        source: What ``segment`` takes: a video file, a folder or a pattern of images, the number of a camera, the
            address of a stream.
        probability: Whether results have the probability of foreground.
        work_size: Pixels of the longer side at which large frames are subtracted; ``None``: their own size.
        rate: Frames per second of images.
        reconnect: Seconds for which a stream that broke off is opened again.
        range: Grey levels of frames of 16 bits that become 0 and 255.
        frames: End after so many.
        options: Those of :class:`bgsub_lightning.inference.Setup` (``checkpoint``, ``device``, ``batch_size``, …) and
            of :class:`bgsub_lightning.inference.Wanted` (``clean``, ``least_area``, ``roi``, ``zone``, …).

    Returns:
        A :class:`bgsub_lightning.inference.Result` for each frame, in their order.

    Raises:
        UserError: If the source or the checkpoint cannot be used, or an option makes no sense.
    """
    from bgsub_lightning.inference.segmenting import stream as results

    return results(source, probability, work_size, rate, reconnect, range, frames, options)
