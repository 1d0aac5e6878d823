"""Patterns of paths, and what the readers that use them share."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import LIMU, SBI2015, raise_for_errors
from bgsub_lightning.datasets.checks import is_whole
from bgsub_lightning.datasets.patterns import path_pattern

SIZE = (20, 14)


def picture(path: Path, level: int = 90, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full(size[::-1], level, np.uint8)
    image[2:5, 3:9] = 255
    assert cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def road(tmp_path: Path) -> Path:
    """A sequence of LIMU's: frames 1 to 12, of which 5 and 10 have masks."""
    for number in range(1, 13):
        picture(tmp_path / f"limu/Intersection/input/image{number:04d}.jpg", 10 * number)
    for number in (5, 10):
        picture(tmp_path / f"limu/Intersection/groundtruth/gt{number}.png", 0)
    return tmp_path / "limu/Intersection"


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{sequence}/b{number}.bmp", "Trees/B0012.BMP", ("Trees", 12)),
        ("{sequence}/b{number}.bmp", "a/Trees/b0012.bmp", None),
        ("{sequence}/b{number}.bmp", "Trees/b0012.bmp.bak", None),
        ("**/{sequence}/{number}.*", "x/y/Trees/7.png", ("Trees", 7)),
        ("**/{sequence}/{number}.*", "Trees/7.png", ("Trees", 7)),
        ("**/{sequence}/{sequence}-{number}.bmp", "I_SI/I_SI_01/I_SI_01-000110.bmp", ("I_SI_01", 110)),
        ("**/{sequence}/{sequence}-{number}.bmp", "I_SI_01/I_SI_02-000110.bmp", None),
        ("{sequence}/*{number}.*", "Candela_m1.10/Candela_m1.10_000042.png", ("Candela_m1.10", 42)),
        ("{sequence}/*{number}.*", "CAVIAR1/CAVIAR1.png", ("CAVIAR1", 1)),
        ("{sequence}/in{number}?.png", "a/in12.png", None),
        ("{sequence}/in{number}?.png", "a/in12x.png", ("a", 12)),
        ("gt/{sequence}_{number}.png", "gt/a_b_3.png", ("a_b", 3)),
    ],
)
def test_patterns(pattern: str, path: str, expected: tuple[str, int] | None) -> None:
    match = path_pattern(pattern, "frames").fullmatch(path)
    assert (match and (match["sequence"], int(match["number"]))) == expected


@pytest.mark.parametrize(
    "pattern", ["{sequence}/x.png", "input/{number}.png", "{sequence}/{number}{x}", "", "{}/{number}"]
)
def test_patterns_that_make_no_sense_are_refused(pattern: str) -> None:
    with pytest.raises(UserError, match=r"reader\.init_args\.masks: .* must hold \{sequence\} and \{number\}"):
        LIMU(masks=pattern)
    with pytest.raises(UserError, match=r"reader\.init_args\.frames: "):
        LIMU(frames=pattern)


def test_a_background_has_no_number_and_an_opening_is_no_debt() -> None:
    with pytest.raises(UserError, match=r"reader\.init_args\.background: .*\{sequence\}"):
        SBI2015(background="{sequence}/{number}.png")
    with pytest.raises(UserError, match=r"reader\.init_args\.opening: must not be negative; got -1"):
        LIMU(opening=-1)


def test_some_frames_are_labelled(road: Path) -> None:
    (scene,) = LIMU().scenes(road.parent)
    assert (scene.key, scene.dataset, scene.size) == ("LIMU/Intersection", "LIMU", SIZE)
    assert dict(scene.frames) == {n: road / f"input/image{n:04d}.jpg" for n in range(1, 13)}
    assert dict(scene.masks) == {n: road / f"groundtruth/gt{n}.png" for n in (5, 10)}
    assert scene.evaluated == (1, 12)
    assert scene.problems == ()


@pytest.mark.parametrize(("opening", "last"), [(0, 4), (3, 4), (7, 7), (50, 12)])
def test_references_open_the_sequence_or_come_before_the_first_label(road: Path, opening: int, last: int) -> None:
    (scene,) = LIMU(opening=opening).scenes(road.parent)
    assert scene.references == tuple(range(1, last + 1))


def test_another_layout_is_described_by_patterns(road: Path) -> None:
    (road / "input").rename(road / "in")
    (road / "groundtruth").rename(road / "in/truth")
    with pytest.raises(UserError, match=rf"{road}/?: .*no frame.*\{{sequence\}}/input/"):
        raise_for_errors(LIMU().scenes(road.parent))
    (scene,) = LIMU("{sequence}/in/image{number}.jpg", "{sequence}/in/truth/*{number}.png").scenes(road.parent)
    assert (len(scene.frames), list(scene.masks), scene.problems) == (12, [5, 10], ())


def test_what_the_masks_pattern_matches_is_no_frame(tmp_path: Path) -> None:
    for number in (1, 2):
        picture(tmp_path / f"Intersection/{number}.png")
    picture(tmp_path / "Intersection/mask_2.png", 0)
    (scene,) = LIMU("{sequence}/*{number}.*", "{sequence}/mask_{number}.*").scenes(tmp_path)
    assert (list(scene.frames), list(scene.masks), scene.problems) == ([1, 2], [2], ())


def test_two_files_of_one_number_are_an_error(road: Path) -> None:
    other = picture(road / "input/image5.png")
    with pytest.raises(UserError, match=rf"number .*Intersection, .*{road}.*pattern"):
        raise_for_errors(LIMU().scenes(road.parent))
    (scene,) = LIMU(frames="{sequence}/input/*{number}.jpg").scenes(road.parent)
    assert scene.problems == ()
    assert other not in scene.frames.values()


def test_masks_without_frames_are_left_out(road: Path) -> None:
    for number in (13, 14):
        picture(road / f"groundtruth/gt{number}.png")
    (scene,) = LIMU().scenes(road.parent)
    (problem,) = scene.problems
    assert (problem.severity, list(scene.masks)) == ("warning", [5, 10])
    assert re.match(r"2 masks .*frame", problem.what)


@pytest.mark.parametrize("number", [5, 10])
def test_truncated_masks_are_errors(road: Path, number: int) -> None:
    path = road / f"groundtruth/gt{number}.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=rf"{path}: .*truncated.*mask"):
        raise_for_errors(LIMU().scenes(road.parent))


def test_a_mask_of_another_size_is_an_error(road: Path) -> None:
    path = picture(road / "groundtruth/gt5.png", size=(30, 10))
    with pytest.raises(UserError, match=rf"{path}: .*30×10.*20×14"):
        raise_for_errors(LIMU().scenes(road.parent))


def test_a_truncated_frame_is_left_out(road: Path) -> None:
    path = road / "input/image0007.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    (scene,) = LIMU().scenes(road.parent)
    assert [problem.what for problem in scene.problems] == ["1 frame of this video is truncated"]
    assert 7 not in scene.frames


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_what_was_cut_off_is_no_whole_image(tmp_path: Path, suffix: str) -> None:
    path = picture(tmp_path / f"image{suffix}")
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:-12])
    assert not is_whole(path)


def test_masks_that_no_pattern_finds_are_reported(road: Path) -> None:
    (scene,) = LIMU(masks="{sequence}/truth/{number}.png").scenes(road.parent)
    (problem,) = scene.problems
    assert (problem.severity, problem.what, scene.masks) == ("warning", "no mask", {})
    assert "{sequence}/truth/{number}.png" in problem.fix
    assert scene.references == tuple(range(1, 13))


def test_folders_that_do_not_hold_the_dataset(road: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: .*LIMU .*FOLDER/Camera"):
        LIMU().scenes(tmp_path / "empty")
    for wrong in (tmp_path, road):
        with pytest.raises(UserError, match=rf"{wrong}: .*LIMU .*{road.parent}\b"):
            LIMU().scenes(wrong)


def test_hidden_folders_and_other_files_are_passed_over(road: Path) -> None:
    (road / "input/image0099.txt").write_text("no image")
    picture(road.parent / ".trash/input/image0001.jpg")
    (scene,) = LIMU().scenes(road.parent)
    assert len(scene.frames) == 12
