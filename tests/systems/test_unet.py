from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.systems.unet import DoubleConv, UNet


@pytest.mark.parametrize(("in_channels", "out_channels", "count"), [(48, 12, 31_058_380), (15, 2, 31_038_722)])
def test_parameter_counts_of_the_paper(in_channels: int, out_channels: int, count: int) -> None:
    with torch.device("meta"):
        net = UNet(in_channels, out_channels)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def test_normalisation_is_before_each_relu() -> None:
    torch.manual_seed(0)
    plain, net = UNet(3, 2, channels=4, depth=2), UNet(3, 2, channels=4, depth=2, normalise=True)
    blocks = [block for block in net.modules() if isinstance(block, DoubleConv)]
    kinds = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2
    assert [[type(layer) for layer in block] for block in blocks] == [kinds] * 5
    convolutions = [layer for layer in plain.modules() if isinstance(layer, nn.Conv2d)]
    for own, other in zip((m for m in net.modules() if isinstance(m, nn.Conv2d)), convolutions, strict=True):
        own.weight.data.copy_(other.weight)
    for own, other in zip((m for m in net.modules() if isinstance(m, nn.ConvTranspose2d)), plain.up, strict=True):
        own.load_state_dict(other.up.state_dict())
    x = torch.rand(2, 3, 20, 24)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-12  # mean 0 and variance 1: then it changes nothing
    torch.testing.assert_close(net.eval()(x), plain(x))
    assert not torch.allclose(net.train()(x), plain(x))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [(37, 53), (33, 32), (32, 33), (31, 47), (16, 16), (1, 1)])
def test_output_has_the_size_of_the_input(size: tuple[int, int], batch: int) -> None:
    net = UNet(3, 2, channels=2)
    assert net(torch.rand(batch, 3, *size)).shape == (batch, 2, *size)


@pytest.mark.parametrize("depth", [0, 1, 2, 4])
def test_divisible_sizes_give_the_plain_u_net(depth: int) -> None:
    torch.manual_seed(0)
    net = UNet(3, 2, channels=4, depth=depth)
    x = torch.rand(2, 3, 32, 48)
    torch.testing.assert_close(net(x), plain_unet(net, x, depth))


@pytest.mark.parametrize("size", [(37, 53), (33, 32), (48, 15)])
def test_other_sizes_repeat_the_border_evenly_and_are_cropped(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = UNet(3, 2, channels=4)
    x = torch.rand(1, 3, *size)
    tall, wide = (16 * math.ceil(side / 16) for side in size)
    top, left = (tall - size[0]) // 2, (wide - size[1]) // 2
    rows = (torch.arange(tall) - top).clamp(0, size[0] - 1)
    columns = (torch.arange(wide) - left).clamp(0, size[1] - 1)
    expected = plain_unet(net, x[:, :, rows][:, :, :, columns], 4)[..., top : top + size[0], left : left + size[1]]
    torch.testing.assert_close(net(x), expected)


def test_a_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    net = UNet(3, 2, channels=4)
    net(torch.randn(2, 3, 37, 53)).square().sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    net = UNet(3, 2, channels=4)
    x = torch.rand(3, 3, 20, 28)
    torch.testing.assert_close(net(x), torch.cat([net(sample[None]) for sample in x]))


def test_initial_weights_are_hes() -> None:
    torch.manual_seed(0)
    net = UNet(48, 12, channels=32, depth=2)
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif parameter.numel() > 5000:
            expected = math.sqrt(2 / parameter[0].numel())
            assert parameter.std().item() == pytest.approx(expected, rel=0.1), name


def plain_unet(net: UNet, x: Tensor, depth: int) -> Tensor:
    """The U-Net written out from its weights, without any padding of the frame."""
    weights = net.state_dict()

    def twice(x: Tensor, block: str) -> Tensor:
        for layer in (0, 2):
            x = F.conv2d(x, weights[f"{block}.{layer}.weight"], weights[f"{block}.{layer}.bias"], padding=1).clamp(0)
        return x

    encoded = [twice(x, "down.0")]
    for level in range(1, depth + 1):
        encoded.append(twice(F.max_pool2d(encoded[-1], 2), f"down.{level}"))
    x = encoded[-1]
    for level in range(depth):
        x = F.conv_transpose2d(x, weights[f"up.{level}.up.weight"], weights[f"up.{level}.up.bias"], stride=2)
        x = twice(torch.cat([encoded[depth - 1 - level], x], 1), f"up.{level}.conv")
    return F.conv2d(x, weights["head.weight"], weights["head.bias"])
