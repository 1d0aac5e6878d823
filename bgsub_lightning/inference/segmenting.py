"""From a source to outputs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference.outputs import Output
from bgsub_lightning.inference.pipeline import WriterThread, prefetch
from bgsub_lightning.inference.sources import Frame, Source
from bgsub_lightning.inference.stream import StreamSubtractor

_WAITING = 2
"""Batches that may wait between two threads."""

_LIVE = 8
"""Frames of a live source that may wait, for bursts; where one more comes, the oldest is left out."""


FLOODED = 0.7
"""Share of foreground beyond which a mask shows a change of light or of the camera's view rather than what moves; the
same as that beyond which AnyScene's background restarts."""


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
        foreground: Share of foreground pixels in all masks.
        flooded: Number of frames of which more than :data:`FLOODED` is foreground, as after the light was switched.
        flooded_at: Time of the first of them in s since the source's beginning.
    """

    frames: int = 0
    time: float = 0.0
    seconds: float = 0.0
    dropped: int = 0
    resized: int = 0
    is_interrupted: bool = False
    foreground: float = 0.0
    flooded: int = 0
    flooded_at: float = 0.0


def segment_frames(
    subtractor: StreamSubtractor,
    source: Source,
    outputs: Sequence[Output],
    report: Callable[[SegmentProgress], None] = lambda _: None,
    limit: int | None = None,
) -> SegmentProgress:
    """Subtract the background of a source's frames, and write what is wanted of the masks.

    Frames are decoded, subtracted and written at the same time, in three threads; a live source is shown to the
    subtractor frame by frame, as they come, if its batches are of one. Whatever ends it, Ctrl-C and errors as well, the
    outputs are closed, and hold what was done until then.

    Args:
        subtractor: What subtracts.
        source: Where the frames come from.
        outputs: What is written.
        report: Called after each batch.
        limit: End after so many frames; ``None``: at the source's end.
    """
    progress, started = SegmentProgress(), time.perf_counter()

    def drop(batch: list[Frame]) -> None:
        progress.dropped += len(batch)

    def write(batch: tuple[Sequence[Frame], Sequence[NDArray[np.uint8]]]) -> None:
        for frame, mask in zip(*batch, strict=True):
            for output in outputs:
                with _naming(output):
                    output.write(frame, mask)

    size, foreground = None, 0.0
    with ExitStack() as closing:
        for output in outputs:
            closing.callback(_close, output)
        try:
            with WriterThread(write, _WAITING) as writer:
                for frames in prefetch(
                    batches(itertools.islice(source, limit), subtractor.batch_size),
                    _LIVE if source.is_live else _WAITING,
                    drop if source.is_live else None,
                ):
                    shape = frames[0].image.shape
                    progress.resized += size is not None and shape != size
                    size = shape
                    masks = subtractor.push([frame.image for frame in frames], [frame.number for frame in frames])
                    writer.put((frames, masks))
                    progress.frames += len(frames)
                    progress.time = frames[-1].time
                    shares = [float(np.count_nonzero(mask)) / mask.size for mask in masks]
                    foreground += sum(shares)
                    for frame, share in zip(frames, shares, strict=True):
                        if share > FLOODED:
                            if not progress.flooded:
                                progress.flooded_at = frame.time
                            progress.flooded += 1
                    progress.foreground = foreground / progress.frames
                    progress.seconds = time.perf_counter() - started
                    report(progress)
        except KeyboardInterrupt:
            progress.is_interrupted = True
    progress.seconds = time.perf_counter() - started
    return progress


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
    """Group frames that follow each other and have one size."""
    for _, alike in itertools.groupby(frames, lambda frame: frame.image.shape):
        while batch := list(itertools.islice(alike, size)):
            yield batch
