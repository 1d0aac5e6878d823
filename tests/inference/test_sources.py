"""Frames of video files, folders and patterns: their order, times, sizes, and what is damaged."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
import traceback
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from live_systems import moving_square, serving, write_video

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference import open_source, sources, waiting
from bgsub_lightning.inference.sources import Camera, Images, VideoFile
from bgsub_lightning.inference.waiting import open_when_up


def write_images(folder: Path, numbers: range, ending: str = ".png") -> list[np.ndarray[Any, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    frames = moving_square(len(numbers))
    for number, frame in zip(numbers, frames, strict=True):
        cv2.imwrite(str(folder / f"frame{number}{ending}"), frame[..., ::-1])
    return frames


def test_a_video_gives_its_frames(tmp_path: Path) -> None:
    frames = moving_square(7)
    source = open_source(str(write_video(tmp_path / "v.mkv", frames)))
    assert isinstance(source, VideoFile)
    assert (source.count, source.rate, source.is_live, source.damaged) == (7, 25, False, 0)
    for _ in range(2):  # it can be read again
        found = list(source)
        assert [frame.number for frame in found] == [1, 2, 3, 4, 5, 6, 7]
        np.testing.assert_allclose([frame.time for frame in found], np.arange(7) / 25, atol=1e-3)
        np.testing.assert_array_equal([frame.image for frame in found], frames)


@pytest.mark.parametrize("ending", ["mkv", "avi"])
def test_times_of_a_variable_rate_are_kept(ending: str, tmp_path: Path) -> None:
    times = [0, 40, 50, 300, 310, 900]
    source = open_source(str(write_video(tmp_path / f"v.{ending}", moving_square(6), times=times)))
    np.testing.assert_allclose([1000 * frame.time for frame in source], times, atol=1)
    assert source.why_ended == ""


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    grey = [frame[..., 0].copy() for frame in moving_square(3)]
    found = list(open_source(str(write_video(tmp_path / "v.mkv", grey, pix_fmt="gray"))))
    np.testing.assert_array_equal([frame.image for frame in found], np.repeat(np.array(grey)[..., None], 3, -1))


@pytest.mark.parametrize(("cosine", "sine", "turns"), [(0, 1, 1), (-1, 0, 2), (0, -1, 3)])
def test_a_turned_video_is_shown_upright(cosine: int, sine: int, turns: int, tmp_path: Path) -> None:
    """A phone writes lying frames, and in the track's header the matrix that turns them clockwise."""
    path = write_video(tmp_path / "lying.mp4", moving_square(3), "libx264", "yuv420p")
    plain = [frame.image for frame in open_source(str(path))]
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    corner = struct.pack(">5i", cosine << 16, sine << 16, 0, -sine << 16, cosine << 16)
    content[matrix : matrix + 20] = corner
    path.write_bytes(content)
    for one, other in zip(plain, open_source(str(path)), strict=True):
        np.testing.assert_array_equal(np.rot90(one, -turns), other.image)


@pytest.mark.parametrize("ending", ["mkv", "avi"])  # FFmpeg scales the duration of an .avi to the bytes that are there
def test_a_truncated_video_gives_what_is_there(ending: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"v.{ending}", moving_square(40, (64, 48)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_source(str(path))
    found = list(source)
    assert 10 < len(found) < 30
    assert re.search(rf"1\.6 s .*{found[-1].time:.1f} s.*cut off", source.why_ended)
    np.testing.assert_array_equal(
        [frame.image for frame in found], [moving_square(40, (64, 48))[frame.number - 1] for frame in found]
    )


def test_a_video_without_a_declared_length_is_whole(tmp_path: Path) -> None:
    """An .avi from a pipe has 2^30 frames by its header, and one whose writer was killed has none."""
    path = write_video(tmp_path / "v.avi", moving_square(12))
    content = bytearray(path.read_bytes())
    length = content.index(b"strh") + 8 + 32
    for declared in (1 << 30, 0):
        content[length : length + 4] = declared.to_bytes(4, "little")
        path.write_bytes(content)
        source = open_source(str(path))
        assert source.count is None
        assert len(list(source)) == 12
        assert source.why_ended == ""


def test_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "whole.mkv", moving_square(20, (64, 48)))
    with av.open(str(path)) as there, av.open(str(tmp_path / "v.mkv"), "w") as here:
        stream = here.add_stream_from_template(there.streams.video[0])
        for number, packet in enumerate(there.demux(video=0), 1):
            if packet.dts is None:
                continue
            damaged = av.Packet(b"\xff" * 40) if number == 8 else packet
            damaged.pts, damaged.dts, damaged.time_base, damaged.stream = (
                packet.pts,
                packet.dts,
                packet.time_base,
                stream,
            )
            here.mux(damaged)
    source = open_source(str(tmp_path / "v.mkv"))
    found = [frame.number for frame in source]
    assert source.damaged >= 1
    assert len(found) + source.damaged == 20
    assert found == sorted(set(found) - {8})


def test_a_stream_that_broke_off_is_opened_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.ts", moving_square(20, (64, 48)), "mpeg2video", "yuv420p")
    whole = [frame.image for frame in open_source(str(path))]
    address, thread = serving(path.read_bytes(), 2)
    source = open_source(address, reconnect=1)
    assert source.is_live
    found = list(source)
    thread.join()
    assert source.reopened == 1
    assert [frame.number for frame in found] == list(range(1, 2 * len(whole) + 1))
    np.testing.assert_array_equal([frame.image for frame in found], whole + whole)
    times = np.array([frame.time for frame in found])
    assert times[0] == 0
    assert (np.diff(times) > 0.03).all()  # though the server sent faster than time goes
    assert re.search(r"stream .*\b1 s", source.why_ended)


def test_a_stream_that_is_not_up_yet_is_waited_for(tmp_path: Path) -> None:
    content = write_video(tmp_path / "v.ts", moving_square(20, (64, 48)), "mpeg2video", "yuv420p").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        serving(content, 1, port)

    source = open_when_up(lambda: open_source(f"tcp://127.0.0.1:{port}", reconnect=0), 30, say)
    assert len(list(source)) == 20
    assert len(said) == 1


def test_a_stream_that_does_not_come_up_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_PAUSE", 0.01)
    said: list[str] = []
    for address in ("rtsp://127.0.0.1:9/x", "99"):
        with pytest.raises(UserError, match="9"):
            open_when_up(lambda address=address: open_source(address), 0.1, said.append)
    assert len(said) == 2
    stop = threading.Event()
    stop.set()
    with pytest.raises(UserError, match="127"):
        open_when_up(lambda: open_source("rtsp://127.0.0.1:9/x"), 1e9, said.append, stop)


@pytest.mark.parametrize("address", ["absent.mkv", "notes.txt", "nosuch://127.0.0.1/x"])
def test_what_time_does_not_mend_is_not_waited_for(address: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(UserError, match="source"):
        open_when_up(lambda: open_source(address if ":" in address else str(tmp_path / address)), 1e9, pytest.fail)


def shifted(path: Path, seconds: float) -> bytes:
    """The same video, its times later by so much."""
    later = path.with_stem(f"later{seconds:g}")
    with av.open(str(path)) as there, av.open(str(later), "w") as here:
        stream = here.add_stream_from_template(there.streams.video[0])
        for packet in there.demux(video=0):
            if packet.dts is not None:
                packet.pts += round(seconds / packet.time_base)
                packet.dts += round(seconds / packet.time_base)
                packet.stream = stream
                here.mux(packet)
    return later.read_bytes()


@pytest.mark.parametrize(("seconds", "seems"), [(-10, 2), (2, 2), (6, 6), (3000, 2)])
def test_a_stream_whose_clock_is_set(seconds: float, seems: float, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.ts", moving_square(50, (64, 48)), "mpeg2video", "yuv420p")  # two seconds
    address, thread = serving(shifted(path, 20) + shifted(path, 20 + seconds), 1)
    found = list(open_source(address, reconnect=0.1))
    thread.join()
    times = np.array([frame.time for frame in found])
    assert len(times) == 100
    np.testing.assert_allclose(times, np.r_[np.arange(50) / 25, seems + np.arange(50) / 25], atol=0.1)


def test_a_clock_that_steps_back_again_and_again_is_not_ahead_of_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.ts", moving_square(50, (64, 48)), "mpeg2video", "yuv420p")
    address, thread = serving(b"".join(shifted(path, 20 + 1.5 * number) for number in range(10)), 1)
    times = np.array([frame.time for frame in open_source(address, reconnect=0.1)])
    thread.join()
    assert len(times) == 500
    assert (np.diff(times) >= 0).all()
    np.testing.assert_allclose(times[-1], 9 * 1.5 + 49 / 25, atol=0.1)


def test_a_camera_without_timestamps(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mjpeg", moving_square(20, (64, 48)), "mjpeg", "yuvj420p")
    with av.open(str(path)) as container:
        pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server, server.accept()[0] as caller:
            caller.recv(10_000)
            caller.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n")
            for picture in pictures:
                caller.sendall(b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture))
                caller.sendall(picture + b"\r\n")
                time.sleep(0.1)

    thread = threading.Thread(target=serve)
    thread.start()
    source = open_source(f"http://127.0.0.1:{server.getsockname()[1]}/video", reconnect=0)
    assert source.is_live
    began, passed, times = time.monotonic(), [], []
    for frame in source:
        passed.append(time.monotonic() - began)
        times.append(frame.time)
    thread.join()
    assert len(times) == 20
    np.testing.assert_allclose(times, np.array(passed) - passed[0], atol=0.3)


@pytest.mark.parametrize(
    "address", ["guest:geheim@HOST/", "guest:ge@heim@HOST/", "geheim@HOST", "HOST/a?pwd=geheim", "HOST/user=heim&id=1"]
)
def test_the_password_of_a_stream_is_not_printed(address: str) -> None:
    with pytest.raises(UserError, match=r"rtsp://127\.0\.0\.1:9.* opened") as error:
        open_source("rtsp://" + address.replace("HOST", "127.0.0.1:9"))
    assert "heim" not in "".join(traceback.format_exception(error.value))


def test_images_come_by_the_numbers_in_their_names(tmp_path: Path) -> None:
    frames = write_images(tmp_path / "images", range(8, 12))  # frame8 … frame11
    (tmp_path / "images/notes.txt").write_text("no image")
    for given in (str(tmp_path / "images"), str(tmp_path / "images/*.png"), str(tmp_path / "**/frame*")):
        source = open_source(given, 10)
        assert isinstance(source, Images)
        assert (source.count, source.rate) == (4, Fraction(10))
        found = list(source)
        np.testing.assert_array_equal([frame.image for frame in found], frames)
        assert [frame.number for frame in found] == [8, 9, 10, 11]
        np.testing.assert_allclose([frame.time for frame in found], [0, 0.1, 0.2, 0.3])
    (tmp_path / "images/frame11.png").rename(tmp_path / "images/frame20261126051500.png")  # a time
    assert [frame.number for frame in open_source(str(tmp_path / "images"))] == [1, 2, 3, 4]
    (tmp_path / "images/frame9.png").rename(tmp_path / "images/nine.png")
    assert [frame.number for frame in open_source(str(tmp_path / "images/*"))] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("one", "other", "patterns"),
    [
        ("b{:05d}.bmp", "hand_segmented_{:05d}.BMP", ("b%05d.bmp", "hand_segmented_%05d.BMP")),
        ("left_{:04d}.png", "right_{:04d}.png", ("left_%04d.png", "right_%04d.png")),
        ("{}.png", "{}_mask.png", ("%d.png", "%d_mask.png")),
        ("{:03d}.jpg", "{:03d}.png", ("%03d.jpg", "%03d.png")),
        ("cam_2026-{:02d}-01.png", "ROI.bmp", ("cam_[0-9]*-[0-9]*-[0-9]*.png", "ROI.bmp")),
    ],
)
def test_a_folder_of_two_name_patterns_is_refused(
    one: str, other: str, patterns: tuple[str, str], tmp_path: Path
) -> None:
    frames, masks = moving_square(12), moving_square(12, seed=5)
    for number, (frame, mask) in enumerate(zip(frames, masks, strict=True), 1):
        cv2.imwrite(str(tmp_path / one.format(number)), frame[..., ::-1])
        if number < 5:
            cv2.imwrite(str(tmp_path / other.format(number)), mask[..., ::-1])
    with pytest.raises(UserError) as refused:
        open_source(str(tmp_path))
    message = str(refused.value)
    for pattern in patterns:
        assert pattern in message
    offered = message.partition("such as '")[2].partition("'")[0]
    source = open_source(offered)
    if Path(one).suffix != ".jpg":
        np.testing.assert_array_equal([frame.image for frame in source], frames)
    assert len(list(open_source(str(tmp_path / "*")))) > 12


@pytest.mark.parametrize("pattern", ["", "*", "frame*.png", "frame%d.png"])
def test_a_frame_under_two_names_is_refused(pattern: str, tmp_path: Path) -> None:
    write_images(tmp_path, range(1, 13))
    (tmp_path / "frame000004.png").write_bytes((tmp_path / "frame4.png").read_bytes())
    with pytest.raises(UserError, match=rf"^--source: {tmp_path}.*; got .*/frame000004\.png and .*/frame4\.png\."):
        open_source(str(tmp_path / pattern))
    assert [frame.number for frame in open_source(str(tmp_path / "frame%06d.png"))] == [4]


def test_a_pattern_of_printf_is_taken_as_opencv_takes_it(tmp_path: Path) -> None:
    frames = write_images(tmp_path, range(8, 12))
    for number in range(8, 12):
        (tmp_path / f"frame{number}.png").rename(tmp_path / f"in{number:06d}.png")
    (tmp_path / "in7.png").write_bytes(b"not of six digits")
    source = open_source(str(tmp_path / "in%06d.png"))
    np.testing.assert_array_equal([frame.image for frame in source], frames)
    assert [frame.number for frame in source] == [8, 9, 10, 11]
    for none in ("out%06d.png", "in%99999999999d.png"):
        with pytest.raises(UserError, match=none.replace(".", r"\.")):
            open_source(str(tmp_path / none))


def test_an_image_that_cannot_be_decoded_is_skipped_and_counted(tmp_path: Path) -> None:
    write_images(tmp_path / "images", range(1, 5))
    (tmp_path / "images/frame2.png").write_bytes((tmp_path / "images/frame2.png").read_bytes()[:-20])  # cut off
    source = open_source(str(tmp_path / "images"))
    assert [frame.number for frame in source] == [1, 3, 4]
    assert source.damaged == 1


def test_first_and_spread(tmp_path: Path) -> None:
    frames = moving_square(12)
    write_images(tmp_path / "images", range(1, 13))
    video = write_video(tmp_path / "v.mkv", frames)
    for source in (open_source(str(tmp_path / "images")), open_source(str(video))):
        np.testing.assert_array_equal(source.first(3), frames[:3])
        np.testing.assert_array_equal(source.spread(4), [frames[i] for i in (0, 3, 6, 9)])
        assert len(source.spread(100)) == 12


def test_a_long_video_is_not_decoded_whole_for_a_few_frames(tmp_path: Path) -> None:
    frames = moving_square(200)
    source = open_source(str(write_video(tmp_path / "v.mkv", frames)))
    found = source.spread(4)
    assert len(found) == 4
    places = [next(i for i, frame in enumerate(frames) if np.array_equal(frame, image)) for image in found]
    np.testing.assert_allclose(places, [0, 50, 100, 150], atol=12)  # a key frame in twelve


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ("absent.mp4", r"absent\.mp4: there is no such file or folder"),
        ("empty", "the folder holds no images"),
        ("empty/*.png", "no image has such a name"),
        ("empty/x**.png", "no image has such a name"),
        ("text.mp4", "text.mp4: is no video that FFmpeg knows, or one that was cut off"),
        ("77", "there is no camera 77, or it is in use"),
        ("99999999999", "source: .* at most 4 digits; got 99999999999"),
        ("9" * 5000, "source: 99999"),
        (f"rtsp://127.0.0.1:9/{'9' * 500}", "cannot be opened as a video"),
        ("rtsp://admin:se/cret@127.0.0.1:9/none", "rtsp://127.0.0.1:9/none: cannot be opened as a video"),
        ("rtsp://127.0.0.1:9/none", "cannot be opened as a video"),
    ],
)
def test_what_is_no_source_is_refused(
    expected: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        open_source(expected)
    assert capfd.readouterr() == ("", "")  # nor do the libraries write any line


def test_a_long_video_with_few_key_frames_gives_different_frames(tmp_path: Path) -> None:
    frames = [np.full((16, 16, 3), i, np.uint8) for i in range(250)]
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "1000", "sc_threshold": "0", "crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv444p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    found = open_source(str(path)).spread(5)
    np.testing.assert_allclose([image.mean() for image in found], [0, 50, 100, 150, 200], atol=4)


def test_a_time_lapse_has_a_slow_rate(tmp_path: Path) -> None:
    write_images(tmp_path / "images", range(1, 3))
    first, second = open_source(str(tmp_path / "images"), 1 / 1800)
    assert second.time - first.time == pytest.approx(1800, rel=0.02)


def test_a_rate_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--rate: .*got 0"):
        open_source(str(tmp_path), 0)


def test_a_camera_that_gives_up_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera as OpenCV opens it, which this machine lacks; it fails after some frames."""

    class Capture:
        def __init__(self, index: int) -> None:
            self.left = [True, False, True]

        def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
            return True

        def get(self, _: int) -> float:
            return 0.0

        def read(self) -> tuple[bool, Any]:
            is_read = bool(self.left) and self.left.pop(0)
            return is_read, np.full((4, 6, 3), (1, 2, 3), np.uint8) if is_read else None

        def release(self) -> None:
            released.append(True)

    released: list[bool] = []
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(sources, "_PAUSE", 0)
    camera = open_source("0")
    assert isinstance(camera, Camera)
    found = list(camera)
    assert [frame.number for frame in found] == [1, 3]
    assert found[0].image[0, 0].tolist() == [3, 2, 1]  # RGB
    assert camera.is_live
    assert "gave no frame 50 times" in camera.why_ended
    assert camera.damaged == 51
    assert released
