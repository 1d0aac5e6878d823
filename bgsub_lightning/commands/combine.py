"""Let folders of masks vote."""

from __future__ import annotations

from pathlib import Path

from bgsub_lightning.core.console import console, warn
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import whole_folder
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.datasets.checks import some
from bgsub_lightning.evaluation.mask_record import MaskRecord
from bgsub_lightning.evaluation.voting import masks_of_all, vote

_MOST = 1000


def combine(
    folders: list[Path],
    out: Path,
    least: int | None = None,
    scene: list[str] | None = None,
    workers: int | None = None,
) -> None:
    """Vote over folders of masks: a pixel is foreground where most of the folders have it so.

    The masks are CATEGORY/VIDEO/bin000001.png, as `predict` writes them, or bin000001.png of one video, as `segment`
    does; foreground is exactly 255. `evaluate` scores the result. A vote has seen in training what any of its members
    has, and what that is remains unknown if the maker of one is.

    Args:
        folders: The folders, two or more: combine FOLDER FOLDER ... Each must hold a mask of each frame.
        out: Folder for the masks, in the same layout, with masks.json, which names the folders; new or empty.
        least: Number of folders that must agree. Default: more than half of them, so that ties are background.
        scene: Only these categories, videos or patterns of category/video, such as baseline,shadow/c*.
        workers: Processes. Default: one for each processor, or fewer for few frames.

    Raises:
        UserError: If an option makes no sense, a folder lacks a mask that another has, a mask cannot be used, or the
            result cannot be written.
    """
    check_range("--", least=1, most=256, workers=workers)
    folders = [folder.expanduser() for folder in folders]
    if not 2 <= len(folders) <= _MOST:
        raise UserError(f"--folders: must be 2 to {_MOST} folders of masks; got {len(folders)}.")
    if twice := next((folder for n, folder in enumerate(folders) if _is_among(folder, folders[:n])), None):
        raise UserError(f"--folders: {twice}: is named twice, and would vote twice. Remove one.")
    if least is not None and not 1 <= least <= len(folders):
        raise UserError(f"--least: must be 1 to {len(folders)}, the number of folders; got {least}.")
    needed = least or len(folders) // 2 + 1
    record = MaskRecord.of_vote(folders, needed)
    names = masks_of_all(folders, scene)
    out = out.expanduser()
    with whole_folder(out) as partial:
        found = vote(folders, names, needed, partial, workers)
        record.save(partial)
    for folder, grey in zip(folders, found, strict=True):
        if grey:
            levels = ", ".join(map(str, grey.levels[:4])) + (", …" if len(grey.levels) > 4 else "")
            more = f" (and {some(grey.total - 1, 'other')})" if grey.total > 1 else ""
            warn(f"{folder / grey.first}: is not binary (holds {levels}){more}. Only 255 has voted.")
    videos = some(len({name.rpartition("/")[0] for name in names}), "video")
    agree = f"at least {needed} of {len(folders)} folders agree"
    console.print(f"{out}: {some(len(names), 'mask')} of {videos}, foreground where {agree}.", soft_wrap=True)


def _is_among(folder: Path, others: list[Path]) -> bool:
    return folder.resolve() in {other.resolve() for other in others}
