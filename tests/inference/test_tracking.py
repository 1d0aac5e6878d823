"""Tracks: ids that stay, through gaps, merges and fragments, at any frame rate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference.blobs import Box
from bgsub_lightning.inference.tracking import Track, Tracker

SIZE = (240, 320)


def box(x: float, y: float = 100, width: int = 20, height: int = 30) -> Box:
    return Box(round(x), round(y), width, height, width * height)


def follow(frames: list[list[Box]], rate: float = 25, tracker: Tracker | None = None) -> list[list[Track]]:
    tracker = tracker or Tracker()
    return [tracker.update(boxes, number / rate, SIZE) for number, boxes in enumerate(frames)]


def test_two_objects_that_move_keep_their_ids() -> None:
    found = follow([[box(10 + 3 * n), box(300 - 3 * n, 20)] for n in range(60)])
    assert found[:4] == [[]] * 4  # not yet confirmed
    for n, tracks in enumerate(found[4:], start=4):
        assert [(track.id, track.box) for track in tracks] == [(1, box(10 + 3 * n)), (2, box(300 - 3 * n, 20))]


@pytest.mark.parametrize("rate", [5, 25, 100])
def test_the_speed_is_in_pixels_per_second_at_any_frame_rate(rate: float) -> None:
    speed = 40.0
    tracks = follow([[box(10 + speed * n / rate)] for n in range(int(4 * rate))], rate)[-1]
    assert tracks[0].velocity == pytest.approx((speed, 0), abs=4)
    assert tracks[0].speed == pytest.approx(speed, abs=4)


def test_the_anchor_is_the_middle_of_the_lower_edge() -> None:
    track = follow([[box(50)]] * 20)[-1][0]
    assert track.anchor == pytest.approx((60, 130), abs=0.01)


def test_an_object_that_is_hidden_for_a_while_keeps_its_id_and_goes_on_as_it_moved() -> None:
    frames = [[box(10 + 3 * n)] if not 30 <= n < 45 else [] for n in range(60)]
    found = follow(frames)
    assert {track.id for tracks in found for track in tracks} == {1}
    assert not found[40][0].is_seen
    assert found[40][0].box.x == pytest.approx(130, abs=3)
    assert found[40][0].box.area == 0
    assert found[50][0].is_seen


def test_patience_ends() -> None:
    frames = [[box(50)]] * 10 + [[]] * 30 + [[box(50)]] * 10
    found = follow(frames, tracker=Tracker(patience=0.5))
    assert [len(tracks) for tracks in found[20:23]] == [1, 1, 0]  # seen last in frame 9, half a second before 21.5
    assert found[-1][0].id == 2


def test_an_object_that_leaves_the_picture_is_not_expected_outside_of_it() -> None:
    frames = [[box(280 + 3 * n)] for n in range(10)] + [[]] * 12
    found = follow(frames)
    assert found[9]
    assert found[-1] == []


def test_noise_of_one_frame_has_no_id() -> None:
    found = follow([[box(50), box(200 + 37 * (n % 3), 20 + 60 * (n % 2))] for n in range(30)])
    assert {track.id for tracks in found for track in tracks} == {1}


def test_fragments_are_one_object() -> None:
    whole = [[box(10 + 3 * n, height=60)] for n in range(20)]
    torn = [[box(10 + 3 * n, height=25), box(10 + 3 * n, 100 + 35, height=25)] for n in range(20, 40)]
    found = follow(whole + torn)
    assert {track.id for tracks in found for track in tracks} == {1}
    assert found[-1][0].box == Box(10 + 3 * 39, 100, 20, 60, 2 * 20 * 25)


def test_two_objects_that_meet_and_pass_have_their_ids_afterwards() -> None:
    frames = []
    for n in range(80):
        left, right = 40 + 2 * n, 200 - 2 * n
        if abs(left - right) < 20:  # one blob
            frames.append([Box(min(left, right), 100, abs(left - right) + 20, 30, (abs(left - right) + 20) * 30)])
        else:
            frames.append([box(left), box(right)])
    found = follow(frames)
    first = {track.id: track.box.x for track in found[10]}
    last = {track.id: track.box.x for track in found[-1]}
    assert first == {1: 60, 2: 180}
    assert last == {1: 40 + 2 * 79, 2: 200 - 2 * 79}


def test_the_order_of_blobs_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    places = generator.uniform(20, 280, (6, 2)) * [1, 0.7]
    moves = generator.uniform(-1, 1, (6, 2))
    frames = [[box(*(places[k] + n * moves[k])) for k in range(6)] for n in range(40)]
    shuffled = [list(generator.permutation(np.array(boxes, object))) for boxes in frames]
    plain, other = follow(frames), follow([[Box(*map(int, each)) for each in boxes] for boxes in _plain(shuffled)])

    def ways(found: list[list[Track]]) -> set[tuple[Box, ...]]:
        tracks = itertools.chain.from_iterable(found)
        named = sorted(tracks, key=lambda track: (track.id, track.time))
        return {tuple(track.box for track in each) for _, each in itertools.groupby(named, lambda track: track.id)}

    assert ways(plain) == ways(other)


def _plain(frames: list[list[Box]]) -> list[list[tuple[int, ...]]]:
    return [[(each.x, each.y, each.width, each.height, each.area) for each in boxes] for boxes in frames]


@pytest.mark.parametrize("options", [{"patience": -1}, {"patience": float("nan")}, {"confirm": 0}])
def test_bad_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(options))}.*{next(iter(options.values()))}"):
        Tracker(**options)
