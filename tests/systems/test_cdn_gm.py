from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.systems.cdn_medal.cdn_gm import CdnGm, Mixture, hard_sigmoid

HISTORIES = pytest.mark.parametrize("history", [245, 240])


SLOPES = pytest.mark.parametrize("slope", [0.2, 0.5, 1 / 6])


def network(components: int = 3, history: int = 245, spread: str = "deviation", slope: float = 0.2) -> CdnGm:
    torch.manual_seed(0)
    return CdnGm(components, history, spread, slope)  # type: ignore[arg-type]


def histories(net: CdnGm, pixels: int = 5) -> Tensor:
    return torch.rand(net.history, 3, pixels, generator=torch.Generator().manual_seed(1))


def straightforward(net: CdnGm, history: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Table I as it is written, on the network's own weights: weights, spreads and means before their activations."""
    x = history.permute(2, 1, 0)  # a pixel is a sample: (P, 3, T)
    if net.history == 240:
        x = F.pad(x, (2, 3))
    x = F.relu(net.pointwise1(net.depthwise1(x)))
    x = F.relu(net.pointwise2(net.depthwise2(x)))
    assert x.shape[1:] == (7, 5)
    features = x.flatten(1)
    return net.weights(features), net.spreads(features), net.means(features)


# --- the numbers of table I ------------------------------------------------------------------------------------------


def test_parameters_of_each_layer() -> None:
    net = CdnGm()
    counts = {name: sum(p.numel() for p in layer.parameters()) for name, layer in net.named_children()}
    assert counts == {
        "depthwise1": 21,
        "pointwise1": 28,
        "depthwise2": 49,
        "pointwise2": 56,
        "weights": 108,
        "spreads": 108,
        "means": 324,
    }
    assert sum(counts.values()) == 694


@pytest.mark.parametrize("components", [1, 2, 5])
def test_other_numbers_of_components(components: int) -> None:
    net = network(components)
    assert sum(p.numel() for p in net.parameters()) == 154 + components * 5 * 36
    mixture = net(histories(net, 4))
    assert mixture.log_weights.shape == mixture.spreads.shape == (components, 4)
    assert mixture.means.shape == (components, 3, 4)
    torch.testing.assert_close(mixture.log_weights.exp().sum(0), torch.ones(4))
    assert mixture.background().shape == (3, 4)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("components", 0),
        ("history", 7),
        ("spread", "width"),
        ("slope", 0.0),
        ("slope", -0.2),
        ("slope", 1.5),
        ("slope", math.nan),
    ],
)
def test_values_out_of_range_are_refused(setting: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"^{setting}: .*got '?{value}\b"):
        CdnGm(**{setting: value})  # type: ignore[arg-type]


def test_blocks_and_groups() -> None:
    net = network()
    blocks = net.blocks(histories(net))
    groups = net.groups(blocks)
    assert blocks.shape == (35, 7, 5)
    assert groups.shape == (5, 7, 5)
    assert net.fits
    assert not CdnGm(history=240).fits


@pytest.mark.parametrize("shape", [(244, 3, 2), (245, 2, 2), (240, 3, 2), (2, 246, 3, 2)])
def test_another_history_raises(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Expected histories of shape \(\.\.\., 245, 3, P\), got"):
        CdnGm()(torch.rand(shape))


@HISTORIES
def test_every_frame_is_seen(history: int) -> None:
    """The published code's padding makes the newest 19 frames invisible."""
    net = network(history=history)
    for layer in (net.pointwise1, net.pointwise2):
        nn.init.constant_(layer.bias, 2.0)  # no unit is off, so that only what is not looked at has no gradient
    frames = histories(net).requires_grad_()
    *_, means = straightforward(net, frames)
    means.sum().backward()
    assert frames.grad is not None
    straight = frames.grad.abs().flatten(1).sum(1)
    frames.grad = None
    mixture = net(frames)
    (mixture.means.sum() + mixture.spreads.sum() + mixture.log_weights[0].sum()).backward()
    assert frames.grad is not None
    seen = frames.grad.abs().flatten(1).sum(1)
    assert (straight > 0).all()
    assert seen.shape == (history,)
    assert (seen > 0).all()


@HISTORIES
def test_time_order_matters_to_the_network(history: int) -> None:
    net = network(history=history)
    frames = histories(net)
    assert not torch.allclose(net(frames).means, net(frames.flip(0)).means)


@pytest.mark.parametrize("frame", [0, 6, 7, 100, 244])
def test_a_block_sees_its_seven_frames_only(frame: int) -> None:
    net = network()
    frames = histories(net)
    changed = frames.clone()
    changed[frame] = 1 - changed[frame]
    different = (net.blocks(frames) != net.blocks(changed)).flatten(1).any(1)
    assert different.nonzero().flatten().tolist() in ([frame // 7], [])
    assert (net.groups(net.blocks(frames)) != net.groups(net.blocks(changed))).flatten(1).any(1).sum() <= 1


# --- the same function as the layers ---------------------------------------------------------------------------------


@HISTORIES
@SLOPES
@pytest.mark.parametrize("components", [1, 3, 4])
def test_it_is_the_layers(history: int, slope: float, components: int) -> None:
    net = network(components, history, slope=slope).double()
    frames = histories(net, 11).double()
    weights, spreads, means = straightforward(net, frames)
    mixture = net(frames)
    torch.testing.assert_close(mixture.log_weights, weights.log_softmax(1).T)
    torch.testing.assert_close(mixture.spreads, ((16 + 16 * (slope * spreads + 0.5).clamp(0, 1)) / 255).T)
    expected = (slope * means + 0.5).clamp(0, 1).reshape(11, components, 3)
    torch.testing.assert_close(mixture.means, expected.permute(1, 2, 0))


@HISTORIES
def test_gradients_are_those_of_the_layers(history: int) -> None:
    net = network(history=history).double()
    frames = histories(net, 11).double()
    mixture = net(frames)
    (mixture.log_weights[0].sum() + mixture.spreads.square().sum() + mixture.means.square().sum()).backward()
    composed = {name: parameter.grad for name, parameter in net.named_parameters()}
    net.zero_grad()
    weights, spreads, means = straightforward(net, frames)
    spreads, means = (16 + 16 * hard_sigmoid(spreads)) / 255, hard_sigmoid(means)
    (weights.log_softmax(1)[:, 0].sum() + spreads.square().sum() + means.square().sum()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0, name
        torch.testing.assert_close(composed[name], parameter.grad)


def test_windows_of_a_batch_are_computed_apart() -> None:
    net = network()
    frames = torch.rand(2, 245, 3, 6)
    both, one = net(frames), net(frames[1])
    for of_both, of_one in zip(both, one, strict=True):
        assert of_both.shape == (2, *of_one.shape)
        torch.testing.assert_close(of_both[1], of_one)
    torch.testing.assert_close(both.background()[1], one.background())


def test_pixels_are_computed_apart() -> None:
    net = network()
    frames = histories(net, 9)
    torch.testing.assert_close(net(frames).means[..., 4:6], net(frames[..., 4:6]).means)


# --- activations -----------------------------------------------------------------------------------------------------


def test_hard_sigmoid_is_that_of_the_papers_gradients() -> None:
    """Equations 20 and 21: 0.2 inside ±2.5, 0 outside; a slope of ½ would end at ±1."""
    x = torch.tensor([-9.0, -2.6, -2.4, -1.0, 0.0, 1.5, 2.4, 2.6, 9.0], requires_grad=True)
    y = hard_sigmoid(x)
    torch.testing.assert_close(y, torch.tensor([0, 0, 0.02, 0.3, 0.5, 0.8, 0.98, 1, 1]))
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([0, 0, 0.2, 0.2, 0.2, 0.2, 0.2, 0, 0]))
    assert hard_sigmoid(torch.tensor([-2.5, 2.5])).tolist() == [0, 1]


def test_other_slopes_of_the_hard_sigmoid() -> None:
    x = torch.linspace(-4, 4, 81)
    torch.testing.assert_close(hard_sigmoid(x, 0.5), ((x + 1) / 2).clamp(0, 1))  # equations 7 and 8
    torch.testing.assert_close(hard_sigmoid(x, 1 / 6), F.hardsigmoid(x))  # the authors' code


@SLOPES
def test_gradient_of_the_spread(slope: float) -> None:
    """3.2/255 per unit of the dense layer (equation 20), at a slope of 0.2."""
    net = network(slope=slope)
    net.spreads.bias.data.zero_()
    net.spreads.weight.data.zero_()
    net(histories(net, 1)).spreads[0, 0].backward()
    assert net.spreads.bias.grad is not None
    torch.testing.assert_close(net.spreads.bias.grad, torch.tensor([16 * slope / 255, 0, 0]))


def test_spread_lies_between_16_and_32_levels() -> None:
    net = network()
    for bias, level in ((-100.0, 16), (0.0, 24), (100.0, 32)):
        net.spreads.weight.data.zero_()
        net.spreads.bias.data.fill_(bias)
        mixture = net(histories(net))
        torch.testing.assert_close(mixture.spreads, torch.full((3, 5), level / 255))
        assert torch.equal(net.deviations(mixture), mixture.spreads)


def test_spread_as_a_variance_is_64_levels_or_more() -> None:
    net = network(spread="variance")
    net.spreads.weight.data.zero_()
    net.spreads.bias.data.fill_(-100.0)
    mixture = net(histories(net))
    deviations = net.deviations(mixture) * 255
    torch.testing.assert_close(deviations, torch.full((3, 5), math.sqrt(16 / 255) * 255))
    assert deviations.min() > 63.8


def test_means_lie_in_the_range_of_colours() -> None:
    net = network()
    net.means.weight.data.mul_(100)
    means = net(histories(net, 50)).means
    assert means.min() == 0
    assert means.max() == 1


# --- the background --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("components", [1, 3, 5])
def test_background_is_the_mean_of_the_largest_weight_per_spread(components: int) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (components, 40))
    weights = np.exp(logits) / np.exp(logits).sum(0)
    spreads = generator.uniform(16, 32, (components, 40)) / 255
    means = generator.random((components, 3, 40))
    found = Mixture(*(torch.from_numpy(part) for part in (np.log(weights), spreads, means))).background()
    for pixel in range(40):
        ratios = [weights[k, pixel] / spreads[k, pixel] for k in range(components)]
        best = ratios.index(max(ratios))
        np.testing.assert_array_equal(found[:, pixel].numpy(), means[best, :, pixel])


def test_background_prefers_the_narrow_of_two_equals() -> None:
    mixture = Mixture(
        torch.tensor([[0.52], [0.48]]).log(),
        torch.tensor([[30 / 255], [16 / 255]]),
        torch.tensor([[[0.9], [0.9], [0.9]], [[0.1], [0.2], [0.3]]]),
    )
    torch.testing.assert_close(mixture.background(), torch.tensor([[0.1], [0.2], [0.3]]))
