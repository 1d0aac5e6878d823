"""Backgrounds by AE-NE's autoencoder, of each frame alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bgsub_lightning.backgrounds import BackgroundContext, BackgroundSource
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_choice, check_whole
from bgsub_lightning.systems.ae_ne.network import SIZES, Autoencoder, Complexity
from bgsub_lightning.systems.resizing import resize
from bgsub_lightning.systems.sizes import sized
from bgsub_lightning.systems.system import identity


@dataclass
class Reconstructed(BackgroundContext):
    """Pictures of a scene; answers do not depend on them.

    Attributes:
        error: The expected error of the last frame's background, shape ``(H, W)``, range [0, 1].
    """

    error: Tensor | None = None

    def pictures(self) -> dict[str, Tensor]:
        """Show the background and its expected error (white: 32 grey levels)."""
        shown = super().pictures()
        return shown if self.error is None else {**shown, "expected error": (self.error * (255 / 32)).clamp(max=1)}

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {"background": self.background, "error": self.error}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        self.background, self.error = state["background"], state["error"]


class AutoencoderBackground(BackgroundSource):
    """The background that the autoencoder of AE-NE reconstructs from each frame.

    Args:
        size: Width and height at which it sees frames, from 16 to 1215; others are resized, and their backgrounds back.
        complexity: Of the background; see :data:`~bgsub_lightning.systems.ae_ne.network.Complexity`.
        width: Channels of the first layer; all others but the latent ones scale with it.
        latents: Numbers that a frame is reconstructed from.

    Raises:
        UserError: If an argument is out of its range.
    """

    learns_unlabelled = True

    def __init__(
        self,
        size: tuple[int, int] = (320, 240),
        complexity: Complexity = "simple",
        width: int = 64,
        latents: int = 16,
    ) -> None:
        super().__init__()
        check_whole("AutoencoderBackground.", least=SIZES[0], most=SIZES[1], size=size)
        if len(size) != 2:
            raise UserError(f"AutoencoderBackground.size: must be a width and a height; got {list(size)}.")
        check_choice("AutoencoderBackground.", Complexity, complexity=complexity)
        check_whole("AutoencoderBackground.", least=1, most=10_000, width=width, latents=latents)
        self.complexity = complexity
        self.network = sized(Autoencoder, (size[1], size[0]), complexity, width, latents)

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {"network.forward": identity}

    def begin_scene(self) -> Reconstructed:  # noqa: D102
        return Reconstructed()

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return backgrounds and their expected errors.

        Args:
            images: Shape ``(B, 3, H, W)``, range [0, 1].

        Returns:
            Shapes ``(B, 3, H, W)`` and ``(B, H, W)``, range [0, 1].
        """
        reconstruction = self.resized(self.network(self.at_its_size(images)), images.shape[-2:])
        return reconstruction[:, :3], reconstruction[:, 3]

    def at_its_size(self, images: Tensor) -> Tensor:
        """Resize frames to what the network sees."""
        return self.resized(images, self.network.size)

    @staticmethod
    def resized(images: Tensor, size: tuple[int, ...]) -> Tensor:
        """Resize images unless they have the size."""
        return images if images.shape[-2:] == torch.Size(size) else resize(images, size)

    def estimate(self, context: Reconstructed, images: Tensor) -> Tensor:  # noqa: D102
        backgrounds, errors = self.reconstruct(images.to(next(self.parameters()).dtype))
        context.error = errors[-1]
        return backgrounds

    def settings(self) -> str:  # noqa: D102
        height, width = self.network.size
        return f"AE-NE's autoencoder of {width}×{height} for a {self.complexity} background"
