"""Events of objects, counted by hand."""

from __future__ import annotations

from collections.abc import Container

import cv2
import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference.blobs import Box
from bgsub_lightning.inference.events import Activity, Event, is_hole
from bgsub_lightning.inference.regions import Points
from bgsub_lightning.inference.tracking import Track

LINE = np.array([[100, 200], [100, 0]], float)  # upwards: its right side is x > 100
ZONE = np.array([[50, 50], [150, 50], [150, 150], [50, 150]], float)


def activity(
    lines: dict[str, Points] | None = None, zones: dict[str, Points] | None = None, **options: float
) -> Activity:
    made = Activity(**options)
    made.place(lines or {}, zones or {}, (240, 320))
    return made


def track(identity: int, x: float, y: float, time: float, is_seen: bool = True) -> Track:
    return Track(identity, Box(round(x) - 10, round(y) - 20, 20, 20, 400), time, 0, (x, y), (0, 0), is_seen)


def happened(
    counted: Activity,
    ways: dict[int, list[tuple[float, float] | None]],
    rate: float = 10,
    is_hole: bool = False,
    hidden: Container[int] = (),
) -> list[Event]:
    events = []
    for n in range(max(map(len, ways.values()))):
        tracks = [
            track(k, *way[n], n / rate, n not in hidden)
            for k, way in ways.items()
            if n < len(way) and way[n] is not None
        ]
        events += counted.update(n + 1, n / rate, tracks, lambda _: is_hole)
    return events


def short(events: list[Event], *names: str) -> list[tuple[str, int, str]]:
    return [(each.event, each.id, each.direction or each.place) for each in events if each.event in names]


def test_a_line_counts_both_directions() -> None:
    counted = activity(lines={"road": LINE})
    there = [(80 + 5 * n, 100) for n in range(10)]
    events = happened(counted, {1: there, 2: there[::-1], 3: [(x, 250) for x, _ in there]})  # 3 passes by its end
    assert sorted(short(events, "cross")) == [("cross", 1, "in"), ("cross", 2, "out")]
    assert (counted.counts["road"].into, counted.counts["road"].out) == (1, 1)
    crossed = next(each for each in events if each.id == 1 and each.event == "cross")
    assert (crossed.frame, crossed.time, crossed.place) == (6, 0.5, "road")  # at x = 105, the first beyond 102


def test_an_object_that_stands_on_a_line_is_counted_once() -> None:
    counted = activity(lines={"road": LINE})
    trembling = [(90, 100), (99, 100), (101, 100), (99, 100), (101.5, 100), (98.5, 100), (104, 100), (103, 100)]
    assert short(happened(counted, {1: trembling}), "cross") == [("cross", 1, "in")]


def test_a_jump_across_a_line_counts() -> None:
    assert len(short(happened(activity(lines={"a": LINE}), {1: [(20, 100), (180, 90)]}), "cross")) == 1


def test_a_zone_is_entered_left_and_counted() -> None:
    counted = activity(zones={"door": ZONE})
    through = [(30 + 10 * n, 100) for n in range(15)]
    events = happened(counted, {1: through, 2: [None] * 4 + [(100, 100)] * 4})
    found = [(each.frame, each.event, each.id, each.inside) for each in events if each.place == "door"]
    assert found == [(4, "enter", 1, 1), (5, "enter", 2, 2), (9, "leave", 2, 1), (14, "leave", 1, 0)]
    assert (counted.counts["door"].into, counted.counts["door"].out, counted.counts["door"].inside) == (2, 2, set())


def test_the_picture_itself_is_entered_and_left() -> None:
    events = happened(activity(), {1: [None, (10, 10), (12, 10), None, None]})
    assert [(each.frame, each.event, each.place) for each in events] == [(2, "enter", ""), (4, "leave", "")]


@pytest.mark.parametrize("hole", [False, True])
def test_what_stands_still_is_reported_once_and_when_it_moves_on(hole: bool) -> None:
    counted = activity(still=2)
    way = [(20 + 10 * n, 100) for n in range(5)] + [(60, 100)] * 40 + [(60 + 10 * n, 100) for n in range(1, 5)]
    events = happened(counted, {1: way, 2: [(10 * n, 50) for n in range(49)]}, is_hole=hole)
    found = [(each.event, each.id, each.frame) for each in events if each.event not in {"enter", "leave"}]
    assert found == [("removed" if hole else "abandoned", 1, 25), ("moved_on", 1, 46)]


def test_records_hold_what_an_event_has() -> None:
    assert Event(3, 0.12345678, "cross", 7, "road", "in").record() == {
        "frame": 3,
        "time": 0.123457,
        "event": "cross",
        "id": 7,
        "place": "road",
        "direction": "in",
    }
    assert Event(3, 0.1, "leave", 7, "door", inside=0).record()["inside"] == 0


def test_a_hole_has_its_edges_in_the_background() -> None:
    generator = np.random.default_rng(1)
    wall = generator.integers(90, 110, (80, 80, 3), np.uint8)
    bag = wall.copy()
    cv2.rectangle(bag, (30, 30), (50, 55), (30, 40, 200), cv2.FILLED)
    mask = np.zeros((80, 80), np.uint8)
    mask[30:56, 30:51] = 255
    assert not is_hole(bag, wall, mask)  # a bag that was left
    assert is_hole(wall, bag, mask)  # a bag that was taken
    assert is_hole(wall[..., 0], bag[..., 2], mask)


def test_bad_options_are_refused() -> None:
    with pytest.raises(UserError, match=r"still.*0"):
        Activity(still=0)
    with pytest.raises(UserError, match="door"):
        activity({"door": LINE}, {"door": ZONE})


def test_where_an_object_is_only_expected_does_not_count() -> None:
    there = [(80 + 5 * n, 100) for n in range(10)]
    counted = activity({"road": LINE}, {"door": ZONE})
    events = happened(counted, {1: there}, hidden=range(2, 10))  # it was seen at 80 and 85, and is in the zone there
    assert short(events, "cross") == []
    assert [each.event for each in events if each.place == "door"] == ["enter"]
    counted = activity({"road": LINE})
    events = happened(counted, {1: there}, hidden=range(3, 7))  # it was seen on both sides
    assert short(events, "cross") == [("cross", 1, "in")]


def test_the_border_of_the_picture_does_not_keep_objects_out_of_a_zone() -> None:
    whole = np.array([[0, 0], [320, 0], [320, 240], [0, 240]], float)
    events = happened(activity(zones={"all": whole}), {1: [(100, 239), (110, 239)]})
    assert [each.event for each in events if each.place == "all"] == ["enter"]


def test_counts_go_on_where_frames_change_their_size() -> None:
    counted = activity({"road": LINE})
    happened(counted, {1: [(80, 100), (120, 100)]})
    counted.place({"road": LINE / 2}, {}, (120, 160))
    happened(counted, {2: [(40, 50), (60, 50)]})
    assert counted.counts["road"].into == 2
