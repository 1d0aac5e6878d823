"""Videos, images and boxes of masks; and decoding, subtracting and writing at the same time."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from live_systems import moving_square, tiny_system, write_video
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference import (
    Frame,
    Result,
    Subtractor,
    boxes,
    load_system,
    open_outputs,
    open_source,
    segment_frames,
)
from bgsub_lightning.inference.annotation import tinted
from bgsub_lightning.inference.outputs import Kind, Output
from bgsub_lightning.inference.pipeline import Prefetch, WriterThread
from bgsub_lightning.inference.segmenting import batches
from bgsub_lightning.inference.sources import Images

KINDS: list[Kind] = ["mask_video", "masks", "overlay", "side_by_side", "boxes_csv", "boxes_jsonl"]


def masks_of(frames: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    return [np.where(frame[..., 0] > 200, np.uint8(255), np.uint8(0)) for frame in frames]


def written(folder: Path, frames: list[NDArray[np.uint8]], times: list[float], codec: Any, kinds: list[Kind]) -> None:
    outputs = open_outputs(folder, kinds, codec, Fraction(25))
    for number, (frame, mask, seconds) in enumerate(zip(frames, masks_of(frames), times, strict=True), 1):
        for output in outputs:
            output.write(Result(number, seconds, frame, mask, boxes=boxes(mask, 10)))
    for output in outputs:
        output.close()


def blobs(mask: NDArray[np.uint8], least: int) -> list[tuple[int, ...]]:
    """Boxes by a flood of one's own."""
    left, found = {(int(y), int(x)) for y, x in np.argwhere(mask)}, []
    while left:
        todo = [left.pop()]
        blob = set(todo)
        while todo:
            y, x = todo.pop()
            near = {(y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1)} & left
            left -= near
            blob |= near
            todo += near
        ys, xs = [y for y, _ in blob], [x for _, x in blob]
        if len(blob) >= least:
            found.append((min(xs), min(ys), max(xs) - min(xs) + 1, max(ys) - min(ys) + 1, len(blob)))
    return sorted(found)


def test_boxes_are_those_of_a_flood() -> None:
    generator = np.random.default_rng(0)
    mask = cv2.resize(generator.integers(0, 2, (9, 12), np.uint8) * 255, (60, 45), interpolation=cv2.INTER_NEAREST)
    mask = np.asarray(mask, np.uint8)
    for least in (1, 30, 200):
        found = boxes(mask, least)
        assert sorted((box.x, box.y, box.width, box.height, box.area) for box in found) == blobs(mask, least)
        assert [box.area for box in found] == sorted((box.area for box in found), reverse=True)
    assert boxes(np.zeros((5, 5), np.uint8)) == []


def test_ffv1_loses_nothing(tmp_path: Path) -> None:
    frames = moving_square(5, (33, 25))
    written(tmp_path, frames, [i / 25 for i in range(5)], "ffv1", KINDS)
    grey = [np.repeat(mask[..., None], 3, 2) for mask in masks_of(frames)]
    for name, expected in (
        ("mask_video.mkv", grey),
        ("overlay.mkv", [tinted(frame, mask) for frame, mask in zip(frames, masks_of(frames), strict=True)]),
("side_by_side.mkv", [np.hstack(pair) for pair in zip(frames, grey, strict=True)]),
    ):  # fmt: skip
        np.testing.assert_array_equal([frame.image for frame in open_source(str(tmp_path / name))], expected)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("size", [(64, 48), (33, 25)])
def test_h264_keeps_size_count_and_times(size: tuple[int, int], tmp_path: Path) -> None:
    times = [0, 0.04, 0.05, 0.3, 0.31, 0.9]
    written(tmp_path, moving_square(6, size), times, "h264", ["mask_video", "overlay"])
    for name in ("mask_video.mp4", "overlay.mp4"):
        found = list(open_source(str(tmp_path / name)))
        assert [frame.image.shape[1::-1] for frame in found] == [size] * 6
        np.testing.assert_allclose([frame.time for frame in found], times, atol=1e-3)
    masks = np.array([frame.image[..., 0] for frame in open_source(str(tmp_path / "mask_video.mp4"))])
    truth = np.array(masks_of(moving_square(6, size)))
    assert ((masks > 127) == (truth > 127)).mean() > 0.99


@pytest.mark.parametrize(("codec", "ending"), [("h264", "mp4"), ("ffv1", "mkv")])
@pytest.mark.parametrize("begin", [0.0, 3.0])
def test_what_a_killed_process_leaves_plays(codec: Any, ending: str, begin: float, tmp_path: Path) -> None:
    frames = moving_square(200, (64, 48))  # little happens, and few bytes come
    times = np.arange(200) / 25 + begin
    (output,) = open_outputs(tmp_path, ["overlay"], codec, Fraction(25))
    for number, (frame, at) in enumerate(zip(frames, times, strict=True), 1):
        output.write(Result(number, float(at), frame, np.zeros((48, 64), np.uint8)))
    killed = tmp_path / f"killed.{ending}"
    (partial,) = tmp_path.glob(f".overlay.{ending}.*.partial")
    shutil.copyfile(partial, killed)  # as it is now
    output.close()

    def found(path: Path) -> list[float]:
        with av.open(str(path)) as container:
            return [frame.time for frame in container.decode(video=0)]

    whole = found(tmp_path / f"overlay.{ending}")
    np.testing.assert_allclose(whole, times, atol=0.001)
    left = found(killed)
    assert 100 < len(left) <= 200
    np.testing.assert_allclose(left[:100], times[:100], atol=0.001)  # before the last come others that are not there


def test_boxes_are_written_with_number_and_time(tmp_path: Path) -> None:
    frames = moving_square(3)
    written(tmp_path, frames, [0, 0.5, 1], "h264", KINDS[-2:])
    with (tmp_path / "boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "boxes.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [1, 2, 3]
    assert [line["time"] for line in lines] == [0, 0.5, 1]
    for row, line in zip(rows, lines, strict=True):
        (box,) = line["boxes"]
        assert box == {"x": 2 * (line["frame"] - 1), "y": 8, "width": 8, "height": 8, "area": 64}
        assert {name: float(value) for name, value in row.items()} == {
            "frame": line["frame"],
            "time": line["time"],
            **box,
        }


def test_masks_are_called_by_their_frames(tmp_path: Path) -> None:
    frames = moving_square(2)
    written(tmp_path, frames, [0, 1], "h264", ["masks"])
    for number, mask in enumerate(masks_of(frames), 1):
        found = cv2.imread(str(tmp_path / f"masks/bin{number:06d}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(found, mask)


# --- from a source to outputs ----------------------------------------------------------------------------------------


class Kept(Output):
    def __init__(self) -> None:
        self.path = Path("kept")
        self.numbers: list[int] = []
        self.shapes: list[tuple[int, ...]] = []
        self.closed = 0

    def write(self, result: Result) -> None:
        assert not self.closed
        self.numbers.append(result.number)
        self.shapes.append(result.mask.shape)

    def close(self) -> None:
        self.closed += 1


def test_all_frames_arrive_in_their_order(tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / "v.mkv", moving_square(11))))
    kept, reported = Kept(), []
    come = segment_frames(
        Subtractor(tiny_system("FrameFcn"), "cpu", batch_size=4),
        source,
        [kept],
        report=lambda each: reported.append(each.frames),
    )
    assert kept.numbers == list(range(1, 12))
    assert reported == [4, 8, 11]
    assert (come.frames, come.is_interrupted, come.resized, come.dropped, kept.closed) == (11, False, 0, 0, 1)
    assert segment_frames(Subtractor(tiny_system("FrameFcn"), "cpu", batch_size=4), source, [], limit=5).frames == 5


def test_the_answer_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / "v.mkv", moving_square(9))))
    for name in ("CdnMedal", "Siamese"):
        found = []
        for batch in (1, 4):
            folder = tmp_path / f"{name}{batch}"
            outputs = open_outputs(folder, ["masks"], "h264", source.rate)
            segment_frames(Subtractor(tiny_system(name), "cpu", source.first(3), batch_size=batch), source, outputs)
            found.append([cv2.imread(str(path)) for path in sorted((folder / "masks").iterdir())])
        assert len(found[0]) == 9
        assert (np.array(found[0]) == np.array(found[1])).mean() > 0.999


def test_a_source_that_changes_its_size(tmp_path: Path) -> None:
    for i, frame in enumerate([*moving_square(3), *moving_square(2, (48, 40))]):
        cv2.imwrite(str(tmp_path / f"{i}.png"), frame)
    kept = Kept()
    outputs = [kept, *open_outputs(tmp_path / "out", ["overlay"], "ffv1", Fraction(25))]
    come = segment_frames(
        Subtractor(tiny_system("BmnBsn"), "cpu", batch_size=8), open_source(str(tmp_path)), outputs
    )  # fmt: skip
    assert kept.shapes == [(24, 32)] * 3 + [(40, 48)] * 2
    assert come.resized == 1
    assert [frame.image.shape for frame in open_source(str(tmp_path / "out/overlay.mkv"))] == [(24, 32, 3)] * 5


class Interrupted(Images):
    """Images that Ctrl-C ends, or an error."""

    def __init__(self, folder: Path, error: BaseException) -> None:
        super().__init__(list(folder.glob("*.png")), "interrupted")
        self.error = error

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            if frame.number == 7:
                raise self.error
            yield frame


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no memory")])
def test_whatever_ends_it_leaves_a_playable_file(error: BaseException, tmp_path: Path) -> None:
    for i, frame in enumerate(moving_square(9)):
        cv2.imwrite(str(tmp_path / f"{i}.png"), frame)
    outputs = open_outputs(tmp_path / "out", ["mask_video", "boxes_csv"], "h264", Fraction(25))
    subtractor = Subtractor(tiny_system("FrameFcn"), "cpu", batch_size=2)
    if isinstance(error, KeyboardInterrupt):
        assert segment_frames(subtractor, Interrupted(tmp_path, error), outputs).is_interrupted
    else:
        with pytest.raises(RuntimeError, match="no memory"):
            segment_frames(subtractor, Interrupted(tmp_path, error), outputs)
    assert len(list(open_source(str(tmp_path / "out/mask_video.mp4")))) == 6
    assert (tmp_path / "out/boxes.csv").is_file()


def test_an_output_that_fails_ends_it(tmp_path: Path) -> None:
    class Full(Kept):
        def write(self, result: Result) -> None:
            if result.number == 3:
                raise OSError("no space left on device")
            super().write(result)

    full = Full()
    source = open_source(str(write_video(tmp_path / "v.mkv", moving_square(60))))
    with pytest.raises(UserError, match=r"kept: .*no space left"):
        segment_frames(Subtractor(tiny_system("FrameFcn"), "cpu"), source, [full])
    assert full.numbers == [1, 2]
    assert full.closed == 1


def test_an_output_that_cannot_be_closed_does_not_keep_others_open(tmp_path: Path) -> None:
    class Stuck(Kept):
        def close(self) -> None:
            super().close()
            raise OSError("no space left on device")

    outputs = [Stuck(), Kept(), Stuck()]
    source = open_source(str(write_video(tmp_path / "v.mkv", moving_square(3))))
    with pytest.raises(UserError, match=r"kept: .*no space left"):
        segment_frames(Subtractor(tiny_system("FrameFcn"), "cpu"), source, outputs)
    assert [output.closed for output in outputs] == [1, 1, 1]


def test_an_interruption_while_the_last_are_written_waits_for_them() -> None:
    done: list[int] = []
    writing = threading.Event()

    def write(item: int) -> None:
        writing.set()
        time.sleep(0.3)
        done.append(item)

    def interrupt() -> None:
        writing.wait(60)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    behind = WriterThread(write, 2)
    with pytest.raises(KeyboardInterrupt), behind:  # noqa: PT012
        behind.put(1)
        behind.put(2)
    assert done == [1, 2]


def test_ahead_raises_what_is_raised_and_ends_its_thread() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise ValueError("of the source")

    before = threading.active_count()
    taken = []
    with pytest.raises(ValueError, match="of the source"):
        taken.extend(Prefetch(items(), 1))
    assert taken == [0, 1, 2]
    endless = iter(Prefetch(iter(int, 1), 2))
    next(endless)
    endless.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_ahead_drops_what_nobody_takes() -> None:
    dropped: list[int] = []
    items = iter(Prefetch(range(100), 2, dropped.append))
    taken = [next(items)]
    while len(dropped) < 90:
        time.sleep(0.001)
    taken += list(items)
    assert taken == sorted(taken)
    assert sorted(taken + dropped) == list(range(100))
    assert taken[-1] == 99


def test_behind_waits_for_all() -> None:
    done: list[int] = []
    with WriterThread[int](lambda item: done.append(item), 2) as behind:
        for item in range(20):
            behind.put(item)
    assert done == list(range(20))


def test_nothing_is_written_after_a_failure() -> None:
    done: list[int] = []

    def write(item: int) -> None:
        if item == 0:
            raise ValueError("no space")
        done.append(item)

    with WriterThread(write, 2) as behind:
        with pytest.raises(ValueError, match="no space"):  # noqa: PT012
            for item in itertools.repeat(0):
                behind.put(item)
        behind.put(1)
    assert done == []


def test_a_video_that_ffmpeg_refuses_is_one_line(tmp_path: Path) -> None:
    """Its own errors are of several kinds; here the times of the frames are beyond what an .mp4 holds."""
    frames = [Frame(number, 1e6 * number, image) for number, image in enumerate(moving_square(3), 1)]

    class Slow(Images):
        def __iter__(self) -> Iterator[Frame]:
            return iter(frames)

    outputs = open_outputs(tmp_path / "out", ["mask_video"], "h264", Fraction(1, 100_000))
    with pytest.raises(UserError, match=r"mask_video\.mp4: "):
        segment_frames(Subtractor(load_system("MOG2"), "cpu"), Slow([], "slow"), outputs)
    assert not (tmp_path / "out/mask_video.mp4").exists()


@pytest.mark.parametrize(("size", "expected"), [((240, 320), [8, 2]), ((1080, 1920), [5, 5]), ((2160, 3840), [1] * 10)])
def test_batches_of_large_frames_are_small(size: tuple[int, int], expected: list[int]) -> None:
    frames = [Frame(number, number / 25, np.broadcast_to(np.uint8(0), (*size, 3))) for number in range(10)]
    assert [len(batch) for batch in batches(frames, 8)] == expected
