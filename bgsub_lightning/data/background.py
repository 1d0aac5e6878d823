"""Backgrounds: what gives one to each frame, and how training samples come by them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bgsub_lightning.data.inputs import Input
from bgsub_lightning.frames import FrameStore, SceneFrames, StoredArray
from bgsub_lightning.sampling import FrameSet

_CHUNK = 49


class BackgroundSource(nn.Module, ABC):
    """Watches the frames of a scene, from the first, and gives a background to each.

    A background is an image of 8 bits, as frames are, so that it is the same whether it was kept in a store or not.
    """

    def push(self, images: Tensor) -> Tensor:
        """Take the next frames of the scene.

        Args:
            images: Shape ``(B, 3, H, W)``, range [0, 1].

        Returns:
            The background after each of them, of the same shape and range.
        """
        return self.estimate(images).mul(255).round_().div_(255)

    @abstractmethod
    def reset(self) -> None:
        """Forget all frames: another scene follows."""

    @abstractmethod
    def estimate(self, images: Tensor) -> Tensor:
        """Do what :meth:`push` does, before it is rounded."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return what tells this source's backgrounds from those of another, or of other weights."""

    def pictures(self) -> dict[str, Tensor]:
        """Return images of the model after the last frame: title → ``(3, H, W)`` or ``(H, W)``, range [0, 1]."""
        return {}


class Background(Input):
    """The background of the target frame, from the frame store.

    The backgrounds of all frames that are needed are computed once, before the stage that needs them.

    Args:
        source: What gives them.
    """

    key = "background"

    def __init__(self, source: BackgroundSource) -> None:
        self.source = source
        self._store: FrameStore | None = None
        self._opened: dict[str, StoredArray] = {}

    def prepare(self, pixels: Sequence[SceneFrames], frames: FrameSet, store: FrameStore, device: torch.device) -> None:
        """Write what the store lacks.

        Raises:
            UserError: If the store cannot be written.
        """
        self._store = store
        self._opened = {}
        self._fingerprint = self.source.fingerprint()
        for scene, numbers in zip(pixels, frames.numbers, strict=True):
            key, kind, source = self._place(scene)
            stored = store.open(key, kind, source)
            if stored is not None and all(number in stored for number in numbers):
                continue
            backgrounds = self._backgrounds(scene, numbers, device)
            shape = (scene.size[1], scene.size[0], 3)
            for _ in store.write(key, kind, source, numbers, lambda _, stream=backgrounds: next(stream), shape):  # type: ignore[misc]
                pass

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        key = pixels.scene.key
        if key not in self._opened:
            opened = self._store.open(*self._place(pixels)) if self._store else None
            if opened is None:
                raise RuntimeError(f"the backgrounds of {key} have not been prepared")
            self._opened[key] = opened
        self._opened[key].read(number, out)

    @torch.no_grad()
    def _backgrounds(
        self, pixels: SceneFrames, numbers: Sequence[int], device: torch.device
    ) -> Iterator[NDArray[np.uint8]]:
        wanted = set(numbers)
        shown = [number for number in pixels.scene.frames if number <= max(wanted)]
        self.source.reset()
        for start in range(0, len(shown), _CHUNK):
            chunk = shown[start : start + _CHUNK]
            frames = torch.from_numpy(np.stack([pixels.image(number) for number in chunk])).to(device)
            images = self.source.push(frames.movedim(-1, -3).float().div_(255))
            rows = (images * 255).round().byte().movedim(-3, -1).cpu().numpy()
            yield from (row for row, number in zip(rows, chunk, strict=True) if number in wanted)
        self.source.reset()

    def _place(self, pixels: SceneFrames) -> tuple[str, str, str]:
        scene, (width, height) = pixels.scene, pixels.size
        return f"{scene.dataset}/{scene.key}", f"background_{width}x{height}", f"{pixels.source} {self._fingerprint}"

    def __getstate__(self) -> dict[str, Any]:
        """Leave the opened arrays behind: a file descriptor means nothing in another process."""
        return {**vars(self), "_opened": {}}
