"""Image files as pixels."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from bgsub_lightning.cli import main
from bgsub_lightning.core.decoding import decode_pixels, read_content, read_pixels

GREY, COLOUR, AS_IT_IS = cv2.IMREAD_GRAYSCALE, cv2.IMREAD_COLOR_RGB, cv2.IMREAD_UNCHANGED


def png(width: int, height: int) -> bytes:
    """A PNG whose header says a size, with the data of a line."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1001))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".tif", ".webp", ".pgm"])
@pytest.mark.parametrize("flags", [GREY, COLOUR, AS_IT_IS])
def test_what_opencv_reads_by_name(ending: str, flags: int, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    cv2.imwrite(str(path), image[..., 0] if ending == ".pgm" else image)
    np.testing.assert_array_equal(read_pixels(path, flags), cv2.imread(str(path), flags))


def test_depth_and_turned_jpegs(tmp_path: Path) -> None:
    deep = np.arange(0, 60_000, 1000, dtype=np.uint16).reshape(6, 10)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    np.testing.assert_array_equal(read_pixels(tmp_path / "deep.png", AS_IT_IS), deep)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(tmp_path / "turned.jpg", exif=exif)
    turned = read_pixels(tmp_path / "turned.jpg", COLOUR)
    assert turned is not None
    assert turned.shape == (40, 20, 3)


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    image = np.full((8, 8), 77, np.uint8)
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe[x].png"))
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    np.testing.assert_array_equal(read_pixels(path, GREY), image)


@pytest.mark.parametrize("size", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (20_000, 20_000)])
def test_sizes_are_looked_at_first(size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(png(*size))
    tracemalloc.start()
    assert read_pixels(tmp_path / "huge.png", GREY) is None
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "content", [b"", b"BM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"P5\n9999999999 9 255\n"]
)
def test_what_is_no_image(content: bytes) -> None:
    assert decode_pixels(content, COLOUR) is None


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").mkdir()
    assert [read_pixels(tmp_path / name, GREY) for name in ("a.png", "b.png", "c.png")] == [None] * 3


def test_a_folder_of_frames_whose_names_are_not_utf_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(3):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff[bold]%d.png" % i))
        path.write_bytes(cv2.imencode(".png", np.full((48, 64, 3), 9 * i, np.uint8))[1].tobytes())
    options = [f"--source={tmp_path}", f"--out={tmp_path / 'out[/x]'}", "--checkpoint=MOG2", "--write=masks"]
    assert main(["segment", *options]) == 0
    assert len(list((tmp_path / "out[/x]/masks").iterdir())) == 3
    assert "out[/x]" in capsys.readouterr().out


def test_a_frame_that_says_to_be_huge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "1.png").write_bytes(png(100_000, 100_000))
    assert main(["segment", f"--source={tmp_path}", f"--out={tmp_path / 'out'}", "--checkpoint=MOG2"]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_pipes_devices_and_endless_files_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "hole.png").touch()
    os.truncate(tmp_path / "hole.png", 40 << 30)  # takes no room
    for name in ("fifo.png", "zero.png", "folder.png", "hole.png", "none.png"):
        with pytest.raises(OSError) as raised:
            read_content(tmp_path / name)
        assert str(raised.value.filename) == str(tmp_path / name)
        assert read_pixels(tmp_path / name, GREY) is None
    assert read_pixels(Path("a\0b.png"), GREY) is None
