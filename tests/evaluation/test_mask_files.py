"""Files among masks that belong to no frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bgsub_lightning.datasets import Scene
from bgsub_lightning.evaluation.mask_files import MaskFiles


def test_folders_of_masks_inside_of_another_belong_there(make_scene: Callable[..., Scene], tmp_path: Path) -> None:
    """Videos whose masks lie at two depths: the first video's folder holds those of the second, and one of no video."""
    outer, inner = (make_scene(f"a/{name}", labelled=2, references=0) for name in ("x", "y"))
    inner = replace(inner, name="x/deep/y")  # as a reader of one's own may call it
    scenes = [outer, inner]
    files = MaskFiles(tmp_path, "{video}/{number:03d}.png")
    for scene in scenes:
        for number in scene.frames:
            path = files.path(scene, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert files.unexpected_files(scenes) == {}
    (tmp_path / "x/other").mkdir()
    (tmp_path / "x/deep/y/notes.txt").touch()
    assert files.unexpected_files(scenes) == {tmp_path / "x": ["other"], tmp_path / "x/deep/y": ["notes.txt"]}


def test_many_videos_are_looked_at_once_each(make_scene: Callable[..., Scene], tmp_path: Path) -> None:
    scenes = [make_scene(f"a/video{number}", labelled=1, references=0) for number in range(300)]
    files = MaskFiles(tmp_path)
    for scene in scenes:
        files.path(scene, 1).parent.mkdir(parents=True)
    (tmp_path / "a/video7/bin000009.png").touch()
    assert files.unexpected_files(scenes) == {tmp_path / "a/video7": ["bin000009.png"]}
