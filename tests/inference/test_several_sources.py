"""Several cameras in one process: each as it is alone, and none ends another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from live_systems import TINY, moving_square, save, serving, tiny_system, write_video
from numpy.typing import NDArray
from tiny_training import quiet

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.steps import together
from bgsub_lightning.inference import Feed, Frame, OpenCvSubtractor, Result, Source, open_source, segment_feeds, session
from bgsub_lightning.inference.cameras import CameraOptions, ListedCamera, listed_cameras
from bgsub_lightning.inference.outputs import Output
from bgsub_lightning.inference.subtractor import Subtractor

pytestmark = quiet

SIZES = {"yard": (64, 48), "street": (96, 48), "door": (64, 48)}


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Three videos, two of one size, all of different lengths; and the list of them."""
    for seed, (name, size) in enumerate(SIZES.items()):
        write_video(tmp_path / f"{name}.mkv", moving_square(30 + 10 * seed, size, seed))
    (tmp_path / "cam.yaml").write_text("".join(f"{name}: {name}.mkv\n" for name in SIZES))
    return tmp_path


def masks_in(folder: Path) -> NDArray[np.uint8]:
    return np.stack([cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in sorted((folder / "masks").iterdir())])


# --- each as it is alone ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["AnyScene", "Siamese", "MOG2"])
def test_masks_are_those_of_each_alone(name: str, videos: Path) -> None:
    options = [f"--checkpoint={name}", "--write=masks", "--clean=false", "--device=cpu"]
    if name == "Siamese":
        system = tiny_system(name)
        likely = Subtractor(system, "cpu").probability([moving_square(30, (64, 48))[20]])
        threshold = (likely.min() + likely.max()) / 2
        options += [f"--checkpoint={save(system, videos / 'run/last.ckpt')}", f"--threshold={threshold}"]
    assert main(["segment", str(videos / "cam.yaml"), *options, f"--out={videos / 'all'}"]) == 0
    for camera in SIZES:
        assert main(["segment", str(videos / f"{camera}.mkv"), *options, f"--out={videos / camera}"]) == 0
        found, expected = masks_in(videos / "all" / camera), masks_in(videos / camera)
        assert found.shape == expected.shape
        assert 0 < np.mean(expected > 0) < 1
        assert np.mean(found != expected) <= (0 if name == "MOG2" else 1e-4)  # sums of floats in another order


def test_streams_share_the_passes_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    system = tiny_system("AnyScene")
    films = [moving_square(60, (64, 48), seed) for seed in range(3)] + [moving_square(60, (96, 48), 3)]
    alone = []
    for film in films:
        subtractor = Subtractor(system, "cpu")
        alone.append([subtractor.probability([frame])[0] for frame in film])
    passes, original = [], type(system.module).network_pass

    def watched(module: torch.nn.Module, shown: torch.Tensor) -> torch.Tensor:
        passes.append(tuple(shown.shape))
        return original(module, shown)

    monkeypatch.setattr(type(system.module), "network_pass", watched)
    subtractors = [Subtractor(system, "cpu") for _ in films]
    for number in range(60):
        steps = [each.probability_in_steps([film[number]]) for each, film in zip(subtractors, films, strict=True)]
        for found, ways in zip(together(steps, subtractors[0].network), alone, strict=True):
            np.testing.assert_allclose(found[0], ways[number], atol=1e-4)
    assert passes == [(3, 14, 48, 64), (1, 14, 48, 96)] * 60


@pytest.mark.parametrize("name", TINY)
def test_streams_in_threads_do_not_disturb_each_other(name: str) -> None:
    system = tiny_system(name)
    films = [moving_square(10, (48, 32), seed) for seed in range(3)]

    def begun() -> list[Subtractor]:
        return [Subtractor(system, "cpu", film[:3], batch_size=2) for film in films]

    alone = [
        [each.probability(film[start : start + 2]) for start in range(0, 10, 2)]
        for each, film in zip(begun(), films, strict=True)
    ]
    subtractors = begun()
    with ThreadPoolExecutor(2) as threads:
        for batch, start in enumerate(range(0, 10, 2)):
            pairs = zip(subtractors, films, strict=True)
            steps = [each.probability_in_steps(film[start : start + 2]) for each, film in pairs]
            for found, expected in zip(together(steps, subtractors[0].network, threads), alone, strict=True):
                np.testing.assert_allclose(found, expected[batch], atol=1e-4)


def test_options_of_a_camera_are_its_own(videos: Path) -> None:
    (videos / "cam.yaml").write_text(
        "yard: yard.mkv\n"
        "street: {source: street.mkv, count_line: '40,0,40,48'}\n"
        "images: {source: images, rate: 5, zone: 'zone.json', clean: false}\n"
    )
    (videos / "zone.json").write_text('{"gate": [[30, 0], [50, 0], [50, 48], [30, 48]]}')
    (videos / "images").mkdir()
    for number, frame in enumerate(moving_square(40, (96, 48)), 1):
        cv2.imwrite(str(videos / f"images/{number:03}.png"), frame[..., ::-1])
    options = ["--checkpoint=MOG2", "--least_area=10", f"--out={videos / 'out'}", "--codec=ffv1"]
    assert main(["segment", str(videos / "cam.yaml"), *options]) == 0
    assert sorted(each.name for each in (videos / "out/yard").iterdir()) == ["boxes.csv", "overlay.mkv"]
    events = {
        name: [json.loads(line) for line in (videos / "out" / name / "events.jsonl").read_text().splitlines()]
        for name in ("street", "images")
    }
    assert [(each["event"], each["place"]) for each in events["street"] if "place" in each] == [("cross", "line 1")]
    gate = [(each["event"], each["place"]) for each in events["images"] if "place" in each]
    assert gate == [("enter", "gate"), ("leave", "gate")]
    rates = {name: open_source(str(videos / "out" / name / "overlay.mkv")).rate for name in ("street", "images")}
    assert rates == {"street": 25, "images": 5}


def test_each_camera_has_its_background(videos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint = save(tiny_system("Siamese"), videos / "run/last.ckpt")
    (videos / "cam.yaml").write_text("yard: {source: yard.mkv, pool: 7}\nstreet: {source: street.mkv, refresh: 1}\n")
    options = [f"--checkpoint={checkpoint}", "--pool=9", "--device=cpu", "--write=masks", f"--out={videos / 'out'}"]
    assert main(["segment", str(videos / "cam.yaml"), *options]) == 0
    lines = capfd.readouterr().out.splitlines()
    for name, pool in (("yard", 7), ("street", 9)):
        assert [line for line in lines if line.startswith(f"{name}: ") and f" {pool} frames" in line]


@pytest.mark.parametrize("value", ["pool: 0", "every: 0", "refresh: -1", "rate: 5"])
def test_options_that_do_not_fit_are_named(value: str, videos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (videos / "cam.yaml").write_text(f"yard: {{source: yard.mkv, {value}}}\n")
    options = ["--checkpoint=MOG2", f"--out={videos / 'out'}"]
    assert main(["segment", str(videos / "cam.yaml"), *options]) == 2
    captured = capfd.readouterr()
    assert f"cam.yaml: yard.{value.partition(':')[0]}: " in captured.out + captured.err


def test_each_camera_has_its_state(videos: Path) -> None:
    (videos / "cam.yaml").write_text(
        "".join(f"{name}: {{source: {name}.mkv, state: states/{name}.state}}\n" for name in SIZES)
    )
    options = ["--write=masks", "--device=cpu", "--clean=false"]
    for out in ("first", "second"):
        assert main(["segment", str(videos / "cam.yaml"), *options, f"--out={videos / out}"]) == 0
    for name in SIZES:
        state = f"--state={videos / f'{name}.state'}"
        for out in ("once", "again"):
            folder = videos / "alone" / out / name
            assert main(["segment", str(videos / f"{name}.mkv"), *options, state, f"--out={folder}"]) == 0
        found, expected = masks_in(videos / "second" / name), masks_in(videos / "alone/again" / name)
        assert np.mean(found != expected) <= 1e-4
        assert (expected != masks_in(videos / "alone/once" / name)).any()  # it makes a difference
        assert (videos / "states" / f"{name}.state").is_file()


# --- none ends another -----------------------------------------------------------------------------------------------


def test_dead_cameras_are_named_and_the_others_go_on(videos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (videos / "broken.mkv").write_text("no video")
    (videos / "empty").mkdir()
    (videos / "empty/1.png").write_text("no image")
    stream = write_video(videos / "v.ts", moving_square(20, (64, 48)), "mpeg2video", "yuv420p")
    address, thread = serving(stream.read_bytes(), 1)
    with (videos / "cam.yaml").open("a") as file:
        file.write("absent: absent.mkv\nbroken: broken.mkv\nblank: empty\nfar: rtsp://127.0.0.1:9/x\n")
        file.write(f"over: {address}\nplace: {{source: yard.mkv, roi: '0,0,900,0,0,9'}}\n")
    options = ["--checkpoint=MOG2", "--write=masks", f"--out={videos / 'out'}", "--reconnect=0.2"]
    assert main(["segment", str(videos / "cam.yaml"), *options]) == 0
    thread.join()
    lines = capfd.readouterr().out.splitlines()
    for name in ("absent", "broken", "blank", "far", "place"):
        assert [line for line in lines if line.startswith("error") and f" {name}: " in line]
    assert [line for line in lines if "cam.yaml: place.roi: " in line and "(900, 0)" in line]
    assert len([line for line in lines if line.startswith("warning over: ") and "0.2 s" in line]) == 1
    for name, count in (("yard", 30), ("street", 40), ("door", 50)):
        assert len(masks_in(videos / "out" / name)) == count
        assert [line for line in lines if line.startswith(f"{name}: {count} frames")]


def test_where_all_are_dead_nothing_came_of_it(videos: Path, fails: Callable[..., str]) -> None:
    (videos / "cam.yaml").write_text("absent: absent.mkv\nfar: rtsp://127.0.0.1:9/x\n")
    options = ["--checkpoint=MOG2", f"--out={videos / 'out'}", "--reconnect=0"]
    message = fails(main(["segment", str(videos / "cam.yaml"), *options]))
    assert "cam.yaml: " in message
    assert "absent; far" in message
    assert not (videos / "out").exists()


class Camera(Source):
    """A live source of frames that come when they are let."""

    is_live = True

    def __init__(self, frames: list[NDArray[np.uint8]], may: threading.Event, begun: threading.Event) -> None:
        super().__init__()
        self.name, self.rate, self.frames, self.may, self.begun = "camera", Fraction(25), frames, may, begun

    def __iter__(self) -> Iterator[Frame]:
        for number, image in enumerate(self.frames, 1):
            if number == 2:
                self.begun.wait(60)
            yield Frame(number, number / 25, image)
        self.may.set()

    def spread(self, count: int) -> list[NDArray[np.uint8]]:
        raise NotImplementedError


class Kept(Output):
    """Keeps the numbers of the frames; fails at one of them."""

    path = Path("kept")

    def __init__(self, fails_at: int = 0) -> None:
        self.numbers: list[int] = []
        self.fails_at, self.is_closed = fails_at, False

    def write(self, result: Result) -> None:
        if result.number == self.fails_at:
            raise OSError(28, "No space left on device")
        self.numbers.append(result.number)

    def close(self) -> None:
        self.is_closed = True


class Waiting(Kept):
    """Waits at its first frame."""

    def __init__(self, may: threading.Event, begun: threading.Event) -> None:
        super().__init__()
        self.may, self.begun = may, begun

    def write(self, result: Result) -> None:
        self.begun.set()
        self.may.wait(60)
        super().write(result)


def test_frames_that_are_left_out_are_counted_for_their_camera(videos: Path) -> None:
    may, begun = threading.Event(), threading.Event()
    live = Feed(Camera(moving_square(100), may, begun), OpenCvSubtractor("KNN"), [Waiting(may, begun)])
    file = Feed(open_source(str(videos / "yard.mkv")), OpenCvSubtractor("KNN"), [Kept()])
    segment_feeds([live, file])
    assert live.progress.dropped > 50
    assert live.progress.frames + live.progress.dropped == 100
    assert (file.progress.dropped, file.progress.frames) == (0, 30)
    assert file.outputs[0].numbers == list(range(1, 31))  # type: ignore[attr-defined]


def test_a_disk_that_is_full_for_one_is_not_for_another(videos: Path) -> None:
    ended: list[Feed] = []
    feeds = [
        Feed(open_source(str(videos / f"{name}.mkv")), OpenCvSubtractor("KNN"), [Kept(fails_at)])
        for name, fails_at in (("yard", 0), ("street", 7), ("door", 0))
    ]
    segment_feeds(feeds, ended=ended.append)
    assert [type(feed.error) for feed in feeds] == [type(None), UserError, type(None)]
    assert [len(feed.outputs[0].numbers) for feed in feeds] == [30, 6, 50]  # type: ignore[attr-defined]
    assert all(feed.outputs[0].is_closed for feed in feeds)  # type: ignore[attr-defined]
    assert sorted(map(id, ended)) == sorted(map(id, feeds))


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_whole_files_of_all(sent: signal.Signals, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_video(tmp_path / f"{name}.mkv", moving_square(600, (320, 240)))
    (tmp_path / "cam.yaml").write_text("one: one.mkv\ntwo: two.mkv\nbrief: {source: one.mkv, rate: 5}\n")
    command = [sys.executable, "-m", "bgsub_lightning", "segment", str(tmp_path / "cam.yaml"), "--checkpoint=KNN"]
    process = subprocess.Popen(
        [*command, f"--out={tmp_path / 'out'}", "--write=mask_video,masks"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    while not all((tmp_path / f"out/{name}/masks/bin000010.png").exists() for name in ("one", "two")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(sent)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    for name in ("one", "two"):
        frames = len(list(open_source(str(tmp_path / f"out/{name}/mask_video.mp4"))))
        assert 0 < frames < 600
        assert f"{name}: Stopped after {frames} frames" in printed


def test_all_overlays_are_served(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_video(tmp_path / f"{name}.mkv", moving_square(2000, (96, 48)))
    (tmp_path / "cam.yaml").write_text("one: one.mkv\ntwo: two.mkv\n")
    command = [sys.executable, "-m", "bgsub_lightning", "segment", str(tmp_path / "cam.yaml"), "--checkpoint=MOG2"]
    options = ["--serve=0", f"--out={tmp_path / 'out'}", "--write=boxes_csv"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = next(line.split()[-1] for line in process.stdout if line.startswith("Watch at"))
        page = urllib.request.urlopen(url, timeout=30).read().decode()
        for name in ("one", "two"):
            assert f'data-frame="{name}/frame.jpg"' in page
            with urllib.request.urlopen(f"{url}{name}/stream", timeout=30) as answer:
                assert answer.readline() == b"--frame\r\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_list(tmp_path: Path) -> None:
    file = tmp_path / "cam.YML"
    (tmp_path / "7").mkdir()
    file.write_text(
        "a: 0\n"
        "b: rtsp://host/x\n"
        "c: {source: sub/*.jpg, roi: r.png, ignore: '0,0,9,0,0,9', state: c.state, background: clean.png, still: 3}\n"
        "d: {source: '7', background: spread, threshold: 0.3, least_area: 0}\n"
        "e: {source: /films/e.mp4, zone: z.json}\n"
    )
    cv2.imwrite(str(tmp_path / "r.png"), np.zeros((4, 4), np.uint8))
    (tmp_path / "z.json").write_text('{"gate": [[0, 0], [9, 0], [9, 9]]}')
    common = CameraOptions(str(file), least_area=9, background="first")
    cameras = {each.name: each for each in listed_cameras(common)}
    assert list(cameras) == list("abcde")
    sources = {name: each.options.source for name, each in cameras.items()}
    here = str(tmp_path)
    assert sources == {
        "a": "0",
        "b": "rtsp://host/x",
        "c": f"{here}/sub/*.jpg",
        "d": f"{here}/7",
        "e": "/films/e.mp4",
    }
    c = cameras["c"].options
    assert (c.roi, c.ignore, c.state) == (f"{here}/r.png", "0,0,9,0,0,9", f"{here}/c.state")
    assert (c.background, c.still, c.least_area) == (f"{here}/clean.png", 3, 9)
    d = cameras["d"].options
    assert (d.background, d.threshold, d.least_area) == ("spread", 0.3, 0)
    assert cameras["e"].options.zone == f"{here}/z.json"
    assert listed_cameras(CameraOptions("street.mp4")) == [ListedCamera(CameraOptions("street.mp4"))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cam.yaml: must hold a camera at least; got None"),
        ("{}", "cam.yaml: must hold a camera at least; got {}"),
        ("[yard.mkv]", "cam.yaml: must hold a camera at least; got ['yard.mkv']"),
        ("yard: [", "cam.yaml: is no YAML"),
        ("yard: yard.mkv\nyard: door.mkv", "cam.yaml: yard: is given twice"),
        ("a/b: yard.mkv", "cam.yaml: a/b: must be the name of a folder; got 'a/b'"),
        ("..: yard.mkv", "cam.yaml: ..: must be the name of a folder; got '..'"),
        ("1: yard.mkv", "cam.yaml: 1: must be the name of a folder; got 1"),
        ("yard:", "cam.yaml: yard.source: is missing"),
        ("yard: {rate: 5}", "cam.yaml: yard.source: is missing"),
        ("yard: [a, b]", "cam.yaml: yard.source: must be a valid string; got ['a', 'b']"),
        (
            "yard: {source: yard.mkv, count_lines: '1,2,3,4'}",
            "cam.yaml: yard.count_lines: is unknown. Did you mean cou",
        ),
        ("yard: {source: yard.mkv, device: cpu}", "cam.yaml: yard.device: is unknown."),
        ("yard: {source: yard.mkv, roi: 5}", "cam.yaml: yard.roi: must be a valid string; got 5"),
        ("yard: {source: yard.mkv, clean: 2}", "cam.yaml: yard.clean: must be a valid boolean; got 2"),
        ("yard: {source: yard.mkv, least_area: -1}", "cam.yaml: yard.least_area: must be from 0 to"),
        ("yard: {source: yard.mkv, rate: 0}", "cam.yaml: yard.rate: must be from 0.0003 to"),
        ("yard: {source: yard.mkv, work_size: 3}", "cam.yaml: yard.work_size: must be from 16 to"),
        ("yard: {source: yard.mkv, range: '5'}", "cam.yaml: yard.range: "),
        ("yard: {source: yard.mkv, still: -1}", "cam.yaml: yard.still: must be above 0"),
        ("yard: {source: yard.mkv, threshold: 2}", "cam.yaml: yard.threshold: must be at least 0 and below 1; got 2"),
        ("yard: yard.mkv\nYard: door.mkv", "cam.yaml: Yard: would write to the folder of yard"),
        (
            "yard: {source: yard.mkv, state: s}\ndoor: {source: door.mkv, state: ./s}",
            "cam.yaml: door.state: would be written to the file of yard; got ",
        ),
    ],
)
def test_a_bad_list_is_refused(
    content: str, message: str, videos: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(videos)
    Path("cam.yaml").write_text(content)
    assert message in fails(main(["segment", "cam.yaml", "--checkpoint=MOG2", "--out=out"]))
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("key", "value", "got"),
    [
        ("count_line", "1,2", "got 1"),
        ("count_line", "1,a", "got '1,a'"),
        ("zone", "0,0,9,9", "got 2"),
        ("zone", "both.json", "gate"),  # as the line
        ("roi", "nofile.json", "nofile.json"),
        ("roi", "0,0,9,9,0,9,9,0", "(0, 0)"),
        ("ignore", "nofile.png", "nofile.png"),
        ("ignore", "text.png", "text.png"),
        ("background", "nofile.png", "nofile.png"),
        ("background", "text.png", "text.png"),
    ],
)
@pytest.mark.parametrize("is_listed", [True, False])
def test_no_camera_is_opened_where_an_option_is_wrong(
    is_listed: bool,
    key: str,
    value: str,
    got: str,
    videos: Path,
    fails: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "open_source", lambda *_: pytest.fail("a camera was opened"))
    monkeypatch.chdir(videos)
    Path("text.png").write_text("no image")
    for name in ("both", "line"):
        Path(f"{name}.json").write_text('{"gate": [[0, 0], [9, 0]%s]}' % (", [9, 9]" if name == "both" else ""))
    own = {"source": "door.mkv", "count_line": "line.json"} | ({key: value} if is_listed else {})
    Path("cam.yaml").write_text(yaml.safe_dump({"yard": "yard.mkv", "door": own}))
    options = [] if is_listed else ["--count_line=line.json", f"--{key}={value}"]
    message = fails(main(["segment", "cam.yaml", "--checkpoint=MOG2", "--out=out", *options]))
    assert f"error: {'cam.yaml: door.' if is_listed else '--'}{key}: " in message
    assert got in message
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--state=one.state"], "cam.yaml: street.state: would be written to the file of yard; got one.state"),
        (["--least_area=-1"], "--least_area: must be from 0 to"),
        (["--write=masks", "--zone=0,0,9,0,0,9"], "yard: --write: "),
    ],
)
def test_options_for_all_cameras_are_refused_too(
    options: list[str], message: str, videos: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(videos)
    assert message in fails(main(["segment", "cam.yaml", "--checkpoint=KNN", "--out=out", *options]))


def test_an_absent_list_is_refused(tmp_path: Path, fails: Callable[..., str]) -> None:
    assert "absent.yaml: there is no such file" in fails(main(["segment", str(tmp_path / "absent.yaml")]))
