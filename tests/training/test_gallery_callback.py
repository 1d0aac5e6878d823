"""Frames that a test keeps, through the command line."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from bgsub_lightning.evaluation.gallery import GalleryFrame, chosen, read_gallery

Run = Callable[..., int]


def test_a_test_keeps_the_frames_that_the_rules_choose(run: Run, tmp_path: Path, cdnet: Path, capfd: object) -> None:
    folder = tmp_path / "run"
    assert run("fit") == 0
    assert run("test", "--data.init_args.eval_batch_size=4") == 0
    assert run("predict") == 0
    with (folder / "frames.csv").open() as file:
        rows = [
            GalleryFrame(
                row["video"], int(row["frame"]), tuple(int(row[name]) for name in ("TP", "FP", "FN", "TN", "SE"))
            )
            for row in csv.DictReader(file)
        ]
    kept = read_gallery(folder / "gallery")
    assert [(each.rule, GalleryFrame(each.video, each.number, each.counts)) for each in kept] == chosen(rows)
    for each in kept:
        mask = cv2.imread(str(folder / "results" / each.video / f"bin{each.number:06d}.png"), cv2.IMREAD_UNCHANGED)
        said = cv2.imread(str(each.picture("prediction")), cv2.IMREAD_UNCHANGED)
        truth = cv2.imread(str(each.picture("truth")), cv2.IMREAD_UNCHANGED)
        given = cv2.imread(str(cdnet / each.video / f"groundtruth/gt{each.number:06d}.png"), cv2.IMREAD_UNCHANGED)
        frame = cv2.imread(str(each.picture("frame"))).astype(int)
        source = cv2.imread(str(cdnet / each.video / f"input/in{each.number:06d}.jpg")).astype(int)
        confusion = cv2.imread(str(each.picture("confusion")))[..., ::-1]
        assert np.array_equal(said, mask)
        assert np.array_equal(truth, given)
        assert abs(frame - source).mean() < 5
        roi = cv2.imread(str(cdnet / each.video / "ROI.bmp"), cv2.IMREAD_GRAYSCALE) > 0
        greens = np.count_nonzero((confusion == (0, 200, 0)).all(-1))
        assert greens == each.counts[0] == np.count_nonzero((said == 255) & (truth == 255) & roi)
    written = {path.relative_to(folder / "gallery") for path in (folder / "gallery").rglob("*.*")}
    assert len(written) == 1 + 4 * len({(each.video, each.number) for each in kept})

    (folder / "gallery/baseline/highway/000001_frame.jpg").touch()  # of an earlier test
    assert run("test", "--gallery.keep=false") == 0
    assert (folder / "gallery/baseline/highway/000001_frame.jpg").is_file()
    assert run("test") == 0
    assert not (folder / "gallery/baseline/highway/000001_frame.jpg").exists()
    assert [path.name for path in folder.iterdir() if path.name.startswith("tmp")] == []
