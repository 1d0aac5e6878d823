"""The network of AnyScene, and the planes that it sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bgsub_lightning.systems import AnyScene
from bgsub_lightning.systems.any_scene import AnySceneNetwork
from bgsub_lightning.systems.any_scene.features import PLANES, comparators, planes
from bgsub_lightning.systems.any_scene.network import _looked_up, _tables, normalised


def shown(batch: int, height: int = 32, width: int = 48, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, len(PLANES), height, width), generator=generator, dtype=torch.uint8)


def test_parameters_match_the_documented_count() -> None:
    assert len(PLANES) == 14
    assert sum(parameter.numel() for parameter in AnyScene().network.parameters()) == 194_660
    assert sum(parameter.numel() for parameter in AnyScene().parameters()) == 194_660


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (240, 320)])
@pytest.mark.parametrize("batch", [1, 3])
def test_there_is_a_logit_for_each_pixel(size: tuple[int, int], batch: int) -> None:
    network = AnySceneNetwork(14, (2, 3, 4, 5)).eval()
    assert network(shown(batch, *size).float()).shape == (batch, *size)


@pytest.mark.parametrize("batch", [1, 3])
def test_gradient_reaches_every_parameter(batch: int) -> None:
    torch.manual_seed(0)
    network = AnySceneNetwork(14)
    network(shown(batch).float()).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_an_image_is_judged_alike_alone_and_beside_others() -> None:
    torch.manual_seed(1)
    network = AnySceneNetwork(14, (4, 6, 8, 10)).eval()
    images = shown(5).float()
    together = network(images)
    for i in range(5):
        torch.testing.assert_close(network(images[i : i + 1])[0], together[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (240, 320)])
def test_planes_are_normalised_by_their_kind(size: tuple[int, int]) -> None:
    given = shown(2, *size)
    colours, others = given[:, :6].double().numpy(), given[:, 6:].double().numpy()
    expected = np.concatenate([np.log2(1 + colours / 24) / 1.8 - 1, np.minimum(others, 160) / 60], 1)
    found = normalised(given)
    assert (found.dtype, found.is_contiguous(memory_format=torch.channels_last)) == (torch.float32, True)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    elsewhere = _looked_up(given, torch.from_numpy(_tables(len(PLANES))[0]))  # as on a GPU
    assert torch.equal(elsewhere, found)
    assert elsewhere.is_contiguous(memory_format=torch.channels_last)


def test_all_planes_are_seen_unless_they_are_hidden() -> None:
    torch.manual_seed(2)
    everything = AnyScene((4, 4, 4, 4)).eval()
    hiding = AnyScene((4, 4, 4, 4), hidden=["motion", "nearest blind"]).eval()
    hiding.load_state_dict(everything.state_dict())
    given = shown(1)
    for place, name in enumerate(PLANES):
        other = given.clone()
        other[:, place] = 255 - given[:, place]
        assert not torch.equal(everything(given), everything(other)), name
        assert torch.equal(hiding(given), hiding(other)) is (name in {"motion", "nearest blind"})


@pytest.mark.parametrize("count", [2, 3, 5, 9, 20])
def test_comparators_sort(count: int) -> None:
    found = np.random.default_rng(count).integers(0, 9, (count, 500))
    expected = np.sort(found, 0)
    for low, high in comparators(count):
        assert low < high
        found[[low, high]] = np.sort(found[[low, high]], 0)
    np.testing.assert_array_equal(found, expected)


def test_planes_are_the_given_ones() -> None:
    """A scene of one colour, an object of another, and a sample in which it stood there before."""
    frame = torch.full((1, 3, 16, 16), 100, dtype=torch.uint8)
    bank = frame[:, None].repeat(1, 20, 1, 1, 1)
    blind = bank.clone()
    blind[:, 4, :, 2:6, 2:6] = 150
    frame[:, :, 2:6, 2:6] = 150
    earlier = torch.full_like(frame, 90)
    found = dict(zip(PLANES, planes(frame, earlier, bank, blind)[0].int(), strict=True))
    inside, outside = (3, 3), (12, 12)
    expected = {
        **dict.fromkeys(("red", "green", "blue"), (150, 100)),
        **{f"background {colour}": (100, 100) for colour in ("red", "green", "blue")},
        "nearest locked": (150, 0),
        "outside locked": (150, 0),
        "spread locked": (0, 0),
        "nearest blind": (150, 0),  # one sample of that colour is not enough
        "changes blind": (24, 0),  # to that sample and back
        "outside blind": (150, 0),
        "spread blind": (0, 0),
        "motion": (180, 30),
    }
    assert {name: (int(plane[inside]), int(plane[outside])) for name, plane in found.items()} == expected


def test_planes_of_a_batch_are_those_of_its_samples() -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randint(80, 130, (*shape, 3, 10, 12), generator=generator, dtype=torch.uint8)

    given = drawn(3), drawn(3), drawn(3, 20), drawn(3, 20)
    together = planes(*given)
    assert together.dtype == torch.uint8
    for i in range(3):
        assert torch.equal(planes(*(each[i : i + 1] for each in given))[0], together[i])
