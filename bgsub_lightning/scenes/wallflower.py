"""Wallflower as it lies on disk.

K. Toyama et al., "Wallflower: Principles and Practice of Background Maintenance", ICCV 1999.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2

from bgsub_lightning.errors import UserError
from bgsub_lightning.scenes.checks import THREADS, Draft, folders, is_whole, numbered
from bgsub_lightning.scenes.labels import MaskCode
from bgsub_lightning.scenes.scene import Reader, Scene, select

_FRAME = re.compile(r"b(\d+)\.bmp", re.IGNORECASE)
_MASK = re.compile(r"hand_segmented_(\d+)\.bmp", re.IGNORECASE)


class Wallflower(Reader):
    """Reader of Wallflower, and of any footage that is laid out as it is.

    Frame numbers are those of the file names and begin at 0. Of each sequence one frame has a mask; every frame before
    it can be a reference, and every frame of a sequence without a mask.
    """

    name = "Wallflower"
    root_variable = "WALLFLOWER_ROOT"
    homepage = (
        "Microsoft Research, which published the paper's test images; unpack them and name the folder that holds "
        "WavingTrees/ and the others."
    )
    layout = "FOLDER/WavingTrees/{b%05d.bmp, hand_segmented_%05d.BMP}"
    categories = ("Wallflower",)
    sequences = (
        "Bootstrap",
        "Camouflage",
        "ForegroundAperture",
        "LightSwitch",
        "MovedObject",
        "TimeOfDay",
        "WavingTrees",
    )
    """The sequences of the published dataset."""

    def scenes(self, root: Path, patterns: Sequence[str] | None = None) -> list[Scene]:  # noqa: D102
        frames = {f"{self.name}/{folder.name}": numbered(folder, _FRAME) for folder in folders(root)}
        keys = [key for key, found in frames.items() if found or key.split("/")[1] in self.sequences]
        if not keys:
            inner = root.absolute().parent if numbered(root, _FRAME) else root / self.name
            cure = f"Did you mean {inner}?" if inner.is_dir() else f"It must look like {self.layout}."
            raise UserError(f"{root}: holds no sequence of {self.name} (no folder with frames b%05d.bmp). {cure}")
        if patterns is not None:
            keys = select(keys, patterns, "data.init_args.scene")
        with ThreadPoolExecutor(THREADS) as pool:
            return [self._scene(root / key.split("/")[1], frames[key], pool) for key in keys]

    def _scene(self, folder: Path, found: Mapping[int, Path], pool: ThreadPoolExecutor) -> Scene:
        draft = _Draft(folder, "b%05d.bmp")
        frames = draft.sound_frames(found, min(found, default=0), pool)
        size = draft.frame_size(frames)
        masks = draft.labelled(numbered(folder, _MASK), frames, size)
        return Scene(
            dataset=self.name,
            category=self.name,
            name=folder.name,
            size=size,
            frames=frames,
            masks=masks,
            evaluated=(min(frames, default=0), max(frames, default=-1)),
            references=tuple(number for number in frames if not masks or number < min(masks)),
            problems=tuple(draft.problems),
            mask_code=MaskCode.BINARY,
        )


class _Draft(Draft):
    """A sequence of Wallflower while it is read."""

    def labelled(self, masks: Mapping[int, Path], frames: Mapping[int, Path], size: tuple[int, int]) -> dict[int, Path]:
        for number, path in masks.items():
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if is_whole(path) else None
            if number not in frames:
                self.note("warning", path, f"has no frame: b{number:05d}.bmp is not there or not whole", "Left out.")
            elif image is None:
                what = "is truncated, or cannot be decoded as an image"
                self.note("error", path, what, "Fetch the mask again, or delete it.")
            elif size not in (image.shape[::-1], (0, 0)):
                what = f"is {image.shape[1]}×{image.shape[0]}, the frames are {size[0]}×{size[1]}"
                self.note("error", path, what, "Fetch both again, or delete the mask to leave the frame unlabelled.")
        labelled = {number: path for number, path in masks.items() if number in frames}
        if frames and not labelled:
            self.note("warning", self.frames_folder, "no mask", "It can be predicted, not scored.")
        return labelled
