"""Results that are computed from masks, and their files."""

from __future__ import annotations

import csv
import json
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_systems import moving_square, write_video
from numpy.typing import NDArray

import bgsub_lightning
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference import Frame, Subtractor, Wanted, boxes, load_system, open_outputs
from bgsub_lightning.inference.activity_page import ActivityPage, clock, heat_map
from bgsub_lightning.inference.annotation import Annotator, colour, label
from bgsub_lightning.inference.blobs import Box
from bgsub_lightning.inference.events import Event
from bgsub_lightning.inference.outputs import Kind
from bgsub_lightning.inference.result import RAW, Analysis, Result
from bgsub_lightning.inference.rle import decoded
from bgsub_lightning.inference.tracking import Track

SIZE = (48, 64)
WANTED = Wanted(least_area=10, count_line="30,0,30,48", zone="20,0,40,0,40,48,20,48", still=0.4)
KINDS: list[Kind] = ["tracks_csv", "events_jsonl", "mot", "coco", "report"]


def frames(count: int = 25) -> list[Frame]:
    """A bright square of 8×8 pixels that goes to the right by 2 pixels a frame, from x = 0, at y = 8."""
    return [Frame(n, (n - 1) / 25, image) for n, image in enumerate(moving_square(count, (64, 48)), 1)]


def mask_of(frame: Frame) -> NDArray[np.uint8]:
    return np.where(frame.image[..., 0] > 200, np.uint8(255), np.uint8(0))


def results(wanted: Wanted = WANTED, count: int = 25) -> list[Result]:
    analyse = Analysis(wanted)
    return [analyse(frame, mask_of(frame)) for frame in frames(count)]


def written(folder: Path, kinds: list[Kind], found: list[Result]) -> None:
    outputs = open_outputs(folder, kinds, "h264", Fraction(25), "street.mp4")
    for result in found:
        for output in outputs:
            output.write(result)
    for output in outputs:
        output.close()


def test_raw_results_have_the_mask_as_it_is() -> None:
    frame = frames(1)[0]
    mask = mask_of(frame)
    mask[0, 60] = 255
    result = Analysis(RAW)(frame, mask, mask / np.float32(255))
    np.testing.assert_array_equal(result.mask, mask)
    assert (result.number, result.time, result.tracks, list(result.events)) == (1, 0, [], [])
    assert result.frame is frame.image
    assert result.probability is not None
    assert Analysis(Wanted(least_area=5))(frame, mask).mask[0, 60] == 0


def test_objects_and_events_of_a_clip() -> None:
    found = results()
    assert [track.id for track in found[-1].tracks] == [1]
    assert found[-1].tracks[0].speed == pytest.approx(50, rel=0.1)  # 2 pixels a frame, 25 a second
    events = [event.record() for result in found for event in result.events]
    assert [(each["event"], each.get("place", "")) for each in events] == [
        ("enter", ""),
        ("enter", "zone 1"),
        ("cross", "line 1"),
        ("leave", "zone 1"),
    ]
    assert found[-1].activity is not None
    assert found[-1].activity.counts["line 1"].out == 1


def test_ignored_places_hold_no_objects() -> None:
    everything, frame = "0,0,64,0,64,48,0,48", frames(1)[0]
    found = results(Wanted(least_area=10, ignore="0,0,64,0,64,20,0,20"))
    assert not any(result.mask.any() or result.tracks for result in found)
    with pytest.raises(UserError, match="--roi"):
        Analysis(Wanted(ignore=everything))(frame, mask_of(frame))
    with pytest.raises(UserError, match=r"--roi.*\(65, 0\)"):
        Analysis(Wanted(roi="0,0,65,0,64,48"))(frame, mask_of(frame))


def test_ids_and_counts_go_on_where_frames_change_their_size() -> None:
    analyse = Analysis(WANTED)
    found = [analyse(frame, mask_of(frame)) for frame in frames()]
    smaller = [Frame(n, (n - 1) / 25, cv2.resize(each.image, (32, 24))) for n, each in enumerate(frames(), 26)]
    found += [analyse(frame, mask_of(frame)) for frame in smaller]
    assert {track.id for result in found for track in result.tracks} == {1, 2}
    assert found[-1].activity is found[0].activity
    assert found[-1].activity.counts["line 1"].out == 2
    assert [event.event for event in found[25].events if event.id == 1] == ["leave"]


def test_a_hole_differs_from_something_new() -> None:
    generator = np.random.default_rng(0)
    place = generator.integers(90, 110, (48, 64, 3), np.uint8)
    bag = place.copy()
    bag[20:36, 20:36] = (200, 40, 30)
    mask = np.zeros((48, 64), np.uint8)
    mask[20:36, 20:36] = 255
    for before, after, expected in ((place, bag, "abandoned"), (bag, place, "removed")):
        analyse = Analysis(Wanted(still=1, watch=False))
        found = [analyse(Frame(n, n / 10, before), np.zeros_like(mask)) for n in range(20)]
        found += [analyse(Frame(n, n / 10, after), mask) for n in range(20, 40)]
        events = [event.event for result in found for event in result.events]
        assert events == ["enter", expected]


def test_shadows_of_compared_colours_go_where_masks_are_cleaned() -> None:
    generator = np.random.default_rng(0)
    wall = generator.integers(100, 160, (60, 80, 1)).repeat(3, 2).astype(np.uint8)
    shaded = wall.copy()
    shaded[20:40, 10:35] = (wall[20:40, 10:35] * 0.7).round()
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 10:35] = 255
    for clean, has_shadows, stays in ((True, True, False), (True, False, True), (False, True, True)):
        analyse = Analysis(Wanted(clean=clean), has_shadows)
        analyse(Frame(1, 0.0, wall), np.zeros_like(mask))
        assert analyse(Frame(2, 1.0, shaded), mask).mask[24:36, 14:31].any() == stays
    assert Subtractor(load_system("TemporalMedian"), "cpu").has_shadows
    assert not bgsub_lightning.load("MOG2").has_shadows


def test_lines_of_a_camera_are_read_while_they_are_written(tmp_path: Path) -> None:
    found = results()
    outputs = open_outputs(tmp_path, ["events_jsonl", "tracks_csv"], "h264", Fraction(25), "camera", is_live=True)
    for result in found[:-1]:
        for output in outputs:
            output.write(result)
    names = [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert names == ["enter", "enter", "cross", "leave"]
    assert len((tmp_path / "tracks.csv").read_text().splitlines()) > 15
    for output in outputs:
        output.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.jsonl", "tracks.csv"]


def test_a_flood_is_no_object() -> None:
    analyse = Analysis(Wanted())
    for n in range(20):
        result = analyse(frames(1)[0]._replace(time=n / 25), np.full((48, 64), 255, np.uint8))
    assert result.tracks == []


def test_what_needs_objects_is_refused_without_them() -> None:
    with pytest.raises(UserError, match="zone"):
        Wanted(zone="0,0,9,0,9,9", tracks=False)


def test_what_is_written(tmp_path: Path) -> None:
    found = results()
    written(tmp_path, KINDS, found)
    with (tmp_path / "tracks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    seen = [(result, track) for result in found for track in result.tracks if track.is_seen]
    assert len(rows) == len(seen) > 15
    for row, (result, track) in zip(rows, seen, strict=True):
        box = track.box
        values = [track.id, result.number, result.time, box.x, box.y, box.width, box.height, box.area, track.speed]
        assert [float(value) for value in row.values()] == pytest.approx(values, abs=0.01)
    assert list(rows[0]) == ["id", "frame", "time", "x", "y", "width", "height", "area", "speed"]
    mot = [line.split(",") for line in (tmp_path / "mot.txt").read_text().splitlines()]
    first = seen[0][1].box
    assert mot[0] == [rows[0]["frame"], "1", str(first.x + 1), str(first.y + 1), "8", "8", "1", "-1", "-1", "-1"]
    assert len(mot) == len(rows)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [each["event"] for each in events] == ["enter", "enter", "cross", "leave"]
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert [each["image_id"] for each in coco] == [result.number for result in found for _ in result.boxes]
    np.testing.assert_array_equal(decoded(coco[3]["segmentation"]), found[3].mask)
    assert coco[3]["bbox"] == [6, 8, 8, 8]


def test_nothing_found_leaves_whole_files(tmp_path: Path) -> None:
    blank = Result(1, 0.0, np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8))
    written(tmp_path, KINDS, [blank])
    assert json.loads((tmp_path / "coco.json").read_text()) == []
    assert (tmp_path / "events.jsonl").read_text() == ""
    assert (tmp_path / "tracks.csv").read_text().startswith("id,frame")
    assert "0 objects" in (tmp_path / "report.html").read_text()
    written(tmp_path / "none", KINDS, [])
    assert not (tmp_path / "none").exists()


def test_blobs_that_touch_are_apart_in_coco(tmp_path: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:20] = 255
    mask[12:18, 30:50] = 255
    written(tmp_path, ["coco"], [Result(1, 0.0, np.zeros((48, 64, 3), np.uint8), mask, boxes=boxes(mask))])
    masks = [decoded(each["segmentation"]) for each in json.loads((tmp_path / "coco.json").read_text())]
    assert [int((each > 0).sum()) for each in masks] == [120, 100]
    np.testing.assert_array_equal(np.maximum(*masks), mask)


def test_the_page_shows_what_happened(tmp_path: Path) -> None:
    written(tmp_path, ["report"], results())
    page = (tmp_path / "report.html").read_text()
    assert "street.mp4" in page
    assert "1 object in 0:01.0 (25 frames)" in " ".join(page.split())
    for text in ("crosses line 1 (out)", "enters zone 1", "leaves zone 1", "enters the picture"):
        assert text in page
    assert page.count('<img src="data:image/jpeg') == 1  # its object
    assert "http" not in page.replace("http-equiv", "")  # it stands alone


def test_a_hostile_name_is_text(tmp_path: Path) -> None:
    page = ActivityPage("<script>alert(1)</script>")
    page.add(results()[0])
    page.write(tmp_path / "page.html")
    assert "<script>" not in (tmp_path / "page.html").read_text()


def test_the_memory_of_a_page_does_not_grow() -> None:
    page = ActivityPage("x")
    blank = np.zeros((48, 64), np.uint8)
    image = np.zeros((48, 64, 3), np.uint8)
    for n in range(3000):
        analysed = results()[5] if n == 0 else Result(n, float(n), image, blank, tracks=_track(n), events=_event(n))
        page.add(analysed)
    assert len(page._seen) <= 200
    assert len(page._bins) <= 120
    assert len(page.events) == 1000
    assert page.objects == 3000
    assert page.left_out >= 1999


def _track(n: int) -> list[Track]:
    return [Track(n + 1, Box(1, 1, 8, 8, 64), float(n), float(n), (5, 9), (0, 0), True)]


def _event(n: int) -> list[Event]:
    return [Event(n, float(n), "enter", n)]


def test_a_heat_map_is_grey_where_nothing_was() -> None:
    share = np.zeros((20, 30), np.float32)
    share[5:10, 5:10] = 0.5
    view = np.full((20, 30, 3), (10, 200, 40), np.uint8)
    shown = heat_map(share, view)
    assert len(set(shown[0, 0].tolist())) == 1
    assert shown[7, 7, 0] > shown[7, 7, 2]  # red


def test_overlays_draw_what_is_known() -> None:
    found = results()
    annotator = Annotator()
    pictures = [annotator.draw(result) for result in found]
    assert all(picture.shape == (48, 64, 3) and picture.dtype == np.uint8 for picture in pictures)
    tone = np.array(colour(1))
    track = found[9].tracks[0]
    assert (pictures[9][track.box.y + track.box.height, track.box.x + 2] == tone).all()  # its box
    assert not any((picture == tone).all(2).any() for picture in pictures[:3])  # not confirmed
    np.testing.assert_array_equal(found[9].frame, frames()[9].image)  # drawn on a copy


@pytest.mark.parametrize("corner", [(0, 0), (63, 47), (-5, 100), (30, 20)])
def test_labels_stay_in_the_picture(corner: tuple[int, int]) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    label(picture, "12", corner, (0, 255, 0), 0.4, 1)
    assert (picture == (0, 255, 0)).all(2).sum() > 30


def test_ids_have_colours_of_their_own() -> None:
    assert len({colour(n) for n in range(50)}) == 50
    assert all(max(colour(n)) == 255 for n in range(50))


def test_clock() -> None:
    assert clock(59.96) == "1:00.0"


def test_supervision_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match="supervision"):
        results(count=1)[0].to_supervision()


def test_a_video_can_be_gone_through(tmp_path: Path) -> None:
    path = write_video(tmp_path / "street.mkv", moving_square(30, (96, 48)))
    found = list(bgsub_lightning.stream(path, checkpoint="MOG2", least_area=10))
    assert [result.number for result in found] == list(range(1, 31))
    assert found[-1].tracks
    assert found[-1].probability is None
    with pytest.raises(UserError, match="probability"):
        next(bgsub_lightning.stream(path, checkpoint="MOG2", probability=True))
    for name, value in (("frames", 0), ("frames", 2.5), ("frames", "5"), ("reconnect", -1), ("probability", "no")):
        with pytest.raises(UserError, match=f"{name}.*got"):
            bgsub_lightning.stream(path, checkpoint="MOG2", **{name: value})  # at once
    with pytest.raises(UserError, match=r"limit.*frames"):
        bgsub_lightning.stream(path, limit=5)
    with pytest.raises(UserError, match=r"cam\.yaml.*list"):
        bgsub_lightning.stream(tmp_path / "cam.yaml")
    with pytest.raises(UserError, match=r"least_aera.*least_area"):
        next(bgsub_lightning.stream(path, least_aera=3))
    for name, value in (("clean", "false"), ("zone", [(0, 0)]), ("batch_size", "many")):
        with pytest.raises(UserError, match=f"{name}.*got"):
            next(bgsub_lightning.stream(path, checkpoint="MOG2", **{name: value}))
    for name, value in (("count_line", "1,2"), ("roi", "nofile.json"), ("background", "nofile.png")):
        with pytest.raises(UserError, match=f"^--{name}: "):  # before the source is opened
            bgsub_lightning.stream(tmp_path / "absent.mp4", checkpoint="MOG2", **{name: value})
    with pytest.raises(UserError, match=r"absent\.mp4"):
        next(bgsub_lightning.stream(tmp_path / "absent.mp4"))
