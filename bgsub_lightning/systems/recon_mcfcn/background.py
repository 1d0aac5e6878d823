"""Backgrounds by a trained reconstruction network, for Baseline-1 of two-stage MCFCN (section 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from bgsub_lightning.backgrounds import BackgroundContext, BackgroundSource
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.systems.recon_mcfcn.reconstruction import BackgroundReconstruction
from bgsub_lightning.systems.resizing import resize
from bgsub_lightning.systems.sizes import sized
from bgsub_lightning.systems.system import identity


class ReconstructedBackground(BackgroundSource):
    """The background that the encoder-decoder of two-stage MCFCN restores from each frame alone.

    Args:
        bottleneck: Length of the network's vector.
        width: Channels of its first layers.
    """

    def __init__(self, bottleneck: int = 512, width: int = 64) -> None:
        super().__init__()
        check_range("ReconstructedBackground.", least=1, bottleneck=bottleneck, width=width)
        self.network = sized(BackgroundReconstruction, bottleneck, width)

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {"network.forward": identity}

    def begin_scene(self) -> BackgroundContext:  # noqa: D102
        return BackgroundContext()

    def estimate(self, context: BackgroundContext, images: Tensor) -> Tensor:  # noqa: D102
        return resize((self.network.restore(images) + 1) / 2, images.shape[-2:])

    def weights_of(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Pick them out of those of ``ReconMcfcn``."""
        own = "reconstruction."
        return {f"network.{name.removeprefix(own)}": weights[name] for name in weights if name.startswith(own)}

    def settings(self) -> str:  # noqa: D102
        return "reconstruction of each frame"
