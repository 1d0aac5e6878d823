from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.systems.siamese.network import SiameseNetwork, distance, fuse
from bgsub_lightning.systems.unet import UNet
from bgsub_lightning.systems.vgg import VGG_LAYERS


def network(width: int = 4) -> SiameseNetwork:
    torch.manual_seed(0)
    net = SiameseNetwork(width)
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return net


def image(height: int = 24, width: int = 32, batch: int = 2, seed: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def straightforward(net: SiameseNetwork, x: Tensor) -> Tensor:
    """Section 1.1 from the network's weights by their names."""
    weights = net.state_dict()
    strides = {"conv1_2": 2, "conv2_2": 2, "conv3_3": 1}
    for layer in VGG_LAYERS[:10]:
        hole = 2 if layer.startswith("conv4") else 1
        x = F.conv2d(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"], padding=hole, dilation=hole).clamp(0)
        if layer in strides:
            x = F.max_pool2d(x, kernel_size=3, stride=strides[layer], padding=1)
    pools = [F.max_pool2d(x, 3, stride=1, padding=1), F.max_pool2d(x, 5, stride=1, padding=2)]
    x = F.conv2d(torch.cat(pools, 1), weights["pyramid.weight"], weights["pyramid.bias"])
    return x / x.square().sum(1, keepdim=True).sqrt()


def test_parameter_counts() -> None:
    with torch.device("meta"):
        net, decoder = SiameseNetwork(), UNet(3, 1, normalise=True)
    counts = {name: sum(p.numel() for p in layer.parameters()) for name, layer in net.named_children()}
    assert counts.pop("pyramid") == 524_800
    assert tuple(counts) == VGG_LAYERS[:10]
    assert sum(counts.values()) == 7_635_264
    assert sum(parameter.numel() for parameter in decoder.parameters()) == 31_037_633
    assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in decoder.modules()) == 4


def test_names_and_dilations_are_deeplabs() -> None:
    net = network()
    dilations = {name: layer.dilation for name, layer in net.named_children() if isinstance(layer, nn.Conv2d)}
    assert {dilations.pop(f"conv4_{number}") for number in (1, 2, 3)} == {(2, 2)}
    assert set(dilations.values()) == {(1, 1)}


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("size", [(24, 32), (23, 33), (21, 22), (1, 1), (5, 130)])
def test_features_are_of_unit_length_at_a_quarter_of_any_size(size: tuple[int, int], width: int) -> None:
    features = network(width).features(image(*size))
    assert features.shape == (2, 8 * width, *(math.ceil(side / 4) for side in size))
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2, *features.shape[2:]))


def test_it_is_the_layers() -> None:
    net, x = network(), image(37, 50)
    torch.testing.assert_close(net.features(x), straightforward(net, x))


def test_distances() -> None:
    net, one, other = network(), image(), image(seed=2)
    found = net(one, other)
    a, b = (net.features(x).detach().double().numpy() for x in (one, other))
    assert found.shape == (2, 6, 8)
    np.testing.assert_allclose(found.detach().numpy(), np.sqrt(((a - b) ** 2).sum(1)), atol=1e-6)
    torch.testing.assert_close(found, net(other, one))
    assert not net(one, one).any()
    assert found.std() > 0.01


def test_range_of_the_distance() -> None:
    vector = F.normalize(torch.randn(1, 8, 3, 3), dim=1)
    torch.testing.assert_close(distance(vector, -vector), torch.full((1, 3, 3), 2.0))
    assert not distance(vector, vector).any()


def test_one_base_serves_a_batch() -> None:
    net, x, base = network(), image(batch=3), image(batch=1, seed=2)
    alone = torch.cat([net(each[None], base) for each in x])
    torch.testing.assert_close(distance(net.features(x), net.features(base)), alone)


def test_both_branches_share_weights_and_learn() -> None:
    net = network()
    net(image(), image(seed=2)).sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_equal_images_give_no_nan() -> None:
    net, x = network(), image()
    loss = (2 - net(x, x)).square().sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


# --- fusion ----------------------------------------------------------------------------------------------------------


def fused_by_hand(distances: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Pixel by pixel."""
    height, width = frame.shape[1:]
    both = np.empty_like(frame)
    for y in range(height):
        for x in range(width):
            row, column = (
                int((at + 0.5) * small / large)
                for at, small, large in ((y, len(distances), height), (x, distances.shape[1], width))
            )
            both[:, y, x] = frame[:, y, x] + np.rint(distances[row, column]) / 2
    return (both - both.min()) / (both.max() - both.min())


def test_the_mean_of_image_and_map() -> None:
    frames = image(8, 12)
    distances = 2 * torch.rand(2, 2, 3, generator=torch.Generator().manual_seed(3))
    large = distances.numpy().round().repeat(4, 1).repeat(4, 2)[:, None]
    fused = fuse(distances, frames, "mean")
    np.testing.assert_allclose(fused.numpy(), (frames.numpy() + large / 2) / 2, atol=1e-6)
    assert 0 <= fused.min() < fused.max() <= 1


@pytest.mark.parametrize(("fusion", "moves"), [("mean", False), ("stretch", True)])
def test_a_place_of_the_map_acts_on_the_whole_frame_where_it_is_stretched(
    fusion: Literal["mean", "stretch"], moves: bool
) -> None:
    """One 4×4 place at 2 in a bright frame: by the mean the rest stays, bit for bit."""
    frames = 0.6 + 0.4 * image(24, 32, 1)
    quiet, changed = torch.zeros(1, 6, 8), torch.zeros(1, 6, 8)
    changed[0, 2, 3] = 2
    before, after = (fuse(each, frames, fusion)[0] for each in (quiet, changed))
    rest = torch.ones(24, 32, dtype=torch.bool)
    rest[8:12, 12:16] = False
    assert torch.equal(before[:, rest], after[:, rest]) is not moves
    assert (before[:, ~rest] != after[:, ~rest]).all()
    assert ((before - after)[:, rest].abs().max() > 0.2).item() is moves


@pytest.mark.parametrize("size", [(24, 32), (23, 33), (21, 30)])
def test_fused_image(size: tuple[int, int]) -> None:
    frames = image(*size)
    generator = torch.Generator().manual_seed(3)
    distances = 2 * torch.rand(2, *(math.ceil(side / 4) for side in size), generator=generator)
    fused = fuse(distances, frames)
    assert fused.dtype == torch.float32
    for found, far, frame in zip(fused, distances, frames, strict=True):
        np.testing.assert_allclose(
            found.numpy(), fused_by_hand(far.double().numpy(), frame.double().numpy()), atol=1e-6
        )
        assert (found.min(), found.max()) == (0, 1)


def test_the_map_is_rounded() -> None:
    frames = image(8, 8, 1)
    near = torch.tensor([[[0.1, 0.9], [1.2, 1.9]]])
    assert torch.equal(fuse(near, frames), fuse(near.round(), frames))
    assert not torch.equal(fuse(near, frames), fuse(torch.zeros(1, 2, 2), frames))


def test_an_image_of_one_grey_without_changes_is_finite() -> None:
    assert not fuse(torch.zeros(1, 2, 2), torch.full((1, 3, 8, 8), 0.3)).any()
