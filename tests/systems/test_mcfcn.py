from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.systems.recon_mcfcn.mcfcn import Mcfcn
from bgsub_lightning.systems.vgg import VGG_LAYERS


def network(**settings: int | float) -> Mcfcn:
    torch.manual_seed(0)
    net = Mcfcn(**{"width": 4, **settings})  # type: ignore[arg-type]
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return net


def inputs(size: int | tuple[int, int] = 41, batch: int = 1, channels: int = 6) -> Tensor:
    height, width = (size, size) if isinstance(size, int) else size
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


def straightforward(net: Mcfcn, x: Tensor, dilation: int) -> Tensor:
    """DeepLab-LargeFOV as its prototxt lists it, from the network's weights by their names."""
    weights = net.state_dict()
    pools = {"conv1_2": 2, "conv2_2": 2, "conv3_3": 2, "conv4_3": 1, "conv5_3": 1}
    for layer in VGG_LAYERS[:13]:
        hole = 2 if layer.startswith("conv5") else 1
        x = F.conv2d(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"], padding=hole, dilation=hole).clamp(0)
        if layer in pools:
            x = F.max_pool2d(x, kernel_size=3, stride=pools[layer], padding=1)
    x = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)
    x = F.conv2d(x, weights["fc6.weight"], weights["fc6.bias"], padding=dilation, dilation=dilation).clamp(0)
    x = F.conv2d(x, weights["fc7.weight"], weights["fc7.bias"]).clamp(0)
    return F.conv2d(x, weights["fc8.weight"], weights["fc8.bias"])


@pytest.mark.parametrize(("channels", "count"), [(6, 20_487_682), (3, 20_485_954)])
def test_parameter_counts(channels: int, count: int) -> None:
    with torch.device("meta"):
        net = Mcfcn(channels)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def test_names_and_shapes_are_deeplabs() -> None:
    with torch.device("meta"):
        shapes = {name: tuple(parameter.shape) for name, parameter in Mcfcn(3).named_parameters()}
    assert shapes["conv1_1.weight"] == (64, 3, 3, 3)
    assert shapes["conv5_3.weight"] == (512, 512, 3, 3)
    assert shapes["fc6.weight"] == (1024, 512, 3, 3)
    assert shapes["fc7.weight"] == (1024, 1024, 1, 1)
    assert shapes["fc8.weight"] == (2, 1024, 1, 1)
    assert [name for name in shapes if name.endswith("weight")] == [f"{n}.weight" for n in (*VGG_LAYERS, "fc8")]


@pytest.mark.parametrize("size", [9, 17, 33, 41, 65, 121, 241, (41, 65), (121, 9)])
def test_the_grid_is_an_eighth_and_one(size: int | tuple[int, int]) -> None:
    x = inputs(size)
    logits = network()(x)
    assert logits.shape == (1, 2, *((side - 1) // 8 + 1 for side in x.shape[-2:]))


def test_the_papers_grid() -> None:
    with torch.device("meta"):
        assert Mcfcn(width=2)(torch.empty(1, 6, 961, 961)).shape == (1, 2, 121, 121)


@pytest.mark.parametrize("channels", [6, 3])
@pytest.mark.parametrize("dilation", [1, 6, 12])
def test_it_is_the_layers(channels: int, dilation: int) -> None:
    net = network(channels=channels, dilation=dilation).eval()
    nn.init.normal_(net.fc8.weight)
    x = inputs(57, 2, channels)
    logits = net(x)
    assert logits.std() > 0.01
    torch.testing.assert_close(logits, straightforward(net, x, dilation))


def test_the_papers_dilation_is_half_of_deeplabs() -> None:
    net = network()
    assert net.fc6.dilation == (6, 6)
    assert {getattr(net, f"conv5_{number}").dilation for number in (1, 2, 3)} == {(2, 2)}
    assert {getattr(net, name).dilation for name in VGG_LAYERS[:10]} == {(1, 1)}


def test_the_input_is_left_as_it_was() -> None:
    x = inputs()
    before = x.clone()
    network()(x)
    assert torch.equal(x, before)


def test_the_result_depends_on_the_frame_and_on_the_background() -> None:
    net, x = network().eval(), inputs()
    for channels in (slice(0, 3), slice(3, 6)):
        changed = x.clone()
        changed[:, channels] = 0
        assert not torch.allclose(net(changed), net(x))


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    net, x = network().eval(), inputs(batch=3)
    torch.testing.assert_close(net(x), torch.cat([net(sample[None]) for sample in x]))


def test_a_gradient_reaches_every_parameter_and_the_input() -> None:
    net, x = network(width=8), inputs(57, 2).requires_grad_()
    F.cross_entropy(net(x), torch.zeros(2, 8, 8, dtype=torch.long)).backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without
    assert x.grad is not None
    assert (x.grad.abs().amax((0, 2, 3)) > 0).all()


def test_dropout_in_training_only() -> None:
    net, x = network(width=8), inputs()
    nn.init.normal_(net.fc8.weight)
    assert not torch.allclose(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))
    sure = network(width=8, dropout=0.0)
    assert torch.equal(sure(x), sure(x))


def test_dropout_after_fc6_and_after_fc7() -> None:
    net = network(width=8, dropout=1.0)
    seen: dict[str, Tensor] = {}
    for name in ("fc7", "fc8"):
        getattr(net, name).register_forward_pre_hook(
            lambda _, inputs, name=name: seen.__setitem__(name, inputs[0].clone())
        )
    logits = net(inputs())
    assert not seen["fc7"].any()
    assert not seen["fc8"].any()
    torch.testing.assert_close(logits, net.fc8.bias[:, None, None].expand_as(logits))


def deviations(net: Mcfcn) -> dict[str, tuple[float, float]]:
    """Standard deviation of each layer's weights, and He's."""
    layers = {name: layer for name, layer in net.named_children() if isinstance(layer, nn.Conv2d)}
    assert all(layer.bias is not None and not layer.bias.any() for layer in layers.values())
    return {n: (layer.weight.std().item(), math.sqrt(2 / layer.weight[0].numel())) for n, layer in layers.items()}


@pytest.mark.parametrize("from_scratch", [True, False])
def test_initial_weights(from_scratch: bool) -> None:
    net = network(width=16)
    net.initialise(from_scratch)
    for name, (found, he) in deviations(net).items():
        small = name == "fc8" or (name == "conv1_1" and not from_scratch)
        assert found == pytest.approx(0.01 if small else he, rel=0.1), name


def test_a_new_network_is_initialised_from_scratch() -> None:
    torch.manual_seed(0)
    found, he = deviations(Mcfcn(width=16))["conv1_1"]
    assert found == pytest.approx(he, rel=0.1)


def test_from_scratch_the_signal_reaches_the_end() -> None:
    """N(0, 0.01²) in all layers would leave less than a millionth of it."""
    torch.manual_seed(0)
    net = Mcfcn(width=16).eval()
    seen: list[Tensor] = []
    net.fc8.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(torch.randn(1, 6, 41, 41))
    assert 0.05 < seen[0].std() < 5


@pytest.mark.parametrize(
    ("size", "near"),
    [
        ((40, 41), "41 × 41"),
        ((41, 48), "41 × 49"),
        ((128, 128), "129 × 129"),
        ((1, 9), "9 × 9"),
        ((960, 961), "961 × 961"),
    ],
)
def test_another_size_is_refused(size: tuple[int, int], near: str) -> None:
    height, width = size
    with pytest.raises(ValueError, match=rf"of the form 8k \+ 1, got {height} × {width}; {near} would do"):
        network()(inputs(size))


@pytest.mark.parametrize("shape", [(1, 3, 41, 41), (6, 41, 41), (1, 7, 41, 41)])
def test_another_number_of_channels_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Expected an input of shape \(B, 6, H, W\), got \("):
        network()(torch.zeros(shape))
