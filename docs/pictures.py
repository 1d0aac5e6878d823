"""Draw segment.jpg and official_rule.png of this folder, from rendered scenes: `python docs/pictures.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch
from numpy.typing import NDArray

import bgsub_lightning
from bgsub_lightning.datasets.labels import MOVING, OUTSIDE_ROI, SHADOW, STATIC, UNKNOWN
from bgsub_lightning.evaluation.drawing import BLACK, GREEN, PINK, RED, confusion_image
from bgsub_lightning.synthetic import synthesize

HERE = Path(__file__).parent
UNLABELLED, LABELLED = 80, 60
LABELS = {
    MOVING: "255 moving",
    STATIC: "0 static",
    SHADOW: "50 shadow",
    UNKNOWN: "170 unknown",
    OUTSIDE_ROI: "85 outside",
}
COUNTED = {
    "hit (TP)": GREEN,
    "false alarm (FP)": RED,
    "miss (FN)": PINK,
    "correct (TN)": BLACK,
    "not counted": (150,) * 3,
}


def at_number(video: Path, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Frame `number` of a video, AnyScene's mask of it, and the frame with its objects: RGB, grey, RGB."""
    for result in bgsub_lightning.stream(video / "input", frames=number):
        if result.number == number:
            overlay = result.frame.copy()
            overlay[result.mask > 0] = overlay[result.mask > 0] // 2 + np.array((110, 0, 0), np.uint8)
            for track in result.tracks:
                x, y, width, height = track.box.x, track.box.y, track.box.width, track.box.height
                cv2.rectangle(overlay, (x, y), (x + width, y + height), (255, 220, 0), 2)
            return result.frame, result.mask, overlay
    raise ValueError(f"{video} has no frame {number}.")


def segment(video: Path) -> None:
    """Draw what the README shows: frame, mask, objects."""
    frame, mask, overlay = at_number(video, 110)
    row = np.hstack([np.pad(image, ((0, 0), (0, 8), (0, 0)), constant_values=255)
                     for image in (frame, np.repeat(mask[..., None], 3, 2), overlay)])[:, :-8]  # fmt: skip
    small = cv2.resize(row, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(HERE / "segment.jpg"), small[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 88))


def official_rule(video: Path) -> None:
    """Draw a frame, its labels, a mask, and which of its pixels count as what."""
    number = UNLABELLED + 31
    frame, mask, _ = at_number(video, number)
    truth = cv2.imread(str(video / f"groundtruth/gt{number:06}.png"), cv2.IMREAD_GRAYSCALE)
    roi = truth != OUTSIDE_ROI
    counted = confusion_image(mask > 0, truth, roi)
    counted[~roi | (truth == UNKNOWN)] = COUNTED["not counted"]
    counted[(truth == SHADOW) & (mask == 0)] = BLACK  # shadow is background, and is counted
    figure, axes = plt.subplots(2, 2, figsize=(8, 7), layout="constrained")
    titles = ("frame", "ground truth", "mask of a system", "what is counted")
    for axis, title, image in zip(axes.flat, titles, (frame, truth, mask, counted), strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(title)
        axis.set_axis_off()
    shades = [Patch(facecolor=str(level / 255), edgecolor="0.5", label=name) for level, name in LABELS.items()]
    colours = [Patch(facecolor=np.array(rgb) / 255, edgecolor="0.5", label=name) for name, rgb in COUNTED.items()]
    figure.legend(handles=shades + colours, loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(HERE / "official_rule.png", dpi=110)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        options = {"size": (640, 480), "unlabelled": UNLABELLED, "labelled": LABELLED}
        list(synthesize(root, videos_per_category=2, categories=["baseline", "shadow"], **options))
        segment(next(root.glob("baseline/highway*")))
        official_rule(next(root.glob("shadow/plaza*")))
