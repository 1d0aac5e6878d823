from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import CDnet2014, Problem, Scene, raise_for_errors

MakeVideo = Callable[..., Path]


@pytest.fixture
def video(tmp_path: Path, make_video: MakeVideo) -> Path:
    """A sound video: 26 frames, of which 21 to 26 are labelled."""
    return make_video(tmp_path, "baseline", "highway")


def read(video: Path) -> Scene:
    (scene,) = CDnet2014().scenes(video.parents[1])
    return scene


def the_problem(scene: Scene) -> Problem:
    (problem,) = scene.problems
    return problem


def picture(path: Path, image: Any) -> None:
    assert cv2.imwrite(str(path), np.asarray(image, np.uint8))


def frame(video: Path, number: int) -> Path:
    return video / f"input/in{number:06d}.jpg"


def mask(video: Path, number: int) -> Path:
    return video / f"groundtruth/gt{number:06d}.png"


def test_a_sound_video(video: Path) -> None:
    scene = read(video)
    assert (scene.dataset, scene.key, scene.category, scene.name) == (
        "CDnet2014",
        "baseline/highway",
        "baseline",
        "highway",
    )
    assert scene.size == (64, 48)
    assert dict(scene.frames) == {number: frame(video, number) for number in range(1, 27)}
    assert dict(scene.masks) == {number: mask(video, number) for number in range(21, 27)}
    assert list(scene.frames) == sorted(scene.frames)
    assert scene.evaluated == (21, 26)
    assert scene.references == tuple(range(1, 21))
    assert scene.roi == video / "ROI.bmp"
    assert scene.problems == ()
    assert repr(scene) == "Scene(CDnet2014:baseline/highway, 26 frames, 6 labelled)"


def test_scenes_come_in_the_order_of_their_keys(cdnet: Path) -> None:
    keys = [scene.key for scene in CDnet2014().scenes(cdnet)]
    assert keys == sorted(keys)
    assert keys == [
        "PTZ/zoomInZoomOut",
        "baseline/PETS2006",
        "baseline/highway",
        "baseline/office",
        "shadow/bungalows",
        "thermal/park",
    ]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["baseline"], ["baseline/PETS2006", "baseline/highway", "baseline/office"]),
        (["*/highway", "thermal/*"], ["baseline/highway", "thermal/park"]),
        (["thermal/park", "thermal"], ["thermal/park"]),
    ],
)
def test_patterns_choose_scenes(cdnet: Path, patterns: list[str], expected: list[str]) -> None:
    assert [scene.key for scene in CDnet2014().scenes(cdnet, patterns)] == expected


def test_other_files_and_hidden_folders_are_passed_over(video: Path) -> None:
    shutil.copytree(video, video.with_name(".backup"))
    for name in ("input/Thumbs.db", "input/in1.txt", "input/xin000001.jpg", "groundtruth/gt000021.jpg", "ROI.jpg"):
        (video / name).write_text("not a picture")
    scene = read(video)
    assert len(scene.frames) == 26
    assert scene.problems == ()


# --- what keeps a video from being used ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "is missing"),
        ("", "does not parse"),
        ("470", "does not parse"),
        ("one two", r"does not parse \('one two'\)"),
        ("1 2 3", "does not parse"),
        ("1.5 20", "does not parse"),
        ("26 21", "is no range of frame numbers"),
        ("0 26", "is no range of frame numbers"),
        ("1 99999999999", "is no range of frame numbers"),
        (f"1 {10**30}", "is no range of frame numbers"),
        ("-5 26", "is no range of frame numbers"),
    ],
)
def test_temporal_roi_that_cannot_be_used(video: Path, text: str | None, what: str) -> None:
    path = video / "temporalROI.txt"
    path.unlink()
    if text is not None:
        path.write_text(text)
    scene = read(video)
    (problem,) = scene.errors
    assert problem.file == path
    assert not scene.masks
    with pytest.raises(UserError, match=rf"{path}: {what}.* '470 1700'"):
        raise_for_errors([scene])


def test_temporal_roi_that_is_no_utf_8(video: Path) -> None:
    (video / "temporalROI.txt").write_bytes("21 26".encode("utf-16"))
    (problem,) = read(video).errors
    assert problem.file == video / "temporalROI.txt"


@pytest.mark.parametrize("text", ["21 26\r\n", "21\n26", "  21\t26  "])
def test_temporal_roi_in_other_spacing(video: Path, text: str) -> None:
    (video / "temporalROI.txt").write_text(text)
    scene = read(video)
    assert scene.evaluated == (21, 26)
    assert scene.problems == ()


def test_roi_of_another_size_is_an_error(video: Path) -> None:
    picture(video / "ROI.bmp", np.eye(30, 40) * 255)
    scene = read(video)
    (problem,) = scene.errors
    assert problem.file == video / "ROI.bmp"
    with pytest.raises(UserError, match=r"highway/ROI\.bmp: .*40×30.*64×48"):
        raise_for_errors([scene])


def test_black_roi_is_an_error(video: Path) -> None:
    picture(video / "ROI.bmp", np.zeros((48, 64)))
    with pytest.raises(UserError, match=r"highway/ROI\.bmp: .*black"):
        raise_for_errors([read(video)])


def test_no_frames_are_an_error(video: Path) -> None:
    for path in (video / "input").iterdir():
        path.unlink()
    scene = read(video)
    assert [problem.file for problem in scene.errors] == [video / "input"]
    with pytest.raises(UserError, match=r"highway/input: holds no frame\. .* in%06d\.jpg"):
        raise_for_errors([scene])


def test_first_frame_that_is_no_image_is_an_error(video: Path) -> None:
    frame(video, 1).write_bytes(b"no image \xff\xd9")
    with pytest.raises(UserError, match=r"in000001\.jpg: .*decoded"):
        raise_for_errors([read(video)])


def test_five_errors_are_shown(video: Path) -> None:
    problems = [Problem("error", Path(f"file{i}"), "is bad", "Mend it.") for i in range(7)]
    scene = Scene("d", "c", "n", (1, 1), {}, {}, (1, 1), (), problems=tuple(problems))
    with pytest.raises(UserError, match=r"^file0: is bad\. Mend it\.\n(.*\n){3}file4: .*\n… and 2 more$"):
        raise_for_errors([scene])
    raise_for_errors([read(video)])


# --- what can be lived with ------------------------------------------------------------------------------------------


def test_uniform_roi_of_another_size_means_the_whole_frame(video: Path) -> None:
    picture(video / "ROI.bmp", np.full((48, 70), 255))
    scene = read(video)
    problem = the_problem(scene)
    assert (problem.severity, problem.file, scene.roi) == ("warning", video / "ROI.bmp", None)
    assert str(problem).endswith(
        "is 70×48, the frames are 64×48, and it is uniform. The ROI is taken to be the whole frame."
    )


def test_white_roi_of_the_frames_size_is_the_whole_frame(video: Path) -> None:
    picture(video / "ROI.bmp", np.full((48, 64), 255))
    scene = read(video)
    assert scene.roi is None
    assert scene.problems == ()


@pytest.mark.parametrize(("content", "what"), [(None, "is missing"), (b"BM?", "cannot be decoded as an image")])
def test_roi_that_is_not_there_means_the_whole_frame(video: Path, content: bytes | None, what: str) -> None:
    path = video / "ROI.bmp"
    path.unlink()
    if content:
        path.write_bytes(content)
    picture(video / "ROI.jpg", np.eye(48, 64) * 255)  # an illustration, never a mask
    scene = read(video)
    problem = the_problem(scene)
    assert (problem.severity, problem.file, problem.what, scene.roi) == ("warning", path, what, None)


def test_frames_without_a_mask_are_unlabelled(video: Path) -> None:
    for number in (3, 22, 25):
        mask(video, number).unlink()
    scene = read(video)
    problem = the_problem(scene)
    assert list(scene.masks) == [21, 23, 24, 26]
    assert scene.references == tuple(range(1, 21))
    assert (problem.severity, problem.file) == ("warning", video / "groundtruth")
    assert re.match(r"2 frames .*no mask", problem.what)


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3), (48, 64, 4)])
def test_withheld_masks_are_unlabelled(video: Path, shape: tuple[int, ...]) -> None:
    for number in (25, 26):
        picture(mask(video, number), np.full(shape, 85))
    scene = read(video)
    problem = the_problem(scene)
    assert list(scene.masks) == [21, 22, 23, 24]
    assert scene.evaluated == (21, 26)
    assert (problem.severity, problem.file) == ("warning", video / "groundtruth")
    assert re.match(r"2 frames .*mask of 85", problem.what)


@pytest.mark.parametrize("size", [(32, 24), (64, 48), (320, 240), (720, 480)])
def test_withheld_masks_of_any_size_are_seen(tmp_path: Path, make_video: MakeVideo, size: tuple[int, int]) -> None:
    make_video(tmp_path, "badWeather", "skating", size=size, unlabelled=1, labelled=2, withheld=2)
    (scene,) = CDnet2014().scenes(tmp_path)
    assert list(scene.masks) == [2, 3]


@pytest.mark.parametrize("level", [0, 50, 170, 255])
def test_uniform_masks_of_another_level_are_labels(video: Path, level: int) -> None:
    picture(mask(video, 25), np.full((48, 64), level))
    scene = read(video)
    assert 25 in scene.masks
    assert scene.problems == ()


def test_a_mask_with_one_other_pixel_is_a_label(video: Path) -> None:
    almost = np.full((48, 64), 85)
    almost[47, 63] = 255
    picture(mask(video, 25), almost)
    assert 25 in read(video).masks


def test_a_video_without_masks_can_be_predicted(video: Path) -> None:
    shutil.rmtree(video / "groundtruth")
    scene = read(video)
    assert scene.masks == {}
    assert scene.evaluated == (21, 26)
    assert [(problem.severity, problem.what) for problem in scene.problems] == [
        ("warning", "6 frames of the temporal ROI with no mask"),
        ("warning", "no labelled frame"),
    ]


def test_gaps_in_the_numbers(video: Path) -> None:
    for number in (4, 5, 9):
        frame(video, number).unlink()
    scene = read(video)
    problem = the_problem(scene)
    assert len(scene.frames) == 23
    assert scene.references == (1, 2, 3, 6, 7, 8, *range(10, 21))
    assert (problem.severity, problem.file) == ("warning", video / "input")
    assert re.match(r"3 frame numbers .*\b4\b", problem.what)


def test_frames_missing_at_the_end(video: Path) -> None:
    for number in (25, 26):
        frame(video, number).unlink()
    scene = read(video)
    problem = the_problem(scene)
    assert list(scene.masks) == [21, 22, 23, 24]
    assert scene.evaluated == (21, 26)
    assert (problem.severity, problem.file) == ("warning", video / "input")
    assert re.match(r"2 frames .*missing", problem.what)


@pytest.mark.parametrize("kept", [0, 100, 0.5, -2])
def test_truncated_frames_are_left_out(video: Path, kept: float) -> None:
    """A labelled and an unlabelled frame, cut to nothing, in the header, in the middle and before the end marker."""
    for number in (7, 23):
        data = frame(video, number).read_bytes()
        frame(video, number).write_bytes(data[: int(len(data) * kept) if isinstance(kept, float) else kept])
    scene = read(video)
    assert 7 not in scene.frames
    assert 7 not in scene.references
    assert 23 not in scene.frames
    assert 23 not in scene.masks
    assert len(scene.frames) == 24
    damaged = scene.problems[0]
    assert (damaged.severity, damaged.file) == ("warning", frame(video, 7))
    assert re.match(r"2 frames .*truncated", damaged.what)
    assert [problem.what for problem in scene.problems[1:]] == ["1 frame of the temporal ROI missing"]


@pytest.mark.parametrize("kind", ["folder", "pipe"])
@pytest.mark.parametrize("name", ["input/in000007.jpg", "groundtruth/gt000023.png", "temporalROI.txt", "ROI.bmp"])
def test_what_has_the_name_of_a_file_and_is_none(video: Path, name: str, kind: str) -> None:
    file = video / name
    file.unlink(missing_ok=True)
    if kind == "folder":
        file.mkdir()
    else:
        os.mkfifo(file)  # to open it would block
    scene = read(video)
    assert file in [problem.file for problem in scene.problems]


def test_bytes_after_the_end_marker_are_no_damage(video: Path) -> None:
    with frame(video, 7).open("ab") as file:
        file.write(b"\n\0\0appended by a camera")
    assert read(video).problems == ()


def test_frames_may_be_png(video: Path) -> None:
    for number in range(1, 27):
        picture(frame(video, number).with_suffix(".png"), np.full((48, 64, 3), number))
        frame(video, number).unlink()
    scene = read(video)
    assert scene.problems == ()
    assert scene.frames[7] == video / "input/in000007.png"


# --- folders that do not hold the dataset ----------------------------------------------------------------------------


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{tmp_path}/nowhere: there is no such folder.*\n.*--data\.init_args\.root"):
        CDnet2014().locate(tmp_path / "nowhere")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"/file: "):
        CDnet2014().locate(tmp_path / "file")


def test_no_folder_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        monkeypatch.delenv("CDNET2014_ROOT", raising=False)
        if value is not None:
            monkeypatch.setenv("CDNET2014_ROOT", value)
        with pytest.raises(UserError, match=r"no folder of it was named\.\n.*\n?.*CDNET2014_ROOT(.*\n)*.*synthesize"):
            CDnet2014().locate(None)


def test_the_environment_names_the_folder_where_nobody_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.setenv("CDNET2014_ROOT", str(here))
    assert CDnet2014().locate(None) == here
    assert CDnet2014().locate(there) == there
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CDNET2014_ROOT", "~/there")
    assert CDnet2014().locate(None) == there


def test_an_empty_category_is_reported_unless_scenes_are_chosen(video: Path) -> None:
    root = video.parents[1]
    (root / "thermal/park").mkdir(parents=True)
    with pytest.raises(UserError, match=rf"{root}/thermal: .*no video"):
        CDnet2014().scenes(root)
    assert [scene.key for scene in CDnet2014().scenes(root, ["baseline"])] == ["baseline/highway"]


def test_an_unrelated_folder_beside_the_categories_is_no_category(video: Path) -> None:
    (video.parents[1] / "results/run1").mkdir(parents=True)
    assert read(video).key == "baseline/highway"


def test_a_folder_without_videos(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    with pytest.raises(UserError, match=rf"{tmp_path}: .*CDnet2014 .*FOLDER/baseline/hi"):
        CDnet2014().scenes(tmp_path)


@pytest.mark.parametrize("inner", ["dataset", "dataset2014/dataset"])
def test_the_folder_above_the_dataset(tmp_path: Path, make_video: MakeVideo, inner: str) -> None:
    make_video(tmp_path / inner, "baseline", "highway")
    with pytest.raises(UserError, match=rf"{tmp_path}: .*{tmp_path}/{inner}\b"):
        CDnet2014().scenes(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("baseline/higway", r"data\.init_args\.scene: 'baseline/higway' is .*Did you mean baseline/highway"),
        ("basline", r"data\.init_args\.scene: 'basline' is no video and no category .*Did you mean baseline"),
        ("xyz", r"data\.init_args\.scene: 'xyz' is no video .*There are: PTZ/zoomInZoomOut, baseline/PETS2006, "),
    ],
)
def test_a_pattern_that_matches_nothing(cdnet: Path, pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CDnet2014().scenes(cdnet, ["thermal", pattern])


# --- the real sequences ----------------------------------------------------------------------------------------------


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("key", "first", "last", "labelled", "expected"),
    [
        ("baseline/highway", 470, 1700, 1231, []),
        ("baseline/pedestrians", 300, 1099, 800, []),
        ("cameraJitter/traffic", 900, 1570, 671, ["ROI.bmp"]),
        ("dynamicBackground/canoe", 800, 1189, 390, ["ROI.bmp"]),
        ("PTZ/zoomInZoomOut", 500, 814, 315, ["ROI.bmp", "groundtruth"]),
    ],
)
def test_real_sequences(real_data: Path, key: str, first: int, last: int, labelled: int, expected: list[str]) -> None:
    (scene,) = CDnet2014().scenes(real_data / "CDnet2014", [key])
    raise_for_errors([scene])
    assert list(scene.masks) == list(range(first, last + 1))
    assert len(scene.masks) == labelled
    assert scene.references == tuple(range(1, first))
    assert scene.roi is None  # their files, where they have one, are white all over
    assert sorted(problem.file.name for problem in scene.problems) == expected
