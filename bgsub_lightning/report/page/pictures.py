"""Pictures that lie inside the page, as small as can be."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bgsub_lightning.core.decoding import read_content

WIDTH = 320


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        title: What it shows.
        source: The picture itself, as a ``data:`` address; empty if its file is missing or broken.
        width: Pixels.
        height: Pixels.
    """

    title: str
    source: str
    width: int = 0
    height: int = 0


def picture(path: Path, title: str, width: int = WIDTH) -> Picture:
    """Read a picture, made narrower where it is wider than a width: masks stay PNG, in few colours, others are JPEG."""
    try:
        with Image.open(io.BytesIO(read_content(path))) as image:
            size = (width, max(1, round(image.height * width / image.width))) if image.width > width else image.size
            few = path.suffix == ".png" and (colours := image.convert("RGB").getcolors(64)) is not None and colours
            if few:
                shown = image.convert("RGB").resize(size, Image.Resampling.NEAREST).quantize(64)
            else:
                shown = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            data = io.BytesIO()
            shown.save(data, "PNG", optimize=True) if few else shown.save(data, "JPEG", quality=80, optimize=True)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # of as many kinds as there are formats
        return Picture(title, "")
    return Picture(title, _address("image/png" if few else "image/jpeg", data.getvalue()), *size)


def drawing(path: Path) -> str:
    """Return an SVG file as a ``data:`` address, in which nothing of it can act on the page."""
    return _address("image/svg+xml", read_content(path))


def _address(kind: str, data: bytes) -> str:
    """Return data as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
