"""Backgrounds by CDN-GM, of a stream of frames.

The first two layers see blocks of 7 frames and the next two groups of 7 blocks, so that most of what the network
computes for a window is there already when the window has moved by a block. A stream therefore keeps the layers'
outputs for its blocks and groups, and computes one block, one group and the dense layers per 7 frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bgsub_lightning.backgrounds import BackgroundContext, BackgroundSource
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.losses import SLOPE
from bgsub_lightning.systems.cdn_medal.cdn_gm import BLOCK, GROUPS, CdnGm, Mixture, Spread
from bgsub_lightning.systems.system import identity

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

    learns_unlabelled = True

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

    @property
    def export_targets(self) -> dict[str, Callable[..., Any]]:  # noqa: D102
        return {"network.blocks": identity, "network.groups": identity, "network.mixture": Mixture}

    def begin_scene(self) -> DensityContext:  # noqa: D102
        return DensityContext(BlockWindow() if self.network.fits else FrameWindow(self.network.history))

    def estimate(self, context: DensityContext, images: Tensor) -> Tensor:
        """Return the backgrounds, shape ``(B, 3, H, W)``, before they are rounded."""
        backgrounds = []
        for image in images.to(self.network.means.weight.dtype):
            mixture = context.window.push(self.network, image.flatten(1))
            if mixture is not None:
                context.mixture, context.mean = mixture, mixture.background().view(image.shape)
            backgrounds.append(context.mean)
        return torch.stack(backgrounds)  # type: ignore[arg-type]  # the first frame has given one

    def settings(self) -> str:  # noqa: D102
        network = self.network
        return (
            f"CDN-GM of {network.components} components, {network.history} frames, spread a {network.spread}, "
            f"slope {network.slope:g}"
        )


class MixtureWindow(ABC):
    """State of the newest frames of a scene."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return all that it keeps."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned."""

    @abstractmethod
    def push(self, network: CdnGm, frame: Tensor) -> Mixture | None:
        """Take the next frame, shape ``(3, P)``, range [0, 1]; return the mixtures where they have changed.

        Args:
            network: The trained network, the same at each call.
            frame: The frame.
        """


class BlockWindow(MixtureWindow):
    """Computes what is new: one block and one group per 7 frames."""

    def __init__(self) -> None:
        self.frames: list[Tensor] = []
        self.blocks: deque[Tensor] = deque(maxlen=BLOCK * GROUPS)
        self.groups: deque[Tensor] = deque(maxlen=BLOCK * (GROUPS - 1) + 1)

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {"frames": list(self.frames), "blocks": list(self.blocks), "groups": list(self.groups)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        self.frames = list(state["frames"])
        self.blocks.clear()
        self.blocks.extend(state["blocks"])
        self.groups.clear()
        self.groups.extend(state["groups"])

    def push(self, network: CdnGm, frame: Tensor) -> Mixture | None:  # noqa: D102
        if not self.blocks and not self.frames:
            self.frames.append(frame)
            return self._filled(network, [network.blocks(torch.stack([frame] * BLOCK)).squeeze(0)])
        self.frames.append(frame)
        if len(self.frames) < BLOCK:
            return None
        self.blocks.append(network.blocks(torch.stack(self.frames)).squeeze(0))
        self.frames = []
        if len(self.blocks) >= BLOCK:
            self.groups.append(network.groups(torch.stack(list(self.blocks)[-BLOCK:])).squeeze(0))
        if len(self.groups) < (self.groups.maxlen or 0):
            return self._filled(network, list(self.blocks))
        while len(self.blocks) >= BLOCK:  # the groups hold what older blocks were needed for
            self.blocks.popleft()
        return network.mixture(torch.stack(list(self.groups)[::BLOCK]))

    @staticmethod
    def _filled(network: CdnGm, blocks: list[Tensor]) -> Mixture:
        """The mixtures of a window that fewer blocks than it has fill by repetition."""
        count = BLOCK * GROUPS
        window = [blocks[i % len(blocks)] for i in range(len(blocks) - count, len(blocks))]
        return network.mixture(network.groups(torch.stack(window)))


class FrameWindow(MixtureWindow):
    """Keeps the frames of the window, in 8 bits, and computes it as a whole.

    Args:
        history: Frames of the window.
        every: Number of frames after which it does.
    """

    def __init__(self, history: int, every: int = BLOCK) -> None:
        self.every = every
        self.frames: deque[Tensor] = deque(maxlen=history)
        self.seen = 0

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {"frames": list(self.frames), "seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        self.frames.clear()
        self.frames.extend(state["frames"])
        self.seen = state["seen"]

    def push(self, network: CdnGm, frame: Tensor) -> Mixture | None:  # noqa: D102
        self.frames.append((frame * 255).round().byte())
        self.seen += 1
        if self.seen % self.every and self.seen > 1:
            return None
        count = len(self.frames)
        window = torch.stack([self.frames[i % count] for i in range(count - network.history, count)])
        parts = [network(part.to(frame.dtype) / 255) for part in torch.split(window, _PIXELS, dim=-1)]
        return Mixture(*(torch.cat(part, dim=-1) for part in zip(*parts, strict=True)))


@dataclass
class DensityContext(BackgroundContext):
    """State of a scene.

    Attributes:
        window: The newest frames.
        mixture: The mixtures of the pixels.
        mean: The background that they give, shape ``(3, H, W)``, range [0, 1], not rounded.
    """

    window: MixtureWindow
    mixture: Mixture | None = None
    mean: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {
            "window": self.window.state_dict(),
            "mixture": None if self.mixture is None else list(self.mixture),
            "mean": self.mean,
            "background": self.background,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        self.window.load_state_dict(state["window"])
        self.mixture = None if state["mixture"] is None else Mixture(*state["mixture"])
        self.mean, self.background = state["mean"], state["background"]

    def pictures(self) -> dict[str, Tensor]:
        """Show the background, and each component's weight and spread (white: the largest that there can be)."""
        if self.mixture is None or self.mean is None:
            return {}
        size = self.mean.shape[1:]
        weights = self.mixture.log_weights.exp().view(-1, *size)
        spreads = (self.mixture.spreads * 255 / 32).view(-1, *size)
        return {
            "background": self.mean,
            **{f"weight of component {k + 1}": weight for k, weight in enumerate(weights)},
            **{f"spread of component {k + 1}": spread for k, spread in enumerate(spreads)},
        }
