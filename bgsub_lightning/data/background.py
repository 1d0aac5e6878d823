"""Backgrounds: what gives one to each frame, and how training samples come by them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bgsub_lightning.data.inputs import Input
from bgsub_lightning.frames import FrameStore, SceneFrames, StoredArray
from bgsub_lightning.splits import FrameSet

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
        with torch.autocast(images.device.type, enabled=False):  # the same in training, whose loader knows of none
            return self.estimate(images).float().mul(255).round_().div_(255).to(images.dtype)

    @abstractmethod
    def reset(self) -> None:
        """Forget all frames: another scene follows."""

    @abstractmethod
    def estimate(self, images: Tensor) -> Tensor:
        """Do what :meth:`push` does, before it is rounded."""

    @abstractmethod
    def settings(self) -> str:
        """Return in a few words what tells this source from another, its weights aside."""

    def fingerprint(self) -> str:
        """Return a digest of its settings and its weights: sources that share it give the same backgrounds."""
        digest = hashlib.sha256(self.settings().encode())
        for name, value in self.state_dict().items():
            digest.update(f"{name} {value.dtype}".encode() + value.cpu().double().numpy().tobytes())
        return digest.hexdigest()

    def weights_of(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Pick this source's weights out of those of a system that has it as its ``background``."""
        own = "background."
        return {name.removeprefix(own): weight for name, weight in weights.items() if name.startswith(own)}

    def pictures(self) -> dict[str, Tensor]:
        """Return images of the model after the last frame: title → ``(3, H, W)`` or ``(H, W)``, range [0, 1]."""
        return {}


class StoredBackground(Input, ABC):
    """A background of the target frame, from the frame store.

    The backgrounds of all frames that are needed are computed once, before the stage that needs them.
    """

    is_past = True

    def __init__(self) -> None:
        self._store: FrameStore | None = None
        self._places: dict[str, tuple[str, str, str]] = {}
        self._opened: dict[str, StoredArray] = {}

    @abstractmethod
    def fingerprint(self, pixels: SceneFrames, numbers: Sequence[int]) -> str:
        """Return what tells a scene's backgrounds of these frames from others: they are found again by it."""

    @abstractmethod
    def backgrounds(
        self, pixels: SceneFrames, numbers: Sequence[int], device: torch.device
    ) -> Generator[NDArray[np.uint8], None, None]:
        """Compute a scene's backgrounds.

        Args:
            pixels: The scene's pixels.
            numbers: The frames, ascending.
            device: Where to compute.

        Yields:
            The background of each frame, in their order: RGB, shape ``(H, W, 3)``, uint8.
        """

    def prepare(self, pixels: Sequence[SceneFrames], frames: FrameSet, store: FrameStore, device: torch.device) -> None:
        """Write what the store lacks.

        Raises:
            UserError: If the store cannot be written.
        """
        self._store, self._places, self._opened = store, {}, {}
        for scene, numbers in zip(pixels, frames.numbers, strict=True):
            (width, height), source = scene.size, self.fingerprint(scene, numbers)
            place = f"{scene.scene.dataset}/{scene.scene.key}", f"{self.key}_{width}x{height}", source
            self._places[scene.scene.key] = place
            stored = store.open(*place)
            if stored is not None and all(number in stored for number in numbers):
                continue
            with closing(self.backgrounds(scene, numbers, device)) as rows:
                for _ in store.write(*place, numbers, lambda _, rows=rows: next(rows), (height, width, 3)):  # type: ignore[misc]
                    pass

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        key = pixels.scene.key
        if key not in self._opened:
            opened = self._store.open(*self._places[key]) if self._store and key in self._places else None
            if opened is None:
                raise RuntimeError(f"the backgrounds of {key} have not been prepared")
            self._opened[key] = opened
        self._opened[key].read(number, out)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the opened arrays behind: a file descriptor means nothing in another process."""
        return {**vars(self), "_opened": {}}


class Background(StoredBackground):
    """The background that a source gives to the target frame, having watched all frames up to it.

    Args:
        source: What gives it.
    """

    key = "background"

    def __init__(self, source: BackgroundSource) -> None:
        super().__init__()
        self.source = source

    def __getstate__(self) -> dict[str, Any]:
        """Leave the source behind: other processes read what it gave."""
        return {**super().__getstate__(), "source": None}

    def fingerprint(self, pixels: SceneFrames, numbers: Sequence[int]) -> str:  # noqa: D102
        return f"{pixels.source} {self.source.fingerprint()}"

    @torch.no_grad()
    def backgrounds(  # noqa: D102
        self, pixels: SceneFrames, numbers: Sequence[int], device: torch.device
    ) -> Generator[NDArray[np.uint8], None, None]:
        wanted = set(numbers)
        shown = [number for number in pixels.scene.frames if number <= max(wanted)]
        self.source.reset()
        try:
            for start in range(0, len(shown), _CHUNK):
                chunk = shown[start : start + _CHUNK]
                frames = torch.from_numpy(np.stack([pixels.image(number) for number in chunk])).to(device)
                images = self.source.push(frames.movedim(-1, -3).float().div_(255))
                rows = (images * 255).round().byte().movedim(-3, -1).cpu().numpy()
                yield from (row for row, number in zip(rows, chunk, strict=True) if number in wanted)
        finally:
            self.source.reset()
