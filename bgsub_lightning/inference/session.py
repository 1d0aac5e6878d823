"""From options to files: cameras are opened, segmented and summed up, one or several in the same way."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bgsub_lightning.core.console import console, mark, warn
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, claimed
from bgsub_lightning.core.memory import keep_freed_memory
from bgsub_lightning.datasets.checks import some
from bgsub_lightning.datasets.depth import parsed_range
from bgsub_lightning.datasets.origin import origin_of
from bgsub_lightning.inference.cameras import ListedCamera
from bgsub_lightning.inference.opening import Opened, Setup, named_system, open_subtractor
from bgsub_lightning.inference.outputs import Codec, Kind, Live, open_outputs
from bgsub_lightning.inference.reduced import Reduced
from bgsub_lightning.inference.result import Analysis, Wanted
from bgsub_lightning.inference.segmenting import Feed, segment_feeds
from bgsub_lightning.inference.showing import shown
from bgsub_lightning.inference.sources import Source, open_source
from bgsub_lightning.inference.stream import StreamSubtractor
from bgsub_lightning.inference.waiting import open_when_up
from bgsub_lightning.inference.watching import PictureWatch

if TYPE_CHECKING:
    from bgsub_lightning.inference.system import System

_MINUTE = 60.0
_OTHERS_WAIT = 10.0
"""Seconds for which the cameras of a list wait for one that is not up yet."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Work to be done with a camera.

    Attributes:
        camera: The camera.
        folder: Where outputs are written.
        kinds: What is written.
        codec: Of the videos.
        wanted: What is computed from the masks.
        setup: How it is subtracted; all plans of a session have one system.
        reconnect: Seconds for which a stream that broke off, or is not up yet, is tried.
        limit: End after so many frames; ``None``: at the source's end.
    """

    camera: ListedCamera
    folder: Path
    kinds: Sequence[Kind]
    codec: Codec
    wanted: Wanted
    setup: Setup
    reconnect: float
    limit: int | None


def run_session(plans: Sequence[Plan], window: bool = False, serve: str | None = None) -> None:
    """Do what is planned, in this process, with one system.

    A failing camera of a list is reported by its name, and the others continue. The only camera raises its error.

    Args:
        plans: A plan for each camera.
        window: Whether the overlays are shown in a window, or a browser; see :func:`shown`.
        serve: Where a browser sees them.

    Raises:
        UserError: If no camera gives frames without a failure, or the system cannot be used.
        SystemExit: If Ctrl-C has ended it; with status 130.
    """
    keep_freed_memory()
    session = _Session()
    sources = _opened(plans)
    for plan, source in zip(plans, sources, strict=True):
        if isinstance(source, Exception):
            session.fail(plan.camera, source)
    if len(session.failures) < len(plans):
        system = named_system(plans[0].setup)
        for plan, source in zip(plans, sources, strict=True):
            if isinstance(source, Source):
                session.begin(plan, source, system)
    if session.works:
        session.segment(window, serve)
    session.conclude(plans)


def _opened(plans: Sequence[Plan]) -> list[Source | UserError]:
    """Open all sources at once: those that do not answer cost their timeout once."""
    stop = threading.Event()

    def opened(plan: Plan) -> Source | UserError:
        given = plan.camera.options
        levels = parsed_range(given.range)
        seconds = plan.reconnect if len(plans) == 1 else min(plan.reconnect, _OTHERS_WAIT)
        try:
            return open_when_up(
                lambda: open_source(given.source, given.rate, plan.reconnect, levels),
                seconds,
                lambda text: warn(plan.camera.prefix + text.removeprefix("--source: ")),
                stop,
            )
        except UserError as error:
            return error

    with ThreadPoolExecutor(len(plans)) as threads:
        try:
            return list(threads.map(opened, plans))
        except KeyboardInterrupt:
            stop.set()
            raise


class _Work:
    """A plan whose source and subtractor are open.

    Attributes:
        is_settled: Whether its end was seen to.
    """

    def __init__(self, plan: Plan, source: Source, system: System | None) -> None:
        self.plan = plan
        self.camera = plan.camera
        self.ready = open_subtractor(source, plan.setup, system)
        options = plan.camera.options
        by = self.ready.subtractor if options.work_size is None else Reduced(self.ready.subtractor, options.work_size)
        self.outputs = open_outputs(plan.folder, plan.kinds, plan.codec, source.rate, source.name, source.is_live)
        self.is_settled = False
        self.feed = Feed(source, by, self.outputs, plan.wanted, plan.limit)
        self.keep = _keeper(self.ready.subtractor, self.feed.restarts.watch, options.state)
        _introduce(self.ready, source, plan.camera)


class _Session:
    """Cameras at work.

    Attributes:
        works: Those whose source could be opened.
        failures: Camera's name → why it failed.
    """

    def __init__(self) -> None:
        self.works: list[_Work] = []
        self.failures: dict[str, str] = {}

    def fail(self, camera: ListedCamera, error: UserError | OSError) -> None:
        """Report a camera that failed; raise the error of the only one."""
        if not camera.name:
            raise error
        self.failures[camera.name] = camera.reason(error)
        mark("error", self.failures[camera.name])

    def begin(self, plan: Plan, source: Source, system: System | None) -> None:
        """Open what subtracts a source."""
        try:
            self.works.append(_Work(plan, source, system))
        except UserError as error:
            self.fail(plan.camera, error)

    def segment(self, window: bool, serve: str | None) -> None:
        """Segment all until they end."""
        of_feed = {work.feed: work for work in self.works}
        with ExitStack() as closing:
            if window or serve is not None:
                names = [work.camera.name for work in self.works]
                shows = closing.enter_context(shown(window, serve, self.works[0].feed.source.name, names))
                for work, show in zip(self.works, shows, strict=True):
                    work.feed.outputs = [*work.outputs, Live(show)]
            for work in self.works:
                closing.enter_context(claimed(work.plan.folder))
            bar = closing.enter_context(_bar())
            tasks = {
                work.feed: bar.add_task(work.camera.name or "Segmenting", total=_total(work.feed), speed="")
                for work in self.works
            }

            def advance(feed: Feed) -> None:
                done = feed.progress
                bar.update(tasks[feed], completed=done.frames, speed=f"{done.frames / done.seconds:.1f} frames/s")
                of_feed[feed].keep(False)

            with _stopped_once(), _naming_batch_size(self.works[0]):
                segment_feeds(list(of_feed), advance, lambda feed: self._settle(of_feed[feed]))
        for work in self.works:
            self._settle(work)

    def _settle(self, work: _Work) -> None:
        """Save the state of a camera that has ended, and report what was wrong, once."""
        if work.is_settled:
            return
        work.is_settled = True
        source, done = work.feed.source, work.feed.progress
        if work.feed.error:
            self.fail(work.camera, work.feed.error)
            return
        work.keep(True)
        if not done.frames and not done.is_interrupted:
            why = f" ({source.why_ended})" if source.why_ended else ""
            self.fail(work.camera, UserError(f"--source: {source.name}: has no frame that can be decoded{why}."))
        elif source.why_ended and work.camera.name:  # at once, while others continue
            warn(f"{work.camera.prefix}{source.why_ended}.")

    def conclude(self, plans: Sequence[Plan]) -> None:
        """Sum up, a line for each camera and its warnings; raise what ends the process."""
        works = {work.plan: work for work in self.works}
        for plan in plans:
            if plan.camera.name in self.failures:
                frames = works[plan].feed.progress.frames if plan in works else 0
                mark("error", f"{plan.camera.name}: failed after {some(frames, 'frame')}.")
            else:
                _conclude(works[plan])
        if any(work.feed.progress.is_interrupted for work in self.works):
            raise SystemExit(130)
        if len(self.failures) == len(plans):
            raise UserError(f"{plans[0].camera.file}: every camera failed; got {'; '.join(self.failures)}.")


def _total(feed: Feed) -> int | None:
    return min((count for count in (feed.limit, feed.source.count) if count), default=None)


@contextmanager
def _naming_batch_size(work: _Work) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # PyTorch's
            raise
        raise UserError(
            f"--batch_size: so many frames do not fit into the memory of {work.ready.device} at once; got "
            f"{work.ready.subtractor.batch_size} of a camera. Try fewer, or --device cpu."
        ) from error


def _keeper(subtractor: StreamSubtractor, watch: PictureWatch | None, state: str | None) -> Callable[[bool], None]:
    """Return what writes the state to a file, each minute, or at once at the end; what is in the file is taken now."""
    if state is None:
        return lambda _: None
    from bgsub_lightning.inference.saved import load_state, require_savable, save_state  # with PyTorch

    path = Path(state)
    require_savable(subtractor)
    if path.exists():
        load_state(subtractor, path, watch)
    try:
        with atomic_write(path.with_name(f".{path.name}.try"), "wb"):  # now, rather than when all is done
            pass
        path.with_name(f".{path.name}.try").unlink()
    except OSError as error:
        raise UserError(f"--state: {path}: cannot be written ({error.strerror}). Name another file.") from error
    written = time.monotonic()

    def keep(is_end: bool) -> None:
        nonlocal written
        if is_end or time.monotonic() - written > _MINUTE:
            written = time.monotonic()
            try:
                save_state(subtractor, path, watch)
            except OSError as error:  # frames are worth more than their restart
                warn(f"--state: {path}: cannot be written ({error.strerror}); the last one stays.")

    return keep


@contextmanager
def _stopped_once() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C, and neither a second time, while files become whole."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each, handler in before.items():
        if handler is not signal.SIG_IGN:  # as that of a job in the background
            signal.signal(each, stop)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _introduce(ready: Opened, source: Source, camera: ListedCamera) -> None:
    size = "the size of its frames" if ready.size is None else "{}×{}".format(*ready.size)
    if camera.options.work_size is not None and ready.size is None:
        size = f"{camera.options.work_size} pixels or less"
    length = "live" if source.is_live else some(source.count, "frame") if source.count else "of unknown length"
    console.print(
        f"{camera.prefix}{ready.subtractor.kind} ({ready.subtractor.name}) on {ready.device}, at {size}: "
        f"{source.name}, {length}, {float(source.rate):.4g} a second.",
        *ready.notes,
        soft_wrap=True,
    )
    given = Path(camera.options.source)
    if not source.is_live and given.is_dir() and (origin := origin_of(given)):
        console.print(f"The source shows {origin}.", soft_wrap=True)


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,} frames, {task.fields[speed]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    return Progress(*columns, console=console)


def _conclude(work: _Work) -> None:
    """Print what became of a camera that did not fail."""
    source, done, prefix = work.feed.source, work.feed.progress, work.camera.prefix
    if done.is_interrupted:
        console.print(
            f"{prefix}Stopped after {some(done.frames, 'frame')}, {done.time:.1f} s from the beginning; what is "
            f"written is whole."
        )
        if not done.frames:
            return
    if source.why_ended and not work.camera.name:  # of a list it was printed when it ended
        warn(f"{source.why_ended}.")
    for count, what in (
        (source.damaged, "could not be decoded: skipped"),
        (done.dropped, "arrived while others were processed: skipped"),
    ):
        if count:
            warn(f"{prefix}{some(count, 'frame')} {what}.")
    if source.depth.warning:
        warn(f"{prefix}{source.depth.warning} Reported once.")
    if source.reopened:
        warn(f"{prefix}The stream broke off {some(source.reopened, 'time')} and was reopened.")
    if restarts := work.ready.subtractor.restarts + work.feed.restarts.count:
        warn(
            f"{prefix}The background restarted {some(restarts, 'time')}: most of the picture had changed, "
            f"as when a camera is moved, or turns to infrared."
        )
    if flooded := work.feed.restarts.flooded:
        warn(
            f"{prefix}Most of the picture is foreground in {some(flooded, 'frame')}, the first at "
            f"{work.feed.restarts.flooded_at:.1f} s: the light or the view changed, or the background shows another "
            f"scene."
        )
    if done.resized:
        warn(f"{prefix}The frames changed their size {some(done.resized, 'time')}; the background restarted.")
    console.print(
        f"{prefix}{some(done.frames, 'frame')} in {done.seconds:.1f} s ({done.frames / done.seconds:.1f} a second), "
        f"{100 * done.foreground:.2f} % of the pixels foreground. Written: "
        f"{', '.join(str(output.path) for output in work.outputs if output.path.exists())}.",
        *_counts(work.feed.analyse),
        soft_wrap=True,
    )


def _counts(analyse: Analysis) -> Iterator[str]:
    """Say what was counted at lines and zones."""
    activity = analyse.activity
    for name, counts in activity.counts.items():
        if name:
            inside = f", {len(counts.inside)} inside at the end" if name in activity.zones else ""
            yield f"{name}: {counts.into} in, {counts.out} out{inside}."
