"""RAFT as a flow, with networks in torchvision's place, because torchvision is an optional extra."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.systems.crossnet import raft
from bgsub_lightning.systems.crossnet.raft import RaftFlow


class Displacing(nn.Module):
    """Holds its inputs to what torchvision's RAFT demands; the flow is each image's red, and the place in the frame."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.0))

    def forward(self, image1: Tensor, image2: Tensor, num_flow_updates: int = 12) -> list[Tensor]:
        for image in (image1, image2):
            assert image.shape[:2] == (1, 3)
            assert image.dtype == torch.float32
            assert all(side % 8 == 0 and side >= 128 for side in image.shape[-2:])
            assert -1 <= image.min() <= image.max() <= 1
        flow = torch.stack([image1[:, 0], image2[:, 0]], 1) * self.gain
        return [torch.full_like(flow, torch.nan) for _ in range(num_flow_updates - 1)] + [flow]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    raft._network.cache_clear()
    yield
    raft._network.cache_clear()


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    models: Any = ModuleType("torchvision.models")
    models.optical_flow = SimpleNamespace(
        raft_small=lambda weights: Displacing(),
        raft_large=lambda weights: Displacing(),
        Raft_Small_Weights=SimpleNamespace(DEFAULT=SimpleNamespace(url="file:///small.pth")),
        Raft_Large_Weights=SimpleNamespace(DEFAULT=SimpleNamespace(url="file:///large.pth")),
    )
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save({"gain": torch.tensor(3.0)}, tmp_path / "raft.pth")
    return tmp_path / "raft.pth"


def frames(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    first, second = (generator.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(2))
    return first, second


@pytest.mark.parametrize(("height", "width"), [(240, 320), (131, 333), (48, 64), (127, 129)])
@pytest.mark.usefixtures("torchvision")
def test_frames_are_padded_and_the_flow_is_cropped(weights: Path, height: int, width: int) -> None:
    first, second = frames(height, width)
    flow = RaftFlow("small", weights).field(first, second)
    assert flow.shape == (height, width, 2)
    assert flow.dtype == np.float32
    expected = 3 * (np.stack([first[..., 0], second[..., 0]], -1) / 127.5 - 1)
    np.testing.assert_allclose(flow, expected, atol=1e-5)


@pytest.mark.usefixtures("torchvision")
def test_weights_are_checked(weights: Path, tmp_path: Path) -> None:
    first, second = frames(128, 128)
    with pytest.raises(UserError, match=r"raft\.pth: must have the sha256 0000"):
        RaftFlow(weights=weights, sha256="0" * 64).field(first, second)
    with pytest.raises(UserError, match=r"large\.pth: "):
        RaftFlow().field(first, second)
    torch.save({"other": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth: .*raft_small"):
        RaftFlow("small", tmp_path / "other.pth").field(first, second)


def test_without_torchvision_the_fix_is_printed(
    cdnet: Path,
    tmp_path: Path,
    fails: Callable[[int], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    first, second = frames(128, 128)
    with pytest.raises(UserError, match=r"RaftFlow needs torchvision.*pip install 'bgsub_lightning\[raft\]'"):
        RaftFlow().field(first, second)
    options = [f"--root={cdnet}", f"--store={tmp_path / 'store'}", "--workers=1", "--method=raft"]
    assert "bgsub_lightning[raft]" in fails(main(["flow", *options]))
    assert not list((tmp_path / "store").rglob("*.npy"))


def test_what_identifies_it(weights: Path) -> None:
    assert RaftFlow("small").name == "raft_small"
    settings = [
        RaftFlow(*values).settings()
        for values in (("small",), ("large",), ("small", weights), ("small", weights, "ab"), ("small", None, None, 6))
    ]
    assert len(set(settings)) == 5
    assert RaftFlow(device="cuda").settings() == RaftFlow().settings()
    assert RaftFlow("small", weights).files(None, 1) == [weights]  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(RaftFlow("small", weights))) == RaftFlow("small", weights)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": "huge"}, r"size: .*small.*large.*got 'huge'"),
        ({"updates": 0}, r"updates: .*from 1 .*got 0"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"data\.init_args\.flow\.init_args\.{message}"):
        RaftFlow(**settings)
