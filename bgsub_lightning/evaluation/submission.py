"""The archive that changedetection.net takes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2

from bgsub_lightning.core.decoding import read_content
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.core.text import join_some
from bgsub_lightning.datasets import CDnet2014, Reader
from bgsub_lightning.datasets.cdnet2014 import published_videos
from bgsub_lightning.datasets.checks import some
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.evaluation.mask_files import MaskFiles, grey_levels


def require_whole_dataset(reader: Reader, scene: Sequence[str] | None) -> None:
    """Check that what is scored is what changedetection.net takes.

    Raises:
        UserError: If it is another dataset, or a part of it.
    """
    if not isinstance(reader, CDnet2014):
        raise UserError(f"--zip: changedetection.net takes results on CDnet2014, not on {reader.name}.")
    if scene is not None:
        raise UserError("--zip: the archive is of the whole dataset. Leave --scene out.")


def missing_masks(files: MaskFiles, scenes: Sequence[Scene]) -> dict[str, int]:
    """Return ``category/name`` → number of masks that an archive would lack, for videos that would lack any."""
    here = {scene.key: scene for scene in scenes}
    missing = {}
    for video in published_videos():
        key = f"{video['category']}/{video['video']}"
        numbers = range(int(video["temporal_roi_start"]), int(video["temporal_roi_end"]) + 1)
        if scene := here.get(key):
            numbers = _evaluated(scene)
        missing[key] = len(numbers) - sum(scene is not None and files.path(scene, n).is_file() for n in numbers)
    return {key: count for key, count in missing.items() if count}


def require_complete(missing: Mapping[str, int], scenes: Sequence[Scene]) -> None:
    """Check that an archive would lack nothing.

    Raises:
        UserError: If it would, with a line for each video.
    """
    if not missing:
        return
    here = {scene.key for scene in scenes}
    lines = [f"{key}: {some(n, 'mask')} of the temporal ROI missing" for key, n in missing.items() if key in here]
    if absent := [key for key in missing if key not in here]:
        lines.append(f"The dataset's folder itself lacks {some(len(absent), 'video')}: {join_some(absent)}")
    what = "--zip: the archive would not be complete, and nothing was done."
    fix = "Write them first; or set --allow_partial=true to pack what is there."
    raise UserError("\n".join([what, *lines, fix]))


def pack(path: Path, files: MaskFiles, scenes: Sequence[Scene]) -> str:
    """Write the archive of the masks that are there, and return what it holds, in words.

    Raises:
        UserError: If a mask cannot be submitted.
    """
    there = [(scene, [n for n in _evaluated(scene) if files.path(scene, n).is_file()]) for scene in scenes]
    with atomic_write(path, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in _results(files, there):  # stored: a PNG is compressed, and the time is always the same
            archive.writestr(zipfile.ZipInfo(f"results/{name}"), content)
    count = sum(len(numbers) for _, numbers in there)
    return f"{count} masks of {some(sum(bool(numbers) for _, numbers in there), 'video')}"


def _evaluated(scene: Scene) -> range:
    return range(scene.evaluated[0], scene.evaluated[1] + 1)


def _results(files: MaskFiles, frames: Iterable[tuple[Scene, Iterable[int]]]) -> Iterator[tuple[str, bytes]]:
    """Yield masks as changedetection.net takes them.

    Args:
        files: The masks.
        frames: Scenes with the frames to yield.

    Yields:
        The name in CDnet's layout of results and the content of a PNG: the file's own, where it is one.

    Raises:
        UserError: If one is missing, unreadable, of another size or not binary.
    """
    for scene, numbers in frames:
        for number in numbers:
            path = files.path(scene, number)
            mask = files.read(scene, number)
            if isinstance(mask, tuple):
                raise UserError(f"{path}: is {' '.join(filter(None, mask))}; it cannot be submitted.")
            if levels := grey_levels(mask):
                raise UserError(
                    f"{path}: holds the grey level {levels[0]}; masks for submission must hold 0 and 255 alone, as "
                    f"only 255 counts as foreground."
                )
            is_png = path.suffix.lower() == ".png" and files.is_plain
            content = read_content(path) if is_png else cv2.imencode(".png", mask)[1].tobytes()
            yield MaskFiles.pattern.format(category=scene.category, video=scene.name, number=number), content
