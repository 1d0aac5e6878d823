from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bgsub_lightning.systems.recon_mcfcn.reconstruction import BackgroundReconstruction


def network(size: int = 64) -> BackgroundReconstruction:
    """A narrow one whose weights are large enough to see what each layer does."""
    torch.manual_seed(0)
    net = BackgroundReconstruction(bottleneck=24, width=4, size=size)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    for name, buffer in net.named_buffers():
        if name.endswith("running_var"):
            nn.init.uniform_(buffer, 0.05, 0.2)
        elif name.endswith("running_mean"):
            nn.init.normal_(buffer, std=0.1)
    return net


def images(size: int = 64, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def straightforward(net: BackgroundReconstruction, x: Tensor) -> Tensor:
    """The spec's table from the network's weights, in the order of its parameters, with running statistics."""
    parameters = net.parameters()
    buffers = (buffer for buffer in net.buffers() if buffer.ndim)

    def norm(x: Tensor) -> Tensor:
        mean, variance, weight, bias = next(buffers), next(buffers), next(parameters), next(parameters)
        mean, variance, weight, bias = (v[:, None, None] for v in (mean, variance, weight, bias))
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def leaky(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    x = leaky(F.conv2d(x, next(parameters), next(parameters), 2, 1))
    for _ in range(4):
        x = leaky(norm(F.conv2d(x, next(parameters), next(parameters), 2, 1)))
    x = leaky(norm(F.conv2d(x, next(parameters), next(parameters))))
    assert x.shape[1:] == (24, 1, 1)
    x = norm(F.conv_transpose2d(x, next(parameters), next(parameters))).clamp(0)
    for _ in range(4):
        x = norm(F.conv_transpose2d(x, next(parameters), next(parameters), 2, 1)).clamp(0)
    x = F.conv_transpose2d(x, next(parameters), next(parameters), 2, 1).tanh()
    assert next(parameters, None) is None
    assert next(buffers, None) is None
    return x


@pytest.mark.parametrize(("bottleneck", "count"), [(512, 14_038_403), (4000, 71_196_259)])
def test_parameter_counts(bottleneck: int, count: int) -> None:
    with torch.device("meta"):
        net = BackgroundReconstruction(bottleneck)
        assert sum(parameter.numel() for parameter in net.parameters()) == count
        assert net(torch.empty(2, 3, 128, 128)).shape == (2, 3, 128, 128)


def test_widths_and_resolutions() -> None:
    with torch.device("meta"):
        net = BackgroundReconstruction()
        shapes = []
        x = torch.empty(2, 3, 128, 128)
        for layer in (*net.encoder, *net.decoder):
            x = layer(x)
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                shapes.append((x.shape[1], x.shape[2]))
    assert shapes == [
        *[(64, 64), (64, 32), (128, 16), (256, 8), (512, 4), (512, 1)],
        *[(512, 4), (256, 8), (128, 16), (64, 32), (64, 64), (3, 128)],
    ]


def test_normalisation_everywhere_but_at_the_ends() -> None:
    net = BackgroundReconstruction(bottleneck=8, width=2)
    kinds = [type(layer).__name__ for layer in (*net.encoder, *net.decoder)]
    assert kinds == [
        *["Conv2d", "LeakyReLU"],
        *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 5,
        *["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 5,
        *["ConvTranspose2d", "Tanh"],
    ]
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert all(layer.bias is not None for layer in convolutions)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_it_is_the_layers(size: int) -> None:
    net, x = network(size).double().eval(), images(size).double()
    out = net(x)
    assert out.shape == x.shape
    assert out.abs().max() <= 1
    assert out.std() > 0.01
    torch.testing.assert_close(out, straightforward(net, x))


def test_one_image_at_a_time_in_evaluation() -> None:
    net, x = network().double().eval(), images(batch=3).double()
    torch.testing.assert_close(net(x), torch.cat([net(image[None]) for image in x]))


def test_training_needs_two_images() -> None:
    with pytest.raises(ValueError, match=r"more than 1 value per channel"):
        network()(images(batch=1))


def test_gradient_reaches_every_parameter_on_running_statistics() -> None:
    """As in the joint step."""
    net = network().eval()
    (net(images(batch=1)) - 0.3).square().sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_gradient_in_training_reaches_all_but_the_biases_before_a_normalisation() -> None:
    net = network().double()
    (net(images(batch=4).double()) - 0.3).square().sum().backward()
    layers = [*net.encoder, *net.decoder]
    before = {
        id(layer.bias)
        for layer, following in pairwise(layers)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and isinstance(following, nn.BatchNorm2d)
    }
    assert len(before) == 10
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        gradient = parameter.grad.abs().sum().item()
        assert (gradient < 1e-9) == (id(parameter) in before), (name, gradient)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    net = network()
    net.initialise()
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.bias is not None
            assert not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()
            assert module.running_mean is not None
            assert not module.running_mean.any()
    weights = torch.cat([p.flatten() for p in net.parameters() if p.ndim == 4])
    assert weights.std().item() == pytest.approx(0.01, rel=0.02)
    assert abs(weights.mean().item()) < 1e-3


def test_a_new_network_is_initialised() -> None:
    torch.manual_seed(0)
    net = BackgroundReconstruction(24, 4, 64)
    weights = torch.cat([p.flatten() for p in net.parameters() if p.ndim == 4])
    assert weights.std().item() == pytest.approx(0.01, rel=0.02)


def test_it_learns_a_background() -> None:
    torch.manual_seed(0)
    net = BackgroundReconstruction(bottleneck=16, width=4, size=32)
    background = images(32, 1)
    noisy = background.repeat(4, 1, 1, 1)
    noisy[:, :, 8:16, 8:16] = images(8, 4)
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    losses = []
    for _ in range(150):
        loss = (net(noisy) - background).square().sum() / (2 * len(noisy))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("size", [0, -32, 16, 100, 961])
def test_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=rf"size: expected a multiple of 32, .*; got {size}\."):
        BackgroundReconstruction(8, 2, size)


@pytest.mark.parametrize("shape", [(1, 3, 64, 128), (1, 3, 128, 128), (1, 6, 64, 64), (3, 64, 64)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Expected images of shape \(B, 3, 64, 64\), got \("):
        BackgroundReconstruction(8, 2, 64)(torch.zeros(shape))
