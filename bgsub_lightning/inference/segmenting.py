"""From a source to outputs."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import fit_record
from bgsub_lightning.core.text import suggestion
from bgsub_lightning.datasets.depth import checked_range
from bgsub_lightning.datasets.scene import Range
from bgsub_lightning.inference.opening import Setup, open_subtractor
from bgsub_lightning.inference.outputs import Output
from bgsub_lightning.inference.pipeline import WriterThread, prefetch
from bgsub_lightning.inference.reduced import Reduced
from bgsub_lightning.inference.result import FLOODED, RAW, Analysis, Result, Wanted
from bgsub_lightning.inference.sources import Frame, Source, open_source
from bgsub_lightning.inference.stream import StreamSubtractor

_FIX = "Give it as `segment --help` says."
_WAITING = 2
"""Batches that may wait between two threads."""

_BYTES = 32 << 20
"""Memory of a batch's frames at most: several batches wait, and 8 frames of 4K take 200 MB."""

_LIVE = 8
"""Frames of a live source that may wait, for bursts; where one more comes, the oldest is left out."""


@dataclass
class SegmentProgress:
    """How far it has come.

    Attributes:
        frames: Frames with a mask.
        time: Time of the last of them in s since the source's beginning.
        seconds: How long it has taken.
        dropped: Number of frames of a live source that came while others were being subtracted, and were left out.
        resized: Number of times that the source has changed its size.
        is_interrupted: Whether Ctrl-C has ended it.
        written: Number of frames whose results were written.
        foreground: Share of foreground pixels in their masks.
        flooded: Number of frames of which more than :data:`FLOODED` is foreground, as after the light was switched.
        flooded_at: Time of the first of them in s since the source's beginning.
    """

    frames: int = 0
    time: float = 0.0
    seconds: float = 0.0
    dropped: int = 0
    resized: int = 0
    is_interrupted: bool = False
    written: int = 0
    foreground: float = 0.0
    flooded: int = 0
    flooded_at: float = 0.0


def segment_frames(
    subtractor: StreamSubtractor | Reduced,
    source: Source,
    outputs: Sequence[Output],
    wanted: Wanted = RAW,
    report: Callable[[SegmentProgress], None] = lambda _: None,
    limit: int | None = None,
) -> SegmentProgress:
    """Subtract the background of a source's frames, and write what is wanted of the results.

    Frames are decoded, subtracted, and analysed and written at the same time, in three threads; a live source is shown
    to the subtractor frame by frame, as they come, if its batches are of one. Whatever ends it, Ctrl-C and errors as
    well, the outputs are closed, and hold what was done until then.

    Args:
        subtractor: What subtracts.
        source: Where the frames come from.
        outputs: What is written.
        wanted: What is made of the masks.
        report: Is called after each batch.
        limit: End after so many frames; ``None``: at the source's end.
    """
    progress, started = SegmentProgress(), time.perf_counter()
    analyse = Analysis(wanted)

    def write(batch: tuple[Sequence[Frame], Sequence[NDArray[np.uint8]]]) -> None:
        for frame, mask in zip(*batch, strict=True):
            result = analyse(frame, mask)
            progress.written += 1
            share = float(np.count_nonzero(result.mask)) / mask.size
            progress.foreground += (share - progress.foreground) / progress.written
            for output in outputs:
                with _naming(output):
                    output.write(result)

    size = None
    with ExitStack() as closing:
        for output in outputs:
            closing.callback(_close, output)
        try:
            with WriterThread(write, _WAITING) as writer:
                for frames in frames_of(source, subtractor.batch_size, limit, progress):
                    shape = frames[0].image.shape
                    progress.resized += size is not None and shape != size
                    size = shape
                    masks = subtractor.push([frame.image for frame in frames], [frame.number for frame in frames])
                    writer.put((frames, masks))
                    progress.frames += len(frames)
                    progress.time = frames[-1].time
                    for frame, mask in zip(frames, masks, strict=True):
                        if np.count_nonzero(mask) > FLOODED * mask.size:
                            if not progress.flooded:
                                progress.flooded_at = frame.time
                            progress.flooded += 1
                    progress.seconds = time.perf_counter() - started
                    report(progress)
                    if any(output.wants_end for output in outputs):
                        progress.is_interrupted = True
                        break
        except KeyboardInterrupt:
            progress.is_interrupted = True
    progress.seconds = time.perf_counter() - started
    return progress


def frames_of(source: Source, batch_size: int, limit: int | None, progress: SegmentProgress) -> Iterator[list[Frame]]:
    """Decode frames ahead, in a thread; those of a live source that come while others are taken are left out.

    Args:
        source: Where they come from.
        batch_size: The most frames in a batch.
        limit: End after so many; ``None``: at the source's end.
        progress: Where those that are left out are counted.
    """

    def drop(batch: list[Frame]) -> None:
        progress.dropped += len(batch)

    return prefetch(
        batches(itertools.islice(source, limit), batch_size),
        _LIVE if source.is_live else _WAITING,
        drop if source.is_live else None,
    )


def results(
    subtractor: StreamSubtractor | Reduced,
    source: Source,
    wanted: Wanted = RAW,
    limit: int | None = None,
    probability: bool = False,
) -> Iterator[Result]:
    """Go through the results of a source, one for each frame.

    Args:
        subtractor: What subtracts.
        source: Where the frames come from; they are decoded ahead, in a thread.
        wanted: What is made of the masks.
        limit: End after so many frames; ``None``: at the source's end.
        probability: Whether results have the probability of foreground.

    Raises:
        UserError: If there is no probability, as of MOG2 and KNN.
    """
    analyse = Analysis(wanted)
    for frames in frames_of(source, subtractor.batch_size, limit, SegmentProgress()):
        images, numbers = [frame.image for frame in frames], [frame.number for frame in frames]
        if not probability:
            yield from map(analyse, frames, subtractor.push(images, numbers))
            continue
        likely = subtractor.probability(images, numbers)
        if likely is None:
            raise UserError("probability: MOG2 and KNN have none. Leave the option out, or take another system.")
        yield from map(analyse, frames, subtractor.masks(likely), likely)


def stream(
    source: str | Path | int,
    probability: bool,
    work_size: int | None,
    rate: float | None,
    reconnect: float,
    levels: Range | None,
    limit: int | None,
    options: Mapping[str, Any],
) -> Iterator[Result]:
    """Open a source and go through its results; see :func:`bgsub_lightning.stream`."""
    of_setup, of_wanted = ({field.name for field in fields(each)} for each in (Setup, Wanted))
    for name in options.keys() - of_setup - of_wanted:
        raise UserError(f"{name}: there is no such option. {suggestion(name, sorted(of_setup | of_wanted))}")
    opened = open_source(str(source), rate, reconnect, None if levels is None else checked_range(levels, "range"))
    hints = get_type_hints(Setup) | get_type_hints(Wanted)
    for name, value in options.items():
        fit_record(value, hints[name], name, _FIX)
    setup = Setup(**{name: options[name] for name in options.keys() & of_setup})
    wanted = Wanted(**{name: options[name] for name in options.keys() & of_wanted})
    subtractor = open_subtractor(opened, setup).subtractor
    by = subtractor if work_size is None else Reduced(subtractor, work_size)
    yield from results(by, opened, wanted, limit, probability)


def _close(output: Output) -> None:
    with _naming(output):
        output.close()


@contextmanager
def _naming(output: Output) -> Iterator[None]:
    """Name the file that cannot be written, as on a full disk."""
    try:
        yield
    except (OSError, FFmpegError) as error:
        left = f" What was written until then is in {output.left}." if output.left else ""
        raise UserError(f"{output.path}: cannot be written ({error.strerror or error}).{left}") from error


def batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Group frames that follow each other and have one size; few where they are large."""
    for shape, alike in itertools.groupby(frames, lambda frame: frame.image.shape):
        most = max(1, min(size, _BYTES // math.prod(shape)))
        while batch := list(itertools.islice(alike, most)):
            yield batch
