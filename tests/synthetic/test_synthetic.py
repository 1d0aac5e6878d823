from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.labels import LEVELS, MOVING, OUTSIDE_ROI, SHADOW, STATIC, UNKNOWN
from bgsub_lightning.datasets.origin import MARKER, mark
from bgsub_lightning.synthetic import (
    CATEGORIES,
    TRAINING_CATEGORIES,
    TrainingPlan,
    VideoPlan,
    effects,
    plan,
    render_all,
    render_video,
    synthesize,
    training_plan,
)
from bgsub_lightning.synthetic.render import Recipe, Renderer
from bgsub_lightning.synthetic.training import TRAINING_RECIPES

SIZE, UNLABELLED, LABELLED = (96, 72), 4, 6

Bytes = NDArray[np.uint8]


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("twin")
    list(synthesize(root, videos_per_category=1, size=SIZE, unlabelled=UNLABELLED, labelled=LABELLED))
    return root


def video(root: Path, category: str) -> Path:
    (folder,) = (root / category).iterdir()
    return folder


def frames(folder: Path) -> NDArray[np.int16]:
    paths = sorted((folder / "input").iterdir())
    return np.stack([np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.int16) for path in paths])


def masks(folder: Path) -> Bytes:
    paths = sorted((folder / "groundtruth").iterdir())
    return np.stack([np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8) for path in paths])


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != MARKER)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_every_category_is_rendered(twin: Path) -> None:
    assert sorted(path.name for path in twin.iterdir()) == sorted([*CATEGORIES, MARKER])
    assert len(CATEGORIES) == 11


@pytest.mark.parametrize("category", CATEGORIES)
def test_layout_is_cdnets(twin: Path, category: str) -> None:
    folder = video(twin, category)
    count = UNLABELLED + LABELLED
    assert sorted(path.name for path in folder.iterdir()) == [
        "ROI.bmp",
        "ROI.jpg",
        "groundtruth",
        "input",
        "temporalROI.txt",
    ]
    assert [p.name for p in sorted((folder / "input").iterdir())] == [f"in{n:06d}.jpg" for n in range(1, count + 1)]
    assert [p.name for p in sorted((folder / "groundtruth").iterdir())] == [
        f"gt{n:06d}.png" for n in range(1, count + 1)
    ]
    assert (folder / "temporalROI.txt").read_text().split() == [str(UNLABELLED + 1), str(count)]
    roi = cv2.imread(str(folder / "ROI.bmp"), cv2.IMREAD_UNCHANGED)
    assert roi is not None
    assert roi.shape == SIZE[::-1]
    assert set(np.unique(roi)) <= {0, 255}
    assert frames(folder).shape == (count, *SIZE[::-1], 3)
    assert masks(folder).shape == (count, *SIZE[::-1])


@pytest.mark.parametrize("category", CATEGORIES)
def test_masks_hold_the_levels_of_cdnet(twin: Path, category: str) -> None:
    folder = video(twin, category)
    unlabelled, labelled = np.split(masks(folder), [UNLABELLED])
    roi = np.asarray(cv2.imread(str(folder / "ROI.bmp"), cv2.IMREAD_GRAYSCALE))
    assert (unlabelled == OUTSIDE_ROI).all()
    assert set(np.unique(labelled)) <= set(LEVELS)
    assert ((labelled == OUTSIDE_ROI) == (roi == 0)).all()
    assert (labelled == MOVING).any()
    assert (labelled == STATIC).mean() > 0.4
    assert (labelled == SHADOW).any() == (category == "shadow")


def test_some_regions_of_interest_are_cut_and_some_are_whole(twin: Path) -> None:
    cut = {category: bool((masks(video(twin, category))[-1] == OUTSIDE_ROI).any()) for category in CATEGORIES}
    assert set(cut.values()) == {True, False}
    assert not cut["PTZ"]


@pytest.mark.parametrize("category", ["baseline", "shadow", "PTZ", "turbulence"])
def test_moving_pixels_never_touch_static_ones(twin: Path, category: str) -> None:
    for mask in masks(video(twin, category))[UNLABELLED:]:
        around = cv2.dilate((mask == MOVING).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert set(np.unique(mask[around])) <= {MOVING, UNKNOWN, OUTSIDE_ROI}


def test_names_contain_seeds_and_are_unique() -> None:
    videos = [*plan(4, seed=0), *plan(4, seed=1)]
    assert len({video.name for video in videos}) == len(videos) == 2 * 4 * len(CATEGORIES)
    assert {video.name for video in plan(1, ["PTZ"], 7)} == {"plaza_9_s7"}


def test_same_seed_gives_same_bytes_whatever_the_order_and_workers(twin: Path, tmp_path: Path) -> None:
    chosen = ["nightVideos", "cameraJitter"]
    options = {"videos_per_category": 1, "size": SIZE, "unlabelled": UNLABELLED, "labelled": LABELLED}
    found = list(synthesize(tmp_path, categories=chosen, workers=2, **options))  # type: ignore[arg-type]
    assert found == [tmp_path / v.category / v.name for v in plan(1, chosen)]
    again = contents(tmp_path)
    assert again == {name: data for name, data in contents(twin).items() if name.split("/")[0] in chosen}


def test_different_seeds_and_indices_differ(twin: Path, tmp_path: Path) -> None:
    for number, other in enumerate((VideoPlan("baseline", 0, seed=1), VideoPlan("baseline", 3))):
        render_video(other, tmp_path / str(number), size=SIZE, unlabelled=1, labelled=1)
    pictures = [frames(folder)[0] for folder in (video(twin, "baseline"), tmp_path / "0", tmp_path / "1")]
    for one, other in pairwise(pictures):
        assert np.abs(one - other).mean() > 5


def test_thermal_channels_are_equal(twin: Path) -> None:
    pictures = frames(video(twin, "thermal"))
    assert np.ptp(pictures, axis=3).max() <= 2


def background_change(folder: Path) -> float:
    """Mean difference between neighbouring frames where both are static, beyond noise, which blurring removes."""
    changes = []
    pictures, levels = frames(folder)[UNLABELLED:], masks(folder)[UNLABELLED:]
    blurred = [cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1.5).mean(2) for picture in pictures]
    for (a, b), (m, n) in zip(pairwise(blurred), pairwise(levels), strict=True):
        near = cv2.dilate(((m != STATIC) | (n != STATIC)).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        changes.append(np.abs(a - b)[~near].mean())
    return float(np.mean(changes))


def test_only_moving_backgrounds_move(twin: Path) -> None:
    change = {category: background_change(video(twin, category)) for category in CATEGORIES}
    assert change["baseline"] < 1
    for category in ("cameraJitter", "PTZ", "dynamicBackground", "badWeather"):
        assert change[category] > 2 * change["baseline"], category


def test_fast_objects_of_low_frame_rates_jump() -> None:
    from bgsub_lightning.synthetic.render import RECIPES

    assert RECIPES["lowFramerate"].pace > 4 * RECIPES["baseline"].pace


def test_stopped_object_stays_foreground_and_stands_still(tmp_path: Path) -> None:
    render_video(VideoPlan("intermittentObjectMotion", 1), tmp_path / "v", size=(128, 96), unlabelled=20, labelled=60)
    levels, pictures = masks(tmp_path / "v")[20:], frames(tmp_path / "v")[20:]
    longest = np.zeros(levels.shape[1:], int)
    run = np.zeros_like(longest)
    for level in levels:
        run = np.where(level == MOVING, run + 1, 0)
        longest = np.maximum(longest, run)
    stopped = cv2.erode((longest > 25).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert stopped.sum() > 30
    waiting = (levels[:, stopped] == MOVING).mean(1) > 0.9
    values = pictures[waiting][:, stopped].mean((1, 2))
    assert waiting.sum() > 20
    assert np.median(np.abs(np.diff(values))) < 2
    assert (levels[0, stopped] == STATIC).any() or (levels[-1, stopped] == STATIC).any()


def test_half_written_video_never_lies_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = VideoPlan("baseline", 2)
    folder = tmp_path / wanted.category / wanted.name
    encode, calls = cv2.imencode, iter(range(100))

    def failing(*args: object) -> object:
        if next(calls) == 5:
            raise KeyboardInterrupt
        assert not folder.exists()
        return encode(*args)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(cv2, "imencode", failing)
        with pytest.raises(KeyboardInterrupt):
            render_video(wanted, folder, size=SIZE, unlabelled=2, labelled=2)
    assert not folder.exists()
    folder.with_name(f".{folder.name}.0123.partial").mkdir()
    render_video(wanted, folder, size=SIZE, unlabelled=2, labelled=2)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert len(frames(folder)) == 4


def test_finished_video_is_left_alone(tmp_path: Path) -> None:
    wanted = VideoPlan("baseline", 0)
    folder = tmp_path / "baseline" / wanted.name
    mark(tmp_path, "CDnet2014", [0], many=True)
    folder.mkdir(parents=True)
    assert list(synthesize(tmp_path, videos_per_category=1, categories=["baseline"])) == [folder]
    assert not list(folder.iterdir())


def test_encoding_failure_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imencode", lambda *_: (False, None))
    with pytest.raises(OSError, match=r"cannot encode .*in000001\.jpg"):
        render_video(VideoPlan("baseline", 2), tmp_path / "v", size=SIZE, unlabelled=1, labelled=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"categories": ["baseline", "nonsense"]}, "--categories: unknown nonsense; choose among baseline"),
        ({"size": (63, 48)}, "--width: .*got 63"),
        ({"size": (64, 47)}, "--height: .*got 47"),
        ({"unlabelled": 0}, "--unlabelled: .*got 0"),
        ({"labelled": 0}, "--labelled: .*got 0"),
        ({"videos_per_category": 0}, "--videos_per_category: .*got 0"),
        ({"workers": 0}, "--workers: .*got 0"),
        ({"size": (100_000, 240)}, "--width: .*got 100000"),
        ({"labelled": 10**12}, "--labelled: .*got 1000000000000"),
        ({"videos_per_category": 10**12}, "--videos_per_category: .*got 1000000000000"),
        ({"workers": 10**6}, "--workers: .*got 1000000"),
        ({"seed": -1}, "--seed: .*got -1"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(tmp_path: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        synthesize(tmp_path / "twin", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "twin").exists()


def test_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "twin").write_text("")
    with pytest.raises(UserError, match=r"--out: .*twin is a file"):
        synthesize(tmp_path / "twin")


def test_smallest_size_and_a_wide_one_work(tmp_path: Path) -> None:
    for number, size in enumerate([(64, 48), (161, 90)]):
        for category in ("PTZ", "nightVideos", "turbulence"):
            folder = tmp_path / f"{category}{number}"
            render_video(VideoPlan(category, 1), folder, size=size, unlabelled=1, labelled=1)
            assert frames(folder).shape[1:] == (*size[::-1], 3)


def test_command_prints_where_the_twin_is_and_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bgsub_lightning.commands.synthesize import synthesize as command

    command(tmp_path, 1, ["baseline", "PTZ"], *SIZE, unlabelled=1, labelled=2, workers=1)
    output = capsys.readouterr().out
    assert f"2 videos with 6 frames are in {tmp_path}" in output
    assert f"python -m bgsub_lightning prepare --root {tmp_path}" in output


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lessons")
    list(render_all(root, training_plan(1), SIZE, UNLABELLED, LABELLED, 1))
    return root


@pytest.mark.parametrize("category", TRAINING_CATEGORIES)
def test_videos_to_train_on_have_a_mask_for_every_frame(lessons: Path, category: str) -> None:
    folder, count = video(lessons, category), UNLABELLED + LABELLED
    levels = masks(folder)
    assert len(frames(folder)) == len(levels) == count
    assert (folder / "temporalROI.txt").read_text().split() == ["1", str(count)]
    assert (np.asarray(cv2.imread(str(folder / "ROI.bmp"), cv2.IMREAD_UNCHANGED)) == 255).all()
    assert set(np.unique(levels)) <= {STATIC, SHADOW, UNKNOWN, MOVING}
    assert (levels == MOVING).any((1, 2)).sum() > count // 2


def test_videos_to_train_on_come_from_their_seed(lessons: Path, tmp_path: Path) -> None:
    chosen = ["storm", "startUp"]
    list(render_all(tmp_path, training_plan(1, chosen), SIZE, UNLABELLED, LABELLED, 2))
    assert contents(tmp_path) == {k: data for k, data in contents(lessons).items() if k.split("/")[0] in chosen}
    render_video(TrainingPlan("storm", 0, seed=1), tmp_path / "other", size=SIZE, unlabelled=1, labelled=1)
    assert np.abs(frames(tmp_path / "other")[0] - frames(video(lessons, "storm"))[0]).mean() > 5


def test_videos_to_train_on_are_not_those_of_the_twin(twin: Path, lessons: Path) -> None:
    one, other = (frames(video(root, "baseline"))[0] for root in (twin, lessons))
    assert np.abs(one - other).mean() > 5


def test_names_of_videos_to_train_on_are_unique() -> None:
    videos = [*training_plan(6, seed=0), *training_plan(6, seed=1)]
    assert len({video.name for video in videos}) == len(videos) == 2 * 6 * len(TRAINING_CATEGORIES)
    assert TRAINING_CATEGORIES[: len(CATEGORIES)] == CATEGORIES
    assert training_plan(1, ["storm"], 11)[0].name == "avenue_11_s11"


def test_unknown_categories_to_train_on_are_reported() -> None:
    with pytest.raises(UserError, match=r"--categories: unknown hail; choose among baseline.*storm, clouds"):
        training_plan(1, ["storm", "hail"])
    with pytest.raises(UserError, match=r"--videos_per_category: .*got 0"):
        training_plan(0)


TWIN = {
    "baseline": ("highway_0_s0", 101.9, 1864),
    "cameraJitter": ("street_1_s0", 140.9, 5245),
    "dynamicBackground": ("lake_2_s0", 118.2, 1505),
    "intermittentObjectMotion": ("parking_3_s0", 113.9, 4175),
    "shadow": ("plaza_4_s0", 123.3, 1409),
    "thermal": ("park_5_s0", 75.1, 1518),
    "badWeather": ("street_6_s0", 153.4, 3965),
    "lowFramerate": ("highway_7_s0", 116.5, 2272),
    "nightVideos": ("street_8_s0", 42.4, 806),
    "PTZ": ("plaza_9_s0", 140.5, 770),
    "turbulence": ("airfield_10_s0", 159.1, 991),
}
"""Category → its first video, the mean of its frames, and how many pixels of its masks move; since ever the same."""


@pytest.mark.parametrize("category", CATEGORIES)
def test_twins_stay_as_they_were(twin: Path, category: str) -> None:
    """Not by digests, since processors and versions of OpenCV round differently; other random numbers show here."""
    folder, (name, mean, moving) = video(twin, category), TWIN[category]
    assert folder.name == name
    assert frames(folder).mean() == pytest.approx(mean, abs=0.2)
    assert (masks(folder) == MOVING).sum() == pytest.approx(moving, rel=0.01, abs=2)


def pictures_without_actors(recipe: Recipe, count: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Renderer, Bytes]:
    """Frames of the first video of a recipe in which nobody appears, without the sensor's noise."""
    empty = replace(recipe, casting=lambda *_: [], noise=0.0)
    monkeypatch.setitem(TRAINING_RECIPES, "storm", empty)
    renderer = Renderer.of(TrainingPlan("storm", 0), (160, 120), 1, count)
    return renderer, np.stack([renderer.shot(frame).image for frame in range(1, count + 1)])


def test_gale_tosses_leaves_more_than_wind_and_in_gusts(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {}
    for name, effect in (("gale", effects.gale), ("wind", effects.wind)):
        recipe = Recipe(("avenue",), before=(effect,))
        renderer, pictures = pictures_without_actors(recipe, 120, monkeypatch)
        painting = renderer.setup.scene.painting
        leaves = painting.foliage > 0.2
        for sprite in painting.loose:
            leaves[sprite.box] |= (sprite.pixels[..., 3] > 127) & (sprite.sway > 0.2)
        assert 0.3 < leaves.mean() < 0.8
        grey = pictures.mean(3)
        changes[name] = np.abs(np.diff(grey, axis=0))[:, leaves].mean(1)
    assert changes["gale"].mean() > 1.4 * changes["wind"].mean()
    calm, gust = np.quantile(changes["gale"], (0.1, 0.9))
    assert gust > 3 * calm
    steady = np.quantile(changes["wind"], (0.1, 0.9))
    assert steady[1] < 2 * steady[0]


def test_leaves_hide_actors_where_they_are_in_the_frame() -> None:
    renderer = Renderer.of(TrainingPlan("storm", 0), (160, 120), 1, 60)
    still, hides = renderer.setup.scene.painting.occluder, []
    for frame in range(1, 61):
        shot = renderer.shot(frame)
        assert shot.occluder is not None
        hidden = shot.occluder < min(place.z for _, place in shot.cast)
        assert not shot.cover[hidden].any()
        hides.append(hidden & (shot.occluder < still))
    assert np.mean(hides) > 0.02
    assert (hides[0] != hides[-1]).sum() > 50


def test_clouds_change_the_light_and_fade_shadows() -> None:
    for index in range(2):
        renderer = Renderer.of(TrainingPlan("clouds", index), (96, 72), 1, 120)
        light, shade = [], []
        for frame in range(1, 121):
            shot = renderer.shot(frame)
            light.append(float(np.median(shot.image)))
            shade.append(int((shot.shade > 128).sum()))
        assert min(light) < 0.75 * max(light)
        brightest, darkest = np.argsort(light)[-20:], np.argsort(light)[:20]
        assert np.mean([shade[n] for n in darkest]) < np.mean([shade[n] for n in brightest])


@pytest.mark.parametrize("index", range(4))
def test_who_stands_there_from_the_first_frame_leaves(tmp_path: Path, index: int) -> None:
    render_video(TrainingPlan("startUp", index), tmp_path / "v", size=(64, 48), unlabelled=10, labelled=230)
    levels = masks(tmp_path / "v")
    first = levels[0] == MOVING
    assert first.mean() > 0.04
    assert (levels[-1][first] == STATIC).mean() > 0.5
    assert (levels[1:20, first] == MOVING).mean() > 0.4


def test_people_come_close() -> None:
    for index in range(3):
        renderer = Renderer.of(TrainingPlan("closeUp", index), (96, 72), 1, 240)
        tall = [int((renderer.shot(frame).cover > 128).any(1).sum()) for frame in range(1, 241, 4)]
        assert max(tall) > 0.7 * 72


def test_stops_and_starts_go_on_through_a_video_to_train_on() -> None:
    renderer = Renderer.of(TrainingPlan("intermittentObjectMotion", 0), (64, 48), 240, 240)
    resting = [any(a.rests(f) and a.place(f) for a in renderer.actors) for f in range(2, 480)]
    leaving = [a.frames[-2] for a in renderer.actors if len(a.frames) > 2]
    assert np.mean(resting) > 0.5
    assert min(leaving) < 160
    assert max(leaving) > 320
    assert any(np.isfinite(a.labelled_from) for a in renderer.actors)
