"""Masks of any video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.core.text import safe_name
from bgsub_lightning.inference import POOL, SHIPPED, Codec, Kind, Precision, Setup, Wanted
from bgsub_lightning.inference.cameras import CameraOptions, listed_cameras
from bgsub_lightning.inference.result import Analysis
from bgsub_lightning.inference.session import Plan, run_session

_PLAIN: frozenset[Kind] = frozenset({"mask_video", "masks", "side_by_side", "boxes_csv", "boxes_jsonl", "coco"})
"""Outputs that need blobs, but no objects."""


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
            a camera, or the address of a stream (rtsp://…). Or several: a .yaml file with lines such as
            yard: rtsp://… or street: {source: street.mp4, count_line: '40,0,40,48'}, whose paths are relative to it;
            an entry can set rate, range, background, pool, every, refresh, threshold, state, work_size, clean,
            least_area, roi, ignore, count_line, zone and still; other options hold for every camera.
        out: Folder for what is written; in it, one for each camera of a list. Default: a new one next to the source, or
            here for cameras and streams.
        checkpoint: AnyScene, whose weights ship with the package; a checkpoint of any system; MOG2, KNN or
            TemporalMedian, which have no weights; GSOC, CNT or LSBP with opencv-contrib; or an experiment, .yaml, whose
            system needs no checkpoint, such as subsense.yaml, or one that names its authors' weights.
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
            if it is there, and written each minute and at the end. Not for OpenCV's subtractors.
        background: Frames that references and backgrounds are built from. first: the first frames of the source;
            spread: frames over the whole source; stream: frames of the stream so far; a path: a clean image, or a
            folder of some. auto: spread for files and stream for cameras, of systems that need it.
        pool: Number of these frames, or as many as the system draws references, if that is more.
        every: Seconds between two frames that the stream gives.
        refresh: Seconds after which the background is rebuilt from the newest of these frames, for scenes that change
            slowly; systems that learn of every frame follow by themselves. Default: never for files, each 60 s for
            cameras and streams.
        threshold: Probability above which a pixel is foreground. Default: the system's.
        codec: Of the videos: h264 (.mkv with ffv1, which loses nothing).
        rate: Frames per second of images. Default: 25. Videos, cameras and streams have their own times, and refuse it.
        latency: One frame at a time, for an answer as soon as there can be one.
        batch_size: Frames that are subtracted together otherwise, those of all cameras of a list, fewer where they are
            large; those of cameras and streams come one by one.
        device: Where to compute, such as cpu or cuda:1. Default: a GPU if there is one.
        precision: Arithmetic of the networks: 32, bf16 or 16. Default: 32 on a CPU, bf16 on a GPU.
        compile: Let torch.compile work on the networks, for which the first frames wait up to a minute.
        reconnect: Seconds for which a stream that broke off is opened again and again before it counts as ended, and
            for which a camera or a stream that is not up at the beginning is waited for (in a list 10 s at most).
        frames: End after so many frames. Default: at the source's end.
        range: Grey levels of frames of 16 bits that become 0 and 255, such as 51000,52000. Default: by the first
            frames, from their 0.1th to their 99.9th percentile and half as much on either side, 255 levels at least.

    Raises:
        UserError: If the source or the checkpoint cannot be used, or an option makes no sense.
    """
    check_range("--", least=1, most=10**12, frames=frames)
    check_range("--", least=0, most=1e9, reconnect=reconnect)
    common = CameraOptions(
        source=source,
        rate=rate,
        range=range,
        background=str(background),
        pool=pool,
        every=every,
        refresh=refresh,
        threshold=threshold,
        state=None if state is None else str(state),
        work_size=work_size,
        clean=clean,
        least_area=least_area,
        roi=roi,
        ignore=ignore,
        count_line=count_line,
        zone=zone,
        still=still,
    )
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
    cameras = listed_cameras(common)
    folder = default_folder(source) if out is None else out
    is_watched = show or serve is not None
    plans = []
    for camera in cameras:
        with camera.naming():
            options, place = camera.options, folder / camera.name
            kinds = _kinds(write, options.has_places, report)
            _require_use(options, kinds, is_watched)
            wanted = _wanted(options, options.has_places or is_watched or not _PLAIN.issuperset(kinds))
            _require_free(place, kinds)
            of_camera = replace(
                setup,
                background=options.background,
                pool=options.pool,
                every=options.every,
                refresh=options.refresh,
                threshold=options.threshold,
                batch_size=max(1, setup.batch_size // len(cameras)),
            )
            plans.append(Plan(camera, place, kinds, codec, wanted, of_camera, reconnect, frames))
    run_session(plans, show, serve)


def _wanted(options: CameraOptions, is_followed: bool) -> Wanted:
    wanted = Wanted(
        options.clean,
        options.least_area,
        options.roi,
        options.ignore,
        options.count_line,
        options.zone,
        options.still,
        tracks=is_followed,
        watch=is_followed or options.clean,
    )
    Analysis(wanted)  # refuses what makes no sense, before anything is opened
    return wanted


def _require_use(options: CameraOptions, kinds: list[Kind], is_watched: bool) -> None:
    if options.has_places and not is_watched and _PLAIN.issuperset(kinds):
        raise UserError(
            "--write: nothing that is written shows lines, zones or what stands still; got "
            f"{','.join(kinds)}. Add events_jsonl, or leave the option out."
        )


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


def default_folder(source: str) -> Path:
    """Return a folder that does not exist yet: next to a file, here for cameras and streams."""
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


def _require_free(out: Path, write: list[Kind]) -> None:
    if out.is_file():
        raise UserError(f"--out: {out}: is a file; a folder is needed.")
    if "masks" in write and next((out / "masks").glob("bin*.png"), None):
        raise UserError(f"--out: {out / 'masks'}: holds masks already, which would be mixed. Name another folder.")
