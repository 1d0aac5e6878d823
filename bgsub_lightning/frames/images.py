"""Reading and writing single images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.decoding import content_or_nothing, decode_pixels, read_pixels
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.files import atomic_write
from bgsub_lightning.datasets.depth import COLOUR, as_bytes
from bgsub_lightning.datasets.labels import MaskCode
from bgsub_lightning.datasets.scene import Range, Scene


def read_image(path: Path, size: tuple[int, int] | None = None, levels: Range | None = None) -> NDArray[np.uint8]:
    """Decode an image.

    Args:
        path: The file.
        size: Width and height to resize to (area averaging when it shrinks, bilinear otherwise); ``None``: as it is.
        levels: What of an image of 16 bits becomes 0 and 255: its scene's range; ``None``: it has 8 bits.

    Returns:
        RGB image of shape ``(H, W, 3)``, uint8.

    Raises:
        UserError: If the file cannot be decoded, or has another depth than its scene.
    """
    image = read_pixels(path, COLOUR)
    if image is None:
        raise UserError(f"{path}: cannot be decoded as an image. Fetch the file again, or delete it.")
    return resized(as_bytes(image, levels, path), size or (image.shape[1], image.shape[0]))


def resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an image, ``(h, w)`` or ``(h, w, 3)``, to a width and height.

    It is averaged over areas when it shrinks both ways, else interpolated bilinearly.
    """
    height, width = image.shape[:2]
    if size == (width, height):
        return image
    shrinks = size[0] <= width and size[1] <= height
    shown = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return shown.astype(np.uint8, copy=False)


def median(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return the median of images of one shape, pixel by pixel, rounded."""
    return np.asarray(np.median(images, axis=0).round(), np.uint8)


def read_mask(
    path: Path, expected: tuple[int, int], size: tuple[int, int] | None = None, code: MaskCode = MaskCode.CDNET
) -> NDArray[np.uint8]:
    """Decode a ground-truth mask.

    Args:
        path: The file.
        expected: Width and height of the frame that it belongs to.
        size: Width and height to resize to (nearest neighbour); ``None``: as it is.
        code: How the mask is written.

    Returns:
        CDnet2014's grey levels of shape ``(H, W)``, uint8; see :mod:`bgsub_lightning.datasets.labels`.

    Raises:
        UserError: If the file cannot be decoded, has another size than its frame, or holds a grey level or a colour
            that does not exist.
    """
    flags = cv2.IMREAD_COLOR_RGB if code.is_coloured else cv2.IMREAD_GRAYSCALE
    content = content_or_nothing(path)
    decoded = decode_pixels(content, flags | cv2.IMREAD_ANYDEPTH)
    if decoded is None:
        raise UserError(f"{path}: cannot be decoded as an image. Fetch the mask again, or delete it.")
    if is_hidden_in_alpha(content):
        raise UserError(
            f"{path}: the mask is in the alpha channel, its colours are the same everywhere. Save that channel as a "
            f"grey image."
        )
    height, width = decoded.shape[:2]
    if (width, height) != expected:
        raise UserError(
            f"{path}: the mask is {width}×{height}, its frame {expected[0]}×{expected[1]}. "
            f"A mask must have its frame's size: fetch both again, or delete the mask to leave the frame unlabelled."
        )
    values = _mask_levels(decoded, path)
    if strange := code.unexpected(values):
        shown = ", ".join(strange[:8]) + (" …" if len(strange) > 8 else "")
        raise UserError(
            f"{path}: the mask holds {'colours' if code.is_coloured else 'grey levels'} that do not exist ({shown}); "
            f"a mask knows {code.known}. {_cure(values)}"
        )
    mask = code.levels(values)
    if size is not None and size != (width, height):
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8, copy=False)
    return mask


def _cure(values: NDArray[np.uint8]) -> str:
    """Likely cause of other levels in a mask."""
    if values.max(initial=0) == 1:
        return "It looks like a mask of 0 and 1: take it by --mask_code BINARY (data.init_args.mask_code)."
    return "It was probably saved as a JPEG or resized with interpolation: fetch the original PNG."


def _mask_levels(decoded: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """Return 8 bits of a mask of 8 or 16, which programs write with 255 or with 65535 for white."""
    if decoded.dtype == np.uint8:
        return decoded.astype(np.uint8, copy=False)
    if decoded.dtype == np.uint16 and decoded.max(initial=0) <= 255:
        return decoded.astype(np.uint8)
    if decoded.dtype == np.uint16 and not (decoded % 257).any():
        return (decoded // 257).astype(np.uint8)
    raise UserError(f"{path}: the mask must have 8 bits; got {decoded.dtype} of other levels. Save it with 8 bits.")


def is_hidden_in_alpha(data: bytes) -> bool:
    """Whether an image has one colour everywhere, and something in its alpha channel, which decoders leave out."""
    if data[:3] == b"\xff\xd8\xff" or (data[:4] == b"\x89PNG" and data[25:26] not in {b"\4", b"\6"}):
        return False  # a JPEG, or a PNG without one
    image = decode_pixels(data, cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        return False
    corner = image[0, 0]
    return bool((image[..., :3] == corner[:3]).all() and (image[..., 3] != corner[3]).any())


def read_roi(scene: Scene) -> NDArray[np.bool_]:
    """Return a scene's region of interest at the frames' size, shape ``(H, W)``, bool.

    Raises:
        UserError: If its file cannot be decoded.
    """
    if scene.roi is None:
        return np.ones(scene.size[::-1], np.bool_)
    image = read_pixels(scene.roi, cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise UserError(f"{scene.roi}: cannot be decoded as an image. Fetch the file again, or delete it.")
    return np.asarray(image != 0)


def pseudo_coloured(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colour an image ``(H, W)``, uint8, from dark blue (0) to dark red (255): RGB, shape ``(H, W, 3)``, uint8."""
    return cv2.applyColorMap(grey, cv2.COLORMAP_TURBO)[..., ::-1].astype(np.uint8)


def write_png(path: Path, image: NDArray[np.uint8], within: Path | None = None) -> None:
    """Write a PNG so that no half-written file ever lies under its name.

    Args:
        path: The file; its folder is made.
        image: Grey ``(H, W)`` or RGB ``(H, W, 3)``, uint8.
        within: Folder below which no folder on the way may be a symbolic link.

    Raises:
        UserError: If the file cannot be written, or a folder is a link.
    """
    _, data = cv2.imencode(".png", image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    with atomic_write(path, "wb", within, sync=False) as file:
        file.write(data.tobytes())
