"""From the names that a user gives to a subtractor that is ready for a source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets.checks import some
from bgsub_lightning.frames.opencv import OPENCV
from bgsub_lightning.inference.sources import Images, Source, is_image
from bgsub_lightning.inference.stream import POOL, OpenCvSubtractor, Precision, StreamSubtractor

if TYPE_CHECKING:
    from bgsub_lightning.inference.system import System

SHIPPED = "AnyScene"
"""The system whose weights ship with the package."""

BASELINES = (*OPENCV, "TemporalMedian")
"""Systems without weights."""

Background = Literal["auto", "first", "spread", "stream"]
"""Frames that references and backgrounds are built from: the first frames of the source; frames at equal distances over
the whole source; frames of the stream so far; ``auto``: ``spread`` of files and ``stream`` of cameras, of systems that
need it."""


@dataclass(frozen=True)
class Setup:
    """How a source is subtracted.

    Attributes:
        checkpoint: AnyScene, whose weights ship with the package; a checkpoint or an ONNX file of any system; MOG2, KNN
            or TemporalMedian, which have no weights; GSOC, CNT or LSBP with opencv-contrib; or an experiment, .yaml,
            whose system needs no checkpoint.
        modules: Modules outside of this package whose classes the checkpoint may name; commas between several. They are
            executed.
        background: See :data:`Background`; or the path of a clean image, or of a folder of some.
        pool: Number of these frames, or as many as the system draws references, if that is more.
        every: Seconds between two frames that the stream gives.
        refresh: Seconds after which the background is rebuilt; ``None``: never for files, each 60 s for cameras.
        threshold: Probability above which a pixel is foreground; ``None``: the system's.
        batch_size: Frames that are subtracted together; those of cameras and streams come one by one.
        device: Where to compute; ``None``: a GPU if there is one.
        precision: Of the networks' arithmetic; ``None``: 32 on a CPU, bf16 on a GPU.
        compile: Whether torch.compile works on the networks.

    Raises:
        UserError: If a number lies outside of its range, the background is no image and no folder of some, or there are
            no networks to compile.
    """

    checkpoint: str = SHIPPED
    modules: str = ""
    background: Background | Path | str = "auto"
    pool: int = POOL
    every: float = 1.0
    refresh: float | None = None
    threshold: float | None = None
    batch_size: int = 8
    device: str | None = None
    precision: Precision | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.background, str) and self.background not in get_args(Background):
            object.__setattr__(self, "background", Path(self.background))
        check_range("--", least=1, most=10_000, pool=self.pool, batch_size=self.batch_size)
        check_range("--", above=0, most=1e6, every=self.every, refresh=self.refresh)
        check_range("--", least=0, below=1, threshold=self.threshold)
        if isinstance(self.background, Path):
            background_images(self.background)
        if self.compile and (self.checkpoint in BASELINES or self.checkpoint.endswith(".onnx")):
            raise UserError(f"--compile: {self.checkpoint} has no networks of PyTorch. Leave the option out.")


@dataclass(frozen=True)
class Opened:
    """A subtractor that is ready for a source.

    Attributes:
        subtractor: What subtracts.
        device: Where it computes.
        size: Height and width at which it works; ``None``: those of the frames.
        notes: What a user is to know before it begins, a sentence each.
    """

    subtractor: StreamSubtractor
    device: str
    size: tuple[int, int] | None
    notes: tuple[str, ...]


def named_system(setup: Setup) -> System | None:
    """Load the system that a setup names; ``None`` for those that are OpenCV's alone.

    Raises:
        UserError: If it cannot be used.
    """
    if setup.checkpoint in OPENCV:
        return None
    from bgsub_lightning.inference.system import load_system  # with PyTorch
    from bgsub_lightning.inference.trust import named_modules

    return load_system(setup.checkpoint, named_modules(setup.modules))


def open_subtractor(source: Source, setup: Setup, system: System | None) -> Opened:
    """Make the subtractor of a source, with the frames that its background is built from.

    Args:
        source: The source.
        setup: How it is subtracted.
        system: That of :func:`named_system`; several sources can share one.

    Raises:
        UserError: If an option makes no sense for the system or for the source.
    """
    name, refresh = setup.checkpoint, setup.refresh
    if system is None or not system.needs_pool:
        _require_no_background(name, system, setup.background, refresh)
    elif refresh is None and source.is_live:
        refresh = 60.0
    given, what = _pool(setup.background, source, setup.pool, system)
    options: dict[str, Any] = {
        "device": setup.device,
        "reference_pool": given,
        "pool_size": setup.pool,
        "stride": max(1, round(setup.every * source.rate)),
        "refresh_interval": None if refresh is None else max(1, round(refresh * source.rate)),
        "batch_size": 1 if source.is_live else setup.batch_size,
        "threshold": setup.threshold,
        "precision": setup.precision or "32",
        "blocking": not source.is_live,
        "compiled": setup.compile,
    }
    notes = []
    if system is None:
        subtractor: StreamSubtractor = OpenCvSubtractor(name, **options)
        device = "cpu"
    else:
        subtractor, device = _with_pytorch(system, options, is_free=setup.precision is None)
        if setup.threshold is None and system.module.trainable:
            by = f", chosen by {system.module.threshold_from}" if system.module.threshold_from else ""
            notes.append(f"Threshold {system.module.threshold:.2f}{by}.")
    if not subtractor.is_warm:
        of, stride = max(setup.pool, system.references if system else 0), options["stride"]
        notes.append(
            f"Warming up: the background is built from {of} frames of the stream, one in {stride}; masks of the first "
            f"{of * stride:,} are provisional."
        )
    if what:
        notes.append(f"The background is built from {what}.")
    if setup.compile:
        notes.append("The networks are compiled at the first frames.")
    return Opened(subtractor, device, system.size if system else None, tuple(notes))


def _with_pytorch(system: System, options: dict[str, Any], is_free: bool) -> tuple[StreamSubtractor, str]:
    """Return a subtractor, on a GPU in bf16 if its precision is free, and where it computes."""
    from bgsub_lightning.inference.subtractor import Subtractor

    if options["compiled"] and not system.module.compile_targets:
        raise UserError(f"--compile: {system.name} has no networks. Leave the option out.")
    subtractor = Subtractor(system, **options)
    if is_free and subtractor.device.type == "cuda":
        subtractor.precision = "bf16"
    return subtractor, str(subtractor.device)


def _require_no_background(name: str, system: System | None, background: str | Path, refresh: float | None) -> None:
    """Refuse options of a pool for systems that make nothing of one."""
    streams = system is None or system.streams
    if refresh is not None:
        why = "learns of every frame, and follows by itself" if streams else "keeps no background"
        raise UserError(f"--refresh: {name} {why}. Leave the option out.")
    if not streams and background != "auto":
        raise UserError(f"--background: {name} keeps no background. Leave the option out.")


def background_images(background: Path) -> Images:
    """Return the images that a background is built from.

    Args:
        background: A clean image, or a folder of some.

    Raises:
        UserError: If there is none that can be decoded.
    """
    path = background.expanduser()
    if not path.exists():
        raise UserError(f"--background: {background}: there is no such image or folder.")
    files = [file for file in path.iterdir() if is_image(file)] if path.is_dir() else [path]
    if not files:
        raise UserError(f"--background: {background}: must hold an image at least; got none. Name another folder.")
    images = Images(files, str(background))
    if not images.first(1):
        raise UserError(f"--background: {background}: is no image that can be decoded, and no folder of some.")
    return images


def _pool(
    background: str | Path, source: Source, count: int, system: System | None
) -> tuple[list[NDArray[np.uint8]], str]:
    """Take the frames that the background is built from before the first is subtracted, and say what they are."""
    count = max(count, system.references if system else 0)
    if isinstance(background, Path):
        images = background_images(background)
        if not source.is_live:
            source.first(1)  # whose depth and range hold for both
        images.depth = source.depth
        found = images.first(len(images.files))
        return found, f"{some(len(found), 'image')} of {background}"
    if background == "auto":
        background = "spread" if system and system.needs_pool and not source.is_live else "stream"
    if background == "stream":
        return [], ""
    if source.is_live:
        raise UserError(f"--background: {background}: {source.name} is live, and cannot be read ahead. Use stream.")
    found = source.first(count) if background == "first" else source.spread(count)
    if not found:
        raise UserError(f"--source: {source.name}: has no frame that can be decoded.")
    where = "from its beginning" if background == "first" else "over its whole length"
    return found, f"{some(len(found), 'frame')} of the source, {where}"
