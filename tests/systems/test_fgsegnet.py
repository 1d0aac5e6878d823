"""FgSegNet_v2: its network against a plain computation, what learns, and its schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_batches import random_batch
from torch import Tensor

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.losses import masked_binary_cross_entropy
from bgsub_lightning.systems import FgSegNet
from bgsub_lightning.systems.fgsegnet.network import FgSegNetwork, ImageNorm, MultiScaleFeatures
from bgsub_lightning.systems.pretrained import Pretrained


def small(**settings: Any) -> FgSegNet:
    torch.manual_seed(0)
    return FgSegNet(**{"width": 2} | settings)


def test_its_parameters_are_as_many_as_the_authors_network_has() -> None:
    with torch.device("meta"):
        network = FgSegNetwork()
    frozen = {id(p) for block in network.pretrained_blocks[:3] for layer in block for p in layer.parameters()}
    count = dict.fromkeys((True, False), 0)
    for parameter in network.parameters():
        count[id(parameter) in frozen] += parameter.numel()
    assert count == {True: 1_735_488, False: 7_489_673}


@pytest.mark.parametrize(("height", "width"), [(24, 32), (25, 33), (7, 5)])
@pytest.mark.parametrize("norm", ["image", "instance"])
def test_answers_have_the_size_of_the_frames(height: int, width: int, norm: Any) -> None:
    network = FgSegNetwork(2, norm).double().eval()
    images = torch.rand(2, 3, height, width, dtype=torch.float64)
    found = network(images)
    assert found.shape == (2, height, width)
    one_by_one = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(found, one_by_one)
    if height % 4 == width % 4 == 0:
        torch.testing.assert_close(found, network.core(images))


def test_the_norm_is_of_a_whole_image() -> None:
    norm, x = ImageNorm(), torch.arange(24.0).reshape(1, 2, 3, 4)
    with torch.no_grad():
        norm.gain.fill_(3)
        norm.offset.fill_(-1)
    expected = 3 * (np.arange(24.0) - 11.5) / (np.arange(24.0).std() + 1e-3) - 1
    np.testing.assert_allclose(norm(x).detach().numpy().ravel(), expected, rtol=1e-5)
    four = torch.cat([x, 2 * x, x.flip(1), x + 5])
    torch.testing.assert_close(norm(four)[:1], norm(x))


def test_features_of_several_scales_by_hand() -> None:
    """A pool of two by two pads right and below; each dilated branch sees the one before, rectified."""
    torch.manual_seed(1)
    part, x = MultiScaleFeatures(3, 2, "image"), torch.rand(1, 3, 5, 6)
    wide = torch.full((1, 3, 6, 7), -9.0)
    wide[..., :5, :6] = x
    pooled = torch.stack([wide[..., i : i + 5, j : j + 6] for i in (0, 1) for j in (0, 1)]).amax(0)
    branches = [F.conv2d(pooled, part.pool.weight, part.pool.bias)]
    branches.append(F.conv2d(x, part.d1.weight, part.d1.bias, padding=1))
    for layer, d in zip(part.dilated, (4, 8, 16), strict=True):
        seen = torch.cat([x, branches[-1]], 1).clamp(min=0)
        branches.append(F.conv2d(seen, layer.weight, layer.bias, padding=d, dilation=d))  # type: ignore[arg-type]
    joined = torch.cat(branches, 1)
    expected = ((joined - joined.mean()) / (joined.std(correction=0) + 1e-3)).clamp(min=0)
    torch.testing.assert_close(part(x), expected)


def test_the_mean_of_a_projection_is_the_projection_of_the_mean() -> None:
    """The decoder is weighed by the spatial mean of a convolution of 1×1 over the features at half the size."""
    network, half = FgSegNetwork(2), torch.rand(1, 4, 6, 8)
    weight = network.weigh_half.weight[..., None, None]
    expected = F.conv2d(half, weight, network.weigh_half.bias).mean((2, 3))
    torch.testing.assert_close(network.weigh_half(half.mean((2, 3))), expected)


def test_dropout_acts_in_training_alone() -> None:
    module, image = small(), torch.rand(1, 3, 16, 16)
    assert not torch.equal(module.train()(image), module(image))
    assert torch.equal(module.eval()(image), module(image))


# --- weights ----------------------------------------------------------------------------------------------------------


def vgg_file(path: Path, width: int = 2) -> Path:
    """Write a VGG-16 of some width under torchvision's names."""
    torch.manual_seed(5)
    weights: dict[str, Tensor] = {}
    inputs = 3
    for index, factor in zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21), (1, 1, 2, 2, 4, 4, 4, 8, 8, 8), strict=True):
        weights[f"features.{index}.weight"] = torch.randn(factor * width, inputs, 3, 3) * 0.1
        weights[f"features.{index}.bias"] = torch.zeros(factor * width)
        inputs = factor * width
    torch.save(weights, path)
    return path


def steps(module: FgSegNet, count: int) -> None:
    made = module.configure_optimizers()
    optimizer = made["optimizer"] if isinstance(made, dict) else made
    for _ in range(count):
        optimizer.zero_grad()
        module.train().losses(random_batch(1, 16, 16, image=(3,), mask=()))["segmentation"].backward()
        optimizer.step()


def test_pretrained_blocks_are_frozen_and_others_learn(tmp_path: Path) -> None:
    module = small(lr=1e-2, pretrained=Pretrained(str(vgg_file(tmp_path / "vgg.pt")), range="imagenet"))
    module.begin_fit()
    loaded = torch.load(tmp_path / "vgg.pt")
    assert torch.equal(module.network.conv1_1.weight, loaded["features.0.weight"])
    assert torch.equal(module.network.conv4_3.weight, loaded["features.21.weight"])
    before = {name: value.clone() for name, value in module.named_parameters()}
    steps(module, 3)
    changed = {name for name, value in module.named_parameters() if not torch.equal(value, before[name])}
    frozen = {name for name in before if name.startswith(("network.conv1", "network.conv2", "network.conv3"))}
    assert changed & frozen == set()
    assert {name for name in before if "conv4" in name and "weight" in name} <= changed


def test_without_weights_nothing_is_frozen(capsys: pytest.CaptureFixture[str]) -> None:
    module = small()
    module.begin_fit()
    assert "pretrained" in capsys.readouterr().out
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_weights_of_another_range_of_inputs_are_refused() -> None:
    """As shapes are alike, nothing else would notice."""

    def checkpoint(module: FgSegNet) -> dict[str, Any]:
        arguments = {"pretrained": vars(module.pretrained)}
        return {
            "state_dict": module.state_dict(),
            "trained_on": {},
            "module": "FgSegNet",
            "hyper_parameters": arguments,
        }

    scratch, given = small(), small(pretrained=Pretrained("vgg.pt", range="caffe"))
    for module in (scratch, given):
        module.require_compatible(checkpoint(module))
    for module, other in ((scratch, given), (given, scratch)):
        with pytest.raises(UserError, match=rf"model\.init_args\.pretrained: .*; got {module.input_range}\."):
            module.on_load_checkpoint(checkpoint(other))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("raw", [51.0, 102.0, 255.0]),
        ("imagenet", [(0.2 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, (1 - 0.406) / 0.225]),
        ("caffe", [255 - 104.00699, 102 - 116.66877, 51 - 122.67892]),
    ],
)
def test_the_input_has_the_range_of_the_weights(name: Any, expected: list[float]) -> None:
    module = small(pretrained=Pretrained("vgg.pt", range=name))
    image = torch.tensor([0.2, 0.4, 1.0])[None, :, None, None]
    torch.testing.assert_close(module.ranged(image).flatten(), torch.tensor(expected))


# --- training ---------------------------------------------------------------------------------------------------------


def test_the_rate_falls_after_as_many_validations_as_in_keras() -> None:
    """Losses that are not smaller by 0.0001 count; the rate falls at the fifth of them in a row."""
    made: Any = small().configure_optimizers()
    optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert made["lr_scheduler"]["monitor"] == "val/loss"
    rates = []
    for loss in [1.0, 0.5, *[0.49995] * 4, 0.4, *[0.6] * 4, 0.39995, *[0.3] * 2]:
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    # the eleventh loss, 0.39995, is the fifth that is not smaller than 0.4 by enough
    np.testing.assert_allclose(rates, [1e-4] * 11 + [1e-5] * 3)
    defaults = optimizer.defaults
    assert (defaults["alpha"], defaults["eps"], defaults["momentum"], defaults["weight_decay"]) == (0.9, 1e-8, 0, 0)


def test_the_schedule_goes_on_in_a_resumed_run() -> None:
    module = small()
    one: Any = module.configure_optimizers()
    for loss in (1.0, 1.0, 1.0, 1.0):
        one["lr_scheduler"]["scheduler"].step(loss)
    other: Any = module.configure_optimizers()
    other["lr_scheduler"]["scheduler"].load_state_dict(one["lr_scheduler"]["scheduler"].state_dict())
    for made in (one, other):
        for loss in (1.0, 1.0):
            made["lr_scheduler"]["scheduler"].step(loss)
        assert made["optimizer"].param_groups[0]["lr"] == pytest.approx(1e-5)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_loss_sees_what_counts(balanced: bool) -> None:
    module, batch = small(class_balanced=balanced).eval(), random_batch(2, 16, 16, image=(3,), mask=())
    target = torch.full((2, 16, 16), 255)
    target[batch["mask"] == 255], target[batch["mask"] <= 50] = 1, 0
    expected = masked_binary_cross_entropy(module(batch["image"]), target, "logistic", class_balanced=balanced)
    torch.testing.assert_close(module.losses(batch), {"segmentation": expected})


def test_balanced_classes_have_the_same_share_of_an_image() -> None:
    """n / (2 n_c): of an image with 1 of 4 pixels foreground, 2 and 2/3; a class that is absent counts nothing."""
    logits = torch.tensor([[[0.3, -1.0, 2.0, 0.1, 5.0]], [[1.0, 2.0, 3.0, 4.0, 5.0]]])
    target = torch.tensor([[[1, 0, 0, 0, 255]], [[0, 0, 0, 0, 255]]])
    plain = F.binary_cross_entropy_with_logits(logits, (target == 1).float(), reduction="none")
    weights = torch.tensor([[[2, 2 / 3, 2 / 3, 2 / 3, 0]], [[0.5, 0.5, 0.5, 0.5, 0]]])
    found = masked_binary_cross_entropy(logits, target, "logistic", class_balanced=True)
    torch.testing.assert_close(found, (plain * weights).sum() / 8)


def test_it_learns_a_scene_by_heart() -> None:
    generator = np.random.default_rng(0)
    background = generator.integers(60, 120, (24, 32, 3)).astype(np.uint8)
    images, masks = [], []
    for left in (2, 9, 15, 21):
        image, mask = background.copy(), np.zeros((24, 32), np.uint8)
        image[6:16, left : left + 8], mask[6:16, left : left + 8] = (220, 200, 40), 255
        images.append(image)
        masks.append(mask)
    image = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    batch: Any = {"image": image, "mask": torch.from_numpy(np.stack(masks)), "number": torch.arange(4)}
    torch.manual_seed(0)
    module = FgSegNet(width=8, lr=1e-3, patience=None).train()
    optimizer: Any = module.configure_optimizers()
    for _ in range(150):
        optimizer.zero_grad()
        module.losses(batch)["segmentation"].backward()
        optimizer.step()
    found, truth = module.eval()(batch["image"]).detach() > 0, batch["mask"] == 255
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.93
