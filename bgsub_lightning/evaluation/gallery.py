"""Frames of a test that are kept to be looked at, chosen by rule, so that nobody picks them.

Only frames whose truth has foreground are candidates. Of each category these are kept:

- *best*: the largest F-measure, and of equal ones the most true positives;
- *median*: the middle one in the order of F-measure, the lower of two;
- *worst*: the least F-measure, and of equal ones the most wrong pixels;
- *most foreground* in the truth: the same frame whatever the system, so that systems can be seen side by side.

Where frames are equal in all of that, the first one in the order of video and frame number is taken.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write, refuse_links, remove_files
from bgsub_lightning.core.records import read_csv
from bgsub_lightning.core.text import csv_cell, from_csv_cell
from bgsub_lightning.datasets.labels import MOVING
from bgsub_lightning.evaluation.drawing import confusion_image
from bgsub_lightning.frames import SceneFrames, write_png
from bgsub_lightning.metrics import COUNTS

Rule = Literal["best", "median", "worst", "most foreground"]
"""Rule that chose a frame."""

Kind = Literal["frame", "truth", "prediction", "confusion"]
"""The pictures of a frame."""

INDEX = "gallery.csv"

_PICTURE = re.compile(r"\d{6,}_(frame\.jpg|(truth|prediction|confusion)\.png)")


@dataclass(frozen=True)
class GalleryFrame:
    """The scores of one frame.

    Attributes:
        video: ``category/name``.
        number: GalleryFrame number.
        counts: TP, FP, FN, TN and shadow errors.
    """

    video: str
    number: int
    counts: tuple[int, ...]

    @property
    def category(self) -> str:
        """Its category."""
        return self.video.split("/")[0]

    @property
    def f_measure(self) -> float:
        """Its F-measure, range [0, 1]; 1 where it is 0/0, as in all figures."""
        tp, fp, fn = self.counts[:3]
        return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0

    @property
    def foreground(self) -> int:
        """Number of pixels of foreground in the truth."""
        return self.counts[0] + self.counts[2]


@dataclass(frozen=True)
class Kept(GalleryFrame):
    """A frame that was kept, and where its pictures lie.

    Attributes:
        rule: What it was chosen by.
        folder: The gallery.
    """

    rule: Rule
    folder: Path

    def picture(self, kind: Kind) -> Path:
        """Return the file of one of its pictures, at the frame's own size."""
        return self.folder / self.video / f"{self.number:06d}_{kind}.{'jpg' if kind == 'frame' else 'png'}"


def chosen(frames: Iterable[GalleryFrame]) -> list[tuple[Rule, GalleryFrame]]:
    """Choose by the rules above, in the order of categories and rules; a frame may be chosen by several."""
    by_category: dict[str, list[GalleryFrame]] = {}
    for frame in sorted(frames, key=lambda frame: (frame.video, frame.number)):
        if frame.foreground:
            by_category.setdefault(frame.category, []).append(frame)
    found: list[tuple[Rule, GalleryFrame]] = []
    for candidates in by_category.values():
        ranked = sorted(candidates, key=lambda frame: frame.f_measure)
        found += [
            ("best", max(candidates, key=lambda frame: (frame.f_measure, frame.counts[0]))),
            ("median", ranked[(len(ranked) - 1) // 2]),
            ("worst", min(candidates, key=lambda frame: (frame.f_measure, -frame.counts[1] - frame.counts[2]))),
            ("most foreground", max(candidates, key=lambda frame: frame.foreground)),
        ]
    return found


def clear_gallery(folder: Path) -> None:
    """Delete the files of an earlier gallery, its list at last; what else someone has put there stays.

    Raises:
        UserError: If it is a symbolic link, or holds one.
    """
    refuse_links(folder, folder.parent)
    if (folder / INDEX).is_file():
        pictures = (path for path in folder.glob("*/*/*") if _PICTURE.fullmatch(path.name))
        remove_files((*pictures, folder / INDEX), folder)


def write_pictures(
    folder: Path,
    frames: Iterable[GalleryFrame],
    pixels: Mapping[str, SceneFrames],
    prediction: Callable[[GalleryFrame], NDArray[np.bool_]],
) -> None:
    """Write frame, truth, prediction and coloured confusion of frames, at their own size.

    Args:
        folder: The gallery.
        frames: The frames.
        pixels: ``category/name`` → pixels at the frames' own size.
        prediction: Gives what was called foreground in a frame, shape ``(H, W)``.
    """
    for frame in dict.fromkeys(frames):
        scene, predicted = pixels[frame.video], prediction(frame)
        truth = scene.truth(frame.number)
        kept = Kept(frame.video, frame.number, frame.counts, "best", folder)
        _, jpeg = cv2.imencode(".jpg", scene.image(frame.number)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        with atomic_write(kept.picture("frame"), "wb", folder.parent, sync=False) as file:
            file.write(jpeg.tobytes())
        write_png(kept.picture("truth"), truth, folder.parent)
        write_png(kept.picture("prediction"), np.where(predicted, np.uint8(MOVING), np.uint8(0)), folder.parent)
        write_png(kept.picture("confusion"), confusion_image(predicted, truth, scene.roi), folder.parent)


def write_index(folder: Path, frames: Iterable[tuple[Rule, GalleryFrame]]) -> None:
    """Write which frames the gallery holds; it counts as a gallery only with that file."""
    with atomic_write(folder / INDEX, within=folder.parent) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rule", "video", "frame", *COUNTS])
        writer.writerows([rule, csv_cell(frame.video), frame.number, *frame.counts] for rule, frame in frames)


def read_gallery(folder: Path) -> list[Kept]:
    """Return what a gallery holds; nothing if there is none.

    Raises:
        UserError: If its list cannot be read, or one of its pictures is a link to elsewhere.
    """
    path = folder / INDEX
    fix = f"Run the test again, or delete {folder}."
    try:
        found = [
            Kept(_video(row, folder), int(row["frame"]), tuple(int(row[name]) for name in COUNTS), _rule(row), folder)
            for row in read_csv(path, fix)
        ]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError) as error:
        raise UserError(f"{path}: is no list of a gallery ({error!r}). {fix}") from error
    for kept, kind in product(found, get_args(Kind)):
        refuse_links(kept.picture(kind), folder)
    return found


def joined(galleries: Sequence[Sequence[Kept]]) -> list[Kept]:
    """Choose from the galleries of several tests, such as the folds of a cross-validation, by the same rules.

    Of the medians, the middle one is taken: the median of all their frames was not kept.
    """
    rules: tuple[Rule, ...] = get_args(Rule)
    found = []
    everything = [kept for gallery in galleries for kept in gallery]
    for category in sorted({kept.category for kept in everything}):
        for rule in rules:
            of_rule = [kept for kept in everything if (kept.category, kept.rule) == (category, rule)]
            by_rule = dict(chosen(of_rule))
            found += [kept for kept in [by_rule.get(rule)] if isinstance(kept, Kept)]
    return found


def _video(row: Mapping[str, str], folder: Path) -> str:
    """Return whose frame a row is; its pictures must lie in the gallery."""
    video = from_csv_cell(row["video"])
    if video.count("/") != 1 or not (folder / video).resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the video {video!r} is not in the gallery")
    return video


def _rule(row: Mapping[str, str]) -> Rule:
    for rule in get_args(Rule):
        if row["rule"] == rule:
            return rule  # type: ignore[no-any-return]
    raise ValueError(f"there is no rule {row['rule']!r}")
