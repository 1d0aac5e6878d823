"""Masks of any video."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bgsub_lightning.core.console import console, warn
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, claimed
from bgsub_lightning.core.memory import keep_freed_memory
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.core.text import safe_name
from bgsub_lightning.datasets.checks import some
from bgsub_lightning.datasets.depth import parsed_range
from bgsub_lightning.datasets.origin import origin_of
from bgsub_lightning.inference import (
    POOL,
    SHIPPED,
    Codec,
    Kind,
    Opened,
    Precision,
    Setup,
    Source,
    StreamSubtractor,
    Wanted,
    open_outputs,
    open_source,
    open_subtractor,
    segment_frames,
)
from bgsub_lightning.inference.outputs import Live
from bgsub_lightning.inference.reduced import Reduced
from bgsub_lightning.inference.segmenting import SegmentProgress
from bgsub_lightning.inference.showing import shown

_MINUTE = 60.0
_PLAIN: frozenset[Kind] = frozenset({"mask_video", "masks", "side_by_side", "boxes_csv", "boxes_jsonl", "coco"})
"""What needs no objects, only their blobs."""


def segment(
    source: str,
    out: Path | None = None,
    checkpoint: str = SHIPPED,
    modules: str = "",
    write: str | None = None,
    clean: bool = True,
    least_area: int = 50,
    roi: str | None = None,
    ignore: str | None = None,
    count_line: str | None = None,
    zone: str | None = None,
    still: float | None = None,
    report: bool = False,
    show: bool = False,
    serve: str | None = None,
    work_size: int | None = None,
    state: Path | None = None,
    background: Literal["auto", "first", "spread", "stream"] | Path = "auto",
    pool: int = POOL,
    every: float = 1.0,
    refresh: float | None = None,
    threshold: float | None = None,
    codec: Codec = "h264",
    rate: float | None = None,
    latency: bool = False,
    batch_size: int = 8,
    device: str | None = None,
    precision: Precision | None = None,
    compile: bool = False,
    reconnect: float = 10.0,
    frames: int | None = None,
    range: str | None = None,
) -> None:
    """Find what moves in a video, in images, or before a camera: masks, an overlay, objects, events.

    Args:
        source: A video file, a folder of images, a pattern such as 'frames/*.jpg' or frames/in%06d.png, the number of
            a camera, or the address of a stream (rtsp://…).
        out: Folder for what is written. Default: a new one beside the source, or here for cameras and streams.
        checkpoint: AnyScene, whose weights ship with the package; a checkpoint of any system; or MOG2, KNN or
            TemporalMedian, which have no weights.
        modules: Modules outside of this package whose classes the checkpoint may name, such as own_network, or
            own_network.py from any folder; commas between several. They are executed.
        write: What is written, such as overlay,masks: mask_video, masks (a PNG for each frame), overlay (foreground
            tinted, objects with their ids), side_by_side, boxes_csv, boxes_jsonl, tracks_csv, events_jsonl, mot, coco,
            report. Default: overlay,boxes_csv, and tracks_csv,events_jsonl where lines, zones or still are given.
        clean: Masks without speckle, small holes and blobs below the least area; false: as the system gives them.
        least_area: Pixels of the smallest blob that has a box, and that a clean mask keeps.
        roi: Where foreground counts: x1,y1,x2,y2,x3,y3,… in pixels, a .json file of polygons, or an image of the
            frames' size that is white there.
        ignore: Where it does not count, in the same ways.
        count_line: A line that counts objects that cross it: x1,y1,x2,y2; semicolons between several, or a .json file.
        zone: A polygon in which objects are counted: x1,y1,x2,y2,x3,y3,…; semicolons between several, or a .json file.
        still: Seconds after which an object that stands still is reported as an event, as a bag that was left.
        report: Write a page as well: a heat map, counts over time, a timeline, a picture of each object.
        show: Show the overlay in a window, or, where OpenCV has none, in a browser, as --serve does.
        serve: Port at which a browser on this machine sees the overlay, such as 8080 (0: any free one); HOST:PORT for
            other machines, where anybody who reaches it can watch.
        work_size: Pixels of the longer side at which large frames are subtracted, such as 480, which is faster; masks
            have the frames' own size.
        state: File that keeps what was learnt of the scene, so that a restart needs no warm-up: read at the beginning
            if it is there, and written each minute and at the end. Not for MOG2 and KNN.
        background: What references and backgrounds are made of. first: the first frames of the source; spread: frames
            over the whole source; stream: frames as they come; a path: a clean image, or a folder of some. auto: spread
            for files and stream for cameras, of systems that need it.
        pool: Number of these frames, or as many as the system draws references, if that is more.
        every: Seconds between two frames that the stream gives.
        refresh: Seconds after which the background is rebuilt from the newest such frames, for scenes that change
            slowly; systems that learn of every frame follow by themselves. Default: never for files, each 60 s for
            cameras and streams.
        threshold: Probability above which a pixel is foreground. Default: the system's.
        codec: Of the videos: h264 (.mkv with ffv1, which loses nothing).
        rate: Frames per second of images, which do not tell it; videos have their own. Default: 25.
        latency: One frame at a time, for an answer as soon as there can be one.
        batch_size: Frames that are subtracted together otherwise, fewer where they are large; those of cameras and
            streams come one by one.
        device: Where to compute, such as cpu or cuda:1. Default: a GPU if there is one.
        precision: Arithmetic of the networks: 32, bf16 or 16. Default: 32 on a CPU, bf16 on a GPU.
        compile: Let torch.compile work on the networks, for which the first frames wait up to a minute.
        reconnect: Seconds for which a stream that broke off is opened again and again before it counts as ended.
        frames: End after so many frames. Default: at the source's end.
        range: Grey levels of frames of 16 bits that become 0 and 255, such as 51000,52000. Default: by the first
            frames, from their 0.1th to their 99.9th percentile and half as much on either side, 255 levels at least.

    Raises:
        UserError: If the source or the checkpoint cannot be used, or an option makes no sense.
    """
    check_range("--", least=1, most=10**12, frames=frames)
    check_range("--", least=0, most=1e9, least_area=least_area, reconnect=reconnect)
    check_range("--", least=0.0003, most=1000, rate=rate)
    has_places = bool(count_line or zone or still)
    kinds = _kinds(write, has_places, report)
    if has_places and not (show or serve is not None) and _PLAIN.issuperset(kinds):
        raise UserError(
            "--write: nothing that is written shows lines, zones or what stands still; got "
            f"{','.join(kinds)}. Add events_jsonl, or leave the option out."
        )
    folder = _default_folder(source) if out is None else out
    _require_free(folder, kinds)
    keep_freed_memory()
    opened = open_source(source, rate, reconnect, parsed_range(range))
    setup = Setup(
        checkpoint,
        modules,
        background,
        pool,
        every,
        refresh,
        threshold,
        1 if latency else batch_size,
        device,
        precision,
        compile,
    )
    ready = open_subtractor(opened, setup)
    subtractor = ready.subtractor
    keep = _keeper(subtractor, state)
    _introduce(ready, opened, source, work_size)
    is_followed = has_places or show or serve is not None or not _PLAIN.issuperset(kinds)
    shadows = not clean or checkpoint != "TemporalMedian"  # the others know shadows by themselves
    wanted = Wanted(
        clean, shadows, least_area, roi, ignore, count_line, zone, still, tracks=is_followed, watch=is_followed
    )
    with ExitStack() as closing:
        outputs = open_outputs(folder, kinds, codec, opened.rate, opened.name)
        if show or serve is not None:
            outputs.append(Live(closing.enter_context(shown(show, serve, opened.name))))
        closing.enter_context(claimed(folder))
        bar = closing.enter_context(_bar())
        total = min((count for count in (frames, opened.count) if count), default=None)
        task = bar.add_task("Segmenting", total=total, speed="")

        def advance(done: SegmentProgress) -> None:
            bar.update(task, completed=done.frames, speed=f"{done.frames / done.seconds:.1f} frames/s")
            keep(False)

        by = subtractor if work_size is None else Reduced(subtractor, work_size)
        with _stopped_by_sigterm():
            try:
                done = segment_frames(by, opened, outputs, wanted, advance, frames)
            except RuntimeError as error:
                if type(error).__name__ != "OutOfMemoryError":  # PyTorch's
                    raise
                raise UserError(
                    f"--batch_size: so many frames do not fit into the memory of {ready.device} at once; got "
                    f"{subtractor.batch_size}. Try fewer, or --device cpu."
                ) from error
    keep(True)
    _conclude(done, opened, [output.path for output in outputs if not isinstance(output, Live)], subtractor.restarts)
    if done.is_interrupted:
        raise SystemExit(130)


def _keeper(subtractor: StreamSubtractor, path: Path | None) -> Callable[[bool], None]:
    """Return what writes the state to a file, each minute, or at once at the end; what is in the file is taken now."""
    if path is None:
        return lambda _: None
    from bgsub_lightning.inference.saved import load_state, require_savable, save_state  # with PyTorch

    require_savable(subtractor)
    if path.exists():
        load_state(subtractor, path)
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
                save_state(subtractor, path)
            except OSError as error:  # frames are worth more than their restart
                warn(f"--state: {path}: cannot be written ({error.strerror}); the last one stays.")

    return keep


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C: what is written becomes whole."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _kinds(write: str | None, has_places: bool, report: bool) -> list[Kind]:
    known: tuple[Kind, ...] = get_args(Kind)
    if write is None:
        write = "overlay,boxes_csv" + (",tracks_csv,events_jsonl" if has_places else "")
    named = [word.strip() for word in write.strip("[] ").split(",") if word.strip()]
    if unknown := [word for word in named if word not in known]:
        raise UserError(f"--write: there is no {unknown[0]!r}. Name some of {','.join(known)}.")
    if not named:
        raise UserError(f"--write: name what is to be written: some of {','.join(known)}.")
    return [kind for kind in known if kind in named or (report and kind == "report")]


def _default_folder(source: str) -> Path:
    """Return a folder that does not exist yet: beside a file, here for cameras and streams."""
    path = Path(source).expanduser()
    if "://" in source:
        where, name = Path(), safe_name(urlsplit(source).hostname or "stream")  # what follows may hold a password
    elif source.isdecimal() and not path.exists():
        where, name = Path(), f"camera_{source}"
    else:
        where, name = path.parent, safe_name(path.stem if path.suffix else path.name)
    first = where / f"{name or 'frames'}_segmented"
    folder, number = first, 2
    while folder.exists():
        folder, number = first.with_name(f"{first.name}_{number}"), number + 1
    return folder


def _introduce(ready: Opened, source: Source, given: str, work_size: int | None) -> None:
    size = "the size of its frames" if ready.size is None else "{}×{}".format(*ready.size)
    if work_size is not None and ready.size is None:
        size = f"{work_size} pixels or less"
    length = "live" if source.is_live else f"{source.count:,} frames" if source.count else "of unknown length"
    console.print(
        f"{ready.subtractor.kind} ({ready.subtractor.name}) on {ready.device}, at {size}: {source.name}, {length}, "
        f"{float(source.rate):.4g} a second.",
        *ready.notes,
        soft_wrap=True,
    )
    if not source.is_live and Path(given).is_dir() and (origin := origin_of(Path(given))):
        console.print(f"The source shows {origin}.", soft_wrap=True)


def _require_free(out: Path, write: list[Kind]) -> None:
    if out.is_file():
        raise UserError(f"--out: {out}: is a file; a folder is needed.")
    if "masks" in write and next((out / "masks").glob("bin*.png"), None):
        raise UserError(f"--out: {out / 'masks'}: holds masks already, which would be mixed. Name another folder.")


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,} frames, {task.fields[speed]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    return Progress(*columns, console=console)


def _conclude(done: SegmentProgress, source: Source, written: list[Path], restarts: int) -> None:
    if done.is_interrupted:
        console.print(
            f"Stopped after {done.frames:,} frames, {done.time:.1f} s from the beginning; what is written is whole."
        )
        if not done.frames:
            return
    if source.why_ended:
        warn(f"{source.why_ended}.")
    for count, what in (
        (source.damaged, "could not be decoded: skipped"),
        (done.dropped, "came while others were being subtracted: left out"),
    ):
        if count:
            warn(f"{some(count, 'frame')} {what}.")
    if source.depth.warning:
        warn(f"{source.depth.warning} This is said once.")
    if source.reopened:
        warn(f"The stream broke off {some(source.reopened, 'time')}, and was opened again.")
    if restarts:
        warn(
            f"The background restarted {some(restarts, 'time')}: most of the picture had changed, "
            f"as when a camera turns or zooms."
        )
    if done.flooded:
        warn(
            f"Most of the picture is foreground in {some(done.flooded, 'frame')}, the first at {done.flooded_at:.1f} "
            f"s: the light or the view changed, or the background shows another scene."
        )
    if done.resized:
        warn(f"The frames changed their size {some(done.resized, 'time')}; the background restarted.")
    if not done.frames:
        why = f" ({source.why_ended})" if source.why_ended else ""
        raise UserError(f"--source: {source.name}: has no frame that can be decoded{why}.")
    console.print(
        f"{done.frames:,} frames in {done.seconds:.1f} s ({done.frames / done.seconds:.1f} a second), "
        f"{100 * done.foreground:.2f} % of the pixels foreground. Written: {', '.join(map(str, written))}.",
        soft_wrap=True,
    )
