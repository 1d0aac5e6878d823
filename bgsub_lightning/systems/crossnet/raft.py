"""RAFT, torchvision's, as a method of optical flow.

Z. Teed, J. Deng, "RAFT: recurrent all-pairs field transforms for optical flow", ECCV 2020. torchvision is an optional
extra, and imported when a flow is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_choice, check_range
from bgsub_lightning.datasets.scene import Scene
from bgsub_lightning.frames import FrameFlow
from bgsub_lightning.systems.weights import load_state_dict

Size = Literal["small", "large"]

_STRIDE, _SMALLEST = 8, 128  # pixels: of a feature, and of a frame that the pyramid of correlations can be built of


@dataclass(frozen=True)
class RaftFlow(FrameFlow):
    """RAFT.

    Args:
        size: The network: torchvision's ``raft_small`` or ``raft_large``.
        weights: File or URL of its weights; ``None``: those that torchvision publishes as the default.
        sha256: Expected digest of the file; ``None``: it is not checked.
        updates: Updates of the flow.
        device: Where to compute, such as ``cuda``. Loaders' processes cannot use a graphics card: let a store keep the
            flow then.

    Raises:
        UserError: If a number or a name makes no sense.
    """

    colour = True
    size: Size = "large"
    weights: Path | str | None = None
    sha256: str | None = None
    updates: int = 12
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_range("data.init_args.flow.init_args.", least=1, most=1000, updates=self.updates)
        check_choice("data.init_args.flow.init_args.", Size, size=self.size)

    @property
    def name(self) -> str:  # noqa: D102
        return f"raft_{self.size}"

    def settings(self) -> str:
        """All but the device; weights are known by their digest where there is one, else by their name."""
        weights = self.sha256 or (str(self.weights).rpartition("/")[2] if self.weights else "default")
        return f"RaftFlow({self.size}, {self.updates}, {weights})"

    def files(self, scene: Scene, tau: int) -> list[Path]:
        """Return the file of the weights, if it is one: others give another flow."""
        path = Path(str(self.weights)).expanduser()
        return [path] if self.weights and not self.sha256 and path.is_file() else []

    @torch.inference_mode()
    def field(self, frame: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: D102
        network = _network(self.size, self.weights, self.sha256, self.device)
        height, width = frame.shape[:2]
        images = torch.from_numpy(np.stack([frame, before])).to(self.device).movedim(-1, 1)
        down, right = (_padding(length) for length in (height, width))
        padding = (right // 2, right - right // 2, down // 2, down - down // 2)
        padded = F.pad(images.float().div_(127.5).sub_(1), padding, mode="replicate")
        flows: list[Tensor] = network(padded[:1], padded[1:], num_flow_updates=self.updates)
        inside = flows[-1][0, :, padding[2] : padding[2] + height, padding[0] : padding[0] + width]
        return np.ascontiguousarray(inside.movedim(0, -1).float().cpu().numpy())


def _padding(length: int) -> int:
    """Return the pixels that a side of a frame lacks."""
    return max(_SMALLEST, -(-length // _STRIDE) * _STRIDE) - length


@lru_cache(maxsize=1)
def _network(size: str, weights: Path | str | None, sha256: str | None, device: str) -> nn.Module:
    try:
        from torchvision.models import optical_flow
    except (ImportError, RuntimeError) as error:  # one that does not fit torch raises the latter
        raise UserError(
            f"RaftFlow needs torchvision, which cannot be imported ({error}). Install the one that fits torch "
            f"{torch.__version__}: pip install 'bgsub_lightning[raft]', or choose another flow: "
            f"--data.init_args.flow=DisFlow."
        ) from error
    default = optical_flow.Raft_Small_Weights if size == "small" else optical_flow.Raft_Large_Weights
    source = weights or default.DEFAULT.url
    network: nn.Module = getattr(optical_flow, f"raft_{size}")(weights=None)
    try:
        network.load_state_dict(load_state_dict(source, sha256))
    except RuntimeError as error:
        raise UserError(
            f"{source}: does not hold the weights of torchvision's raft_{size}: {str(error).splitlines()[-1].strip()} "
            f"Set data.init_args.flow.init_args.size to that of the file, or name another file."
        ) from error
    return network.to(device).eval()
