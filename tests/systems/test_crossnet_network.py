from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from bgsub_lightning.systems.crossnet.network import CmDff, CrossNetNetwork


def small(flows: int = 3, **settings: object) -> CrossNetNetwork:
    torch.manual_seed(0)
    return CrossNetNetwork(flows, width=2, **settings)


def flow_for(net: CrossNetNetwork, batch: int = 2) -> torch.Tensor | None:
    return torch.rand(batch, net.flows, 256, 256) * 2 - 1 if net.flows else None


def image_for(batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, 256, 256) * 2 - 1


def counted(flows: int, filters: bool) -> int:
    """The parameters, layer by layer."""
    encoder = [(7, 64), (7, 128), (5, 256), (5, 512), (5, 512), (5, 512), (3, 512), (3, 1024)]
    decoder = [(3, 512), (3, 512), (5, 512), (5, 512), (5, 256), (5, 128), (7, 64)]
    streams = 2 if flows else 1
    total = 0
    for first in [3, flows] if flows else [3]:
        channels = first
        for place, (k, out) in enumerate(encoder):
            total += k * k * channels * out + out + (2 * out if place else 0)
            channels = out
    total += 9 * streams * 1024 * 1024 + 1024
    channels = 1024
    for k, out in decoder:
        total += k * k * channels * out + out + 2 * out  # upsampling, and its normalisation
        if filters:
            total += k * k * out * out + out + 2 * out  # weights
            total += k * k * streams * out * out + out  # fusion
        channels = 2 * out if filters else (1 + streams) * out
    return total + 49 * channels + 1


@pytest.mark.parametrize(("flows", "filters"), list(product([0, 1, 2, 3], [True, False])))
def test_parameter_counts(flows: int, filters: bool) -> None:
    with torch.device("meta"):
        net = CrossNetNetwork(flows, filters=filters)
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == counted(flows, filters)
    if flows == 3 and filters:
        assert count == 173_173_697  # the paper's whole model


@pytest.mark.parametrize(("flows", "filters"), [(3, True), (1, True), (0, True), (3, False), (0, False)])
@pytest.mark.parametrize("batch", [1, 2])
def test_shapes(flows: int, filters: bool, batch: int) -> None:
    net = small(flows, filters=filters)
    assert net(image_for(batch), flow_for(net, batch)).shape == (batch, 256, 256)


def test_sizes_that_256_divides() -> None:
    net = small(0)
    assert net(torch.rand(1, 3, 256, 512)).shape == (1, 256, 512)
    with pytest.raises(ValueError, match=r"256 divides, got \(256, 320\)"):
        net(torch.rand(1, 3, 256, 320))


@pytest.mark.parametrize(("flows", "given"), [(3, None), (0, 3), (3, 2)])
def test_flow_of_other_channels_raises(flows: int, given: int | None) -> None:
    net = small(flows)
    with pytest.raises(ValueError, match=f"of {flows} channels, got {given or 0}"):
        net(image_for(1), None if given is None else torch.rand(1, given, 256, 256))


@pytest.mark.parametrize("settings", [{"flows": -1}, {"width": 0}])
def test_senseless_numbers_raise(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected no negative number of flows and a width from 1"):
        CrossNetNetwork(**settings)


@pytest.mark.parametrize(("flows", "filters"), [(3, True), (0, True), (3, False)])
def test_a_gradient_reaches_every_parameter(flows: int, filters: bool) -> None:
    net = small(flows, filters=filters).eval()
    # a vector's normalisation over its own channels is not constant, so the deepest layers learn, too
    net(image_for(), flow_for(net)).square().sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_result_depends_on_image_and_on_every_interval() -> None:
    net = small().eval()
    image, flow = image_for(1), flow_for(net, 1)
    assert flow is not None
    result = net(image, flow)
    assert not torch.allclose(net(-image, flow), result)
    for channel in range(3):
        changed = flow.clone()
        changed[:, channel] = 0
        assert not torch.allclose(net(image, changed), result, atol=1e-7)


def test_images_of_a_batch_do_not_see_each_other() -> None:
    net = small().eval()
    image, flow = image_for(3), flow_for(net, 3)
    assert flow is not None
    together = net(image, flow)
    alone = torch.cat([net(i[None], f[None]) for i, f in zip(image, flow, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_filter_is_the_equations() -> None:
    """Equations 1 to 3, written out."""
    torch.manual_seed(0)
    step = CmDff(8, 4, streams=2, kernel=5, norm="group", dropout=0.5).eval()
    x, encoded = torch.randn(2, 8, 6, 5), torch.randn(2, 8, 12, 10)
    leaky = nn.functional.leaky_relu
    up = nn.functional.conv_transpose2d(leaky(x, 0.2), step.up[1].weight, step.up[1].bias, 2, 2, 1)
    both = nn.functional.conv2d(leaky(encoded, 0.2), step.fuse[1].weight, step.fuse[1].bias, padding=2)
    logits = nn.functional.conv2d(leaky(up, 0.2), step.weigh[1].weight, step.weigh[1].bias, padding=2)

    def normalised(z: torch.Tensor) -> torch.Tensor:
        flat = z.flatten(1)
        mean, variance = flat.mean(1), flat.var(1, unbiased=False)
        return (z - mean[:, None, None, None]) / (variance[:, None, None, None] + 1e-5).sqrt()

    expected = torch.cat([normalised(up), normalised(logits).sigmoid() * both], dim=1)
    torch.testing.assert_close(step(x, encoded), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_printed_filter_is_the_equations(training: bool) -> None:
    """Equations 1 to 3 as printed: kernels of 3, ReLU, and batch normalisation behind the dropout."""
    torch.manual_seed(0)
    step = CmDff(8, 4, streams=2, kernel=5, norm="batch", dropout=0.5, form="paper").train(training)
    x, encoded = torch.randn(2, 8, 6, 5), torch.randn(2, 8, 12, 10)
    assert step.weigh[1].weight.shape == (4, 4, 3, 3)
    assert step.fuse[1].weight.shape == (4, 8, 3, 3)
    with torch.no_grad():
        leaky = nn.functional.leaky_relu(x, 0.2)
        up = nn.functional.conv_transpose2d(leaky, step.up[1].weight, step.up[1].bias, 2, 2, 1)
        both = nn.functional.conv2d(encoded.relu(), step.fuse[1].weight, step.fuse[1].bias, padding=1)
        logits = nn.functional.conv2d(up.relu(), step.weigh[1].weight, step.weigh[1].bias, padding=1)
        torch.manual_seed(1)
        dropped = nn.functional.dropout(up, 0.5, training)
        torch.manual_seed(1)
        found = step(x, encoded)

    def normalised(z: torch.Tensor) -> torch.Tensor:
        if not training:
            return z / (1 + 1e-5) ** 0.5  # by the running statistics, which are those of the beginning
        mean, variance = z.mean((0, 2, 3)), z.var((0, 2, 3), unbiased=False)
        return (z - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()

    expected = torch.cat([normalised(dropped), normalised(logits).sigmoid() * both], dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("filters", [True, False])
def test_the_printed_network(filters: bool) -> None:
    net = small(form="paper", norm="batch", filters=filters)
    assert [module.p for module in net.modules() if isinstance(module, nn.Dropout)] == [0.5] * 7
    assert net(image_for(), flow_for(net)).shape == (2, 256, 256)


def test_frozen_fusion_has_the_bottleneck() -> None:
    """The authors train the variables with "g_" in their names, and fusion0 to fusion7 have none."""
    net = small(freeze_fusion=True)
    frozen = {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    fusions = ["bottleneck", *(f"decoder.{step}.fuse" for step in range(7))]
    assert frozen == {f"{name}.1.{part}" for name in fusions for part in ("weight", "bias")}


def test_dropout_is_in_three_steps_of_training_alone() -> None:
    net = small()
    rates = [module.p for module in net.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.5, 0.5, 0.5, 0, 0, 0, 0]
    image, flow = image_for(1), flow_for(net, 1)
    assert not torch.equal(net(image, flow), net(image, flow))
    net.eval()
    assert torch.equal(net(image, flow), net(image, flow))


def test_initial_weights_are_those_of_the_paper() -> None:
    net = CrossNetNetwork(3, width=8)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert not module.bias.any()
    weights = torch.cat([p.flatten() for name, p in net.named_parameters() if p.ndim == 4])
    assert weights.mean().item() == pytest.approx(0, abs=1e-4)
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)


def test_batch_normalisation_in_place_of_group_normalisation() -> None:
    net = small(norm="batch")
    kinds = {type(module) for module in net.modules() if isinstance(module, nn.GroupNorm | nn.BatchNorm2d)}
    assert kinds == {nn.BatchNorm2d}
    assert net(image_for(), flow_for(net)).shape == (2, 256, 256)
