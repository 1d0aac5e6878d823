"""CDnet2014 as it lies on disk, with its wrinkles.

Y. Wang et al., "CDnet 2014: an expanded change detection benchmark dataset", CVPR Workshops 2014.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from bgsub_lightning.errors import UserError
from bgsub_lightning.scenes.labels import OUTSIDE_ROI
from bgsub_lightning.scenes.scene import Problem, Reader, Scene, select

_FRAME = re.compile(r"in(\d+)\.(?:jpe?g|png|bmp)", re.IGNORECASE)
_MASK = re.compile(r"gt(\d+)\.png", re.IGNORECASE)
_THREADS = 16  # the checks wait for the disk, not for the processor


class CDnet2014(Reader):
    """Reader of CDnet2014, and of any footage that is laid out as it is.

    Frame numbers are 1-based. Frames before the temporal ROI are the unlabelled part. A frame of the temporal ROI is
    labelled if it has a mask that is not uniformly 85: CDnet withholds the masks of the second half of the videos
    that were added in 2014, and ships uniform ones in their place.
    """

    name = "CDnet2014"
    root_variable = "CDNET2014_ROOT"
    homepage = "http://changedetection.net (Downloads → 2014 dataset); unpack it and name the folder `dataset`."
    layout = "FOLDER/baseline/highway/{input/in%06d.jpg, groundtruth/gt%06d.png, ROI.bmp, temporalROI.txt}"
    categories = (
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

    def scenes(self, root: Path, patterns: Sequence[str] | None = None) -> list[Scene]:  # noqa: D102
        videos: dict[str, Path] = {}
        empty = []
        for category in _folders(root):
            found = [video for video in _folders(category) if (video / "input").is_dir()]
            videos |= {f"{category.name}/{video.name}": video for video in found}
            if not found and category.name in self.categories:
                empty.append(category)
        if not videos and not empty:
            inner = next((folder for folder in ("dataset", "dataset2014/dataset") if (root / folder).is_dir()), None)
            cure = f"Did you mean {root / inner}?" if inner else f"It must look like {self.layout}."
            raise UserError(f"{root}: holds no video of {self.name} (no CATEGORY/VIDEO/input folder). {cure}")
        if patterns is None and empty:
            raise UserError(
                f"{empty[0]}: the category holds no video (no VIDEO/input folder). "
                f"Unpack it again, or remove the empty folder to work without this category."
            )
        keys = list(videos)
        if patterns is not None:
            keys = select(keys, patterns, "data.init_args.scene")
        with ThreadPoolExecutor(_THREADS) as pool:
            return [self._scene(videos[key], pool) for key in keys]

    def _scene(self, folder: Path, pool: ThreadPoolExecutor) -> Scene:
        draft = _Draft(folder)
        frames = draft.sound_frames(_numbered(folder / "input", _FRAME), pool)
        first, last = draft.temporal_roi()
        size = draft.frame_size(frames)
        masks = draft.labelled(_numbered(folder / "groundtruth", _MASK), frames, range(first, last + 1), size, pool)
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
        )


@dataclass
class _Draft:
    """One video's folder while it is read: each method reads one thing and notes what is wrong with it."""

    folder: Path
    problems: list[Problem] = field(default_factory=list)

    def note(self, severity: Literal["error", "warning"], file: Path, what: str, cure: str) -> None:
        self.problems.append(Problem(severity, file, what, cure))

    def sound_frames(self, frames: Mapping[int, Path], pool: ThreadPoolExecutor) -> dict[int, Path]:
        """Leave out what was cut off in a download, and count the gaps."""
        sound = dict(zip(frames, _each(_is_whole, frames.values(), pool), strict=True))
        damaged = [frames[number] for number, whole in sound.items() if not whole]
        if damaged:
            what = f"{_some(len(damaged), 'frame')} of this video {'is' if len(damaged) == 1 else 'are'} truncated"
            self.note("warning", damaged[0], what, "Left out; fetch the file again to have it back.")
        missing = (max(frames) - len(frames)) if frames else 0
        if missing > 0:
            gap = next(number for number in range(1, max(frames) + 1) if number not in frames)
            what = f"{_some(missing, 'frame number')} missing before the last frame (the first is {gap})"
            self.note("warning", self.folder / "input", what, "Worked with the frames that are there.")
        return {number: path for number, path in frames.items() if sound[number]}

    def temporal_roi(self) -> tuple[int, int]:
        path = self.folder / "temporalROI.txt"
        cure = "It must hold the first and the last frame number of the evaluated part, such as '470 1700'."
        words: list[str] = []
        try:
            words = path.read_text(errors="replace").split()
            first, last = (int(word) for word in words)
        except OSError:
            self.note("error", path, "is missing", cure)
            return 1, 0
        except ValueError:
            self.note("error", path, f"does not parse ({' '.join(words)[:60]!r})", cure)
            return 1, 0
        if not 1 <= first <= last:
            self.note("error", path, f"is no range of frame numbers ({first} {last})", cure)
            return 1, 0
        return first, last

    def frame_size(self, frames: Mapping[int, Path]) -> tuple[int, int]:
        for path in frames.values():
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if image is None:
                self.note("error", path, "cannot be decoded as an image", "Fetch the file again, or delete it.")
                return 0, 0
            return image.shape[1], image.shape[0]
        self.note("error", self.folder / "input", "holds no frame", "Its files must be named in%06d.jpg.")
        return 0, 0

    def labelled(
        self,
        masks: Mapping[int, Path],
        frames: Mapping[int, Path],
        evaluated: range,
        size: tuple[int, int],
        pool: ThreadPoolExecutor,
    ) -> dict[int, Path]:
        present = [number for number in evaluated if number in frames]
        if evaluated and len(present) < len(evaluated):
            what = f"{_some(len(evaluated) - len(present), 'frame')} of the temporal ROI missing"
            self.note("warning", self.folder / "input", what, "Worked with the frames that are there.")
        inside = {number: masks[number] for number in present if number in masks}
        withheld = dict(zip(inside, _each(lambda path: _is_withheld(path, size), inside.values(), pool), strict=True))
        labelled = {number: path for number, path in inside.items() if not withheld[number]}
        for count, why in ((len(present) - len(inside), "no mask"), (sum(withheld.values()), "a mask of 85 alone")):
            if count:
                what = f"{_some(count, 'frame')} of the temporal ROI with {why}"
                self.note("warning", self.folder / "groundtruth", what, "Taken as unlabelled, never as background.")
        if evaluated and not labelled:
            self.note("warning", self.folder / "groundtruth", "no labelled frame", "It can be predicted, not scored.")
        return labelled

    def roi(self, size: tuple[int, int]) -> Path | None:
        path = self.folder / "ROI.bmp"
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
        if image is None:
            what = "cannot be decoded as an image" if path.is_file() else "is missing"
            self.note("warning", path, what, "The ROI is taken to be the whole frame.")
            return None
        if (uniform := bool((image == image.flat[0]).all())) and image.flat[0] == 0:
            self.note("error", path, "is black all over: nothing is inside the ROI", "Fetch it again, or delete it.")
        height, width = image.shape
        if size not in ((width, height), (0, 0)):
            what = f"is {width}×{height}, the frames are {size[0]}×{size[1]}"
            if uniform:
                self.note("warning", path, f"{what}, and it is uniform", "The ROI is taken to be the whole frame.")
            else:
                self.note("error", path, what, "Give it the frames' size; it cannot be guessed how it lies on them.")
        return None if uniform else path


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _numbered(folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    """Files by the number in their names, ascending."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        matches = ((pattern.fullmatch(entry.name), entry.path) for entry in entries)
        return dict(sorted((int(match[1]), Path(path)) for match, path in matches if match))


def _each(check: Callable[[Path], bool], paths: Iterable[Path], pool: ThreadPoolExecutor) -> list[bool]:
    """Check files in parallel, a slice of them per task: a task of its own costs more than a check."""
    files = list(paths)
    step = max(1, -(-len(files) // _THREADS))
    slices = [files[i : i + step] for i in range(0, len(files), step)]
    return [found for part in pool.map(lambda part: [check(path) for path in part], slices) for found in part]


def _is_whole(path: Path) -> bool:
    """Whether a JPEG has its end marker: OpenCV fills what is cut off with grey, and says nothing to the caller."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1024))
        return (b"\xff\xd9" in file.read()) if path.suffix.lower() in {".jpg", ".jpeg"} else size > 0


def _is_withheld(path: Path, size: tuple[int, int]) -> bool:
    """Whether a mask is uniformly 85.

    A uniform PNG takes a hundredth of its pixels' bytes at most, so that only small files need a look inside.
    """
    with path.open("rb") as file:
        header = file.read(26)
        length = file.seek(0, os.SEEK_END)
    channels = {2: 3, 4: 2, 6: 4}.get(header[25], 1) if len(header) == 26 else 1  # the colour type of the PNG header
    if length > 256 + size[0] * size[1] * channels // 100:
        return False
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return mask is not None and bool(np.all(mask == OUTSIDE_ROI))


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
