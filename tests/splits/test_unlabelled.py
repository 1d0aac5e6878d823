"""No labels to train on: which frames are tested, and which scenes cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import UnlabelledImage
from bgsub_lightning.datasets import Scene
from bgsub_lightning.splits import Unlabelled


def test_all_labelled_frames_are_tested_and_all_frames_are_drawn(make_scene: Callable[..., Scene]) -> None:
    scenes = [make_scene("b/y", labelled=4, references=3), make_scene("a/x"), make_scene("PTZ/z")]
    protocol = Unlabelled(exclude=["PTZ"])
    split = protocol.split(scenes, 1, 0)
    assert [(scene.key, numbers) for scene, numbers in split.test] == [
        ("a/x", (*range(21, 27),)),
        ("b/y", (4, 5, 6, 7)),
    ]
    assert [scene.key for scene in split.test_scenes] == ["a/x", "b/y"]
    assert split.train.isdisjoint(split.test)
    assert dict(split.train) == {scene: tuple(set(scene.frames) - set(scene.masks)) for scene in split.train.scenes}
    drawn = UnlabelledImage().drawn_from(split)
    assert [numbers for _, numbers in drawn] == [tuple(scene.frames) for scene in split.train.scenes]
    assert "PTZ" in protocol.describe(1)


def test_a_scene_without_an_unlabelled_frame_is_named(make_scene: Callable[..., Scene]) -> None:
    with pytest.raises(UserError, match=r"protocol.*b/y.*exclude"):
        Unlabelled().split([make_scene("a/x"), make_scene("b/y", references=0)], 1, 0)
