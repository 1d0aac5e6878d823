"""Masks of any video."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bgsub_lightning import inference
from bgsub_lightning.core.console import console, warn
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import claimed
from bgsub_lightning.core.memory import keep_freed_memory
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets.checks import some
from bgsub_lightning.datasets.depth import parsed_range
from bgsub_lightning.datasets.origin import origin_of
from bgsub_lightning.inference import (
    BASELINES,
    OPENCV,
    POOL,
    SHIPPED,
    Codec,
    Kind,
    OpenCvSubtractor,
    Precision,
    Source,
    StreamSubtractor,
    named_modules,
    open_outputs,
    open_source,
    segment_frames,
)
from bgsub_lightning.inference.segmenting import SegmentProgress
from bgsub_lightning.inference.sources import Images, is_image


def segment(
    source: str,
    out: Path,
    checkpoint: str = SHIPPED,
    modules: str = "",
    write: str = "mask_video,overlay",
    background: Literal["auto", "first", "spread", "stream"] | Path = "auto",
    pool: int = POOL,
    every: float = 1.0,
    refresh: float | None = None,
    threshold: float | None = None,
    least_area: int = 50,
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
    """Subtract the background of a video, of images, or of a camera: masks, an overlay, boxes.

    Args:
        source: A video file, a folder of images, a pattern such as 'frames/*.jpg' or frames/in%06d.png, the number of
            a camera, or the address of a stream (rtsp://…).
        out: Folder for what is written.
        checkpoint: AnyScene, whose weights ship with the package; a checkpoint of any system; or MOG2, KNN or
            TemporalMedian, which have no weights.
        modules: Modules outside of this package whose classes the checkpoint may name, such as own_network, or
            own_network.py from any folder; commas between several. They are executed.
        write: What is written, such as overlay,masks: mask_video, masks (a PNG for each frame), overlay (foreground
            tinted), side_by_side, boxes_csv, boxes_jsonl.
        background: What references and backgrounds are made of. first: the first frames of the source; spread: frames
            over the whole source; stream: frames as they come; a path: a clean image, or a folder of some. auto: spread
            for files and stream for cameras, of systems that need it.
        pool: Number of these frames, or as many as the system draws references, if that is more.
        every: Seconds between two frames that the stream gives.
        refresh: Seconds after which the background is made anew of the newest such frames, for scenes that change
            slowly; systems that learn of every frame follow by themselves. Default: never for files, each 60 s for
            cameras and streams.
        threshold: Probability above which a pixel is foreground. Default: the system's.
        least_area: Pixels of the smallest blob that has a box.
        codec: Of the videos: h264 (.mkv with ffv1, which loses nothing).
        rate: Frames per second of images, which do not tell it; videos have their own. Default: 25.
        latency: One frame at a time, for an answer as soon as there can be one.
        batch_size: Frames that are subtracted together otherwise; those of cameras and streams come one by one.
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
    check_range("--", least=1, most=10_000, pool=pool, batch_size=batch_size)
    check_range("--", least=1, most=10**12, frames=frames)
    check_range("--", above=0, most=1e6, every=every, refresh=refresh)
    check_range("--", least=0, most=1e9, least_area=least_area, reconnect=reconnect)
    check_range("--", least=0, below=1, threshold=threshold)
    check_range("--", least=0.0003, most=1000, rate=rate)
    kinds = _kinds(write)
    _require_free(out, kinds)
    if compile and (checkpoint in BASELINES or checkpoint.endswith(".onnx")):
        raise UserError(f"--compile: {checkpoint} has no networks of PyTorch. Leave the option out.")
    keep_freed_memory()
    system = None if checkpoint in OPENCV else inference.load_system(checkpoint, named_modules(modules))
    opened = open_source(source, rate, reconnect, parsed_range(range))
    if system is None or not system.needs_pool:
        _require_no_background(checkpoint, system, background, refresh)
    elif refresh is None and opened.is_live:
        refresh = 60.0
    given, what = _pool(background, opened, pool, system)
    options: dict[str, Any] = {
        "device": device,
        "reference_pool": given,
        "pool_size": pool,
        "stride": max(1, round(every * opened.rate)),
        "refresh_interval": None if refresh is None else max(1, round(refresh * opened.rate)),
        "batch_size": 1 if latency or opened.is_live else batch_size,
        "threshold": threshold,
        "precision": precision or "32",
        "blocking": not opened.is_live,
        "compiled": compile,
    }
    subtractor: StreamSubtractor
    if system is None:
        subtractor, where = OpenCvSubtractor(checkpoint, **options), "cpu"
    else:
        subtractor, where = _with_pytorch(system, options, is_free=precision is None)
    console.print(
        f"{subtractor.kind} ({subtractor.name}) on {where}, "
        f"at {'{}×{}'.format(*system.size) if system and system.size else 'the size of its frames'}: {opened.name}, "
        f"{'live' if opened.is_live else f'{opened.count:,} frames' if opened.count else 'of unknown length'}, "
        f"{float(opened.rate):.4g} a second.{_threshold(system) if system and threshold is None else ''}",
        soft_wrap=True,
    )
    if not subtractor.is_warm:
        of, stride = max(pool, system.references if system else 0), options["stride"]
        console.print(
            f"Warming up: the background is made of {of} frames of the stream, one in {stride}; masks of the first "
            f"{of * stride:,} are provisional."
        )
    if what:
        console.print(f"The background is made of {what}.", soft_wrap=True)
    if not opened.is_live and Path(source).is_dir() and (origin := origin_of(Path(source))):
        console.print(f"The source shows {origin}.", soft_wrap=True)
    if compile:
        console.print("The networks are compiled at the first frames.")
    outputs = open_outputs(out, kinds, codec, opened.rate, least_area)
    with claimed(out), _bar() as bar:
        total = min((count for count in (frames, opened.count) if count), default=None)
        task = bar.add_task("Segmenting", total=total, speed="")

        def report(done: SegmentProgress) -> None:
            bar.update(task, completed=done.frames, speed=f"{done.frames / done.seconds:.1f} frames/s")

        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is written becomes whole
        try:
            done = segment_frames(subtractor, opened, outputs, report, frames)
        except RuntimeError as error:
            if type(error).__name__ != "OutOfMemoryError":  # PyTorch's
                raise
            raise UserError(
                f"--batch_size: so many frames do not fit into the memory of {where} at once; got "
                f"{subtractor.batch_size}. Try fewer, or --device cpu."
            ) from error
        finally:
            signal.signal(signal.SIGTERM, before)
    _conclude(done, opened, [output.path for output in outputs], subtractor.restarts)
    if done.is_interrupted:
        raise SystemExit(130)


def _kinds(write: str) -> list[Kind]:
    known: tuple[Kind, ...] = get_args(Kind)
    named = [word.strip() for word in write.strip("[] ").split(",") if word.strip()]
    if unknown := [word for word in named if word not in known]:
        raise UserError(f"--write: there is no {unknown[0]!r}. Name some of {','.join(known)}.")
    if not named:
        raise UserError(f"--write: name what is to be written: some of {','.join(known)}.")
    return [kind for kind in known if kind in named]


def _with_pytorch(system: inference.System, options: dict[str, Any], is_free: bool) -> tuple[inference.Subtractor, str]:
    """Return a subtractor, on a GPU in bf16 if its precision is free, and where it computes."""
    subtractor = inference.Subtractor(system, **options)
    if is_free and subtractor.device.type == "cuda":
        subtractor.precision = "bf16"
    return subtractor, str(subtractor.device)


def _require_no_background(
    name: str, system: inference.System | None, background: str | Path, refresh: float | None
) -> None:
    """Systems that make nothing of a pool."""
    streams = system is None or system.streams
    if refresh is not None:
        why = "learns of every frame, and follows by itself" if streams else "keeps no background"
        raise UserError(f"--refresh: {name} {why}. Leave the option out.")
    if not streams and background != "auto":
        raise UserError(f"--background: {name} keeps no background. Leave the option out.")


def _pool(
    background: str | Path, source: Source, count: int, system: inference.System | None
) -> tuple[list[NDArray[np.uint8]], str]:
    """Take the frames that the background is made of before the first is subtracted, and say what they are."""
    count = max(count, system.references if system else 0)
    if isinstance(background, Path):
        path = background.expanduser()
        if not path.exists():
            raise UserError(f"--background: {background}: there is no such image or folder.")
        files = [file for file in path.iterdir() if is_image(file)] if path.is_dir() else [path]
        if not files:
            raise UserError(f"--background: {background}: must hold an image at least; got none. Name another folder.")
        if not source.is_live:
            source.first(1)  # whose depth and range hold for both
        images = Images(files, str(background))
        images.depth = source.depth
        if not (found := images.first(len(files))):
            raise UserError(f"--background: {background}: is no image that can be decoded, and no folder of some.")
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


def _threshold(system: inference.System) -> str:
    """What chose the threshold; nothing to tell of systems that were never trained."""
    module = system.module
    by = f", chosen by {module.threshold_from}" if module.threshold_from else ""
    return f" Threshold {module.threshold:.2f}{by}." if module.trainable else ""


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
