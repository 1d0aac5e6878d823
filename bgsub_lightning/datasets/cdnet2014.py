"""CDnet2014 as it lies on disk, with its wrinkles.

Y. Wang et al., "CDnet 2014: an expanded change detection benchmark dataset", CVPR Workshops 2014.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from importlib.resources import files
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from bgsub_lightning.core.decoding import read_pixels
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import PARTIAL
from bgsub_lightning.core.program import PROGRAM
from bgsub_lightning.datasets.checks import Draft, folders, numbered, some
from bgsub_lightning.datasets.labels import OUTSIDE_ROI
from bgsub_lightning.datasets.scene import Reader, Scene, select
from bgsub_lightning.datasets.verdicts import THREADS, verdicts

_CUT = 0.01  # of the frames or the masks may be missing, as single files get lost in a download
_FRAME = re.compile(r"in(\d+)\.(?:jpe?g|png|bmp)", re.IGNORECASE)
_OTHER_MASK = re.compile(r"gt\d+\.(?:jpe?g|tiff?|bmp)", re.IGNORECASE)
_MASK = re.compile(r"gt(\d+)\.png", re.IGNORECASE)


@cache
def published_videos() -> tuple[dict[str, str], ...]:
    """The 53 videos of CDnet2014: category, video, temporal ROI, last frame with a public mask, folds of 3 and of 4."""
    text = files("bgsub_lightning.datasets").joinpath("cdnet2014_videos.csv").read_text()
    return tuple(csv.DictReader(text.splitlines()))


class CDnet2014(Reader):
    """Reader of CDnet2014, and of any footage that is laid out as it is.

    Frame numbers are 1-based. Frames before the temporal ROI are the unlabelled part. A frame of the temporal ROI is
    labelled if it has a mask that is not uniformly 85: CDnet withholds the masks of the second half of the videos
    that were added in 2014, and ships uniform ones in their place.
    """

    name = "CDnet2014"
    root_variable = "CDNET2014_ROOT"
    homepage = (
        f"http://changedetection.net, by `{PROGRAM} download CDnet2014` or by hand (Downloads → 2014 dataset): unpack "
        "it and name the folder `dataset`."
    )
    layout = "FOLDER/baseline/highway/{input/in%06d.jpg, groundtruth/gt%06d.png, ROI.bmp, temporalROI.txt}"
    categories: tuple[str, ...] = (
        "PTZ",
        "badWeather",
        "baseline",
        "cameraJitter",
        "dynamicBackground",
        "intermittentObjectMotion",
        "lowFramerate",
        "nightVideos",
        "shadow",
        "thermal",
        "turbulence",
    )

    def departure(self, scene: Scene) -> str:  # noqa: D102
        published = {f"{row['category']}/{row['video']}": row for row in published_videos()}
        if scene.key not in published:
            return f"{self.name} has no video of this name"
        first, last, last_labelled = (
            int(published[scene.key][name])
            for name in ("temporal_roi_start", "temporal_roi_end", "last_labelled_frame")
        )
        if scene.evaluated != (first, last):
            return "temporal ROI {}–{}, where {}'s is {}–{}".format(*scene.evaluated, self.name, first, last)
        public = range(first, last_labelled + 1)
        for what, numbers, there in (("frames", range(1, last + 1), scene.frames), ("masks", public, scene.masks)):
            if (missing := sum(number not in there for number in numbers)) > _CUT * len(numbers):
                return f"{missing} of its {len(numbers)} {what} are missing"
        if more := sum(number not in public for number in scene.masks):
            return f"{more} masks of frames whose masks are withheld"
        return ""

    def scenes(self, root: Path, patterns: Sequence[str] | None = None) -> list[Scene]:  # noqa: D102
        videos: dict[str, Path] = {}
        empty = []
        for category in folders(root):
            found = [video for video in folders(category) if (video / "input").is_dir()]
            videos |= {f"{category.name}/{video.name}": video for video in found}
            is_begun = any(category.glob(f".*{PARTIAL}"))  # by a synthesize that was killed
            if not found and category.name in self.categories and not is_begun:
                empty.append(category)
        if not videos and not empty:
            right = _meant(root)
            fix = f"Did you mean {right}?" if right else f"It must look like {self.layout}."
            raise UserError(f"{root}: holds no video of {self.name} (no CATEGORY/VIDEO/input folder). {fix}")
        if patterns is None and empty:
            raise UserError(
                f"{empty[0]}: the category holds no video (no VIDEO/input folder). "
                f"Unpack it again, or remove the empty folder to work without this category."
            )
        keys = list(videos)
        if patterns is not None:
            keys = select(keys, patterns, "data.init_args.scene")
        with ThreadPoolExecutor(THREADS) as pool:
            return self.from_origin(root, (self._scene(videos[key], pool) for key in keys))

    def _scene(self, folder: Path, pool: ThreadPoolExecutor) -> Scene:
        draft = _Draft(folder / "input", "in%06d.jpg")
        frames = draft.sound_frames(numbered(draft.frames_folder, _FRAME), 1, pool)
        first, last = draft.temporal_roi()
        draft.named_otherwise(folder / "groundtruth", _OTHER_MASK, "gt%06d.png")
        size = draft.frame_size(frames)
        masks = draft.labelled(numbered(folder / "groundtruth", _MASK), frames, range(first, last + 1), size, pool)
        return Scene(
            dataset=self.name,
            category=folder.parent.name,
            name=folder.name,
            size=size,
            frames=frames,
            masks=masks,
            evaluated=(first, last),
            references=tuple(number for number in frames if number < first),
            roi=draft.roi(size),
            problems=tuple(draft.problems),
            range=draft.range,
        )


class _Draft(Draft):
    """A video of CDnet2014 while it is read."""

    def labelled(
        self,
        masks: Mapping[int, Path],
        frames: Mapping[int, Path],
        evaluated: range,
        size: tuple[int, int],
        pool: ThreadPoolExecutor,
    ) -> dict[int, Path]:
        present = [number for number in frames if number in evaluated]
        if evaluated and len(present) < len(evaluated):
            what = f"{some(len(evaluated) - len(present), 'frame')} of the temporal ROI missing"
            self.note("warning", self.frames_folder, what, "Worked with the frames that are there.")
        inside = {number: masks[number] for number in present if number in masks}
        if strange := next((path for path in inside.values() if not path.is_file()), None):
            self.note("error", strange, "is a folder or a pipe, not an image file", "Remove it.")
        name, check = "withheld {}x{}".format(*size), partial(_is_withheld, size=size)
        withheld = dict(zip(inside, verdicts(name, check, inside.values(), pool), strict=True))
        labelled = {number: path for number, path in inside.items() if not withheld[number]}
        for count, why in ((len(present) - len(inside), "no mask"), (sum(withheld.values()), "a mask of 85 alone")):
            if count:
                what = f"{some(count, 'frame')} of the temporal ROI with {why}"
                self.note("warning", self.folder / "groundtruth", what, "Taken as unlabelled, never as background.")
        if evaluated and not labelled:
            self.note("warning", self.folder / "groundtruth", "no labelled frame", "It can be predicted, not scored.")
        return labelled


def _meant(root: Path) -> Path | None:
    """Return the dataset's folder where one inside it was given, or one up to two levels above it."""
    root = root.absolute()
    if root.name in {"input", "groundtruth"}:
        return root.parent.parent.parent
    if (root / "input").is_dir():
        return root.parent.parent
    below = folders(root)
    if any((video / "input").is_dir() for video in below):
        return root.parent
    further = (inner for folder in below for inner in folders(folder))
    return next((folder for folder in chain(below, further) if _holds_videos(folder)), None)


def _holds_videos(root: Path) -> bool:
    with suppress(OSError):
        return any((video / "input").is_dir() for category in folders(root) for video in folders(category))
    return False


def _is_withheld(path: Path, size: tuple[int, int]) -> bool:
    """Whether a mask is uniformly 85.

    A uniform PNG takes a hundredth of its pixels' bytes at most, so that only small files need a look inside.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        header = file.read(26)
        length = file.seek(0, os.SEEK_END)
    channels = {2: 3, 4: 2, 6: 4}.get(header[25], 1) if len(header) == 26 else 1  # the colour type of the PNG header
    if length > 256 + size[0] * size[1] * channels // 100:
        return False
    mask = read_pixels(path, cv2.IMREAD_GRAYSCALE)
    return mask is not None and bool(np.all(mask == OUTSIDE_ROI))
