from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.systems.cdn_medal.cdn_gm import CdnGm
from bgsub_lightning.systems.cdn_medal.medal_net import MedalNet

SIZES = [(24, 32), (21, 30), (23, 33), (22, 31), (20, 29)]


@pytest.fixture
def net() -> MedalNet:
    torch.manual_seed(0)
    net = MedalNet()
    for name, parameter in net.named_parameters():
        if parameter.ndim == 1:  # instance normalisation begins as the identity, which hides what it does
            nn.init.uniform_(parameter, -0.5, 1.5)
        assert name
    return net


def pair(size: tuple[int, int] = (24, 32), batch: int = 2, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    image, background = torch.rand(2, batch, 3, *size, generator=generator, dtype=dtype).unbind()
    return image, background


class Straightforward(nn.Module):
    """Table II as it is written, by PyTorch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False) for width in (6, *[16] * 7)
        )
        widths = [6, *[16] * 7, 1]
        self.pointwise = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.InstanceNorm2d(16, affine=True) for _ in range(3))

    def forward(self, image: Tensor, background: Tensor) -> Tensor:
        x = torch.cat([image, background], 1)
        for unit in range(8):
            x = self.pointwise[unit](self.depthwise[unit](x))
            if unit in (4, 5, 6):
                x = self.norms[unit - 4](x)
            if unit < 7:
                x = F.relu(x)
            if unit in (1, 3):
                x = F.max_pool2d(x, 2)
            if unit in (4, 5):
                x = F.interpolate(x, scale_factor=2, mode="nearest")
        return x[:, 0]

    def take(self, net: MedalNet) -> Straightforward:
        """Take over the weights, in the order of the layers."""
        own = [p for unit in range(8) for p in (self.depthwise[unit].weight, self.pointwise[unit].weight)]
        convolutions = [p for p in net.parameters() if p.ndim == 4]
        for mine, theirs in zip(own, convolutions, strict=True):
            mine.data.copy_(theirs.data)
        scales = [p for p in net.parameters() if p.ndim == 1]
        for mine, theirs in zip(self.norms.parameters(), scales, strict=True):
            mine.data.copy_(theirs.data)
        return self

    def gradients(self) -> list[Tensor | None]:
        convolutions = [p for unit in range(8) for p in (self.depthwise[unit].weight, self.pointwise[unit].weight)]
        return [p.grad for p in (*convolutions, *self.norms.parameters())]


def test_parameters_of_the_paper() -> None:
    net = MedalNet()
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    weights = sum(module.weight.numel() for module in convolutions)
    assert len(convolutions) == 16
    assert all(module.bias is None for module in convolutions)
    assert weights == 2710
    assert sum(p.numel() for p in net.parameters()) == 2806
    assert sum(p.numel() for p in net.parameters()) + sum(p.numel() for p in CdnGm().parameters()) == 3500
    plain = sum(9 * a * b for a, b in pairwise([6, *[16] * 7, 1]))
    assert plain == 14_832
    assert round(100 * (1 - weights / plain), 1) == 81.7


@pytest.mark.parametrize("size", [(24, 32), (16, 16), (8, 40)])
def test_it_is_the_layers(net: MedalNet, size: tuple[int, int]) -> None:
    image, background = pair(size)
    torch.testing.assert_close(net(image, background), Straightforward().take(net)(image, background))


def test_gradients_are_those_of_the_layers(net: MedalNet) -> None:
    net = net.double()
    image, background = pair(dtype=torch.float64)
    other = Straightforward().double().take(net)
    ours, theirs = [], []
    for module, inputs in ((net, ours), (other, theirs)):
        inputs += [image.clone().requires_grad_(), background.clone().requires_grad_()]
        module(*inputs).square().sum().backward()
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, reference.grad)
    parameters = [p for p in net.parameters() if p.ndim == 4] + [p for p in net.parameters() if p.ndim == 1]
    for parameter, gradient in zip(parameters, other.gradients(), strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 2])
def test_sizes(net: MedalNet, size: tuple[int, int], batch: int) -> None:
    assert net(*pair(size, batch)).shape == (batch, *size)


@pytest.mark.parametrize("size", SIZES[1:])
def test_other_sizes_are_padded_by_their_last_rows_and_columns(net: MedalNet, size: tuple[int, int]) -> None:
    height, width = size
    image, background = pair(size)
    rows = [*range(height), *[height - 1] * (-height % 4)]
    columns = [*range(width), *[width - 1] * (-width % 4)]
    padded = [x[..., rows, :][..., columns] for x in (image, background)]
    expected = Straightforward().take(net)(*padded)
    torch.testing.assert_close(net(image, background), expected[:, :height, :width])


@pytest.mark.parametrize("size", [(24, 32), (21, 30)])
def test_a_row_of_a_batch_is_a_batch_of_one(net: MedalNet, size: tuple[int, int]) -> None:
    image, background = pair(size, 3)
    together = net(image, background)
    for row in range(3):
        torch.testing.assert_close(together[row : row + 1], net(image[row : row + 1], background[row : row + 1]))


def test_training_and_evaluation_are_the_same(net: MedalNet) -> None:
    assert torch.equal(net.train()(*pair()), net.eval()(*pair()))


@pytest.mark.parametrize("size", [(24, 32), (21, 30)])
def test_memory_format_does_not_matter(net: MedalNet, size: tuple[int, int]) -> None:
    image, background = pair(size)
    expected = net(image, background)
    last = [x.contiguous(memory_format=torch.channels_last) for x in (image, background)]
    torch.testing.assert_close(net(*last), expected)
    torch.testing.assert_close(net(last[0], background), expected)
    torch.testing.assert_close(net(image.movedim(1, -1).contiguous().movedim(-1, 1), background), expected)


@pytest.mark.parametrize("size", [(24, 32), (21, 30)])
def test_a_gradient_reaches_every_parameter_and_both_images(net: MedalNet, size: tuple[int, int]) -> None:
    image, background = (x.requires_grad_() for x in pair(size))
    net(image, background).square().sum().backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert image.grad is not None
    assert background.grad is not None
    assert image.grad.any()
    assert background.grad.any()
