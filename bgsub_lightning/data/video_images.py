"""Folders of images that belong to the frames of videos: ``<category>/<video>/*NUMBER.png``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.scene import Scene


@cache
def images_of(folder: Path, key: str, suffixes: Sequence[str]) -> tuple[Path, ...]:
    """Return the images of a video, by name; the folder is read once in a process.

    Args:
        folder: The folder above the categories.
        key: The scene's.
        suffixes: Ends of the names of images, in lower case.
    """
    place = folder / key
    found = sorted(place.iterdir()) if place.is_dir() else []
    return tuple(path for path in found if path.suffix.lower() in suffixes)


@cache
def numbered(images: tuple[Path, ...]) -> dict[int, Path]:
    """Return images by the number that their names end with, without those that have none.

    Example:
        >>> numbered((Path("a/empty.png"), Path("a/fpm000012.png")))[12].name
        'fpm000012.png'
    """
    return {number: path for path in images if (number := number_of(path)) is not None}


def number_of(image: Path) -> int | None:
    """Return the number that the name of an image ends with; ``None``: it has none."""
    found = re.search(r"(\d+)$", image.stem)
    return int(found[1]) if found else None


def require_size(path: Path, shape: tuple[int, ...], scene: Scene, fix: str) -> None:
    """Check that an image has the size of a scene's frames.

    Args:
        path: The image.
        shape: Its height and width, and what follows.
        scene: The scene.
        fix: What the user can do, as a sentence.

    Raises:
        UserError: If it has another.
    """
    height, width = shape[:2]
    if (width, height) != scene.size:
        raise UserError(
            f"{path}: must have the size of the frames of {scene.key}, {scene.size[0]}×{scene.size[1]}; got "
            f"{width}×{height}. {fix}"
        )
