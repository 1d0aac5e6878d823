from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from bgsub_lightning.datasets import Scene
from bgsub_lightning.splits import FrameSet, Leakage, leakage, training_record
from bgsub_lightning.splits.leaks import trained_frames, worst

MakeScene = Callable[..., Scene]


def test_ranges_have_gaps_where_the_frames_have(make_scene: MakeScene) -> None:
    frames = FrameSet.labelled([make_scene("b/y", [7]), make_scene("a/x", [3, 4, 5, 9, 11, 12])])
    assert training_record(frames) == {"CDnet2014:a/x": [[3, 5], [9, 9], [11, 12]], "CDnet2014:b/y": [[7, 7]]}


@pytest.mark.parametrize("seed", range(4))
def test_a_record_gives_back_its_frames(make_scene: MakeScene, seed: int) -> None:
    generator = np.random.default_rng(seed)
    numbers = {key: np.flatnonzero(generator.random(200) < 0.7).tolist() for key in ("a/x", "b/y")}
    record = training_record(FrameSet.labelled(make_scene(key, chosen) for key, chosen in numbers.items()))
    record = json.loads(json.dumps(record))  # as in a checkpoint
    for key, chosen in numbers.items():
        assert trained_frames(record, "CDnet2014", key) == set(chosen)
    assert trained_frames(record, "CDnet2014", "b/x") == set()
    assert trained_frames(record, "LASIESTA", "a/x") == set()


def test_several_sets_are_merged(make_scene: MakeScene) -> None:
    train = FrameSet.labelled([make_scene("a/x", [1, 2, 6])])
    validation = FrameSet.labelled([make_scene("a/x", [3, 6]), make_scene("b/y", [8])])
    assert training_record(train, validation) == {"CDnet2014:a/x": [[1, 3], [6, 6]], "CDnet2014:b/y": [[8, 8]]}


def test_what_the_weights_had_seen_before_stays_seen(make_scene: MakeScene) -> None:
    before = {"CDnet2014:a/x": [[1, 3], [9, 9]], "LASIESTA:a/x": [[5, 6]]}
    record = training_record(FrameSet.labelled([make_scene("a/x", [4, 5])]), before=before)
    assert record == {"CDnet2014:a/x": [[1, 5], [9, 9]], "LASIESTA:a/x": [[5, 6]]}
    assert before == {"CDnet2014:a/x": [[1, 3], [9, 9]], "LASIESTA:a/x": [[5, 6]]}


def test_the_order_of_the_sets_does_not_matter(make_scene: MakeScene) -> None:
    a, b = (FrameSet.labelled([make_scene(key, [1, 2])]) for key in ("a/x", "b/y"))
    assert json.dumps(training_record(a, b)) == json.dumps(training_record(b, a))


@pytest.mark.parametrize(
    ("tested", "expected"),
    [
        ([9, 10], "includes training frames"),
        ([5, 30], "includes training frames"),
        ([4, 6, 21], "seen scenes, unseen frames"),
    ],
)
def test_verdict_on_a_scene_that_was_trained_on(make_scene: MakeScene, tested: list[int], expected: Leakage) -> None:
    record = training_record(FrameSet.labelled([make_scene("a/x", [5, *range(7, 21)])]))
    assert leakage(record, FrameSet.labelled([make_scene("a/x", tested)])) == {"a/x": expected}


def test_each_scene_has_its_own_verdict(make_scene: MakeScene) -> None:
    record = training_record(FrameSet.labelled([make_scene("a/x", [5]), make_scene("a/y", [5])]))
    test = FrameSet.labelled([make_scene("a/x", [4, 5]), make_scene("a/y", [6]), make_scene("a/z", [5])])
    assert leakage(record, test) == {
        "a/x": "includes training frames",
        "a/y": "seen scenes, unseen frames",
        "a/z": "unseen scenes",
    }


def test_a_scene_of_another_dataset_is_another_scene(make_scene: MakeScene) -> None:
    record = training_record(FrameSet.labelled([make_scene("a/x", [5], dataset="LASIESTA")]))
    assert leakage(record, FrameSet.labelled([make_scene("a/x", [5])])) == {"a/x": "unseen scenes"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], "unseen scenes"),
        (["unseen scenes", "unseen scenes"], "unseen scenes"),
        (["seen scenes, unseen frames", "unseen scenes"], "seen scenes, unseen frames"),
        (["unseen scenes", "includes training frames", "seen scenes, unseen frames"], "includes training frames"),
    ],
)
def test_worst(found: list[Leakage], expected: Leakage) -> None:
    assert worst(found) == expected
