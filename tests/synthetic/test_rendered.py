"""Scenes that are rendered when they are first asked for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bgsub_lightning import synthetic
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.labels import LEVELS, MOVING
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.synthetic import Rendered

SMALL: dict[str, Any] = {"categories": ["baseline", "shadow"], "frames": 12, "size": (64, 48), "workers": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rendered")


def scenes_of(root: Path, patterns: list[str] | None = None, **settings: Any) -> list[Any]:
    reader = Rendered(**SMALL | settings)
    return reader.scenes(reader.locate(root), patterns)


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    return ((str(path.relative_to(folder)), path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file())


def test_scenes_have_a_mask_for_each_frame(root: Path) -> None:
    scenes = scenes_of(root, videos={3: 2, 4: 1})
    assert len(scenes) == 6
    assert len({scene.key for scene in scenes}) == 6
    assert {scene.category for scene in scenes} == {"baseline", "shadow"}
    for scene in scenes:
        assert (scene.dataset, scene.size) == ("Rendered", (64, 48))
        assert list(scene.frames) == list(scene.masks) == list(range(1, 13))
        pixels = SceneFrames(scene, None)
        masks = np.stack([pixels.mask(number) for number in scene.masks])
        assert set(np.unique(masks)) <= set(LEVELS)
        assert (masks == MOVING).any()
        assert len({pixels.image(number).tobytes() for number in scene.frames}) > 6


def test_what_is_there_is_not_rendered_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = {3: 1}
    before = [scene.key for scene in scenes_of(root, videos=videos)]
    asked: list[Any] = []
    monkeypatch.setattr(synthetic, "render_all", lambda *given: asked.append(given) or [])
    assert [scene.key for scene in scenes_of(root, videos=videos)] == before
    assert not asked


def test_a_video_that_is_missing_is_the_same_again(root: Path, tmp_path: Path) -> None:
    (scene, *_) = scenes_of(tmp_path, videos={5: 1})
    folder = Rendered(**SMALL).locate(tmp_path) / scene.key
    assert folder.is_dir()
    kept = dict(files(folder))
    shutil.rmtree(folder)
    scenes_of(tmp_path, videos={5: 1, 6: 1})  # beside others
    assert dict(files(folder)) == kept


def test_only_what_is_asked_for_is_rendered(tmp_path: Path) -> None:
    (scene,) = scenes_of(tmp_path, ["shadow/*_s8"], videos={7: 1, 8: 1})
    assert scene.category == "shadow"
    folder = Rendered(**SMALL).locate(tmp_path)
    assert [str(path.relative_to(folder)) for path in folder.glob("*/*")] == [scene.key]


def test_sizes_and_lengths_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {
        Rendered(frames=frames, size=size).locate(tmp_path)
        for frames, size in ((12, (64, 48)), (13, (64, 48)), (12, (48, 64)))
    }
    assert len(folders) == 3
    assert all(folder.parent == tmp_path for folder in folders)
    monkeypatch.setenv("RENDERED_ROOT", str(tmp_path / "elsewhere"))
    assert Rendered().locate(None).parent == tmp_path / "elsewhere"
    monkeypatch.delenv("RENDERED_ROOT")
    assert Rendered().locate(None).parent == Path("store/rendered")


def test_seeds_and_videos_are_other_scenes() -> None:
    keys = [plan.key for plan in Rendered({1: 2, 2: 1}, ["baseline"]).plans]
    assert len(set(keys)) == len(keys) == 3
    assert [plan.key for plan in Rendered({2: 1, 1: 2}, ["baseline"]).plans if plan.key in keys[:2]] == keys[:2]
    assert {plan.key.split("/")[0] for plan in Rendered().plans} == {*Rendered.categories}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"videos": {}}, r"data\.init_args\.reader.*videos: .*got \{\}"),
        ({"frames": 1}, r"data\.init_args\.reader.*frames: .*got 1\b"),
        ({"categories": ["basline"]}, "'?basline'?"),
        ({"videos": {1: 0}}, r"\b0\b"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        Rendered(**SMALL | settings)


def test_a_pattern_without_match_is_reported_before_anything_is_rendered(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.init_args\.scene: 'baseline/nothing'"):
        scenes_of(tmp_path, ["baseline/nothing"])
    assert not list(tmp_path.rglob("*.jpg"))


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{tmp_path}.* GiB .*data\.init_args\.root"):
        scenes_of(tmp_path, size=(4096, 3072), frames=100_000)
    assert not list(tmp_path.rglob("*.jpg"))


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=rf"{tmp_path / 'file'}.*data\.init_args\.root"):
        scenes_of(tmp_path / "file")


def test_a_program_without_a_main_guard_ends(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from pathlib import Path\n"
        "from bgsub_lightning.synthetic import Rendered\n"
        "reader = Rendered({1: 2}, ['baseline'], frames=4, size=(64, 48), workers=2)\n"
        f"reader.scenes(reader.locate(Path({str(tmp_path)!r})))\n"
    )
    ended = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120)
    assert ended.returncode
    assert "`if __name__ == '__main__':`" in ended.stderr


def test_frames_that_can_be_references(root: Path) -> None:
    assert [scene.references for scene in scenes_of(root, opening=3)] == [(1, 2, 3)] * len(scenes_of(root))
    assert all(scene.references == tuple(range(1, 13)) for scene in scenes_of(root))  # there are no more
    with pytest.raises(UserError, match=r"reader.*opening: .*-1"):
        scenes_of(root, opening=-1)
