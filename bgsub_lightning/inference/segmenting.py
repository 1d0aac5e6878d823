"""From a source to outputs."""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range, check_whole
from bgsub_lightning.core.records import fit_record
from bgsub_lightning.core.steps import together
from bgsub_lightning.core.text import suggestion
from bgsub_lightning.datasets.depth import checked_range
from bgsub_lightning.datasets.scene import Range
from bgsub_lightning.inference.cameras import LISTS
from bgsub_lightning.inference.opening import Setup, named_system, open_subtractor
from bgsub_lightning.inference.outputs import Output
from bgsub_lightning.inference.pipeline import Prefetch, WriterThread
from bgsub_lightning.inference.reduced import Reduced
from bgsub_lightning.inference.regions import check_places
from bgsub_lightning.inference.result import RAW, Analysis, Result, Wanted
from bgsub_lightning.inference.sources import Frame, Source, open_source
from bgsub_lightning.inference.stream import StreamSubtractor
from bgsub_lightning.inference.waiting import open_when_up
from bgsub_lightning.inference.watching import Seen

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
    """

    frames: int = 0
    time: float = 0.0
    seconds: float = 0.0
    dropped: int = 0
    resized: int = 0
    is_interrupted: bool = False
    written: int = 0
    foreground: float = 0.0


@dataclass(eq=False)
class Feed:
    """A source, its subtractor, and what is computed from its masks.

    Attributes:
        source: Where the frames come from.
        subtractor: What subtracts.
        outputs: What is written; closed when the feed ends.
        wanted: What is computed from the masks.
        limit: End after so many frames; ``None``: at the source's end.
        progress: How far it has come.
        restarts: When the background begins again.
        analyse: What makes results of the masks.
        error: What has ended it, if it failed.
    """

    source: Source
    subtractor: StreamSubtractor | Reduced
    outputs: Sequence[Output]
    wanted: Wanted = RAW
    limit: int | None = None
    progress: SegmentProgress = field(default_factory=SegmentProgress)
    error: UserError | OSError | None = None

    def __post_init__(self) -> None:
        self.restarts = self.wanted.restarts(self.subtractor)
        self.analyse = Analysis(self.wanted, self.subtractor.has_shadows)


def segment_feeds(
    feeds: Sequence[Feed],
    report: Callable[[Feed], None] = lambda _: None,
    ended: Callable[[Feed], None] = lambda _: None,
) -> None:
    """Subtract the backgrounds of several feeds, whose subtractors share one system.

    Each feed decodes its frames, and analyses and writes its results, in threads. The feeds that have frames take
    turns, a batch each, and share the passes of the network where the system has them. A live source is shown to its
    subtractor frame by frame, at once, if its batches are of one. A feed that fails is closed, and the others go
    on. Whatever ends a feed, Ctrl-C as well, its outputs are closed, and hold what was done until then.

    Args:
        feeds: The feeds.
        report: Called after each batch of a feed.
        ended: Called when a feed has ended by itself, or failed.
    """
    changed, lanes = threading.Condition(), list[_Lane]()
    try:
        with ExitStack() as closing:
            for feed in feeds:
                lanes.append(_Lane(feed, changed))
                closing.callback(lanes[-1].close)
            closing.callback(_stop, lanes)
            several = len(feeds) > 1
            threads = closing.enter_context(ThreadPoolExecutor(len(os.sched_getaffinity(0)))) if several else None
            while active := [lane for lane in lanes if not lane.is_closed]:
                with changed:
                    changed.wait_for(lambda: any(lane.is_ready for lane in active))
                    ready = [lane for lane in active if lane.is_ready]
                turns = [(lane, frames) for lane in ready if (frames := lane.take())]
                together([lane.step(frames) for lane, frames in turns], ready[0].feed.subtractor.network, threads)
                for lane in ready:
                    if lane.is_over:
                        lane.close()
                        ended(lane.feed)
                    else:
                        report(lane.feed)
                if any(output.wants_end for feed in feeds for output in feed.outputs):
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        for lane in lanes:
            lane.feed.progress.is_interrupted = not lane.is_over


def segment_frames(
    subtractor: StreamSubtractor | Reduced,
    source: Source,
    outputs: Sequence[Output],
    wanted: Wanted = RAW,
    report: Callable[[SegmentProgress], None] = lambda _: None,
    limit: int | None = None,
) -> SegmentProgress:
    """Subtract the background of a source's frames, and write what is wanted of the results.

    It is :func:`segment_feeds` of one.

    Args:
        subtractor: What subtracts.
        source: Where the frames come from.
        outputs: What is written.
        wanted: What is computed from the masks.
        report: Called after each batch.
        limit: End after so many frames; ``None``: at the source's end.
    """
    feed = Feed(source, subtractor, outputs, wanted, limit)
    segment_feeds([feed], lambda feed: report(feed.progress))
    if feed.error:
        raise feed.error
    return feed.progress


def _stop(lanes: Sequence[_Lane]) -> None:
    """Let all decoders end, before the first is waited for."""
    for lane in lanes:
        lane.stop()


class _Lane:
    """A feed at work.

    Args:
        feed: The feed.
        changed: Notified when there is something to do.

    Attributes:
        is_over: Whether it has ended by itself, or failed.
        is_closed: Whether its outputs are whole.
    """

    def __init__(self, feed: Feed, changed: threading.Condition) -> None:
        self.feed = feed
        self.is_over = self.is_closed = False
        self._changed = changed
        self._size: tuple[int, ...] | None = None
        self._unwritten = 0
        self._started = time.perf_counter()
        self._closing = ExitStack()
        for output in feed.outputs:
            self._closing.callback(_close, output)
        self._writer = self._closing.enter_context(WriterThread(self._write, _WAITING))
        self._ahead = _frames_ahead(feed.source, feed.subtractor.batch_size, feed.limit, feed.progress, changed)
        self._closing.callback(self._ahead.close)

    @property
    def is_ready(self) -> bool:
        """Whether it has frames, or an end, and results may wait to be written: a slow disk delays no other feed."""
        return self._ahead.is_ready and self._unwritten <= _WAITING

    def take(self) -> list[Frame] | None:
        """Return the next frames; ``None`` at the end."""
        frames = None
        with self._failing():
            frames = self._ahead.take()
        self.is_over |= frames is None
        return frames

    def step(self, frames: list[Frame]) -> Generator[Any, Any, None]:
        """Subtract frames, and hand the results on; passes of the network are left to the caller."""
        progress = self.feed.progress
        with self._failing():
            shape = frames[0].image.shape
            progress.resized += self._size is not None and shape != self._size
            self._size = shape
            for part, seen in self.feed.restarts.parts(frames):
                masks = yield from self.feed.subtractor.push_in_steps(
                    [frame.image for frame in part], [frame.number for frame in part]
                )
                self.feed.restarts.look(part, masks)
                with self._changed:
                    self._unwritten += 1
                self._writer.put((part, masks, seen))
                progress.frames += len(part)
                progress.time = part[-1].time
            progress.seconds = time.perf_counter() - self._started

    def stop(self) -> None:
        """Ask the decoder to end."""
        self._ahead.stop()

    def close(self) -> None:
        """Write what waits, and close the outputs."""
        with self._failing():
            self._closing.close()
        if not self.is_closed:
            self.feed.progress.seconds = time.perf_counter() - self._started
        self.is_closed = True

    def _write(self, batch: tuple[Sequence[Frame], Sequence[NDArray[np.uint8]], Sequence[Sequence[Seen]]]) -> None:
        progress = self.feed.progress
        try:
            for frame, mask, seen in zip(*batch, strict=True):
                result = self.feed.analyse(frame, mask, seen=seen)
                progress.written += 1
                share = float(np.count_nonzero(result.mask)) / mask.size
                progress.foreground += (share - progress.foreground) / progress.written
                for output in self.feed.outputs:
                    with _naming(output):
                        output.write(result)
        finally:
            with self._changed:
                self._unwritten -= 1
                self._changed.notify_all()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (UserError, OSError) as error:
            self.feed.error = self.feed.error or error
            self.is_over = True


def _frames_ahead(
    source: Source,
    batch_size: int,
    limit: int | None,
    progress: SegmentProgress,
    changed: threading.Condition | None = None,
) -> Prefetch[list[Frame]]:
    """Decode frames ahead, in a thread; those of a live source that come while others are taken are left out.

    Args:
        source: Where they come from.
        batch_size: The most frames in a batch.
        limit: End after so many; ``None``: at the source's end.
        progress: Where those that are left out are counted.
        changed: See :class:`Prefetch`.
    """

    def drop(batch: list[Frame]) -> None:
        progress.dropped += len(batch)

    return Prefetch(
        batches(itertools.islice(source, limit), batch_size),
        _LIVE if source.is_live else _WAITING,
        drop if source.is_live else None,
        changed,
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
        wanted: What is computed from the masks.
        limit: End after so many frames; ``None``: at the source's end.
        probability: Whether results have the probability of foreground.

    Raises:
        UserError: If there is no probability, as of OpenCV's.
    """
    analyse, restarts = Analysis(wanted, subtractor.has_shadows), wanted.restarts(subtractor)
    for batch in _frames_ahead(source, subtractor.batch_size, limit, SegmentProgress()):
        for frames, seen in restarts.parts(batch):
            images, numbers = [frame.image for frame in frames], [frame.number for frame in frames]
            likely = subtractor.probability(images, numbers) if probability else None
            if probability and likely is None:
                raise UserError(
                    "probability: OpenCV's subtractors have none. Leave the option out, or take another system."
                )
            masks = subtractor.push(images, numbers) if likely is None else list(subtractor.masks(likely))
            restarts.look(frames, masks)
            each = itertools.repeat(None) if likely is None else likely
            yield from map(analyse, frames, masks, each, seen)


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
    named = {"frames", "probability", "range", "rate", "reconnect", "work_size"}
    for name in options.keys() - of_setup - of_wanted:
        raise UserError(f"{name}: there is no such option. {suggestion(name, sorted(named | of_setup | of_wanted))}")
    if limit is not None:
        check_whole("", least=1, most=10**12, frames=limit)
    check_range("", least=0, most=1e9, reconnect=reconnect)
    fit_record(probability, bool, "probability", _FIX)
    if Path(str(source)).suffix.lower() in LISTS:
        raise UserError(f"source: {source}: is a list of cameras, which `segment` takes. Open each for itself.")
    checked = None if levels is None else checked_range(levels, "range")
    hints = get_type_hints(Setup) | get_type_hints(Wanted)
    for name, value in options.items():
        fit_record(value, hints[name], name, _FIX)
    setup = Setup(**{name: options[name] for name in options.keys() & of_setup})
    wanted = Wanted(**{name: options[name] for name in options.keys() & of_wanted})
    check_places(wanted.roi, wanted.ignore, wanted.count_line, wanted.zone)
    say = partial(warnings.warn, stacklevel=3)
    opened = open_when_up(lambda: open_source(str(source), rate, reconnect, checked), reconnect, say)
    subtractor = open_subtractor(opened, setup, named_system(setup)).subtractor
    by = subtractor if work_size is None else Reduced(subtractor, work_size)
    return results(by, opened, wanted, limit, probability)


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
