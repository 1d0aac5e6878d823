"""Image files as pixels: the only place that decodes them."""

from __future__ import annotations

import errno
import io
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_LARGEST = 1 << 30
"""Bytes of the largest image file that is read."""


def read_content(path: Path) -> bytes:
    """Read a file, but no pipe or device, which may have no end.

    Raises:
        OSError: If there is no such file, it is no regular one, has more than 1 GiB, or cannot be read.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", path)
    if status.st_size > _LARGEST:
        raise OSError(errno.EFBIG, f"it has more than {_LARGEST:,} bytes", path)
    return path.read_bytes()


def content_or_nothing(path: Path) -> bytes:
    """Read a file as :func:`read_content` does; nothing if it cannot be read."""
    try:
        return read_content(path)
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return b""


def read_pixels(path: Path, flags: int) -> NDArray[Any] | None:
    """Decode an image file, whatever bytes its name holds.

    Args:
        path: The file.
        flags: OpenCV's, such as ``cv2.IMREAD_COLOR_RGB``.

    Returns:
        What ``cv2.imread`` returns; ``None`` if there is no such regular file, it cannot be read or decoded, or it
        says to be so large that Pillow takes it for a bomb: 179 million pixels, for which no memory is taken.
    """
    return decode_pixels(content_or_nothing(path), flags)


def decode_pixels(content: bytes, flags: int) -> NDArray[Any] | None:
    """Decode the content of an image file; see :func:`read_pixels`."""
    if not content:
        return None
    try:
        Image.open(io.BytesIO(content)).close()  # reads the header alone
    except Image.DecompressionBombError:
        return None
    except Exception:  # of as many kinds as there are formats; OpenCV knows some that Pillow does not
        pass
    with suppress(cv2.error):
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    return None
