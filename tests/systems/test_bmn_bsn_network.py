from __future__ import annotations

import pytest
import torch

from bgsub_lightning.systems.bmn_bsn.network import BmnBsnNetwork


@pytest.fixture
def net() -> BmnBsnNetwork:
    torch.manual_seed(0)
    return BmnBsnNetwork(references=3, maps=4, channels=4)


def test_parameter_counts_of_the_paper() -> None:
    with torch.device("meta"):
        net = BmnBsnNetwork()
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in (net.bmn, net.bsn, net)]
    assert counts == [31_058_380, 31_038_722, 62_097_102]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("size", [(37, 53), (33, 32), (32, 33), (32, 48)])
def test_sizes(net: BmnBsnNetwork, size: tuple[int, int], batch: int) -> None:
    references, image = torch.rand(batch, 3, 3, *size), torch.rand(batch, 3, *size)
    assert net.background(references).shape == (batch, 4, *size)
    assert net(references, image).shape == (batch, 2, *size)


@pytest.mark.parametrize("size", [(37, 53), (32, 48)])
def test_background_then_subtraction_is_the_whole(net: BmnBsnNetwork, size: tuple[int, int]) -> None:
    references, image = torch.rand(2, 3, 3, *size), torch.rand(2, 3, *size)
    torch.testing.assert_close(net(references, image), net.subtract(net.background(references), image))


def test_the_background_of_a_scene_serves_all_its_frames(net: BmnBsnNetwork) -> None:
    references, images = torch.rand(1, 3, 3, 32, 48), torch.rand(4, 3, 32, 48)
    once = net.subtract(net.background(references).expand(4, -1, -1, -1), images)
    each = torch.cat([net(references, image[None]) for image in images])
    torch.testing.assert_close(once, each)


def test_the_result_depends_on_references_and_on_the_image(net: BmnBsnNetwork) -> None:
    references, image = torch.rand(1, 3, 3, 32, 48), torch.rand(1, 3, 32, 48)
    result = net(references, image)
    for number in range(3):
        changed = references.clone()
        changed[:, number] = 0
        assert not torch.allclose(net(changed, image), result)
    assert not torch.allclose(net(references, 1 - image), result)


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_references_raises(net: BmnBsnNetwork, count: int) -> None:
    with pytest.raises(RuntimeError, match=rf"expected input.* to have 9 channels, but got {3 * count} channels"):
        net(torch.rand(1, count, 3, 32, 48), torch.rand(1, 3, 32, 48))


def test_a_gradient_reaches_every_parameter(net: BmnBsnNetwork) -> None:
    net(torch.rand(1, 3, 3, 37, 53), torch.rand(1, 3, 37, 53)).square().sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without
