from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bgsub_lightning.errors import UserError
from bgsub_lightning.scenes.labels import LEVELS, MOVING, OUTSIDE_ROI, SHADOW, STATIC, UNKNOWN
from bgsub_lightning.scenes.synthetic import CATEGORIES, VideoPlan, plan, render_video, synthesize

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
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_every_category_is_rendered(twin: Path) -> None:
    assert sorted(path.name for path in twin.iterdir()) == sorted(CATEGORIES)
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


def test_names_tell_seeds_apart_and_are_unique() -> None:
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
    from bgsub_lightning.scenes.synthetic.render import RECIPES

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
    folder.with_name(f".{folder.name}.partial").mkdir()
    render_video(wanted, folder, size=SIZE, unlabelled=2, labelled=2)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert len(frames(folder)) == 4


def test_finished_video_is_left_alone(tmp_path: Path) -> None:
    wanted = VideoPlan("baseline", 0)
    folder = tmp_path / "baseline" / wanted.name
    folder.mkdir(parents=True)
    assert list(synthesize(tmp_path, videos_per_category=1, categories=["baseline"])) == [folder]
    assert not list(folder.iterdir())


def test_encoding_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imencode", lambda *_: (False, None))
    with pytest.raises(OSError, match=r"cannot encode .*in000001\.jpg"):
        render_video(VideoPlan("baseline", 2), tmp_path / "v", size=SIZE, unlabelled=1, labelled=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"categories": ["baseline", "nonsense"]}, "--categories: unknown nonsense; choose among baseline"),
        ({"size": (63, 48)}, "--width and --height .* 64×48, not 63×48"),
        ({"size": (64, 47)}, "--width and --height .* 64×48, not 64×47"),
        ({"unlabelled": 0}, "--unlabelled must be 1 or more frames, not 0"),
        ({"labelled": 0}, "--labelled must be 1 or more frames, not 0"),
        ({"videos_per_category": 0}, "--videos_per_category must be 1 or more, not 0"),
        ({"workers": 0}, "--workers must be 1 or more, not 0"),
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


def test_command_tells_where_the_twin_is_and_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bgsub_lightning.commands.synthesize import synthesize as command

    command(tmp_path, 1, ["baseline", "PTZ"], *SIZE, unlabelled=1, labelled=2, workers=1)
    told = capsys.readouterr().out
    assert f"2 videos with 6 frames are in {tmp_path}" in told
    assert f"python -m bgsub_lightning prepare --root {tmp_path}" in told
