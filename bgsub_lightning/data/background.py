"""Backgrounds of training frames, which a frame store keeps."""

from __future__ import annotations

import hashlib
from abc import ABC
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.console import progress_bar
from bgsub_lightning.data.inputs import Input
from bgsub_lightning.frames import FrameStore, SceneFrames, StoredArray
from bgsub_lightning.splits import FrameSet


class Backgrounds(Protocol):
    """Computes the backgrounds of a scene's frames."""

    def fingerprint(self, pixels: SceneFrames, numbers: Sequence[int]) -> str:
        """Return a digest that differs where a scene's backgrounds of these frames do."""

    def backgrounds(self, pixels: SceneFrames, numbers: Sequence[int]) -> Generator[NDArray[np.uint8], None, None]:
        """Compute a scene's backgrounds.

        Args:
            pixels: The scene's pixels.
            numbers: The frames, ascending.

        Yields:
            The background of each frame, in their order: RGB, shape ``(H, W, 3)``, uint8.
        """


class StoredBackground(Input, ABC):
    """A background of the target frame, from the frame store.

    The backgrounds of all frames that are needed are computed once, before the stage that needs them.
    """

    is_past = True

    def __init__(self) -> None:
        self._store: FrameStore | None = None
        self._places: dict[str, tuple[str, str, str]] = {}
        self._opened: dict[str, StoredArray] = {}

    def fill(
        self,
        pixels: Sequence[SceneFrames],
        frames: FrameSet,
        store: FrameStore,
        source: Backgrounds,
        shared: bool = False,
    ) -> None:
        """Write what the store lacks; :meth:`load` reads from there.

        Args:
            pixels: The scenes' pixels.
            frames: The frames whose backgrounds are needed.
            store: Where they are kept.
            source: What computes them.
            shared: Whether runs of other frames or settings may keep theirs in the same store.

        Raises:
            UserError: If the store cannot be written.
        """
        self._store, self._places, self._opened = store, {}, {}
        for scene, numbers in zip(pixels, frames.numbers, strict=True):
            (width, height), digest = scene.size, source.fingerprint(scene, numbers)
            own = hashlib.sha256(f"{digest} {list(numbers)}".encode()).hexdigest()[:12] if shared else ""
            kind = f"{self.key}_{width}x{height}" + (f"_{own}" if own else "")
            place = f"{scene.scene.dataset}/{scene.scene.key}", kind, digest
            self._places[scene.scene.key] = place
            stored = store.open(*place)
            if stored is not None and all(number in stored for number in numbers):
                continue
            with closing(source.backgrounds(scene, numbers)) as rows, progress_bar() as bar:
                task = bar.add_task(f"Backgrounds of {scene.scene.key}", total=len(numbers))
                for _ in store.write(*place, numbers, lambda _, rows=rows: next(rows), (height, width, 3)):  # type: ignore[misc]
                    bar.advance(task)

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        key = pixels.scene.key
        if key not in self._opened:
            opened = self._store.open(*self._places[key]) if self._store and key in self._places else None
            if opened is None:
                raise RuntimeError(f"the backgrounds of {key} have not been prepared")
            self._opened[key] = opened
        if pixels.whole is pixels:
            self._opened[key].read(number, out)
        else:
            out[...] = pixels.shown(self._opened[key].read(number))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the opened arrays behind: a file descriptor means nothing in another process."""
        return {**vars(self), "_opened": {}}


class Background(StoredBackground):
    """The background of the target frame by the system's own model.

    The system computes them, by :meth:`fill`, when a stage begins that reads them.
    """

    key = "background"
