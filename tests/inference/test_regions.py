"""Polygons, lines and regions that users draw."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference.regions import contains, crossing, lines, polygons, region, side

SIZE = (240, 320)
SQUARE = "10,10,50,10,50,60,10,60"


def test_polygons_of_the_command_line() -> None:
    found = polygons(f"{SQUARE}; 100,100,200,100,150,200", "--zone", SIZE)
    assert list(found) == ["zone 1", "zone 2"]
    assert found["zone 2"].tolist() == [[100, 100], [200, 100], [150, 200]]


def test_polygons_of_a_file_have_names(tmp_path: Path) -> None:
    file = tmp_path / "zones.json"
    file.write_text(json.dumps({"door": [[0, 0], [9.5, 0], [0, 9]]}))
    assert polygons(file, "--zone", SIZE)["door"].tolist() == [[0, 0], [9.5, 0], [0, 9]]


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("1,2,3,4", "got 2"),
        ("0,0,400,0,0,10", r"\(400, 0\)"),
        ("0,0,10,-1,0,10", r"\(10, -1\)"),
        ("0,0,10,10,0,10,10,0", "cross"),
        ("0,0,5,5,10,10", "area"),
        ("a,b", "'a,b'"),
        ("1,2,3", "'1,2,3'"),
        ("nan,0,1,1,2,3", "'nan,0,1,1,2,3'"),
        ("", "''"),
    ],
)
def test_bad_polygons_are_refused(given: str, value: str) -> None:
    with pytest.raises(UserError, match=f"^--zone.*{value}"):
        polygons(given, "--zone", SIZE)


def test_a_name_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "zones.json"
    file.write_text('{"gate": [[0, 0], [9, 0], [0, 9]], "gate": [[50, 0], [59, 0], [50, 9]]}')
    with pytest.raises(UserError, match=r"zones\.json: gate: "):
        polygons(file, "--zone", SIZE)


@pytest.mark.parametrize(
    ("content", "value"),
    [([[0, 0], [1, 1]], "got"), ({"a": [[0, "x"]]}, "a.*'x'"), ({"a": [[0, 0, 0]]}, "a.*0, 0, 0"), ({}, "points")],
)
def test_bad_files_are_refused(content: object, value: str, tmp_path: Path) -> None:
    file = tmp_path / "zones.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=value):
        polygons(file, "--zone", SIZE)
    with pytest.raises(UserError, match=r"--zone.*absent\.json"):
        polygons(tmp_path / "absent.json", "--zone", SIZE)


@pytest.mark.parametrize(("given", "value"), [("1,2,1,2", r"\(1, 2\)"), ("1,2,3,4,5,6", "got 3"), ("1,2", "got 1")])
def test_bad_lines_are_refused(given: str, value: str) -> None:
    with pytest.raises(UserError, match=f"^--count_line.*{value}"):
        lines(given, "--count_line", SIZE)


def test_a_region_is_a_polygon_or_an_image(tmp_path: Path) -> None:
    drawn = region(SQUARE, "--roi", SIZE)
    assert drawn.shape == SIZE
    assert drawn[30, 30]
    assert not drawn[30, 60]
    assert drawn.sum() == 41 * 51  # with its border
    cv2.imwrite(str(tmp_path / "roi.png"), drawn.astype(np.uint8) * 255)
    np.testing.assert_array_equal(region(tmp_path / "roi.png", "--roi", SIZE), drawn)
    with pytest.raises(UserError, match=r"--roi.*roi\.png.*320×240"):
        region(tmp_path / "roi.png", "--roi", (100, 100))
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UserError, match=r"--roi.*text\.png"):
        region(tmp_path / "text.png", "--roi", SIZE)


def test_the_sides_of_a_line() -> None:
    right = np.array([[0, 0], [10, 0]], float)  # to the right in the picture: below it is its right side
    assert side(right, (5, 3)) == 3
    assert side(right, (5, -3)) == -3
    assert side(right[::-1], (5, 3)) == -3


def test_crossing_is_of_segments() -> None:
    assert crossing((0, -1), (0, 1), (-1, 0), (1, 0))
    assert not crossing((2, -1), (2, 1), (-1, 0), (1, 0))
    assert crossing((0, 0), (0, 1), (-1, 0), (1, 0))  # it touches
    assert crossing((0, 0), (4, 0), (2, 0), (6, 0))  # along each other
    assert not crossing((0, 0), (1, 0), (2, 0), (6, 0))


def test_points_inside() -> None:
    square = polygons(SQUARE, "--zone", SIZE)["zone 1"]
    assert contains(square, (30, 30))
    assert contains(square, (10, 10))
    assert not contains(square, (9, 30))
