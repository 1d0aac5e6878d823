"""The inputs that a module can ask for.

A module declares ``inputs = (Image(), References(16))``; the datamodule builds exactly these.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.errors import UserError
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.scenes.scene import Scene


@dataclass(frozen=True)
class Input:
    """An input of a module: a key of its batches.

    Attributes:
        key: The key.
    """

    key: ClassVar[str]

    def require(self, scene: Scene) -> None:
        """Check that a scene can serve this input.

        Raises:
            UserError: If it cannot.
        """

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of one sample before it reaches the device: ``(..., H, W, 3)``, for a size (W, H)."""
        return (size[1], size[0], 3)

    def frames(self, scene: Scene, number: int, seed: int) -> list[int]:
        """Choose the frames that make up a training sample.

        Args:
            scene: The scene.
            number: The target frame.
            seed: Seed of what is random in the sample.
        """
        raise NotImplementedError

    def scene(self, pixels: SceneFrames, seed: int) -> NDArray[np.uint8] | None:
        """Load what evaluation needs once per scene, shape ``(D, ..., H, W, 3)``, uint8; ``None``: nothing."""
        return None


@dataclass(frozen=True)
class Image(Input):
    """The target frame."""

    key = "image"

    def frames(self, scene: Scene, number: int, seed: int) -> list[int]:  # noqa: D102
        return [number]


@dataclass(frozen=True)
class Stream(Image):
    """The target frame, for systems that carry state: evaluation shows them every frame of a scene, from the first."""


@dataclass(frozen=True)
class References(Input):
    """Frames of the scene's unlabelled part, drawn at random (BMN-BSN, section 4.1).

    For training each sample has its own draw. For evaluation they are fixed by (seed, scene).

    Args:
        count: Number of frames of a draw, N; each is another frame.
        draws: Number of draws that evaluation makes.
    """

    key = "references"
    count: int
    draws: int = 1

    def require(self, scene: Scene) -> None:  # noqa: D102
        if len(scene.references) < self.count:
            raise UserError(
                f"{scene.dataset} {scene.key}: {self.count} reference frames were to be drawn before the labelled "
                f"part, and there are {len(scene.references)}. Set --model.init_args.references "
                f"to that number or fewer, or leave the scene out."
            )

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:  # noqa: D102
        return (self.count, size[1], size[0], 3)

    def frames(self, scene: Scene, number: int, seed: int) -> list[int]:  # noqa: D102
        return self._draw(scene, np.random.default_rng(seed))

    def scene(self, pixels: SceneFrames, seed: int) -> NDArray[np.uint8]:  # noqa: D102
        name = zlib.crc32(f"{pixels.scene.dataset}:{pixels.scene.key}".encode())
        generators = [np.random.default_rng((seed, name, draw)) for draw in range(self.draws)]
        return np.stack([[pixels.image(i) for i in self._draw(pixels.scene, generator)] for generator in generators])

    def _draw(self, scene: Scene, generator: np.random.Generator) -> list[int]:
        chosen = generator.choice(len(scene.references), self.count, replace=False, shuffle=True)
        return [scene.references[i] for i in chosen]
