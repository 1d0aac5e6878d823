"""A scene's pixels at one size, from the store where it has them, else decoded from disk."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.console import console, progress_bar
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.datasets.labels import MOVING
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.frames.flow import VERSION, FlowMethod, channel
from bgsub_lightning.frames.images import read_image, read_mask, read_roi, resized
from bgsub_lightning.frames.store import FrameStore, StoredArray, fingerprint


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
        flow: What :meth:`hop` shows; ``None``: it cannot be asked for.
    """

    _window: ClassVar[tuple[tuple[Any, ...], NDArray[np.uint8]] | None] = None

    def __init__(
        self,
        scene: Scene,
        size: tuple[int, int] | None,
        store: FrameStore | None = None,
        flow: FlowMethod | None = None,
    ) -> None:
        self.scene = scene
        self.size = size or scene.size
        self.store = store
        self.flow = flow
        width, height = self.size
        self._images = _Kind(f"frames_{width}x{height}", scene.frames, (height, width, 3), self._decode_image)
        self._masks = _Kind(f"masks_{width}x{height}", scene.masks, (height, width), self._decode_mask)

    def image(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return a frame at the input size: RGB, shape ``(H, W, 3)``, uint8; written into ``out`` if that is given."""
        return self._read(self._stored_images, self._images, number, out)

    def mask(self, number: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return a labelled frame's mask at the input size: grey levels, shape ``(H, W)``, uint8."""
        return self._read(self._stored_masks, self._masks, number, out)

    @property
    def whole(self) -> SceneFrames:
        """The whole frames, of which this may show a part."""
        return self

    def at(self, place: int) -> SceneFrames:
        """Return what is seen of the frame at a place in a group, from 0: the same of all, where no camera moves."""
        return self

    def shown(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what is seen of an image at the input size, ``(H, W)`` or ``(H, W, C)``: all, of whole frames."""
        return pixels

    def truth(self, number: int) -> NDArray[np.uint8]:
        """Return a labelled frame's mask at the frames' own size: grey levels, shape ``(h, w)``, uint8."""
        if self.size == self.scene.size:
            return self.mask(number)
        return read_mask(self.scene.masks[number], self.scene.size, code=self.scene.mask_code)

    def hop(self, number: int, taus: Sequence[int], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return a frame's hierarchical optical flow at the input size (CrossNet, section III-C).

        A channel is 8 grey levels per pixel of motion, in pixels of the frames' own size, and at most 255.

        Args:
            number: The frame.
            taus: The intervals, in frames.
            out: Where it goes; ``None``: a new array.

        Returns:
            Shape ``(H, W, len(taus))``, uint8, from the longest interval to the shortest.
        """
        image = np.empty((*self.size[::-1], len(taus)), np.uint8) if out is None else out
        for place, tau in enumerate(sorted(taus, reverse=True)):
            image[..., place] = self.motion(number, tau)
        return image

    def motion(self, number: int, tau: int) -> NDArray[np.uint8]:
        """Return one channel of :meth:`hop`, shape ``(H, W)``, uint8.

        Raises:
            ValueError: If there is no flow method.
            UserError: If a file cannot be used.
        """
        if self.flow is None:
            raise ValueError(f"{self.scene.key}: no flow method was given")
        if tau not in self._stored_motion:
            self._stored_motion[tau] = self._open_motion(tau)
        if stored := self._stored_motion[tau]:
            return stored.read(number)
        return resized(channel(self.flow.magnitude(self.scene, number, tau)), self.size)

    def missing_motion(self, taus: Sequence[int]) -> list[int]:
        """Return the intervals whose flow the store lacks, or has of other files or settings only."""
        return [tau for tau in taus if self.store and self._open_motion(tau) is None]

    def write_motion(self, tau: int, rows: Iterator[NDArray[np.uint8]]) -> Iterator[int]:
        """Write the flow of one interval to the store.

        Args:
            tau: The interval.
            rows: What :meth:`motion` gives for each frame of the scene, in their order; no more is taken.

        Yields:
            The number of each frame whose row was written.

        Raises:
            UserError: If the store cannot be written.
        """
        if self.store and self.flow:
            place = self._key, self._motion_kind(tau), self._motion_source(tau)
            yield from self.store.write(*place, list(self.scene.frames), lambda _: next(rows), self.size[::-1])

    def window(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        """Return several frames at the input size, shape ``(T, H, W, 3)``, uint8.

        The newest window is kept until another is asked for, of this scene or of another: one in a process.
        """
        wanted = (self._key, self.size, tuple(numbers))
        if SceneFrames._window is None or SceneFrames._window[0] != wanted:
            frames = np.empty((len(numbers), *self._images.shape), np.uint8)
            for number, place in zip(numbers, frames, strict=True):
                self.image(number, place)
            SceneFrames._window = wanted, frames
        return SceneFrames._window[1]

    def foreground_pixels(self, numbers: Sequence[int]) -> NDArray[np.int64]:
        """Count the foreground pixels of labelled frames, at the input size."""
        with ThreadPoolExecutor() as pool:  # OpenCV decodes outside Python's lock
            counts = pool.map(lambda number: np.count_nonzero(self.mask(number) == MOVING), numbers)
            return np.fromiter(counts, np.int64, len(numbers))

    @property
    def source(self) -> str:
        """Digest of the files that the frames come from, with the range of those that are deeper than 8 bits."""
        return self._source(self._images)

    def _source(self, kind: _Kind) -> str:
        files = fingerprint(kind.files.values())
        return files if self.scene.range is None or kind is not self._images else f"{files} {self.scene.range}"

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
        for kind in self._lacking():
            if self.store:
                yield from self.store.write(
                    self._key,
                    kind.name,
                    self._source(kind),
                    list(kind.files),
                    lambda number, kind=kind: kind.decode(kind.files[number]),  # type: ignore[misc]
                    kind.shape,
                )

    def missing(self) -> int:
        """Number of frames and masks that :meth:`fill` would write."""
        return sum(len(kind.files) for kind in self._lacking())

    def missing_bytes(self) -> int:
        """Bytes that :meth:`fill` would write."""
        return sum(len(kind.files) * math.prod(kind.shape) for kind in self._lacking())

    def _lacking(self) -> list[_Kind]:
        return [k for k in (self._images, self._masks) if self.store and k.files and self._open(k) is None]

    # Opened where they are used, not before: each worker process opens the files itself.
    @cached_property
    def _stored_images(self) -> StoredArray | None:
        return self._open(self._images)

    @cached_property
    def _stored_masks(self) -> StoredArray | None:
        return self._open(self._masks)

    @cached_property
    def _stored_motion(self) -> dict[int, StoredArray | None]:
        return {}

    def _open_motion(self, tau: int) -> StoredArray | None:
        if self.store is None:
            return None
        return self.store.open(self._key, self._motion_kind(tau), self._motion_source(tau))

    def _motion_kind(self, tau: int) -> str:
        return f"flow_{self.flow.name if self.flow else ''}_tau{tau}_{self.size[0]}x{self.size[1]}"

    def _motion_source(self, tau: int) -> str:
        if self.flow is None:
            raise ValueError(f"{self.scene.key}: no flow method was given")
        return f"{self.source} {fingerprint(self.flow.files(self.scene, tau))} {self.flow.settings()} {VERSION}"

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
        return self.store.open(self._key, kind.name, self._source(kind))

    def __getstate__(self) -> dict[str, object]:
        """Leave the opened arrays behind: a file descriptor means nothing in another process."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_stored")}

    @property
    def _key(self) -> str:
        return f"{self.scene.dataset}/{self.scene.key}"

    def _decode_image(self, path: Path) -> NDArray[np.uint8]:
        return read_image(path, self.size, self.scene.range)

    def _decode_mask(self, path: Path) -> NDArray[np.uint8]:
        return read_mask(path, self.scene.size, self.size, self.scene.mask_code)


def fill(scenes: Sequence[SceneFrames], workers: int | None = None) -> None:
    """Write what the store lacks of several scenes, with a progress bar.

    Args:
        scenes: The scenes, all of one store.
        workers: Threads; OpenCV decodes outside Python's lock. ``None``: one for each processor.

    Raises:
        UserError: If there is not enough room on the disk, a file cannot be used or the store cannot be written; scenes
            that had begun are finished first.
    """
    missing = [scene for scene in scenes if scene.missing()]
    if not missing:
        return
    store = next(scene.store for scene in missing if scene.store)
    require_room(store, sum(scene.missing_bytes() for scene in missing))
    with progress_bar() as bar, ThreadPoolExecutor(workers or max(2, os.cpu_count() or 2)) as pool:
        task = bar.add_task("Filling the frame store", total=sum(scene.missing() for scene in missing))

        def fill_one(scene: SceneFrames) -> None:
            for _ in scene.fill():
                bar.advance(task)

        jobs = [pool.submit(fill_one, scene) for scene in missing]
        try:
            for job in as_completed(jobs):
                job.result()
        finally:
            for job in jobs:
                job.cancel()


def require_room(store: FrameStore, needed: int) -> None:
    """Check that the disk has room for what is about to be written, and print its size.

    Args:
        store: The store.
        needed: Bytes.

    Raises:
        UserError: If it has not, or is no folder.
    """
    try:
        store.root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(store.root).free
    except OSError as error:
        raise UserError(
            f"{store.root}: cannot be the folder of the frame store ({error.strerror}). Name another by "
            f"--data.init_args.store (--store for `prepare`)."
        ) from error
    if needed > free:
        raise UserError(
            f"{store.root}: the frame store needs {needed / 2**30:.1f} GiB and the disk has {free / 2**30:.1f} GiB "
            f"free. Name another folder by --data.init_args.store (--store for `prepare`), or set it to null."
        )
    console.print(f"The frame store {store.root} takes {needed / 2**30:.1f} GiB, of {free / 2**30:.0f} GiB free.")
