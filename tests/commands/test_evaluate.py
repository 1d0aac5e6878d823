"""Masks of any maker, scored: against a count of pixel after pixel, against `test`, and with everything wrong."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from bgsub_lightning.cli import main
from bgsub_lightning.datasets.cdnet2014 import published_videos
from bgsub_lightning.evaluation import TestResult
from bgsub_lightning.evaluation.gallery import read_gallery
from bgsub_lightning.report.merge import merged

KEYS = ("PTZ/zoomInZoomOut", "baseline/PETS2006", "baseline/highway", "baseline/office")
KEYS += ("shadow/bungalows", "thermal/park")
LABELLED = range(21, 27)
COUNTS = ("TP", "FP", "FN", "TN", "SE")
Fails = Callable[[int], str]


def call(root: Path, masks: Path, out: Path, *options: str) -> int:
    return main(["evaluate", str(masks), f"--out={out}", f"--root={root}", *options])


def write_masks(folder: Path, keys: Iterable[str], numbers: Iterable[int], size: tuple[int, int] = (64, 48)) -> Path:
    """Write masks of random blocks, the same whenever they are written."""
    for key in keys:
        generator = np.random.default_rng(sum(map(ord, key)))
        (folder / key).mkdir(parents=True)
        for number in numbers:
            coarse = (generator.random((size[1] // 4, size[0] // 4)) < 0.3).astype(np.uint8) * 255
            mask = cv2.resize(coarse, size, interpolation=cv2.INTER_NEAREST)
            assert cv2.imwrite(str(folder / key / f"bin{number:06d}.png"), mask)
    return folder


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Masks of every frame of ``cdnet``."""
    return write_masks(tmp_path / "results", KEYS, range(1, 27))


def by_the_rule(video: Path, masks: Path, numbers: Iterable[int]) -> list[int]:
    """Count pixel after pixel, as the benchmark's authors describe it; nothing of it is taken from the package."""
    roi = cv2.imread(str(video / "ROI.bmp"), cv2.IMREAD_GRAYSCALE).tolist()
    tp = fp = fn = tn = shadow_errors = 0
    for number in numbers:
        truth = cv2.imread(str(video / f"groundtruth/gt{number:06d}.png"), cv2.IMREAD_GRAYSCALE).tolist()
        said = cv2.imread(str(masks / f"bin{number:06d}.png"), cv2.IMREAD_GRAYSCALE).tolist()
        for roi_row, truth_row, said_row in zip(roi, truth, said, strict=True):
            for inside, level, answer in zip(roi_row, truth_row, said_row, strict=True):
                if inside == 0 or level == 170:
                    continue
                if answer == 255:
                    if level == 255:
                        tp += 1
                    else:
                        fp += 1
                        if level == 50:
                            shadow_errors += 1
                elif level == 255:
                    fn += 1
                else:
                    tn += 1
    return [tp, fp, fn, tn, shadow_errors]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def counts_of(out: Path) -> dict[str, list[int]]:
    return {key: video.counts for key, video in TestResult.load(out).videos.items()}


# --- what is counted -------------------------------------------------------------------------------------------------


def test_counts_are_those_of_the_rule(
    cdnet: Path, masks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert call(cdnet, masks, out) == 0
    expected = {key: by_the_rule(cdnet / key, masks / key, LABELLED) for key in KEYS}
    assert all(min(counts) > 0 for counts in expected.values())
    assert counts_of(out) == expected
    result = TestResult.load(out)
    assert (result.name, result.system, result.dataset, result.leakage) == ("out", "masks", "CDnet2014", "unknown")
    assert (result.protocol, result.frames_per_second, result.threshold) == ("masks of results", None, None)
    assert (result.partial, {video.frames for video in result.videos.values()}) == (False, {6})

    frames = rows_of(out / "frames.csv")
    assert [(row["video"], int(row["frame"])) for row in frames] == [(key, n) for key in KEYS for n in LABELLED]
    for key in KEYS:
        of_video = [[int(row[name]) for name in COUNTS] for row in frames if row["video"] == key]
        assert [sum(column) for column in zip(*of_video, strict=True)] == expected[key]
    assert {(row["trained_on"], row["is_test"]) for row in frames} == {("", "1")}

    for row in rows_of(out / "per_video.csv"):
        tp, fp, fn, tn, se = expected[f"{row['category']}/{row['video']}"]
        assert [int(row[name]) for name in ("frames", "missing", *COUNTS)] == [6, 0, tp, fp, fn, tn, se]
        assert float(row["f_measure"]) == pytest.approx(2 * tp / (2 * tp + fp + fn))
        assert float(row["pwc"]) == pytest.approx(100 * (fp + fn) / (tp + fp + fn + tn))
        assert row["undefined"] == ""
    assert rows_of(out / "problems.csv") == []
    output = capsys.readouterr().out
    title = "out on videos that are not CDnet2014's own, masks of results: what training has seen is not known"
    assert title in " ".join(output.split())
    assert main(["report", str(out)]) == 0


def test_statistics_are_laid_out_as_those_of_the_comparator(cdnet: Path, masks: Path, tmp_path: Path) -> None:
    assert call(cdnet, masks, tmp_path / "out") == 0
    folder, counts = tmp_path / "out/stats", counts_of(tmp_path / "out")

    def cm(path: Path) -> list[str]:
        return [line for line in path.read_text().splitlines() if line.startswith("cm")]

    def text(*keys: str) -> str:
        return " ".join(str(sum(column)) for column in zip(*(counts[key] for key in keys), strict=True))

    def metrics(tp: int, fp: int, fn: int, tn: int) -> list[float]:
        recall, precision = tp / (tp + fn), tp / (tp + fp)
        rates = [recall, tn / (tn + fp), fp / (fp + tn), fn / (tp + fn), 100 * (fn + fp) / (tp + fp + fn + tn)]
        return [*rates, precision, 2 * recall * precision / (recall + precision)]

    def mean(*rows: Sequence[float]) -> list[float]:
        return [sum(column) / len(rows) for column in zip(*rows, strict=True)]

    baseline = [key for key in KEYS if key.startswith("baseline/")]
    lines = [f"cm video baseline {key.split('/')[1]} {text(key)}" for key in baseline]
    assert cm(folder / "baseline/highway/stats.txt") == [f"cm: {text('baseline/highway')}"]
    assert cm(folder / "baseline/stats.txt") == [*lines, f"cm category baseline {text(*baseline)}"]
    overall = cm(folder / "stats.txt")
    assert len(overall) == 6 + 4 + 1
    assert overall[-1] == f"cm overall {text(*KEYS)}"
    assert set(lines) < set(overall)
    by_category = {
        name: mean(*(metrics(*counts[key][:4]) for key in KEYS if key.split("/")[0] == name))
        for name in ("PTZ", "baseline", "shadow", "thermal")
    }
    last = (folder / "baseline/stats.txt").read_text().splitlines()[-1]
    assert [float(word) for word in last.split()] == pytest.approx(by_category["baseline"], abs=1e-9)
    last = (folder / "stats.txt").read_text().splitlines()[-1]
    assert last.startswith("Overall :\t")
    assert [float(word) for word in last.split()[2:]] == pytest.approx(mean(*by_category.values()), abs=1e-9)


def test_nothing_of_an_earlier_evaluation_is_left(cdnet: Path, masks: Path, tmp_path: Path) -> None:
    def files(out: Path) -> set[str]:
        return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}

    out, fresh = tmp_path / "out", tmp_path / "fresh"
    assert call(cdnet, masks, out, "--scene=baseline,thermal") == 0
    own = {"notes.txt", "stats/thermal/notes.txt", "stats/mine/stats.txt", "gallery/baseline/highway/notes.txt"}
    own |= {"gallery/holiday/2026/img_1_frame.psd", "gallery/baseline/highway/000023_confusion.txt"}
    for name in own:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    for folder in (out, fresh):
        assert call(cdnet, masks, folder, "--scene=baseline/office") == 0
    assert files(out) == files(fresh) | own
    assert not (out / "stats/baseline/highway").exists()


@pytest.mark.parametrize("name", ["stats", "stats/thermal", "stats/thermal/park", "gallery/thermal"])
def test_nothing_is_deleted_through_links(cdnet: Path, masks: Path, tmp_path: Path, fails: Fails, name: str) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    assert call(cdnet, masks, out, "--scene=thermal") == 0
    (out / name).rename(outside)
    (out / name).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    assert f"{out / name}: is a symbolic link" in fails(call(cdnet, masks, out, "--scene=baseline"))
    assert sorted(outside.rglob("*")) == before


@pytest.mark.parametrize("name", ["stats", "gallery", "stats/baseline"])
def test_nothing_is_written_through_links(cdnet: Path, masks: Path, tmp_path: Path, fails: Fails, name: str) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    (out / name).parent.mkdir(parents=True)
    (out / name).symlink_to(outside)
    assert f"{out / name}: is a symbolic link" in fails(call(cdnet, masks, out))
    assert list(outside.iterdir()) == []


def test_a_folder_that_another_process_works_in_is_refused(
    cdnet: Path, masks: Path, tmp_path: Path, fails: Fails
) -> None:
    script = (
        "import pathlib, sys; from bgsub_lightning.core.files import claimed\n"
        f"with claimed(pathlib.Path({str(tmp_path / 'out')!r})): print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert "another process works in this folder" in fails(call(cdnet, masks, tmp_path / "out"))
        other.communicate()
    assert call(cdnet, masks, tmp_path / "out") == 0


def test_processes_find_what_one_finds(cdnet: Path, masks: Path, tmp_path: Path) -> None:
    (masks / "thermal/park/bin000023.png").unlink()
    for workers in ("1", "2"):
        assert call(cdnet, masks, tmp_path / workers / "out", f"--workers={workers}", "--allow_partial=true") == 0
    written = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert len([path for path in written if "gallery" not in path.parts]) == 4 + 1 + 4 + 6
    assert len(read_gallery(tmp_path / "1/out/gallery")) == 4 * len({key.split("/")[0] for key in KEYS})
    for path in written:
        assert (tmp_path / "1" / path).read_bytes() == (tmp_path / "2" / path).read_bytes()


def test_masks_of_predict_have_the_counts_of_test(
    run: Callable[..., int], tiny: Path, cdnet: Path, tmp_path: Path
) -> None:
    """Under a protocol that scores frames of the training part as well."""
    content = yaml.safe_load(tiny.read_text())
    content["model"] = {"class_path": "bgsub_lightning.systems.ClassicalSubtractor", "init_args": {"method": "KNN"}}
    budget = {"class_path": "bgsub_lightning.splits.LabelBudget", "init_args": {"frames": 2, "drawn": "balanced"}}
    content["data"]["init_args"] |= {"scene": ["highway", "shadow"], "protocol": budget, "size": None}
    config = tmp_path / "knn.yaml"
    config.write_text(yaml.safe_dump(content))
    assert run("test", config=config) == 0
    assert run("predict", config=config) == 0
    tested, out = TestResult.load(tmp_path / "run"), tmp_path / "out"
    assert call(cdnet, tmp_path / "run/results", out, f"--frames={tmp_path / 'run'}", "--leakage=unseen scenes") == 0
    found = TestResult.load(out)
    assert found.leakage == "unseen scenes"
    assert found.videos.keys() == tested.videos.keys() == {"baseline/highway", "shadow/bungalows"}
    for key, video in tested.videos.items():
        assert (video.frames, video.frames_with_training) == (4, 6)
        for name in ("counts", "frames", "dice", "counts_with_training", "dice_with_training", "frames_with_training"):
            assert getattr(found.videos[key], name) == getattr(video, name)
        assert found.videos[key].binary_truth == video.binary_truth
    assert (out / "frames.csv").read_bytes() == (tmp_path / "run/frames.csv").read_bytes()
    assert main(["report", str(tmp_path / "run"), str(out)]) == 0


def test_training_frames_alone_make_no_video(cdnet: Path, masks: Path, tmp_path: Path) -> None:
    names, out = tmp_path / "some.csv", tmp_path / "out"
    header = "video,frame,trained_on,is_test"
    names.write_text(f"{header}\nbaseline/office,22,1,0\nbaseline/office,25,0,1\nthermal/park,21,0,1\n")
    (masks / "baseline/office/bin000025.png").unlink()
    assert call(cdnet, masks, out, f"--frames={names}", "--allow_partial=true") == 0
    assert counts_of(out) == {"thermal/park": by_the_rule(cdnet / "thermal/park", masks / "thermal/park", (21,))}
    assert TestResult.load(out).missing == {"baseline/office": 1}
    rows = [(row["video"], row["trained_on"], row["is_test"]) for row in rows_of(out / "frames.csv")]
    assert rows == [("baseline/office", "1", "0"), ("thermal/park", "0", "1")]


def test_frames_named_by_a_file(cdnet: Path, masks: Path, tmp_path: Path, fails: Fails) -> None:
    names = tmp_path / "some.csv"
    names.write_text("video,frame\nbaseline/office,22\nbaseline/office,25\nthermal/park,21\n")
    assert call(cdnet, masks, tmp_path / "out", f"--frames={names}") == 0
    asked = {"baseline/office": (22, 25), "thermal/park": (21,)}
    expected = {key: by_the_rule(cdnet / key, masks / key, numbers) for key, numbers in asked.items()}
    assert counts_of(tmp_path / "out") == expected
    for text, part in (
        ("video,frame\nbaseline/office,20\n", "frame 20 of baseline/office has no ground truth"),
        ("video,frame\nbaseline/ofice,22\n", f"--frames: {names}: 'baseline/ofice'"),
        ("video,number\nbaseline/office,22\n", "must have the columns video and frame"),
        ("video,frame\nbaseline/office,x\n", "must have the columns video and frame"),
        ("video,frame\n", "names no frame"),
    ):
        names.write_text(text)
        assert part in fails(call(cdnet, masks, tmp_path / "other", f"--frames={names}"))
    assert "there is no such file" in fails(call(cdnet, masks, tmp_path / "other", f"--frames={tmp_path}"))
    assert not (tmp_path / "other").exists()


def test_other_layouts_of_masks(cdnet: Path, masks: Path, tmp_path: Path) -> None:
    assert call(cdnet, masks, tmp_path / "out") == 0
    for key in KEYS:
        for number in LABELLED:
            mask = cv2.imread(str(masks / key / f"bin{number:06d}.png"))  # of three channels
            assert cv2.imwrite(str(tmp_path / f"{key.split('/')[1]}_{number}.bmp"), mask)
    assert call(cdnet, tmp_path, tmp_path / "other", "--pattern={video}_{number}.bmp") == 0
    assert counts_of(tmp_path / "other") == counts_of(tmp_path / "out")


def test_another_dataset(tmp_path: Path) -> None:
    """LASIESTA, whose masks are coloured: red is foreground, grey is not counted."""
    root, masks = tmp_path / "data", tmp_path / "masks/I_SI/I_SI_01"
    masks.mkdir(parents=True)
    (root / "I_SI_01").mkdir(parents=True)
    (root / "I_SI_01-GT").mkdir()
    truth, said = np.zeros((8, 12, 3), np.uint8), np.zeros((8, 12), np.uint8)
    truth[:, :3], truth[:, 3:5] = (0, 0, 255), (128, 128, 128)  # as OpenCV writes red
    said[:, 2:7] = 255
    for number in (1, 2):
        cv2.imwrite(str(root / f"I_SI_01/I_SI_01-{number:06d}.bmp"), truth)
        cv2.imwrite(str(root / f"I_SI_01-GT/I_SI_01-GT_{number:06d}.png"), truth)
        cv2.imwrite(str(masks / f"bin{number:06d}.png"), said)
    assert call(root, tmp_path / "masks", tmp_path / "out", "--dataset=lasiesta") == 0
    assert counts_of(tmp_path / "out") == {"I_SI/I_SI_01": [16, 32, 32, 80, 0]}


# --- what can be wrong with masks ------------------------------------------------------------------------------------


def spoil(masks: Path) -> None:
    shutil.rmtree(masks / "shadow/bungalows")
    office, park = masks / "baseline/office", masks / "thermal/park"
    (office / "bin000021.png").unlink()
    (office / "bin000022.png").write_bytes((office / "bin000022.png").read_bytes()[:-20])
    (office / "bin000023.png").unlink()
    os.mkfifo(office / "bin000023.png")
    cv2.imwrite(str(office / "bin000024.png"), np.zeros((24, 32), np.uint8))
    cv2.imwrite(str(office / "bin000025.png"), np.zeros((48, 64), np.uint16))
    for number in LABELLED:
        path = str(park / f"bin{number:06d}.png")
        cv2.imwrite(path, (cv2.imread(path, cv2.IMREAD_GRAYSCALE) > 0).astype(np.uint8))
    (park / "notes.txt").write_text("of another tool")
    shutil.copy(park / "bin000021.png", park / "bin000099.png")


def test_a_partial_result_is_scored_named_and_marked(
    cdnet: Path, masks: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    spoil(masks)
    assert call(cdnet, masks, out) == 2
    captured = capfd.readouterr()
    output = " ".join(captured.out.split())
    assert re.search(r"partial: 11 frames of 2 videos", captured.err)
    assert "Traceback" not in captured.err
    office, park = masks / "baseline/office", masks / "thermal/park"
    assert re.search(rf"{masks}/shadow/bungalows/bin000021\.png: .*missing.* 6 masks", output)
    assert f"{office}/bin000021.png: is missing, in baseline/office" in output
    assert re.search(rf"{office}/bin000022\.png: .*truncated.*1 other.*baseline/office", output)
    assert re.search(rf"{office}/bin000024\.png: .*32×24.*64×48.*baseline/office", output)
    assert (
        f"{park}/bin000021.png: is not binary (holds 1, like 0 and 1 for 0 and 255) (and 5 others), in thermal/park"
        in output
    )
    assert "no mask of thermal/park has a 255 where it counts" in output
    assert re.search(r"thermal/park/bin000099\.png: .*no frame.*1 other", output)
    assert "overall, partial" in output
    assert re.search(r"Partial: 11 frames of baseline/office, shadow/bungalows", output)

    result = TestResult.load(out)
    assert result.partial
    assert result.missing == {"baseline/office": 5, "shadow/bungalows": 6}
    assert "shadow/bungalows" not in result.videos
    assert result.videos["baseline/office"].frames == 1
    assert result.videos["baseline/office"].counts == by_the_rule(
        cdnet / "baseline/office", masks / "baseline/office", (26,)
    )
    assert result.videos["thermal/park"].counts[:2] == [0, 0]
    problems = {(row["video"], row["frame"]): (row["problem"], row["detail"]) for row in rows_of(out / "problems.csv")}
    assert [problems["baseline/office", str(number)] for number in range(21, 26)] == [
        ("missing", ""),
        ("unreadable", "truncated"),
        ("unreadable", "it is no regular file"),
        ("of another size", "32×24 instead of 64×48"),
        ("of 16 bits", ""),
    ]
    assert sum(key == "shadow/bungalows" for key, _ in problems) == 6
    row = next(row for row in rows_of(out / "per_video.csv") if row["video"] == "bungalows")
    assert (row["frames"], row["missing"], row["TP"], row["f_measure"]) == ("0", "6", "", "")
    assert "# Partial: shadow/bungalows lacks 6 of its frames." in (out / "stats/stats.txt").read_text()

    assert call(cdnet, masks, tmp_path / "whole", "--scene=[highway, PETS2006]") == 0
    assert main(["report", str(tmp_path / "whole"), str(out)]) == 2  # other frames
    assert call(cdnet, masks, out, "--allow_partial=true") == 0


def test_a_colour_or_grey_mask_counts_where_it_is_white(cdnet: Path, masks: Path, tmp_path: Path) -> None:
    path = masks / "baseline/office/bin000024.png"
    blurred = cv2.blur(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (3, 3))
    cv2.imwrite(str(path), blurred)
    assert call(cdnet, masks, tmp_path / "out", "--scene=[office]") == 0
    office = by_the_rule(cdnet / "baseline/office", masks / "baseline/office", LABELLED)
    assert counts_of(tmp_path / "out") == {"baseline/office": office}
    (row,) = rows_of(tmp_path / "out/problems.csv")
    assert (row["frame"], row["problem"]) == ("24", "not binary")
    assert row["detail"].startswith("holds ")


def test_a_category_misspelt(cdnet: Path, masks: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (masks / "thermal").rename(masks / "termal")
    assert call(cdnet, masks, tmp_path / "out") == 2
    output = " ".join(capfd.readouterr().out.split())
    assert f"masks of thermal/park, in thermal/park. There is {masks}/termal/park: is it misspelt?" in output
    assert re.search(rf"{masks}/termal: .*\bthermal\b", output)


def test_a_category_misspelt_alone(cdnet: Path, masks: Path, tmp_path: Path, fails: Fails) -> None:
    for category in ("PTZ", "shadow", "thermal"):
        shutil.rmtree(masks / category)
    (masks / "baseline").rename(masks / "basline")
    message = fails(call(cdnet, masks, tmp_path / "out"))
    assert re.search(rf"{masks}/basline: .*\bbaseline\b", message)
    (masks / "basline").rename(masks / "baseline")
    (masks / "baseline/highway").rename(masks / "baseline/Highways")
    message = fails(call(cdnet, masks, tmp_path / "out", "--scene=[highway]"))
    assert re.search(rf"{masks}/baseline/Highways: .*\bhighway\b", message)
    assert not (tmp_path / "out").exists()


def test_the_wrong_folder(cdnet: Path, masks: Path, tmp_path: Path, fails: Fails) -> None:
    out = tmp_path / "out"
    (tmp_path / "above/mine").mkdir(parents=True)
    masks = masks.rename(tmp_path / "above/mine/results")
    for wrong in (tmp_path / "above/mine", tmp_path / "above", masks / "baseline", masks / "baseline/highway"):
        message = fails(call(cdnet, wrong, out))
        assert f"{wrong}: holds no expected mask" in message
        assert f"Did you mean --masks {masks}?" in message
    for video in (masks / "baseline").iterdir():
        video.rename(tmp_path / "above/mine" / video.name)
    shutil.rmtree(masks)
    message = fails(call(cdnet, tmp_path / "above/mine", out))
    assert "Did you mean --pattern '{video}/bin{number:06d}.png'?" in message
    assert "Name the folder by --masks" in fails(call(cdnet, tmp_path / "dataset", out))
    assert "there is no such folder of masks" in fails(call(cdnet, tmp_path / "no", out))
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--workers=0"], ["--workers", "0"]),
        (["--dataset=CDnet2013"], ["--dataset", "'CDnet2013'", "Did you mean CDnet2014?"]),
        (["--dataset=x"], ["--dataset", "CDnet2014, LASIESTA, LIMU, SBI2015, Wallflower"]),
        (["--dataset_masks=x"], ["--dataset_masks: the layout of CDnet2014 is fixed"]),
        (["--pattern={category}/{video}.png"], ["--pattern", "must hold {video} and {number}"]),
        (["--pattern={video}/{number:x!}.png"], ["--pattern", "cannot be used"]),
        (["--pattern={clip}/{number}.png"], ["--pattern", "cannot be used"]),
        (["--pattern={video}/{number:999999999d}.png"], ["--pattern", "{number:999999999d}"]),
        (["--pattern={video:>99999999}/{number}.png"], ["--pattern", "{video:>99999999}"]),
        (["--pattern={video!r}/{number}.png"], ["--pattern", "{video!r}"]),
        (["--pattern={video}/{number:{number}}.png"], ["--pattern", "{number:{number}}"]),
        (["--scene=[higway]"], ["'higway'", "highway"]),
        (["--leakage=none"], ["unseen scenes"]),
        (["--zip=x.zip", "--scene=[highway]"], ["--zip", "--scene"]),
        (["--zip=x.zip", "--dataset=SBI2015"], ["--zip", "SBI2015"]),
    ],
)
def test_options_that_make_no_sense(
    cdnet: Path, masks: Path, tmp_path: Path, fails: Fails, options: list[str], parts: list[str]
) -> None:
    message = fails(call(cdnet, masks, tmp_path / "out", *options))
    for part in parts:
        assert part in message
    assert not (tmp_path / "out").exists()


def test_a_dataset_without_labels(cdnet: Path, masks: Path, tmp_path: Path, fails: Fails) -> None:
    shutil.rmtree(cdnet / "baseline/highway/groundtruth")
    message = fails(call(cdnet, masks, tmp_path / "out", "--scene=[highway]"))
    assert re.search(r"no frame .*baseline/highway", message)


def test_a_damaged_ground_truth(cdnet: Path, masks: Path, tmp_path: Path, fails: Fails) -> None:
    path = cdnet / "baseline/office/groundtruth/gt000023.png"
    cv2.imwrite(str(path), np.full((48, 64), 77, np.uint8))
    for workers in (1, 2):
        message = fails(call(cdnet, masks, tmp_path / "out", f"--workers={workers}"))
        assert re.search(rf"{path}: .*\(77\)", message)
    assert not (tmp_path / "out").exists()


def test_partial_results_keep_their_mark_when_merged(cdnet: Path, masks: Path, tmp_path: Path) -> None:
    (masks / "thermal/park/bin000023.png").unlink()
    common = ("--allow_partial=true", "--protocol=two halves")
    assert call(cdnet, masks, tmp_path / "one", "--scene=[baseline]", *common) == 0
    assert call(cdnet, masks, tmp_path / "other", "--scene=[thermal]", *common) == 0
    whole = merged([TestResult.load(tmp_path / "one"), TestResult.load(tmp_path / "other")], "both")
    assert whole.missing == {"thermal/park": 1}
    assert (whole.frames_per_second, whole.leakage, len(whole.videos)) == (None, "unknown", 4)


# --- the archive -----------------------------------------------------------------------------------------------------


@pytest.fixture
def all_videos(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """All 53 videos of CDnet2014: of 4 frames, the second is labelled, the third and fourth are withheld."""
    for row in published_videos():
        make_video(tmp_path / "all", row["category"], row["video"], size=(16, 12), unlabelled=1, labelled=1, withheld=2)
    return tmp_path / "all"


def test_an_archive_holds_what_the_site_takes(all_videos: Path, tmp_path: Path, fails: Fails) -> None:
    keys = [f"{row['category']}/{row['video']}" for row in published_videos()]
    masks = write_masks(tmp_path / "mine", keys, range(1, 5), (16, 12))
    for name in ("a", "b"):
        assert call(all_videos, masks, tmp_path / "out", f"--zip={tmp_path / name}.zip") == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {f"results/{key}/bin{n:06d}.png" for key in keys for n in (2, 3, 4)}
        for name in archive.namelist()[:9]:
            assert archive.read(name) == (masks / name.removeprefix("results/")).read_bytes()

    (masks / "shadow/cubicle/bin000004.png").unlink()
    shutil.rmtree(all_videos / "thermal/park")
    other = tmp_path / "other"
    message = fails(call(all_videos, masks, other, f"--zip={tmp_path / 'c.zip'}"))
    assert re.search(r"shadow/cubicle: 1 mask .*missing", message)
    assert "The dataset's folder itself lacks 1 video: thermal/park" in message
    assert not other.exists()
    assert not (tmp_path / "c.zip").exists()
    assert call(all_videos, masks, other, f"--zip={tmp_path / 'c.zip'}", "--allow_partial=true") == 0
    assert len(zipfile.ZipFile(tmp_path / "c.zip").namelist()) == 52 * 3 - 1

    cv2.imwrite(str(masks / "shadow/cubicle/bin000003.png"), np.full((12, 16), 254, np.uint8))
    message = fails(call(all_videos, masks, other, f"--zip={tmp_path / 'd.zip'}", "--allow_partial=true"))
    assert "bin000003.png: holds the grey level 254" in message
    (masks / "shadow/cubicle/bin000003.png").write_text("")
    message = fails(call(all_videos, masks, other, f"--zip={tmp_path / 'd.zip'}", "--allow_partial=true"))
    assert re.search(r"bin000003\.png: .*truncated", message)
    assert not list(tmp_path.glob("*d.zip*"))


# --- real sequences --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", ["baseline/highway", "[baseline/highway]"])
def test_what_segment_writes_is_scored_as_it_is(
    scene: str, cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = f"--source={cdnet / 'baseline/highway/input'}"
    assert (
        main(["segment", source, f"--out={tmp_path / 'seen'}", "--checkpoint=MOG2", "--write=masks", "--clean=false"])
        == 0
    )
    for number, masks in enumerate((tmp_path / "seen", tmp_path / "seen/masks")):
        assert call(cdnet, masks, tmp_path / f"out{number}", "--scene", scene) == 0
        assert "baseline/highway" in capfd.readouterr().out
        expected = by_the_rule(cdnet / "baseline/highway", tmp_path / "seen/masks", LABELLED)
        assert counts_of(tmp_path / f"out{number}") == {"baseline/highway": expected}


def test_scenes_with_commas_between_them(cdnet: Path, masks: Path, tmp_path: Path, fails: Fails) -> None:
    assert call(cdnet, masks, tmp_path / "out", "--scene=baseline/highway,thermal") == 0
    assert list(counts_of(tmp_path / "out")) == ["baseline/highway", "thermal/park"]
    assert "{video}" in fails(call(cdnet, masks, tmp_path / "no", "--pattern=bin{number:06d}.png"))


def truth_masks(cdnet: Path, folder: Path, encode: Callable[[np.ndarray], np.ndarray]) -> Path:
    """Masks of highway that are its ground truth, written in some way."""
    (folder / "baseline/highway").mkdir(parents=True)
    for number in LABELLED:
        truth = cv2.imread(str(cdnet / f"baseline/highway/groundtruth/gt{number:06d}.png"), cv2.IMREAD_GRAYSCALE)
        mask = np.where(truth == 255, np.uint8(255), np.uint8(0))
        cv2.imwrite(str(folder / f"baseline/highway/bin{number:06d}.png"), encode(mask))
    return folder


def f_measure(out: Path) -> float:
    tp, fp, fn, _, _ = counts_of(out)["baseline/highway"]
    return 2 * tp / (2 * tp + fp + fn)


def in_alpha(mask: np.ndarray) -> np.ndarray:
    return np.dstack([np.full((*mask.shape, 3), 255, np.uint8), mask])


HIGHWAY = ("--scene", "[baseline/highway]")


def test_a_mask_in_the_alpha_channel_is_named_and_not_scored(cdnet: Path, tmp_path: Path, fails: Fails) -> None:
    masks = truth_masks(cdnet, tmp_path / "masks", in_alpha)
    message = fails(call(cdnet, masks, tmp_path / "out", *HIGHWAY))
    assert "partial" in message
    (row, *others) = rows_of(tmp_path / "out/problems.csv")
    assert (row["frame"], row["problem"], len(others)) == ("21", "in its alpha channel", 5)


def test_masks_that_look_inverted_are_named_and_taken(
    cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    masks = truth_masks(cdnet, tmp_path / "masks", np.bitwise_not)
    assert call(cdnet, masks, tmp_path / "out", *HIGHWAY) == 0
    output = capfd.readouterr().out
    assert "--invert" in output
    assert "1.0000" in output
    assert call(cdnet, masks, tmp_path / "inverted", *HIGHWAY, "--invert") == 0
    assert "--invert" not in capfd.readouterr().out
    assert f_measure(tmp_path / "inverted") == 1


def test_a_good_or_a_silent_system_does_not_look_inverted(
    cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, encode in (("good", np.copy), ("silent", np.zeros_like), ("loud", lambda mask: np.full_like(mask, 255))):
        masks = truth_masks(cdnet, tmp_path / f"masks_{name}", encode)
        assert call(cdnet, masks, tmp_path / name, *HIGHWAY) == 0
    assert "--invert" not in capfd.readouterr().out


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_soft_maps_are_named_and_taken_at_a_threshold(
    depth: type, cdnet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def soft(mask: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(1).integers(0, 90, mask.shape)
        levels = np.where(mask == 255, 165 + noise, noise)
        return (levels * (np.iinfo(depth).max // 255)).astype(depth)

    masks = truth_masks(cdnet, tmp_path / "masks", soft)
    call(cdnet, masks, tmp_path / "out", *HIGHWAY)
    assert "--threshold" in capfd.readouterr().out
    assert call(cdnet, masks, tmp_path / "half", *HIGHWAY, "--threshold", "0.5") == 0
    assert f_measure(tmp_path / "half") == 1
    assert len(read_gallery(tmp_path / "half/gallery")) > 0


def test_masks_of_0_and_1_are_taken_at_0(cdnet: Path, tmp_path: Path, fails: Fails) -> None:
    masks = truth_masks(cdnet, tmp_path / "masks", lambda mask: mask // 255)
    assert call(cdnet, masks, tmp_path / "out", *HIGHWAY, "--threshold", "0") == 0
    assert f_measure(tmp_path / "out") == 1
    assert "1.5" in fails(call(cdnet, masks, tmp_path / "no", *HIGHWAY, "--threshold", "1.5"))


@pytest.mark.real_data
def test_real_sequences_have_the_counts_of_the_rule(real_data: Path, tmp_path: Path) -> None:
    """Video by video: random blocks on the five sequences, counted by numpy from the files alone."""
    root, masks = real_data / "CDnet2014", tmp_path / "masks"
    expected: dict[str, list[int]] = {}
    for path in sorted(root.glob("*/*/temporalROI.txt")):
        folder, key = path.parent, path.parent.relative_to(root).as_posix()
        first, last = map(int, path.read_text().split())
        counts = np.zeros(5, np.int64)
        generator = np.random.default_rng(len(key))
        (masks / key).mkdir(parents=True)
        roi = cv2.imread(str(folder / "ROI.bmp"), cv2.IMREAD_GRAYSCALE) if (folder / "ROI.bmp").exists() else None
        for number in range(first, last + 1):
            truth = cv2.imread(str(folder / f"groundtruth/gt{number:06d}.png"), cv2.IMREAD_GRAYSCALE)
            if truth is None or (truth == 85).all():
                continue
            said = np.kron(generator.random((8, 8)) < 0.3, np.ones((96, 128), bool))[: truth.shape[0], : truth.shape[1]]
            cv2.imwrite(str(masks / key / f"bin{number:06d}.png"), said.astype(np.uint8) * 255)
            counted = truth != 170
            if roi is not None and not (roi == 255).all():
                counted &= roi > 0
            moving = truth == 255
            for place, area in enumerate((moving & said, ~moving & said, moving & ~said, ~moving & ~said)):
                counts[place] += (area & counted).sum()
            counts[4] += ((truth == 50) & said & counted).sum()
        expected[key] = counts.tolist()
    assert len(expected) == 5
    assert call(root, masks, tmp_path / "out") == 0
    assert counts_of(tmp_path / "out") == expected
