"""A scene's pixels at one size, from the store where it has them, else decoded from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.frames.images import read_image, read_mask, read_roi
from bgsub_lightning.frames.store import FrameStore, StoredArray, fingerprint
from bgsub_lightning.scenes.scene import Scene


@dataclass(frozen=True)
class _Kind:
    """One of a scene's arrays in the store: its files, and how a row comes from one of them."""

    name: str
    files: Mapping[int, Path]
    shape: tuple[int, ...]
    decode: Callable[[Path], NDArray[np.uint8]]


class SceneFrames:
    """Pixels of one scene.

    Args:
        scene: The scene.
        size: Width and height of the network's input; ``None``: the frames' own.
        store: Where decoded frames are kept; ``None``: every access decodes the file.
    """

    def __init__(self, scene: Scene, size: tuple[int, int] | None, store: FrameStore | None = None) -> None:
        self.scene = scene
        self.size = size or scene.size
        self.store = store
        width, height = self.size
        self._images = _Kind(f"frames_{width}x{height}", scene.frames, (height, width, 3), self._decode_image)
        self._masks = _Kind(f"masks_{width}x{height}", scene.masks, (height, width), self._decode_mask)

    def image(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return a frame at the input size: RGB, shape ``(H, W, 3)``, uint8; written into ``out`` if that is given."""
        return self._read(self._stored_images, self._images, number, out)

    def mask(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return a labelled frame's mask at the input size: grey levels, shape ``(H, W)``, uint8."""
        return self._read(self._stored_masks, self._masks, number, out)

    def truth(self, number: int) -> NDArray[np.uint8]:
        """Return a labelled frame's mask at the frames' own size: grey levels, shape ``(h, w)``, uint8."""
        if self.size == self.scene.size:
            return self.mask(number)
        return read_mask(self.scene.masks[number], self.scene.size)

    @cached_property
    def roi(self) -> NDArray[np.bool_]:
        """The region of interest at the frames' own size: shape ``(h, w)``, bool."""
        return read_roi(self.scene)

    def fill(self) -> Iterator[int]:
        """Write what the store does not have yet, or has from other files.

        Yields:
            The number of each frame or mask that was decoded and written.

        Raises:
            UserError: If a file cannot be used or the store cannot be written.
        """
        for kind in (self._images, self._masks):
            if self.store and kind.files and self._open(kind) is None:
                yield from self.store.write(
                    self._key,
                    kind.name,
                    fingerprint(kind.files.values()),
                    list(kind.files),
                    lambda number, kind=kind: kind.decode(kind.files[number]),  # type: ignore[misc]
                    kind.shape,
                )

    def missing(self) -> int:
        """Number of frames and masks that :meth:`fill` would write."""
        return sum(len(kind.files) for kind in (self._images, self._masks) if self.store and self._open(kind) is None)

    # Opened where they are used, not before: a worker process maps the files itself.
    @cached_property
    def _stored_images(self) -> StoredArray | None:
        return self._open(self._images)

    @cached_property
    def _stored_masks(self) -> StoredArray | None:
        return self._open(self._masks)

    def _read(
        self, stored: StoredArray | None, kind: _Kind, number: int, out: NDArray[np.uint8] | None
    ) -> NDArray[np.uint8]:
        if stored:
            return stored.read(number, out)
        decoded = kind.decode(kind.files[number])
        if out is None:
            return decoded
        out[...] = decoded
        return out

    def _open(self, kind: _Kind) -> StoredArray | None:
        if self.store is None or not kind.files:
            return None
        return self.store.open(self._key, kind.name, fingerprint(kind.files.values()))

    def __getstate__(self) -> dict[str, object]:
        """Leave the opened arrays behind: pickled, a memory map becomes a copy of all it maps."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_stored")}

    @property
    def _key(self) -> str:
        return f"{self.scene.dataset}/{self.scene.key}"

    def _decode_image(self, path: Path) -> NDArray[np.uint8]:
        return read_image(path, self.size)

    def _decode_mask(self, path: Path) -> NDArray[np.uint8]:
        return read_mask(path, self.scene.size, self.size)


def fill(scenes: Sequence[SceneFrames], workers: int, advance: Callable[[], None]) -> None:
    """Fill the store for several scenes at once.

    Args:
        scenes: The scenes.
        workers: Threads; OpenCV decodes outside Python's lock.
        advance: Called for each frame or mask that was written.

    Raises:
        UserError: If a file cannot be used or the store cannot be written; scenes that had begun are finished first.
    """

    def fill_one(scene: SceneFrames) -> None:
        for _ in scene.fill():
            advance()

    with ThreadPoolExecutor(max(1, workers)) as pool:
        tasks = [pool.submit(fill_one, scene) for scene in scenes]
        try:
            for task in as_completed(tasks):
                task.result()
        finally:
            for task in tasks:
                task.cancel()
