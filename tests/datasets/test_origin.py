"""The marker of rendered datasets, and which videos are a dataset's own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bgsub_lightning import __version__
from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import ScenesDataModule
from bgsub_lightning.datasets import LASIESTA, LIMU, SBI2015, CDnet2014, Reader, Scene, Wallflower
from bgsub_lightning.datasets.cdnet2014 import published_videos
from bgsub_lightning.datasets.origin import MARKER, Origin, mark, origin_of
from bgsub_lightning.splits import Subset
from bgsub_lightning.synthetic import Plan, Rendered, lasiesta, limu, plan, render_all, sbi2015, wallflower
from bgsub_lightning.systems.any_scene import AnyScene

SIZE = (64, 48)
TWINS: dict[type[Reader], Sequence[Plan]] = {
    CDnet2014: plan(1, ["baseline"], 7),
    LASIESTA: lasiesta.plan(1, ["I_SI"], 7),
    LIMU: limu.plan(7)[:1],
    SBI2015: sbi2015.plan(7)[:1],
    Wallflower: wallflower.plan(7)[:1],
}


def marker(**changes: object) -> str:
    fields = {"kind": "rendered", "renderer": "r", "version": "1", "layout": "LIMU", "seeds": [0]}
    return json.dumps(fields | changes)


@pytest.mark.parametrize("reader", TWINS)
def test_every_reader_knows_a_twin(reader: type[Reader], tmp_path: Path) -> None:
    list(render_all(tmp_path, TWINS[reader], SIZE, 2, 5, 1))
    (scene,) = reader().scenes(tmp_path)
    assert scene.dataset == f"synthetic {reader.name}"
    assert scene.origin == Origin("bgsub_lightning", __version__, reader.name, (7,))
    assert scene.departure == ""
    (tmp_path / MARKER).unlink()
    (scene,) = reader().scenes(tmp_path)
    assert (scene.dataset, scene.origin) == (reader.name, None)


def test_what_is_rendered_to_train_on_is_marked(tmp_path: Path) -> None:
    reader = Rendered({3: 1}, ["baseline"], 4, SIZE, 1)
    root = reader.locate(tmp_path)
    for _ in range(2):
        (scene,) = reader.scenes(root)
        assert (scene.dataset, scene.departure) == ("Rendered", "")
        assert scene.origin is not None
        assert scene.origin.seeds == (3,)
        (root / MARKER).unlink()  # as an earlier version has left it
    Rendered({3: 1, 4: 1}, ["baseline"], 4, SIZE, 1).scenes(root, ["*_s4"])
    assert json.loads((root / MARKER).read_text())["seeds"] == [3, 4]


def test_the_marker_is_found_from_inside(tmp_path: Path) -> None:
    (tmp_path / "twin/a/x/input/deeper").mkdir(parents=True)
    (tmp_path / "twin" / MARKER).write_text(marker())
    found = origin_of(tmp_path / "twin/a/x/input")
    assert found == origin_of(tmp_path / "twin") == Origin("r", "1", "LIMU", (0,))
    assert origin_of(tmp_path / "twin/a/x/input/deeper") is origin_of(tmp_path) is None


@pytest.mark.parametrize("content", ['{"kind": "other"}', "[1, 2]", '{"name": "x"}'])
def test_a_file_of_another_program_is_no_marker(content: str, tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(content)
    assert origin_of(tmp_path) is None


@pytest.mark.parametrize(
    "content", ["{", marker(seeds="0"), marker(version=1), '{"kind": "rendered"}', marker(seeds=None)]
)
def test_a_marker_that_is_damaged_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(content)
    with pytest.raises(UserError, match=rf"^{tmp_path}/{MARKER}: "):
        origin_of(tmp_path)


def test_nothing_is_rendered_among_real_videos(tmp_path: Path) -> None:
    (tmp_path / "baseline/highway").mkdir(parents=True)
    with pytest.raises(UserError, match=rf"--out: .*{tmp_path}.*{MARKER}"):
        mark(tmp_path, "CDnet2014", [0], many=True)
    assert not (tmp_path / MARKER).exists()


def test_seeds_that_would_mix_are_refused(tmp_path: Path) -> None:
    mark(tmp_path, "LIMU", [0], many=False)
    mark(tmp_path, "LIMU", [0], many=False)
    with pytest.raises(UserError, match=r"--seed: .* seed 0 .*got 1\."):
        mark(tmp_path, "LIMU", [1], many=False)
    with pytest.raises(UserError, match=r"--out: .* LIMU; got --layout CDnet2014\."):
        mark(tmp_path, "CDnet2014", [0], many=True)


@pytest.fixture
def own(make_scene: Callable[..., Scene]) -> Scene:
    """A whole video of CDnet2014, of which half of the masks are public: zoomInZoomOut has 500–1130, masks to 815."""
    (row,) = (row for row in published_videos() if row["video"] == "zoomInZoomOut")
    assert [row[name] for name in ("temporal_roi_start", "temporal_roi_end", "last_labelled_frame")] == [
        *("500", "1130", "815")
    ]
    scene = make_scene("PTZ/zoomInZoomOut", labelled=range(500, 816), references=499)
    return replace(scene, evaluated=(500, 1130), frames={n: Path(f"in{n}") for n in range(1, 1131)})


def without(there: dict[int, Path], numbers: range) -> dict[int, Path]:
    return {number: path for number, path in there.items() if number not in numbers}


def test_a_video_of_cdnet_is_known_and_a_lost_file_does_not_matter(own: Scene) -> None:
    reader = CDnet2014()
    assert reader.departure(own) == ""
    assert reader.departure(replace(own, masks=without(dict(own.masks), range(815, 816)))) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "zoom"}, "no video of this name"),
        ({"evaluated": (500, 900)}, "500–900.*500–1130"),
        ({"frames": range(1, 300)}, "299 of its 1130 frames"),
        ({"masks": range(500, 600)}, "100 of its 316 masks"),
        ({"masks": "more"}, "2 masks of frames whose masks are withheld"),
    ],
)
def test_what_is_not_cdnets_own_is_shown(own: Scene, changes: dict[str, object], said: str) -> None:
    for name in ("frames", "masks"):
        if isinstance(changes.get(name), range):
            changes = {name: without(dict(getattr(own, name)), changes[name])}  # type: ignore[arg-type]
        elif name in changes:
            changes = {name: {**own.masks, 900: Path("a"), 901: Path("b")}}
    found = CDnet2014().departure(replace(own, **changes))  # type: ignore[arg-type]
    assert re.search(said, found)


def test_a_sequence_of_another_name_is_not_the_datasets_own(make_scene: Callable[..., Scene]) -> None:
    assert LIMU().departure(make_scene("LIMU/Intersection")) == ""
    assert "LIMU" in LIMU().departure(make_scene("LIMU/Crossing"))


def test_prepare_says_what_the_videos_are(tmp_path: Path, cdnet: Path, capfd: pytest.CaptureFixture[str]) -> None:
    list(render_all(tmp_path / "twin", TWINS[CDnet2014], SIZE, 2, 5, 1))
    assert main(["prepare", str(tmp_path / "twin")]) == 0
    printed = capfd.readouterr().out
    assert "synthetic scenes, rendered by bgsub_lightning" in printed
    assert "not CDnet2014's own" not in printed
    assert main(["prepare", str(cdnet), "--scene=[baseline/highway]"]) == 0
    assert "baseline/highway: not CDnet2014's own: temporal ROI 21–26" in " ".join(capfd.readouterr().out.split())


@pytest.mark.parametrize(("marked", "said"), [(True, "same renderer that trained it"), (False, "every real scene is")])
def test_any_scene_knows_its_own_renderer(marked: bool, said: str, tmp_path: Path) -> None:
    list(render_all(tmp_path, TWINS[CDnet2014], SIZE, 2, 5, 1))
    if not marked:
        (tmp_path / MARKER).unlink()
    module = AnyScene(widths=(2, 2, 2, 2))
    module.trained_on = {"Rendered:baseline/x": [[1, 2]]}
    data = ScenesDataModule((), Subset([], ["*"]), tmp_path)
    assert said in module.note(data, all_unseen=True)
    assert module.note(data, all_unseen=False) == ""


@pytest.mark.real_data
def test_real_sequences_are_cdnets_own(real_data: Path) -> None:
    scenes = CDnet2014().scenes(real_data / "CDnet2014")
    assert {scene.key: scene.departure for scene in scenes} == dict.fromkeys((scene.key for scene in scenes), "")
    assert all(scene.origin is None for scene in scenes)
