from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from bgsub_lightning.datasets.cdnet2014 import published_videos
from bgsub_lightning.splits.folds import balanced_folds, published_folds, scene_folds

BSUV_NET_2_FOLDS = {  # as its authors publish them
    1: "highway badminton blizzard fountain02 overpass sofa port_0_17fps bridgeEntry busyBoulvard continuousPan "
    "copyMachine corridor lakeSide turbulence0",
    2: "pedestrians traffic skating boats fountain01 winterDriveway tramCrossroad_1fps tramStation winterStreet "
    "intermittentPan busStation library turbulence1",
    3: "office boulevard wetSnow canoe abandonedBox parking tunnelExit_0_35fps fluidHighway zoomInZoomOut cubicle "
    "peopleInShade diningRoom turbulence2",
    4: "PETS2006 sidewalk snowFall fall streetLight tramstop turnpike_0_5fps streetCornerAtNight twoPositionPTZCam "
    "backdoor bungalows park turbulence3",
}


def labelled_frames(ptz: bool = False) -> dict[str, int]:
    return {
        f"{row['category']}/{row['video']}": int(row["last_labelled_frame"]) - int(row["temporal_roi_start"]) + 1
        for row in published_videos()
        if ptz or row["category"] != "PTZ"
    }


def test_the_dataset_has_the_published_size() -> None:
    assert len(labelled_frames(ptz=True)) == 53
    assert len({key.split("/")[0] for key in labelled_frames(ptz=True)}) == 11
    assert sum(labelled_frames().values()) == 88_902


def test_the_three_folds_are_those_that_balanced_folds_makes() -> None:
    assert published_folds(3) == balanced_folds(labelled_frames(), 3)


def test_the_three_folds_are_balanced() -> None:
    folds, frames = published_folds(3), labelled_frames()
    sums = [sum(count for key, count in frames.items() if folds[key] == fold) for fold in (1, 2, 3)]
    assert sums == [29_551, 29_578, 29_773]
    assert all(abs(total - 29_634) < 296.34 for total in sums)
    for category in {key.split("/")[0] for key in frames}:
        videos = Counter(fold for key, fold in folds.items() if key.startswith(f"{category}/"))
        assert max(videos.values()) - min(videos[fold] for fold in (1, 2, 3)) <= 1, category


def test_the_four_folds_are_those_of_bsuv_net_2() -> None:
    folds = published_folds(4)
    assert folds.keys() == labelled_frames(ptz=True).keys()
    assert [list(folds.values()).count(fold) for fold in (1, 2, 3, 4)] == [14, 13, 13, 13]
    by_name = {key.split("/")[1]: fold for key, fold in folds.items()}
    assert by_name == {name: fold for fold, names in BSUV_NET_2_FOLDS.items() for name in names.split()}
    assert folds["baseline/highway"] == 1
    assert folds["cameraJitter/traffic"] == 2
    assert folds["PTZ/zoomInZoomOut"] == 3
    assert folds["turbulence/turbulence3"] == 4


def test_there_is_no_list_of_five_folds() -> None:
    assert published_folds(5) == {}


@pytest.mark.parametrize("k", [2, 3, 4, 7])
@pytest.mark.parametrize("seed", range(5))
def test_balanced_folds_hold_for_any_dataset(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    labelled = {
        f"{category}/{video}": int(generator.integers(1, 1000))
        for category in range(generator.integers(1, 8))
        for video in range(generator.integers(1, 9))
    }
    folds = balanced_folds(labelled, k)
    assert folds.keys() == labelled.keys()  # covering, and disjoint as it is a mapping
    assert set(folds.values()) <= set(range(1, k + 1))
    for category in {key.split("/")[0] for key in labelled}:
        videos = [
            sum(key.startswith(f"{category}/") and folds[key] == fold for key in folds) for fold in range(1, k + 1)
        ]
        assert max(videos) - min(videos) <= 1
    shuffled = list(labelled.items())
    random.Random(seed).shuffle(shuffled)
    assert balanced_folds(dict(shuffled), k) == folds


@pytest.mark.parametrize("k", [3, 4])
def test_a_partial_copy_has_the_folds_of_a_whole_one(k: int) -> None:
    part = {"baseline/office": 1, "thermal/park": 500, "shadow/bungalows": 3}
    assert scene_folds(part, k) == {key: published_folds(k)[key] for key in part}


def test_unknown_videos_are_dealt_among_themselves() -> None:
    own = {"mine/a": 10, "mine/b": 20, "mine/c": 30, "baseline/mine": 5}
    mixed = scene_folds({"baseline/highway": 99, **own, "baseline/office": 1}, 3)
    assert {key: mixed[key] for key in own} == balanced_folds(own, 3)
    assert (mixed["baseline/highway"], mixed["baseline/office"]) == (1, 2)


def test_without_a_list_all_videos_are_dealt() -> None:
    labelled = {"baseline/highway": 3, "baseline/office": 2, "thermal/park": 1}
    assert scene_folds(labelled, 2) == balanced_folds(labelled, 2)
