from __future__ import annotations

import errno
import json
import os
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import CDnet2014, Scene
from bgsub_lightning.frames import FrameStore, SceneFrames, StoredArray, fill, read_image, read_mask, store
from bgsub_lightning.frames.store import fingerprint

NUMBERS = (3, 4, 9, 20)
SIZES = pytest.mark.parametrize("size", [None, (64, 48), (32, 24), (50, 60)])


def row(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (4, 5, 3), dtype=np.uint8)


def write(
    frames: FrameStore, produce: Callable[[int], NDArray[np.uint8]] = row, source: str = "s", kind: str = "frames"
) -> Iterator[int]:
    return frames.write("a/x", kind, source, NUMBERS, produce, (4, 5, 3))


@pytest.fixture
def filled(tmp_path: Path) -> FrameStore:
    frames = FrameStore(tmp_path / "store")
    assert list(write(frames)) == list(NUMBERS)
    return frames


def stored(frames: FrameStore, source: str = "s") -> StoredArray:
    array = frames.open("a/x", "frames", source)
    assert array is not None
    return array


def files(frames: FrameStore) -> set[str]:
    return {path.name for path in (frames.root / "a/x").iterdir()}


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_rows_come_back(filled: FrameStore) -> None:
    array = stored(filled)
    assert len(array) == 4
    for number in (20, 3, 9, 4, 3):
        np.testing.assert_array_equal(array.read(number), row(number))
        out = np.zeros((4, 5, 3), np.uint8)
        assert array.read(number, out) is out
        np.testing.assert_array_equal(out, row(number))
    assert files(filled) == {"frames.npy", "frames.json"}


def test_a_row_is_a_copy(filled: FrameStore) -> None:
    stored(filled).read(3)[:] = 0
    np.testing.assert_array_equal(stored(filled).read(3), row(3))


def test_the_array_is_a_plain_npy_file(filled: FrameStore) -> None:
    np.testing.assert_array_equal(
        np.load(filled.root / "a/x/frames.npy"), np.stack([row(number) for number in NUMBERS])
    )


def test_rows_need_not_be_contiguous(tmp_path: Path) -> None:
    frames = FrameStore(tmp_path)
    list(write(frames, lambda number: row(number)[:, ::-1]))
    np.testing.assert_array_equal(stored(frames).read(9), row(9)[:, ::-1])


def test_other_keys_kinds_and_sources_are_not_there(filled: FrameStore, tmp_path: Path) -> None:
    assert filled.open("a/y", "frames", "s") is None
    assert filled.open("a/x", "masks", "s") is None
    assert filled.open("a/x", "frames", "t") is None
    assert FrameStore(tmp_path / "nowhere").open("a/x", "frames", "s") is None


def test_another_version_is_not_read(filled: FrameStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "VERSION", store.VERSION + 1)
    assert filled.open("a/x", "frames", "s") is None
    list(write(filled))
    assert len(stored(filled)) == 4


def test_a_new_array_takes_the_place_of_a_stale_one_when_it_is_whole(filled: FrameStore) -> None:
    old = stored(filled)
    for _ in write(filled, lambda number: row(number + 100), source="new"):
        assert filled.open("a/x", "frames", "new") is None
        np.testing.assert_array_equal(stored(filled).read(9), row(9))
    assert filled.open("a/x", "frames", "s") is None
    np.testing.assert_array_equal(stored(filled, "new").read(9), row(109))
    np.testing.assert_array_equal(old.read(9), row(9))  # whoever had it open reads on


def test_an_abandoned_writer_leaves_nothing(tmp_path: Path) -> None:
    frames = FrameStore(tmp_path)
    writer = write(frames)
    assert [next(writer), next(writer)] == [3, 4]
    assert frames.open("a/x", "frames", "s") is None
    writer.close()  # type: ignore[attr-defined]
    assert files(frames) == set()
    assert frames.open("a/x", "frames", "s") is None


def index_missing(folder: Path) -> None:
    (folder / "frames.json").unlink()


def index_truncated(folder: Path) -> None:
    text = (folder / "frames.json").read_text()
    (folder / "frames.json").write_text(text[: len(text) // 2])


def index_empty(folder: Path) -> None:
    (folder / "frames.json").write_text("")


def index_of_something_else(folder: Path) -> None:
    (folder / "frames.json").write_text("[1, 2]")


def index_of_other_rows(folder: Path) -> None:
    index = json.loads((folder / "frames.json").read_text())
    (folder / "frames.json").write_text(json.dumps(index | {"numbers": index["numbers"][:-1]}))


def index_of_another_shape(folder: Path) -> None:
    index = json.loads((folder / "frames.json").read_text())
    (folder / "frames.json").write_text(json.dumps(index | {"shape": [5, 4, 3]}))


def array_missing(folder: Path) -> None:
    (folder / "frames.npy").unlink()


def array_truncated(folder: Path) -> None:
    os.truncate(folder / "frames.npy", (folder / "frames.npy").stat().st_size - 1)


def array_cut_in_its_header(folder: Path) -> None:
    os.truncate(folder / "frames.npy", 20)


def array_empty(folder: Path) -> None:
    os.truncate(folder / "frames.npy", 0)


def array_too_long(folder: Path) -> None:
    with (folder / "frames.npy").open("ab") as file:
        file.write(b"\0")


def array_of_another_type(folder: Path) -> None:
    np.save(folder / "frames.npy", np.zeros((4, 4, 5, 3), np.int8))


def array_in_fortran_order(folder: Path) -> None:
    np.save(folder / "frames.npy", np.asfortranarray(np.zeros((4, 4, 5, 3), np.uint8)))


@pytest.mark.parametrize(
    "damage",
    [
        index_missing,
        index_truncated,
        index_empty,
        index_of_something_else,
        index_of_other_rows,
        index_of_another_shape,
        array_missing,
        array_truncated,
        array_cut_in_its_header,
        array_empty,
        array_too_long,
        array_of_another_type,
        array_in_fortran_order,
    ],
)
def test_what_is_damaged_is_not_read_and_is_written_again(filled: FrameStore, damage: Callable[[Path], None]) -> None:
    damage(filled.root / "a/x")
    assert filled.open("a/x", "frames", "s") is None
    list(write(filled))
    for number in NUMBERS:
        np.testing.assert_array_equal(stored(filled).read(number), row(number))


def test_a_file_that_ends_while_it_is_open_names_the_row(filled: FrameStore) -> None:
    array = stored(filled)
    os.truncate(filled.root / "a/x/frames.npy", (filled.root / "a/x/frames.npy").stat().st_size - 10)
    np.testing.assert_array_equal(array.read(9), row(9))
    with pytest.raises(OSError, match=r"row 20 .*50 of 60 bytes"):
        array.read(20)


def test_a_closed_array_frees_its_file(filled: FrameStore) -> None:
    def opened() -> int:
        links = Path("/proc/self/fd").iterdir()
        return sum(link.resolve() == filled.root / "a/x/frames.npy" for link in links)

    assert opened() == 0
    arrays = [stored(filled) for _ in range(10)]
    assert opened() == 10
    del arrays
    assert opened() == 0


def test_a_full_disk_names_the_option_and_leaves_the_old_array(filled: FrameStore) -> None:
    def fails(number: int) -> NDArray[np.uint8]:
        if number == 9:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return row(number)

    with pytest.raises(UserError, match=r"frames\.npy: .*No space left on device.*--data\.init_args\.store"):
        list(write(filled, fails, source="new"))
    assert files(filled) == {"frames.npy", "frames.json"}
    np.testing.assert_array_equal(stored(filled).read(9), row(9))


def test_a_writer_killed_between_array_and_index_leaves_no_array(
    filled: FrameStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old index beside the new array would pass for the old array."""
    replace = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if target.suffix == ".json":
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        list(write(filled, lambda number: row(number + 100), source="new"))
    assert filled.open("a/x", "frames", "s") is None
    assert filled.open("a/x", "frames", "new") is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=rf"{tmp_path}/store.*could not be written .*--data\.init_args\.store"):
        list(write(FrameStore(tmp_path / "store")))


@pytest.mark.parametrize("wrong", [np.zeros((5, 4, 3), np.uint8), np.zeros((4, 5, 3), np.float32)])
def test_a_row_of_another_shape_or_type_is_refused(tmp_path: Path, wrong: NDArray[np.uint8]) -> None:
    frames = FrameStore(tmp_path)
    with pytest.raises(ValueError, match=r"a/x, frames, 3: .*expected uint8\(4, 5, 3\)"):
        list(write(frames, lambda number: wrong))
    assert files(frames) == set()


def test_what_killed_writers_left_is_removed_after_a_day(filled: FrameStore) -> None:
    folder = filled.root / "a/x"
    names = ("frames.npy.partial-0123abcd", "frames.json.partial-0123abcd", "masks.npy.partial-0123abcd")
    for name in (*names, "frames.npy.partial-young"):
        (folder / name).write_bytes(b"half")
    for name in names:
        os.utime(folder / name, (time.time() - 90_000,) * 2)
    list(write(filled))
    assert files(filled) == {"frames.npy", "frames.json", "masks.npy.partial-0123abcd", "frames.npy.partial-young"}


def test_two_writers_at_once_leave_one_whole_array(tmp_path: Path) -> None:
    frames = FrameStore(tmp_path)
    first, second = write(frames), write(frames)
    for _ in NUMBERS:
        assert next(first) == next(second)
    assert list(first) == list(second) == []
    np.testing.assert_array_equal(stored(frames).read(20), row(20))
    assert files(frames) == {"frames.npy", "frames.json"}


def test_fingerprint_covers_name_size_and_time(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for path in (a, b):
        path.write_bytes(b"1234")
        os.utime(path, ns=(0, 1_000_000_000))
    prints = [fingerprint([a, b]), fingerprint([b, a]), fingerprint([a])]
    os.utime(a, ns=(0, 1_000_000_001))
    prints.append(fingerprint([a, b]))
    a.write_bytes(b"12345")
    os.utime(a, ns=(0, 1_000_000_000))
    prints.append(fingerprint([a, b]))
    assert len(set(prints)) == 5
    a.write_bytes(b"4321")
    os.utime(a, ns=(0, 1_000_000_000))
    assert fingerprint([a, b]) == prints[0]


# --- scenes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def scene(tmp_path: Path, make_video: Callable[..., Path]) -> Scene:
    make_video(tmp_path / "data", "baseline", "highway", unlabelled=4, labelled=3)
    return CDnet2014().scenes(tmp_path / "data")[0]


@SIZES
def test_stored_frames_and_masks_are_those_that_are_decoded(
    tmp_path: Path, scene: Scene, size: tuple[int, int] | None
) -> None:
    frames = FrameStore(tmp_path / "store")
    writer = SceneFrames(scene, size, frames)
    assert writer.missing() == 10
    assert list(writer.fill()) == [*range(1, 8), 5, 6, 7]
    kept, decoded = SceneFrames(scene, size, frames), SceneFrames(scene, size)
    assert kept.missing() == decoded.missing() == 0
    for number, path in scene.frames.items():
        expected = read_image(path, size)
        assert expected.shape == (*(size or scene.size)[::-1], 3)
        for pixels in (kept, decoded):
            out = np.zeros_like(expected)
            np.testing.assert_array_equal(pixels.image(number), expected)
            assert pixels.image(number, out) is out
            np.testing.assert_array_equal(out, expected)
    for number, path in scene.masks.items():
        expected = read_mask(path, scene.size, size)
        for pixels in (kept, decoded):
            out = np.zeros_like(expected)
            np.testing.assert_array_equal(pixels.mask(number), expected)
            assert pixels.mask(number, out) is out
            np.testing.assert_array_equal(out, expected)
            np.testing.assert_array_equal(pixels.truth(number), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def test_pixels_come_from_the_store(tmp_path: Path, scene: Scene) -> None:
    frames = FrameStore(tmp_path / "store")
    list(SceneFrames(scene, None, frames).fill())
    expected = read_image(scene.frames[3])
    pixels = SceneFrames(scene, None, frames)
    pixels.image(1)
    scene.frames[3].unlink()
    np.testing.assert_array_equal(pixels.image(3), expected)


def test_sizes_lie_side_by_side(tmp_path: Path, scene: Scene) -> None:
    frames = FrameStore(tmp_path / "store")
    small, large = (SceneFrames(scene, size, frames) for size in ((32, 24), (64, 48)))
    list(small.fill())
    assert (small.missing(), large.missing()) == (0, 10)
    list(large.fill())
    assert (small.missing(), large.missing()) == (0, 0)


def test_a_source_file_that_changes_makes_its_kind_stale(tmp_path: Path, scene: Scene) -> None:
    frames = FrameStore(tmp_path / "store")
    list(SceneFrames(scene, None, frames).fill())
    cv2.imwrite(str(scene.frames[2]), np.full((48, 64, 3), 200, np.uint8))
    os.utime(scene.frames[2], (1, 1))
    pixels = SceneFrames(scene, None, frames)
    assert pixels.missing() == 7  # the masks stay
    assert np.abs(pixels.image(2).astype(int) - 200).max() <= 1
    assert list(pixels.fill()) == list(range(1, 8))
    assert np.abs(SceneFrames(scene, None, frames).image(2).astype(int) - 200).max() <= 1


def test_a_half_filled_scene_is_decoded_and_filled_again(tmp_path: Path, scene: Scene) -> None:
    frames = FrameStore(tmp_path / "store")
    filling = SceneFrames(scene, None, frames).fill()
    for _ in range(3):
        next(filling)
    pixels = SceneFrames(scene, None, frames)
    np.testing.assert_array_equal(pixels.image(5), read_image(scene.frames[5]))
    assert pixels.missing() == 10
    assert len(list(pixels.fill())) == 10
    assert pixels.missing() == 0


def test_a_scene_without_masks_has_frames_to_store(tmp_path: Path, make_scene: Callable[..., Scene]) -> None:
    picture = tmp_path / "in000001.png"
    cv2.imwrite(str(picture), np.zeros((48, 64, 3), np.uint8))
    bare = make_scene("a/x", labelled=0, references=1)
    scene = Scene(bare.dataset, "a", "x", (64, 48), {1: picture}, {}, (1, 1), ())
    frames = FrameStore(tmp_path / "store")
    assert list(SceneFrames(scene, None, frames).fill()) == [1]
    assert SceneFrames(scene, None, frames).missing() == 0


def test_filling_without_a_store_does_nothing(scene: Scene) -> None:
    assert list(SceneFrames(scene, None).fill()) == []


def test_scene_frames_can_be_pickled_when_they_are_open(tmp_path: Path, scene: Scene) -> None:
    frames = FrameStore(tmp_path / "store")
    pixels = SceneFrames(scene, (32, 24), frames)
    list(pixels.fill())
    first = SceneFrames(scene, (32, 24), frames)
    expected = first.image(2), first.mask(6)
    data = pickle.dumps(first)
    assert len(data) < 10_000  # paths, no pixels
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.image(2), expected[0])
    np.testing.assert_array_equal(again.mask(6), expected[1])
    np.testing.assert_array_equal(first.image(2), expected[0])


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_fill_writes_what_is_missing(
    tmp_path: Path, cdnet: Path, workers: int | None, capfd: pytest.CaptureFixture[str]
) -> None:
    frames = FrameStore(tmp_path / "store")
    pixels = [SceneFrames(scene, (32, 24), frames) for scene in CDnet2014().scenes(cdnet)]
    list(pixels[0].fill())
    assert sum(scene.missing() for scene in pixels) == 5 * (26 + 6)
    assert sum(scene.missing_bytes() for scene in pixels) == 5 * (26 * 3 + 6) * 32 * 24
    fill(pixels, workers)
    assert not any(scene.missing() for scene in pixels)
    assert "160/160" in capfd.readouterr().out
    fill(pixels, workers)
    assert capfd.readouterr().out == ""


def test_fill_needs_room_on_the_disk(tmp_path: Path, cdnet: Path) -> None:
    scene = CDnet2014().scenes(cdnet)[0]
    huge = SceneFrames(scene, (2_000_000, 1_000_000), FrameStore(tmp_path / "store"))
    with pytest.raises(UserError, match=r"store .* GiB .*disk .* --data\.init_args\.store"):
        fill([huge])


def test_fill_reports_a_file_that_cannot_be_used(tmp_path: Path, cdnet: Path) -> None:
    bad = cdnet / "baseline/office/groundtruth/gt000023.png"
    cv2.imwrite(str(bad), np.full((48, 64), 99, np.uint8))
    frames = FrameStore(tmp_path / "store")
    pixels = [SceneFrames(scene, None, frames) for scene in CDnet2014().scenes(cdnet)]
    with pytest.raises(UserError, match=rf"{bad}: .*\(99\)"):
        fill(pixels, 1)
    missing = {scene.scene.key: scene.missing() for scene in pixels}
    assert missing["baseline/office"] == 6
    assert missing["baseline/highway"] == 0
