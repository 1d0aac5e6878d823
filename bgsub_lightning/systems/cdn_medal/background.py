"""Backgrounds by CDN-GM, of a stream of frames.

The first two layers see blocks of 7 frames and the next two groups of 7 blocks, so that most of what the network
computes for a window is there already when the window has moved by a block. A stream therefore keeps what the layers
made of its blocks and groups, and computes one block, one group and the dense layers per 7 frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Literal

import torch
from torch import Tensor

from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data.background import BackgroundSource
from bgsub_lightning.losses import SLOPE
from bgsub_lightning.systems.cdn_medal.cdn_gm import BLOCK, GROUPS, CdnGm, Mixture, Spread

_PIXELS = 8192  # computed at once: their histories as floats are 24 MB


class DensityBackground(BackgroundSource):
    """CDN-GM on the newest complete blocks of 7 frames, counted from the scene's first frame.

    The background of a frame is that of the window of T frames that ends at the last complete block; it changes every
    7 frames. While fewer than T frames have been seen, those that there are fill the window by repetition, in their
    order; before the first block is complete the window holds the first frame alone.

    Args:
        components: Number of Gaussian components, K.
        history: Frames of the window, T; 240 has no blocks to keep, so that each window is computed as a whole.
        spread: How the spread is read; see :class:`CdnGm`.
        slope: Slope of the hard sigmoid that gives spreads and means; see :class:`CdnGm`.

    Raises:
        UserError: If an argument is out of its range.
    """

    def __init__(
        self,
        components: int = 3,
        history: Literal[245, 240] = 245,
        spread: Spread = "deviation",
        slope: float = SLOPE,
    ) -> None:
        super().__init__()
        check_range("DensityBackground.", least=1, most=1000, components=components)
        check_range("DensityBackground.", above=0, most=1, slope=slope)
        self.network = CdnGm(components, history, spread, slope)
        self.reset()

    def reset(self) -> None:  # noqa: D102
        self._stream: MixtureStream = (BlockStream if self.network.fits else WindowStream)(self.network)
        self._mixture: Mixture | None = None
        self._background: Tensor | None = None

    def estimate(self, images: Tensor) -> Tensor:
        """Return the backgrounds, shape ``(B, 3, H, W)``, before they are rounded."""
        backgrounds = []
        for image in images.to(self.network.means.weight.dtype):
            mixture = self._stream.push(image.flatten(1))
            if mixture is not None:
                self._mixture, self._background = mixture, mixture.background().view(image.shape)
            backgrounds.append(self._background)
        return torch.stack(backgrounds)  # type: ignore[arg-type]  # the first frame has given one

    def settings(self) -> str:  # noqa: D102
        network = self.network
        return (
            f"CDN-GM of {network.components} components, {network.history} frames, spread a {network.spread}, "
            f"slope {network.slope:g}"
        )

    def pictures(self) -> dict[str, Tensor]:
        """Return the background, and each component's weight and spread (white: the largest that there can be)."""
        if self._mixture is None or self._background is None:
            return {}
        size = self._background.shape[1:]
        weights = self._mixture.log_weights.exp().view(-1, *size)
        spreads = (self._mixture.spreads * 255 / 32).view(-1, *size)
        return {
            "background": self._background,
            **{f"weight of component {k + 1}": weight for k, weight in enumerate(weights)},
            **{f"spread of component {k + 1}": spread for k, spread in enumerate(spreads)},
        }


class MixtureStream(ABC):
    """Gives the mixtures of a stream of frames.

    Args:
        network: The trained network.
    """

    def __init__(self, network: CdnGm) -> None:
        self.network = network

    @abstractmethod
    def push(self, frame: Tensor) -> Mixture | None:
        """Take the next frame, shape ``(3, P)``, range [0, 1]; return the mixtures where they have changed."""


class BlockStream(MixtureStream):
    """Computes what is new: one block and one group per 7 frames."""

    def __init__(self, network: CdnGm) -> None:
        super().__init__(network)
        self.frames: list[Tensor] = []
        self.blocks: deque[Tensor] = deque(maxlen=BLOCK * GROUPS)
        self.groups: deque[Tensor] = deque(maxlen=BLOCK * (GROUPS - 1) + 1)

    def push(self, frame: Tensor) -> Mixture | None:  # noqa: D102
        if not self.blocks and not self.frames:
            self.frames.append(frame)
            return self._filled([self._block([frame] * BLOCK)])
        self.frames.append(frame)
        if len(self.frames) < BLOCK:
            return None
        self.blocks.append(self._block(self.frames))
        self.frames = []
        if len(self.blocks) >= BLOCK:
            self.groups.append(self.network.groups(torch.stack(list(self.blocks)[-BLOCK:])).squeeze(0))
        if len(self.groups) < (self.groups.maxlen or 0):
            return self._filled(list(self.blocks))
        while len(self.blocks) >= BLOCK:  # the groups hold what older blocks were needed for
            self.blocks.popleft()
        return self.network.mixture(torch.stack(list(self.groups)[::BLOCK]))

    def _block(self, frames: list[Tensor]) -> Tensor:
        return self.network.blocks(torch.stack(frames)).squeeze(0)

    def _filled(self, blocks: list[Tensor]) -> Mixture:
        """The mixtures of a window that fewer blocks than it has fill by repetition."""
        count = BLOCK * GROUPS
        window = [blocks[i % len(blocks)] for i in range(len(blocks) - count, len(blocks))]
        return self.network.mixture(self.network.groups(torch.stack(window)))


class WindowStream(MixtureStream):
    """Keeps the frames of the window, in 8 bits, and computes it as a whole.

    Args:
        network: The trained network.
        every: Number of frames after which it does.
    """

    def __init__(self, network: CdnGm, every: int = BLOCK) -> None:
        super().__init__(network)
        self.every = every
        self.frames: deque[Tensor] = deque(maxlen=network.history)
        self.seen = 0

    def push(self, frame: Tensor) -> Mixture | None:  # noqa: D102
        self.frames.append((frame * 255).round().byte())
        self.seen += 1
        if self.seen % self.every and self.seen > 1:
            return None
        count = len(self.frames)
        window = torch.stack([self.frames[i % count] for i in range(count - self.network.history, count)])
        parts = [self.network(part.to(frame.dtype) / 255) for part in torch.split(window, _PIXELS, dim=-1)]
        return Mixture(*(torch.cat(part, dim=-1) for part in zip(*parts, strict=True)))
