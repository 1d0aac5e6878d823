from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets import Scene
from bgsub_lightning.frames import read_image, read_mask, read_roi, write_png


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def levels(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).choice([0, 50, 85, 170, 255], (height, width)).astype(np.uint8)


def picture(path: Path, image: Any) -> Path:
    assert cv2.imwrite(str(path), np.asarray(image, np.uint8))
    return path


@pytest.mark.parametrize("shape", [(12, 17), (12, 17, 3)])
def test_png_round_trip(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    path = tmp_path / "new" / "folder" / "image.png"
    write_png(path, image)
    again = read_image(path)
    np.testing.assert_array_equal(again, image if image.ndim == 3 else np.stack([image] * 3, -1))
    assert [file.name for file in path.parent.iterdir()] == ["image.png"]


def test_images_are_rgb(tmp_path: Path) -> None:
    path = picture(tmp_path / "red.png", [[(0, 0, 255)]])  # OpenCV writes BGR
    assert read_image(path).tolist() == [[[255, 0, 0]]]


def test_grey_files_become_rgb(tmp_path: Path) -> None:
    path = picture(tmp_path / "grey.png", [[7, 200]])
    assert read_image(path).tolist() == [[[7] * 3, [200] * 3]]


def test_shrinking_averages_areas(tmp_path: Path) -> None:
    image = noise(12, 20, 3)
    path = picture(tmp_path / "image.png", image[..., ::-1])
    small = read_image(path, (10, 4))
    mean = image.reshape(4, 3, 10, 2, 3).mean(axis=(1, 3))
    assert small.shape == (4, 10, 3)
    assert np.abs(small - mean).max() <= 0.51


@pytest.mark.parametrize("size", [(40, 24), (40, 6)])
def test_enlarging_interpolates_linearly(tmp_path: Path, size: tuple[int, int]) -> None:
    ramp = np.tile(np.arange(0, 200, 10, dtype=np.uint8), (12, 1))
    result = read_image(picture(tmp_path / "ramp.png", ramp), size)[..., 0]
    expected = np.clip(10 * ((np.arange(40) + 0.5) / 2 - 0.5), 0, 190)
    assert result.shape == size[::-1]
    assert np.abs(result - expected).max() <= 1


def test_the_own_size_changes_nothing(tmp_path: Path) -> None:
    path = picture(tmp_path / "image.png", noise(12, 20, 3))
    np.testing.assert_array_equal(read_image(path, (20, 12)), read_image(path))


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "in000007.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path}: .*decoded"):
        read_image(path)


@pytest.mark.parametrize("colour", [False, True])
def test_masks_keep_their_levels(tmp_path: Path, colour: bool) -> None:
    mask = levels(12, 20)
    path = picture(tmp_path / "gt.png", np.stack([mask] * 3, -1) if colour else mask)
    result = read_mask(path, (20, 12))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, mask)


@pytest.mark.parametrize("size", [(10, 6), (7, 5), (40, 24), (33, 50)])
def test_masks_are_resized_by_nearest_neighbour(tmp_path: Path, size: tuple[int, int]) -> None:
    mask = levels(12, 20)
    result = read_mask(picture(tmp_path / "gt.png", mask), (20, 12), size)
    rows, columns = ((np.arange(n) + 0.5) * m / n for n, m in zip(size[::-1], mask.shape, strict=True))
    np.testing.assert_array_equal(result, mask[rows.astype(int)][:, columns.astype(int)])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((12, 21)), r"the mask is 21×12, its frame 20×12\. .* fetch both again"),
        (np.full((12, 20), 254), r"grey levels that do not exist \(254\); a mask knows 0, 50, 85, 170, 255\..*JPEG"),
        (np.arange(240).reshape(12, 20), r"do not exist \(1, 2, 3, 4, 5, 6, 7, 8 …\)"),
    ],
)
def test_a_mask_that_cannot_be_used_is_named(tmp_path: Path, mask: NDArray[Any], message: str) -> None:
    path = picture(tmp_path / "gt000007.png", mask)
    with pytest.raises(UserError, match=rf"{path}: .*{message}"):
        read_mask(path, (20, 12), (10, 6))


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG no image"])
def test_a_mask_that_cannot_be_decoded_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "gt000007.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path}: .*decoded.*mask"):
        read_mask(path, (20, 12))


def test_roi(tmp_path: Path, make_scene: Callable[..., Scene]) -> None:
    scene = make_scene("a/x")
    whole = read_roi(scene)
    assert (whole.shape, whole.dtype, whole.all()) == ((48, 64), np.bool_, True)
    inside = np.zeros((48, 64), np.uint8)
    inside[5:, 7:] = 255
    inside[5, 7] = 1
    np.testing.assert_array_equal(read_roi(replace(scene, roi=picture(tmp_path / "ROI.bmp", inside))), inside > 0)
    (tmp_path / "ROI.bmp").write_bytes(b"BM")
    with pytest.raises(UserError, match=rf"{tmp_path}/ROI\.bmp: cannot be decoded"):
        read_roi(replace(scene, roi=tmp_path / "ROI.bmp"))


def test_a_png_is_replaced_in_one_step(tmp_path: Path) -> None:
    """A reader that has the old file open keeps reading the old picture."""
    path = tmp_path / "image.png"
    write_png(path, noise(8, 8))
    before = path.read_bytes()
    with path.open("rb") as file:
        write_png(path, noise(8, 8, seed=1))
        assert file.read() == before
    np.testing.assert_array_equal(read_image(path)[..., 0], noise(8, 8, seed=1))
    assert [file.name for file in tmp_path.iterdir()] == ["image.png"]


def test_a_png_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "image.png"
    write_png(path, noise(8, 8))
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match=r"image\.png: .*No space left on device"):
        write_png(path, noise(8, 8, seed=1))
    assert [file.name for file in tmp_path.iterdir()] == ["image.png"]
    np.testing.assert_array_equal(read_image(path)[..., 0], noise(8, 8))


def test_a_truth_mask_in_the_alpha_channel_is_refused(tmp_path: Path) -> None:
    shown = np.full((6, 8, 4), 255, np.uint8)
    shown[:, :4, 3] = 0
    path = picture(tmp_path / "gt.png", shown)
    with pytest.raises(UserError, match=r"gt\.png.*alpha"):
        read_mask(path, (8, 6))
    shown[2:4, 2:4, :3] = 0  # with a picture in its colours, these are the mask
    assert read_mask(picture(path, shown), (8, 6))[3, 3] == 0


@pytest.mark.parametrize("white", [255, 65535])
def test_truth_masks_of_16_bits(white: int, tmp_path: Path) -> None:
    expected = levels(6, 8)
    cv2.imwrite(str(tmp_path / "gt.png"), expected.astype(np.uint16) * (white // 255))
    np.testing.assert_array_equal(read_mask(tmp_path / "gt.png", (8, 6)), expected)


def test_a_truth_mask_of_other_levels_of_16_bits_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "gt.png"), np.full((6, 8), 51600, np.uint16))
    with pytest.raises(UserError, match=r"gt\.png.*uint16"):
        read_mask(tmp_path / "gt.png", (8, 6))


@pytest.mark.parametrize("kind", ["palette", "one_bit", "grey_alpha", "odd"])
def test_light_noise_in_truth_masks(kind: str, tmp_path: Path) -> None:
    """Masks of other programs: palettes, one bit, an opaque alpha channel, odd sizes."""
    mask = np.where(levels(7, 9) > 100, np.uint8(255), np.uint8(0))
    image = PIL.Image.fromarray(mask)
    if kind == "palette":
        image = image.convert("P")
    elif kind == "one_bit":
        image = image.convert("1")
    elif kind == "grey_alpha":
        image = image.convert("LA")
    image.save(tmp_path / "gt.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "gt.png", (9, 7)), mask)
