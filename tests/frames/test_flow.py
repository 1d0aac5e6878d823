from __future__ import annotations

import os
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import CDnet2014, Scene
from bgsub_lightning.frames import (
    DisFlow,
    FarnebackFlow,
    FlowFiles,
    FlowMethod,
    FrameFlow,
    FrameStore,
    LucasKanadeFlow,
    SceneFrames,
    fill_flow,
    source,
)
from bgsub_lightning.frames.flow import channel, earlier, read_flow, require_motion

METHODS = [DisFlow(), FarnebackFlow(), LucasKanadeFlow(), LucasKanadeFlow(spacing=1)]
SIZE = (160, 120)


def texture(seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(size=(200, 240))
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)  # type: ignore[call-overload, no-any-return]


def scene_of(folder: Path, frames: dict[int, NDArray[np.uint8]], name: str = "x") -> Scene:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {number: folder / f"in{number:06d}.png" for number in frames}
    for number, frame in frames.items():
        cv2.imwrite(str(paths[number]), frame)
    height, width = next(iter(frames.values())).shape[:2]
    return Scene("CDnet2014", "a", name, (width, height), paths, {}, (1, max(frames)), ())


@pytest.fixture
def moving(tmp_path: Path) -> Scene:
    """A texture that moves by (2, −1) pixels in each frame; frame 4 is missing."""
    whole = texture()
    frames = {n: whole[40 + n : 160 + n, 40 - 2 * n : 200 - 2 * n] for n in (1, 2, 3, 5, 6)}
    return scene_of(tmp_path / "frames", frames)


@pytest.fixture
def video(tmp_path: Path, make_video: Callable[..., Path]) -> Scene:
    make_video(tmp_path / "data", "baseline", "highway", unlabelled=6, labelled=3)
    return CDnet2014().scenes(tmp_path / "data")[0]


# --- methods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize(("dx", "dy"), [(3, -2), (0, 4), (-1.5, 0.5)])
def test_a_shifted_texture_moves_by_the_shift(tmp_path: Path, method: FrameFlow, dx: float, dy: float) -> None:
    whole = texture()
    shifted = cv2.warpAffine(whole, np.array([[1, 0, dx], [0, 1, dy]], np.float64), (240, 200), flags=cv2.INTER_CUBIC)
    scene = scene_of(tmp_path, {1: whole[40:160, 40:200], 2: shifted[40:160, 40:200].astype(np.uint8)})
    magnitude = method.magnitude(scene, 2, 1)
    assert magnitude.shape == (120, 160)
    assert magnitude.dtype == np.float32
    inside = magnitude[16:-16, 16:-16]
    assert np.median(np.abs(inside - np.hypot(dx, dy))) < 0.1
    assert np.mean(np.abs(inside - np.hypot(dx, dy))) < 0.2
    field = method.field(*(cv2.cvtColor(cv2.imread(str(scene.frames[n])), cv2.COLOR_BGR2GRAY) for n in (2, 1)))  # type: ignore[arg-type]
    assert (
        np.abs(np.median(field[16:-16, 16:-16], (0, 1)) - (-dx, -dy)).max() < 0.1
    )  # from the frame to the earlier one


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_what_stands_still_does_not_move(tmp_path: Path, method: FlowMethod) -> None:
    """A textured square that moves by 4 pixels over a textured background."""
    frames = {}
    for number in (1, 2):
        frame = texture()[:120, :160].copy()
        frame[40:80, 40 + 4 * number : 80 + 4 * number] = texture(1)[:40, :40]
        frames[number] = frame
    magnitude = method.magnitude(scene_of(tmp_path, frames), 2, 1)
    assert np.median(magnitude[50:70, 60:76]) == pytest.approx(4, abs=0.3)
    assert magnitude[:, 120:].mean() < 0.1


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_odd_sizes_and_threads_do_not_matter(tmp_path: Path, method: FlowMethod) -> None:
    scene = scene_of(tmp_path, {n: texture()[:67, 3 * n : 80 + 3 * n] for n in (1, 2)})
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = method.magnitude(scene, 2, 1)
        cv2.setNumThreads(3)
        three = method.magnitude(scene, 2, 1)
    finally:
        cv2.setNumThreads(before)
    assert one.shape == (67, 80)
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize(("number", "tau", "moved"), [(6, 1, 1), (6, 2, 3), (5, 1, 2), (6, 10, 5), (2, 5, 1)])
def test_gaps_and_the_beginning(moving: Scene, number: int, tau: int, moved: int) -> None:
    """4 is missing, so that T − τ = 4 is 3; before the first frame it is the first."""
    inside = DisFlow().magnitude(moving, number, tau)[20:-20, 20:-20]
    assert np.median(inside) == pytest.approx(moved * np.hypot(2, 1), abs=0.1)


def test_the_first_frame_has_no_motion(moving: Scene) -> None:
    assert not DisFlow().magnitude(moving, 1, 5).any()


def test_earlier_frames() -> None:
    numbers = [0, 1, 2, 7, 8]
    assert [earlier(numbers, n, 1) for n in numbers] == [0, 0, 1, 2, 7]
    assert [earlier(numbers, n, 6) for n in numbers] == [0, 0, 0, 1, 2]


def test_a_channel_is_eight_levels_per_pixel() -> None:
    magnitude = np.array([[0, 0.1, 1, 3.07, 31.8, 31.9, 32, 1e6]], np.float32)
    assert channel(magnitude).tolist() == [[0, 1, 8, 25, 254, 255, 255, 255]]
    assert channel(magnitude).dtype == np.uint8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DisFlow("best"), r"presets ultrafast, fast, medium, not 'best'"),  # type: ignore[arg-type]
        (lambda: FarnebackFlow(levels=0), r"data\.init_args\.flow\.init_args\.levels: .*got 0"),
        (lambda: FarnebackFlow(pyr_scale=1), "pyr_scale: .*got 1"),
        (lambda: LucasKanadeFlow(spacing=0), "spacing: .*got 0"),
        (lambda: LucasKanadeFlow(levels=-1), "levels: .*got -1"),
    ],
)
def test_settings_that_make_no_sense(make: Callable[[], FlowMethod], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_frames_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, {n: texture()[:60, n : 80 + n] for n in (1, 2, 3)})
    scene.frames[1].write_bytes(b"no image")
    with pytest.raises(UserError, match=r"in000001\.png: cannot be decoded"):
        DisFlow().magnitude(scene, 2, 1)
    cv2.imwrite(str(scene.frames[1]), texture()[:60, :90])
    with pytest.raises(UserError, match=r"in000001\.png: .*90×60.*80×60"):
        DisFlow().magnitude(scene, 2, 1)
    thin = scene_of(tmp_path / "thin", {n: texture()[:12, n : 200 + n] for n in (1, 2)})
    with pytest.raises(UserError, match=r"16 pixels or more each way.* 200×12"):
        DisFlow().magnitude(thin, 2, 1)
    assert FarnebackFlow().magnitude(thin, 2, 1).shape == (12, 200)


def test_a_single_frame_is_refused_and_a_short_video_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = scene_of(tmp_path, {n: texture()[:60, n : 80 + n] for n in (1, 2, 3)}, f"short-{tmp_path.name}")
    require_motion(scene, (1, 2))
    assert capsys.readouterr().out == ""
    for _ in range(2):
        require_motion(scene, (1, 5, 10))
    output = capsys.readouterr().out
    assert output.count("warning") == 1
    assert re.search(rf"a/{scene.name}: .*1 to 3 .*τ = 10", output.replace("\n", ""))
    np.testing.assert_array_equal(DisFlow().magnitude(scene, 3, 10), DisFlow().magnitude(scene, 3, 2))
    with pytest.raises(UserError, match=r"CDnet2014 a/x: .*\b1\b"):
        require_motion(scene_of(tmp_path / "one", {1: texture()}), (1,))


# --- files -----------------------------------------------------------------------------------------------------------


def field(width: int = 5, height: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(0).integers(-800, 800, (height, width, 2)).astype(np.float32) / 64


def flo(values: NDArray[np.float32]) -> bytes:
    """Middlebury's format, by its description."""
    height, width = values.shape[:2]
    numbers = [float(values[y, x, c]) for y in range(height) for x in range(width) for c in (0, 1)]
    return struct.pack(f"<fii{len(numbers)}f", 202021.25, width, height, *numbers)


def kitti(path: Path, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
    """KITTI's format, by its description: R and G are the flow times 64 plus 2^15, B says whether it is valid."""
    image = np.zeros((*values.shape[:2], 3), np.uint16)
    image[..., 2] = values[..., 0] * 64 + 2**15
    image[..., 1] = values[..., 1] * 64 + 2**15
    image[..., 0] = valid
    cv2.imwrite(str(path), image)


def test_middlebury_files(tmp_path: Path) -> None:
    (tmp_path / "a.flo").write_bytes(flo(field()))
    np.testing.assert_array_equal(read_flow(tmp_path / "a.flo", (5, 3)), field())
    cv2.writeOpticalFlow(str(tmp_path / "b.flo"), field(7, 4))
    np.testing.assert_array_equal(read_flow(tmp_path / "b.flo", (7, 4)), field(7, 4))
    unknown = field()
    unknown[1, 2] = (1e10, 1)
    (tmp_path / "c.flo").write_bytes(flo(unknown))
    unknown[1, 2] = 0
    np.testing.assert_array_equal(read_flow(tmp_path / "c.flo", (5, 3)), unknown)


def test_kitti_files(tmp_path: Path) -> None:
    valid = np.random.default_rng(1).random((3, 5)) < 0.7
    kitti(tmp_path / "a.png", field(), valid)
    assert 0 < valid.sum() < valid.size
    np.testing.assert_array_equal(read_flow(tmp_path / "a.png", (5, 3)), np.where(valid[..., None], field(), 0))


def spoilt(*place: Any) -> NDArray[np.float32]:
    values = field()
    values[1, 2, 0] = place[0]
    return values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"begins with b''"),
        (b"PNG" + flo(field())[3:], r"no Middlebury flow file: it begins with b'PNG"),
        (flo(field())[:6], r"has 6 bytes"),
        (flo(field())[:-1], r"has 131 bytes.* 5×3 .* 132\b"),
        (flo(field()) + b"0", r"has 133 bytes"),
        (struct.pack("<fii", 202021.25, -1, 3), r"bytes.* -1×3 "),
        (flo(field(4, 3)), r"the flow is 4×3, its frame 5×3"),
        (flo(spoilt(np.nan)), r"1 numbers that are not finite"),
        (flo(spoilt(-np.inf)), r"1 numbers that are not finite"),
    ],
)
def test_spoilt_middlebury_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.flo").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.flo: .*{message}"):
        read_flow(tmp_path / "a.flo", (5, 3))


def test_spoilt_kitti_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(UserError, match=r"a\.png: cannot be decoded"):
        read_flow(path, (5, 3))
    cv2.imwrite(str(path), np.zeros((3, 5, 3), np.uint8))
    with pytest.raises(UserError, match=r"a\.png: is no KITTI flow file: .*got uint8\(3, 5, 3\)"):
        read_flow(path, (5, 3))
    kitti(path, field(4, 3), np.ones((3, 4), np.bool_))
    with pytest.raises(UserError, match=r"a\.png: .*4×3.*5×3"):
        read_flow(path, (5, 3))
    with pytest.raises(UserError, match=r"none\.flo: .*No such file"):
        read_flow(tmp_path / "none.flo", (5, 3))
    os.mkfifo(tmp_path / "fifo.flo")
    with pytest.raises(UserError, match=r"fifo\.flo: "):
        read_flow(tmp_path / "fifo.flo", (5, 3))


def test_a_folder_of_flow_files(tmp_path: Path, moving: Scene) -> None:
    folder = tmp_path / "gm flow"
    for number, moved in ((2, 3), (3, 4), (5, 5), (6, 6)):
        path = folder / f"CDnet2014-a-x/{number:04d}_{earlier([1, 2, 3, 5, 6], number, 2)}_tau2.flo"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(flo(np.full((120, 160, 2), (3 * moved, -4 * moved), np.float32)))
    flow = FlowFiles(folder, "{dataset}-{category}-{video}/{number:04d}_{earlier}_tau{tau}.flo")
    assert flow.name == "files_gm-flow"
    assert [float(flow.magnitude(moving, n, 2).max()) for n in moving.frames] == pytest.approx([0, 15, 20, 25, 30])
    assert len(flow.files(moving, 2)) == 4
    next(folder.rglob("0002*")).unlink()  # its T − τ lies before the first frame
    assert not flow.magnitude(moving, 2, 2).any()
    lost = next(folder.rglob("0005*"))
    lost.unlink()
    for call in (lambda: flow.magnitude(moving, 5, 2), lambda: flow.files(moving, 2)):
        with pytest.raises(UserError, match=rf"{lost}: .*frame 5 of a/x.*\b2\b"):
            call()


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{number}.flo", "placeholder"),
        ("tau{tau}.flo", "placeholder"),
        ("{number}/{tau}/{scene}.flo", "placeholder"),
        ("{number:x.y}{tau}.flo", "cannot be used"),
        ("{number:999999999d}{tau}.flo", r"\{number:999999999d\}"),
        ("{number}{earlier:>9999999999}.flo", r"\{earlier:>9999999999\}"),
        ("{category:99999999}{number}{tau}.flo", r"\{category:99999999\}"),
        ("{number}{tau!r}.flo", r"\{tau!r\}"),
        ("{number}{tau}{.flo", "cannot be used"),
        ("{number}{tau}{}.flo", "placeholder"),
        ("{number}_{tau}.npy", r"must end with \.flo \(Middlebury\) or \.png \(KITTI\)"),
    ],
)
def test_patterns_that_cannot_be_used(tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"data\.init_args\.flow\.init_args\.pattern: .*{message}"):
        FlowFiles(tmp_path, pattern)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none: .*flow\.init_args\.folder"):
        FlowFiles(tmp_path / "none")


# --- HOP and the store -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, (32, 24), (64, 64)])
def test_hop_is_the_magnitude_times_eight_then_resized(video: Scene, size: tuple[int, int] | None) -> None:
    pixels = SceneFrames(video, size, flow=FarnebackFlow())
    width, height = size or video.size
    hop = pixels.hop(9, (1, 5, 3))
    assert hop.shape == (height, width, 3)
    for place, tau in enumerate((5, 3, 1)):
        grey = [cv2.cvtColor(cv2.imread(str(video.frames[n])), cv2.COLOR_BGR2GRAY) for n in (9, 9 - tau)]
        flow = cv2.calcOpticalFlowFarneback(*grey, None, 0.5, 5, 15, 3, 5, 1.1, 0)  # type: ignore[call-overload]
        whole = np.rint((8 * np.sqrt((flow**2).sum(-1))).clip(0, 255)).astype(np.uint8)
        how = cv2.INTER_AREA if width < 64 else cv2.INTER_LINEAR
        expected = cv2.resize(whole, (width, height), interpolation=how)
        assert np.abs(hop[..., place].astype(int) - expected).max() <= 1  # half levels
        assert (hop[..., place] != expected).mean() < 0.01
    assert hop.max() > 20
    out = np.zeros_like(hop)
    assert pixels.hop(9, (5, 3, 1), out) is out
    np.testing.assert_array_equal(out, hop)


def arrays(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_stored_flow_is_that_computed_on_the_fly_whatever_the_processes(tmp_path: Path, video: Scene) -> None:
    found = []
    for workers in (1, 2):
        root = tmp_path / f"store{workers}"
        assert fill_flow([SceneFrames(video, (32, 24), FrameStore(root), DisFlow())], (1, 5), workers) == 2
        found.append(arrays(root))
    assert found[0] == found[1]
    assert sorted(found[0]) == [f"flow_dis_medium_tau{t}_32x24.{end}" for t in (1, 5) for end in ("json", "npy")]
    stored = SceneFrames(video, (32, 24), FrameStore(tmp_path / "store1"), DisFlow())
    decoded = SceneFrames(video, (32, 24), flow=DisFlow())
    whole = [decoded.hop(number, (1, 5)) for number in video.frames]
    for path in video.frames.values():
        status = path.stat()
        path.write_bytes(bytes(status.st_size))  # nothing of the files is read again
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for number, expected in zip(video.frames, whole, strict=True):
        np.testing.assert_array_equal(stored.hop(number, (1, 5)), expected)
        np.testing.assert_array_equal(stored.hop(number, (5,)), expected[..., :1])
        np.testing.assert_array_equal(stored.hop(number, (1,)), expected[..., 1:])


def test_what_is_there_is_not_computed_again(tmp_path: Path, video: Scene) -> None:
    def pixels(flow: FlowMethod = DisFlow()) -> SceneFrames:  # noqa: B008
        return SceneFrames(video, (32, 24), FrameStore(tmp_path / "store"), flow)

    assert pixels().missing_motion((1, 5)) == [1, 5]
    assert fill_flow([pixels()], (1,), 1) == 1
    assert pixels().missing_motion((1, 5)) == [5]
    assert fill_flow([pixels()], (1, 5), 1) == 1
    assert fill_flow([pixels()], (1, 5), 1) == 0
    assert fill_flow([pixels()], (), 1) == 0
    assert pixels(DisFlow("fast")).missing_motion((1, 5)) == [1, 5]
    assert fill_flow([pixels(LucasKanadeFlow())], (1,), 1) == 1
    assert pixels(LucasKanadeFlow(spacing=2)).missing_motion((1,)) == [1]
    assert pixels(LucasKanadeFlow()).missing_motion((1,)) == []
    os.utime(video.frames[2], (1, 1))
    assert pixels().missing_motion((1, 5)) == [1, 5]


def test_flow_files_that_change_make_the_stored_flow_stale(tmp_path: Path, moving: Scene) -> None:
    flow = FlowFiles(tmp_path / "frames", "{number:06d}_{tau}.flo")
    for number in (2, 3, 5, 6):
        (flow.folder / f"{number:06d}_1.flo").write_bytes(flo(np.full((120, 160, 2), number, np.float32)))
    pixels = SceneFrames(moving, (32, 24), FrameStore(tmp_path / "store"), flow)
    assert fill_flow([pixels], (1,), 1) == 1
    moved = FlowFiles((tmp_path / "frames").rename(tmp_path / "b").rename(tmp_path / "frames"), flow.pattern)
    assert SceneFrames(moving, (32, 24), FrameStore(tmp_path / "store"), moved).missing_motion((1,)) == []
    assert SceneFrames(moving, (32, 24), FrameStore(tmp_path / "store"), moved).hop(6, (1,)).max() == 68
    os.utime(flow.folder / "000005_1.flo", (1, 1))
    assert pixels.missing_motion((1,)) == [1]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_spoilt_frame_is_named_and_whole_arrays_stay(tmp_path: Path, video: Scene, workers: int) -> None:
    store = FrameStore(tmp_path / "store")
    fill_flow([SceneFrames(video, None, store, FarnebackFlow())], (1,), 1)
    video.frames[7].write_bytes(b"no image")
    with pytest.raises(UserError, match=r"in000007\.jpg: cannot be decoded"):
        fill_flow([SceneFrames(video, None, store, DisFlow())], (1, 5), workers)
    assert set(arrays(store.root)) == {f"flow_farneback_tau1_64x48.{end}" for end in ("json", "npy")}


class Ends(FarnebackFlow):
    """A method whose process is killed."""

    def magnitude(self, scene: Scene, number: int, tau: int) -> NDArray[np.float32]:
        os._exit(9)


def test_a_process_that_is_killed_ends_the_run_with_a_message(tmp_path: Path, video: Scene) -> None:
    with pytest.raises(UserError, match=r"killed.*--workers N"):
        fill_flow([SceneFrames(video, None, FrameStore(tmp_path / "store"), Ends())], (1, 2), 2)
    assert not arrays(tmp_path / "store")


def test_a_full_disk_is_reported_before_anything_is_written(
    tmp_path: Path, video: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 9 * 64 * 48 - 1}))
    with pytest.raises(UserError, match=r"the frame store needs .* and the disk has"):
        fill_flow([SceneFrames(video, None, FrameStore(tmp_path / "store"), DisFlow())], (1,), 1)


def test_opened_flow_can_be_pickled(tmp_path: Path, video: Scene) -> None:
    pixels = SceneFrames(video, None, FrameStore(tmp_path / "store"), DisFlow())
    fill_flow([pixels], (2,), 1)
    expected = pixels.hop(5, (2,))
    opened = SceneFrames(video, None, FrameStore(tmp_path / "store"), DisFlow())
    opened.hop(5, (2,))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(opened)).hop(5, (2,)), expected)


def test_without_a_method_there_is_no_flow(video: Scene) -> None:
    with pytest.raises(ValueError, match="no flow method"):
        SceneFrames(video, None).hop(5, (1,))
