"""Polygons and lines that the user draws into the picture: regions of interest, zones, lines that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat

from bgsub_lightning.core.decoding import read_pixels
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.records import read_json

Points = NDArray[np.float64]
"""Shape ``(n, 2)``: x and y in pixels."""

Size = tuple[int, int]
"""Height and width in pixels."""

_Point = tuple[FiniteFloat, FiniteFloat]
_FORM = 'Write {"name": [[x, y], [x, y], …]}.'
_IMAGES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")


def polygons(given: str | Path, key: str, size: Size | None) -> dict[str, Points]:
    """Read polygons with their names.

    Args:
        given: ``x1,y1,x2,y2,x3,y3``, several with semicolons between them, which get the names
            ``zone 1``, ``zone 2``, …; or a JSON file, ``{name: [[x, y], …]}``.
        key: The option that messages name.
        size: Of the frames; ``None``: not known yet.

    Raises:
        UserError: If there is none, or one has fewer than three corners, no area, sides that cross, or corners outside
            of the picture.
    """
    found = _read(given, key, "zone")
    for name, points in found.items():
        where = f"{key}: {name}" if len(found) > 1 else key
        if len(points) < 3:
            raise UserError(f"{where}: a polygon has three corners at least; got {len(points)}. Add corners.")
        _require_inside(points, where, size)
        sides = [(points[i], points[(i + 1) % len(points)]) for i in range(len(points))]
        for (i, first), (j, second) in combinations(enumerate(sides), 2):
            if (j - i) % len(sides) not in {1, len(sides) - 1} and crossing(*first, *second):
                raise UserError(
                    f"{where}: the sides from {_shown(first[0])} and from {_shown(second[0])} cross. "
                    f"Give the corners in their order around the polygon."
                )
        if not cv2.contourArea(points.astype(np.float32)):
            raise UserError(f"{where}: has no area; got {' '.join(map(_shown, points))}. Move a corner.")
    return found


def lines(given: str | Path, key: str, size: Size | None) -> dict[str, Points]:
    """Read lines with their names, from the first point to the second.

    Args:
        given: ``x1,y1,x2,y2``, several with semicolons between them, which get the names
            ``line 1``, ``line 2``, …; or a JSON file as :func:`polygons` takes.
        key: The option that messages name.
        size: Of the frames; ``None``: not known yet.

    Raises:
        UserError: If there is none, or one has not two points, no length, or points outside of the picture.
    """
    found = _read(given, key, "line")
    for name, points in found.items():
        where = f"{key}: {name}" if len(found) > 1 else key
        if len(points) != 2:
            raise UserError(f"{where}: a line has two points; got {len(points)}. Write x1,y1,x2,y2.")
        _require_inside(points, where, size)
        if np.array_equal(*points):
            raise UserError(f"{where}: has no length; got {_shown(points[0])} twice. Move a point.")
    return found


def beyond(polygon: Points, size: Size) -> Points:
    """Move corners on the border of the picture outwards, so that nothing which the border cuts is outside."""
    height, width = size
    moved = polygon.copy()
    for axis, most in ((0, width), (1, height)):
        moved[polygon[:, axis] <= 1, axis] = -most
        moved[polygon[:, axis] >= most - 2, axis] = 2 * most
    return moved


def region(given: str | Path, key: str, size: Size) -> NDArray[np.bool_]:
    """Read a region: polygons, or an image of the frames' size whose pixels above 127 are inside.

    Returns:
        Shape ``(h, w)``; true inside.

    Raises:
        UserError: If the image has another size or cannot be read, or a polygon is none.
    """
    if _is_image(given):
        image = _pixels(given, key)
        if image.shape != size:
            raise UserError(
                f"{key}: {given}: must have the size of the frames, {size[1]}×{size[0]}; "
                f"got {image.shape[1]}×{image.shape[0]}. Draw it on a frame."
            )
        return image > 127
    inside = np.zeros(size, np.uint8)
    for points in polygons(given, key, size).values():
        cv2.fillPoly(inside, [points.round().astype(np.int32)], 1)
    return inside.astype(bool)


def check_places(roi: str | None, ignore: str | None, count_line: str | None, zone: str | None) -> None:
    """Check regions, lines and zones as far as that is possible before the size of the frames is known.

    Args:
        roi: A region, as :func:`region` takes it; ``None``: there is none, as of the others.
        ignore: Another.
        count_line: Lines, as :func:`lines` takes them.
        zone: Polygons, as :func:`polygons` takes them.

    Raises:
        UserError: If a file cannot be read, a region is neither an image nor polygons, a line or a polygon is none, or
            a line and a zone have one name.
    """
    for key, given in (("--roi", roi), ("--ignore", ignore)):
        if given is not None:
            if _is_image(given):
                _pixels(given, key)
            else:
                polygons(given, key, None)
    require_separate_names(
        {} if count_line is None else lines(count_line, "--count_line", None),
        {} if zone is None else polygons(zone, "--zone", None),
    )


def require_separate_names(lines: Mapping[str, Points], zones: Mapping[str, Points]) -> None:
    """Refuse a line and a zone of one name, whose counts would be one.

    Raises:
        UserError: If there are some.
    """
    if both := lines.keys() & zones.keys():
        raise UserError(f"--zone: {min(both)}: is the name of a line as well. Rename one.")


def contains(polygon: Points, point: tuple[float, float]) -> bool:
    """Whether a point is inside of a polygon, or on its border."""
    return bool(cv2.pointPolygonTest(polygon.astype(np.float32), point, False) >= 0)


def side(line: Points, point: Sequence[float]) -> float:
    """Return the distance of a point from a line in pixels: positive to the right of it, seen from its first point."""
    (x1, y1), (x2, y2) = line
    length = float(np.hypot(x2 - x1, y2 - y1))
    return float(((x2 - x1) * (point[1] - y1) - (y2 - y1) * (point[0] - x1)) / length)


def crossing(start: Sequence[float], end: Sequence[float], first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether the way from start to end meets the line between two points."""

    def turn(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> int:
        return int(np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])))

    def between(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> bool:
        return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])

    turns = turn(start, end, first), turn(start, end, second), turn(first, second, start), turn(first, second, end)
    if turns[0] != turns[1] and turns[2] != turns[3]:
        return True
    checks = ((start, end, first), (start, end, second), (first, second, start), (first, second, end))
    return any(not each and between(*three) for each, three in zip(turns, checks, strict=True))


def _is_image(given: str | Path) -> bool:
    return Path(given).suffix.lower() in _IMAGES


def _pixels(given: str | Path, key: str) -> NDArray[np.uint8]:
    if not Path(given).is_file():
        raise UserError(f"{key}: {given}: there is no such file. Give a PNG, or polygons.")
    image = read_pixels(Path(given), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise UserError(f"{key}: {given}: is no image that can be decoded. Give a PNG, or polygons.")
    return image


def _read(given: str | Path, key: str, kind: str) -> dict[str, Points]:
    if Path(given).suffix.lower() == ".json":
        try:
            found = read_json(Path(given), dict[str, list[_Point]], _FORM, unique=True)
        except FileNotFoundError:
            raise UserError(f"{key}: {given}: there is no such file.") from None
    else:
        found = {
            f"{kind} {i}": _parsed(part, key)
            for i, part in enumerate(filter(str.strip, str(given).split(";")), start=1)
        }
    if not found:
        raise UserError(f"{key}: holds no points; got {str(given)!r}. Write x1,y1,x2,y2,… in pixels.")
    if "" in found:
        raise UserError(f'{key}: {given}: a name must not be empty. Write {{"name": [[x, y], …]}}.')
    return {name: np.array(points, float).reshape(-1, 2) for name, points in found.items()}


def _parsed(text: str, key: str) -> list[tuple[float, float]]:
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or len(numbers) % 2 or not np.isfinite(numbers).all():
        raise UserError(f"{key}: must be x1,y1,x2,y2,… in pixels, or a .json file; got {text.strip()!r}.")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _require_inside(points: Points, where: str, size: Size | None) -> None:
    if size is None:
        return
    height, width = size
    for point in points:
        if not (0 <= point[0] <= width and 0 <= point[1] <= height):
            raise UserError(
                f"{where}: {_shown(point)} is outside of the picture, {width}×{height} pixels. Move it inside."
            )


def _shown(point: Sequence[float]) -> str:
    return f"({point[0]:g}, {point[1]:g})"
