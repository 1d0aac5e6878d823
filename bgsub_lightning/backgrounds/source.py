"""Sources of backgrounds, and the state of a scene between its frames."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bgsub_lightning.frames import SceneFrames

_CHUNK = 49


class SceneContext:
    """All that is kept of one scene between its frames; what keeps nothing uses this class as it is.

    It holds tensors and numbers, no module: weights stay in the system, so that one system serves any number of scenes
    at a time, each with a context. A context is advanced in place, since sample banks and the models of libraries are
    too large to be copied for each frame.
    """

    is_copyable: ClassVar[bool] = True
    """Whether it can be copied and pickled; the models of OpenCV and bgslibrary cannot."""

    restarts: int = 0
    """How often the background restarted by itself, as when the camera was moved."""

    def follow(self, before: SceneContext) -> None:
        """Take over what the stream's context before has, where the pool has given a new background."""

    def pictures(self) -> dict[str, Tensor]:
        """Show the background model after the last frame: title → ``(3, H, W)`` or ``(H, W)``, range [0, 1]."""
        return {}

    def state_dict(self) -> dict[str, Any] | None:
        """Return all that makes the next answers, as tensors, numbers, lists, dicts; ``None``: it cannot be saved."""
        return {} if type(self) is SceneContext else None

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned."""


@dataclass
class BackgroundContext(SceneContext):
    """The state that a source keeps of a scene.

    Attributes:
        background: The background of the last frame, shape ``(3, H, W)``, range [0, 1]; ``None`` before the first.
    """

    background: Tensor | None = field(default=None, init=False)

    def pictures(self) -> dict[str, Tensor]:  # noqa: D102
        return {} if self.background is None else {"background": self.background}


class BackgroundSource(nn.Module, ABC):
    """Watches the frames of a scene, from the first, and gives a background to each.

    A background is an image of 8 bits, as frames are, so that it is the same whether it was kept in a store or not.
    """

    learns_unlabelled: ClassVar[bool] = False
    """Whether its training sees all frames of a scene, without their labels: those that are tested as well."""

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:
        """Its networks as they can be exported: path of a method → what makes its answer of the tensors it returns."""
        return {}

    @abstractmethod
    def begin_scene(self) -> BackgroundContext:
        """Return the context of a scene of which no frame has been seen."""

    def push(self, context: BackgroundContext, images: Tensor) -> Tensor:
        """Take the next frames of a scene, and advance its context.

        Args:
            context: The scene's.
            images: Shape ``(B, 3, H, W)``, range [0, 1].

        Returns:
            The background after each of them, of the same shape and range.
        """
        with torch.autocast(images.device.type, enabled=False):  # as in training, which runs without it
            backgrounds = self.estimate(context, images).float().mul(255).round_().div_(255).to(images.dtype)
        context.background = backgrounds[-1]
        return backgrounds

    @abstractmethod
    def estimate(self, context: Any, images: Tensor) -> Tensor:
        """Do what :meth:`push` does, before it is rounded; ``context`` is one of :meth:`begin_scene`."""

    @abstractmethod
    def settings(self) -> str:
        """Return the settings in a few words, without the weights: sources that differ have different ones."""

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


@dataclass(frozen=True)
class SourceBackgrounds:
    """The backgrounds that a source gives to frames of a scene, for :meth:`StoredBackground.fill`.

    Args:
        source: What gives them.
        device: Where it computes them: that of its weights.
    """

    source: BackgroundSource
    device: torch.device

    def fingerprint(self, pixels: SceneFrames, numbers: Sequence[int]) -> str:
        """Return a digest of the scene's files and of the source."""
        return f"{pixels.source} {self.source.fingerprint()}"

    @torch.no_grad()
    def backgrounds(self, pixels: SceneFrames, numbers: Sequence[int]) -> Generator[NDArray[np.uint8], None, None]:
        """Show the source all frames from the first; yield the backgrounds of some, ``(H, W, 3)``, uint8."""
        wanted = set(numbers)
        shown = [number for number in pixels.scene.frames if number <= max(wanted)]
        context = self.source.begin_scene()
        for start in range(0, len(shown), _CHUNK):
            chunk = shown[start : start + _CHUNK]
            frames = torch.from_numpy(np.stack([pixels.image(number) for number in chunk])).to(self.device)
            images = self.source.push(context, frames.movedim(-1, -3).float().div_(255))
            rows = (images * 255).round().byte().movedim(-3, -1).cpu().numpy()
            yield from (row for row, number in zip(rows, chunk, strict=True) if number in wanted)
