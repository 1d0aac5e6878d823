"""BSUV-Net 2.0 and Fast BSUV-Net 2.0: the network, its loss, and the backgrounds of a stream."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from made_batches import random_batch
from torch import Tensor, nn

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import EmptyBackground, ForegroundMaps, RecentBackground, Stream
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.inference import Subtractor, load_system
from bgsub_lightning.losses import batch_jaccard
from bgsub_lightning.splits import published_record
from bgsub_lightning.systems import BsuvNet, BsuvNetSystem
from bgsub_lightning.systems.bsuv_net.network import BsuvNetwork
from bgsub_lightning.systems.bsuv_net.weights import load_published
from bgsub_lightning.systems.bsuv_unet import BsuvUNet, renamed


def small(**settings: Any) -> BsuvNet:
    torch.manual_seed(0)
    return BsuvNet(width=2, **{"history": 3} | settings).eval()


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "count"), [(12, 30_368_705), (9, 30_366_977), (6, 30_365_249)])
def test_its_parameters_are_as_many_as_the_authors_networks_have(channels: int, count: int) -> None:
    with torch.device("meta"):
        network = BsuvUNet(channels)
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert len(network.state_dict()) == 177


def authors_names() -> dict[str, str]:
    """The authors' name of each weight, as their code builds the network → ours."""
    names = {}
    bn = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    for block, units in enumerate((2, 2, 3, 3, 3), 1):
        for unit in range(1, units + 1):
            ours = f"down.{block - 1}"
            names |= {f"enc{block}.down_block.conv{unit}.{w}": f"{ours}.{3 * unit - 3}.{w}" for w in ("weight", "bias")}
            names |= {f"enc{block}.down_block.bn{unit}.{w}": f"{ours}.{3 * unit - 1}.{w}" for w in bn}
    for block in (4, 3, 2, 1):
        ours = f"up.{4 - block}"
        names |= {f"dec{block}.up.conv2d_transpose.{w}": f"{ours}.up.0.{w}" for w in ("weight", "bias")}
        names |= {f"dec{block}.up.bn1.{w}": f"{ours}.up.1.{w}" for w in bn}
        for unit in (1, 2):
            names |= {f"dec{block}.conv_block.conv{unit}.{w}": f"{ours}.units.{3 * unit - 3}.{w}" for w in bn[:2]}
            names |= {f"dec{block}.conv_block.bn{unit + 1}.{w}": f"{ours}.units.{3 * unit - 1}.{w}" for w in bn}
    return names | {f"out.out.conv2d.{w}": f"head.0.{w}" for w in bn[:2]}


def test_the_authors_names_are_ours_one_to_one() -> None:
    names = authors_names()
    assert {name: renamed(name) for name in names} == names
    assert {*names.values()} == {*BsuvUNet(9, width=1).state_dict()}


def test_units_normalise_after_the_activation() -> None:
    network = BsuvUNet(9, width=1)
    kinds = [type(layer) for layer in network.down[2]]
    assert kinds == 3 * [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]
    assert [type(layer) for layer in network.up[0].up] == [nn.ConvTranspose2d, nn.BatchNorm2d]  # and nothing after


@pytest.mark.parametrize(("height", "width"), [(32, 48), (37, 50), (16, 16), (7, 5)])
def test_answers_have_the_size_of_the_frames(height: int, width: int) -> None:
    network = BsuvNetwork(1).eval()
    images = torch.rand(2, 9, height, width)
    found = network(images)
    assert found.shape == (2, height, width)
    if height % 16 == width % 16 == 0:
        normal = torch.tensor([0.485, 0.456, 0.406] * 3), torch.tensor([0.229, 0.224, 0.225] * 3)
        shown = (images - normal[0][:, None, None]) / normal[1][:, None, None]
        torch.testing.assert_close(found, network.unet.core(shown)[:, 0])


def test_the_three_images_together_are_not_what_counts_alone() -> None:
    """A negative control: an offset of all three changes the answer, which normalisation by the frame would hide."""
    network, images = BsuvNetwork(2).eval(), torch.rand(1, 9, 16, 16)
    assert not torch.allclose(network(images), network(images + 0.1))


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_maps", [False, True])
def test_the_loss_sees_the_images_in_the_order_of_the_authors(has_maps: bool, tmp_path: Path) -> None:
    """Empty, recent, frame; the map of each before it; shadows are ignored."""
    module = small(maps=ForegroundMaps(tmp_path, tmp_path, tmp_path) if has_maps else None)
    maps = {"empty_map": (1,), "recent_map": (1,), "map": (1,)} if has_maps else {}
    batch = random_batch(2, 16, 32, image=(3,), empty=(3,), recent=(3,), mask=(), **maps)
    order = ["empty_map", "empty", "recent_map", "recent", "map", "image"] if has_maps else ["empty", "recent", "image"]
    target = torch.full((2, 16, 32), 255)
    target[batch["mask"] == 255], target[batch["mask"] == 0] = 1, 0
    expected = batch_jaccard(module.network(torch.cat([batch[key] for key in order], 1)), target)
    torch.testing.assert_close(module.losses(batch), {"segmentation": expected})


def test_defaults_are_the_published_ones() -> None:
    with torch.device("meta"):
        module = BsuvNet()
    (optimizer,) = [module.configure_optimizers()]
    assert isinstance(optimizer, torch.optim.Adam)
    assert {key: optimizer.defaults[key] for key in ("lr", "weight_decay", "betas")} == {
        "lr": 1e-4,
        "weight_decay": 1e-2,
        "betas": (0.9, 0.999),
    }
    assert module.labels == LabelRule.BMN_BSN
    stream, empty, recent = module.inputs
    assert isinstance(stream, Stream)
    assert isinstance(empty, EmptyBackground)
    assert isinstance(recent, RecentBackground)
    assert (recent.history, empty.rule, empty.count, empty.history) == (100, "median", 100, 200)


def test_it_learns_what_differs_from_both_backgrounds() -> None:
    """Four made frames of one scene, until they are known."""
    generator = np.random.default_rng(0)
    background = generator.integers(60, 120, (32, 48, 3)).astype(np.uint8)
    images, masks = [], []
    for left in (2, 12, 22, 34):
        image, mask = background.copy(), np.zeros((32, 48), np.uint8)
        image[8:22, left : left + 10], mask[8:22, left : left + 10] = (220, 200, 40), 255
        images.append(image)
        masks.append(mask)

    def planes(each: list[Any]) -> Tensor:
        return torch.from_numpy(np.stack(each)).permute(0, 3, 1, 2).float() / 255

    batch: Any = {"image": planes(images), "empty": planes([background] * 4), "recent": planes([background] * 4)}
    batch |= {"mask": torch.from_numpy(np.stack(masks)), "number": torch.arange(4)}
    torch.manual_seed(0)
    module = BsuvNet(width=4, lr=5e-3, weight_decay=0.0).train()
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    for _ in range(120):
        optimizer.zero_grad()
        module.losses(batch)["segmentation"].backward()
        optimizer.step()
    shown = torch.cat([batch["empty"], batch["recent"], batch["image"]], 1)
    found, truth = module(shown).detach() > 0, batch["mask"] == 255
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.95


# --- a stream ---------------------------------------------------------------------------------------------------------


def shown(module: BsuvNet, empty: Tensor | None, frames: Tensor, size: int) -> tuple[Tensor, Any]:
    scene: Any = {} if empty is None else {"empty": empty[None]}
    context, found = module.begin_scene(scene), []
    for images in frames.split(size):
        batch: Any = {"image": images, "is_scored": torch.ones(len(images), dtype=torch.bool)}
        found.append(module.probability(context, batch))
    return torch.cat(found, 1), context


def levels(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, 16, 32), generator=generator).float() / 255


@torch.no_grad()
def test_a_frame_is_compared_with_the_frames_before_it() -> None:
    """Neither with itself nor with what comes after; the first with itself; in batches of any size."""
    module, frames, empty = small(), levels(9), levels(1, 7)[0]
    found, _ = shown(module, empty, frames, 1)
    for size in (2, 4, 9):
        torch.testing.assert_close(shown(module, empty, frames, size)[0], found)
    for place in (0, 1, 5):
        before = frames[max(0, place - 3) : place] if place else frames[:1]
        recent = before.sort(0).values[(len(before) - 1) // 2]
        expected = torch.sigmoid(module(torch.cat([empty, recent, frames[place]])[None]))
        torch.testing.assert_close(found[0, place], expected[0])


@torch.no_grad()
def test_frames_that_only_pass_are_learnt_and_not_answered() -> None:
    module, frames, empty = small(), levels(6), levels(1, 7)[0]
    expected, _ = shown(module, empty, frames, 3)
    context, calls = module.begin_scene({"empty": empty[None]}), []
    module.network.register_forward_hook(lambda *given: calls.append(len(given[1][0])))
    first: Any = {"image": frames[:4], "is_scored": torch.tensor([False, False, False, True])}
    found = module.probability(context, first)
    assert calls == [1]
    assert not found[0, :3].any()
    torch.testing.assert_close(found[0, 3], expected[0, 3])


@torch.no_grad()
def test_a_camera_that_moves_has_its_trailing_median_for_the_empty_background() -> None:
    module, frames = small(empty=EmptyBackground(history=5)), levels(8)
    found, context = shown(module, None, frames, 3)
    empty, recent = (frames[2 - each : 7].sort(0).values[(5 + each - 1) // 2] for each in (0, -2))
    expected = torch.sigmoid(module(torch.cat([empty, recent, frames[7]])[None]))
    torch.testing.assert_close(found[0, 7], expected[0])
    assert {*context.pictures()} == {"background", "recent"}


@torch.no_grad()
def test_a_context_goes_on_from_its_state() -> None:
    module, frames, empty = small(), levels(9), levels(1, 7)[0]
    expected, _ = shown(module, empty, frames, 1)
    _, context = shown(module, empty, frames[:6], 1)
    twin = module.begin_scene({"empty": empty[None]})
    twin.load_state_dict(copy.deepcopy(context.state_dict()))
    batch: Any = {"image": frames[6:], "is_scored": torch.ones(3, dtype=torch.bool)}
    torch.testing.assert_close(module.probability(twin, batch), expected[:, 6:])


# --- weights ----------------------------------------------------------------------------------------------------------


def exported(path: Path, channels: int = 9, width: int = 2) -> BsuvUNet:
    """Write weights under the authors' names."""
    torch.manual_seed(3)
    network = BsuvUNet(channels, width=width)
    own = network.state_dict()
    torch.save({name: own[ours] for name, ours in authors_names().items()}, path)
    return network


def test_weights_of_the_authors_are_loaded(tmp_path: Path) -> None:
    expected = exported(tmp_path / "fast.pt")
    network = BsuvUNet(9, width=2)
    load_published(network, tmp_path / "fast.pt")
    for name, value in expected.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)


def test_weights_of_the_authors_subtract_live(tmp_path: Path) -> None:
    expected = exported(tmp_path / "fast.pt")
    (tmp_path / "authors.yaml").write_text(
        f"config: bsuv_net.yaml\nmodel: {{init_args: {{width: 2, weights: {tmp_path / 'fast.pt'}}}}}\n"
    )
    system = load_system(tmp_path / "authors.yaml")
    assert isinstance(system.module, BsuvNetSystem)
    for name, value in system.module.network.unet.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name])
    frame = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    assert Subtractor(system, "cpu", [frame]).push([frame])[0].shape == (32, 48)
    (tmp_path / "fast.pt").unlink()
    with pytest.raises(UserError, match=r"fast\.pt"):
        load_system(tmp_path / "authors.yaml")


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    exported(tmp_path / "maps.pt", 12)
    exported(tmp_path / "wide.pt", width=4)
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "pickled.pt")
    network = BsuvUNet(9, width=2)
    before = copy.deepcopy(network.state_dict())
    for name, message in (
        ("maps", r"maps\.pt: .*Fast BSUV-Net 2\.0.*got weights of BSUV-Net 2\.0.*maps"),
        ("wide", r"wide\.pt: down\.0\.0.*\(2, 9, 3, 3\); got \(4, 9, 3, 3\).*width"),
        ("other", r"other\.pt: .*enc1\.down_block\.conv1\.weight.*got 1 tensors"),
        ("pickled", r"pickled\.pt: .*Python object"),
        ("none", r"none\.pt"),
    ):
        with pytest.raises(UserError, match=message):
            load_published(network, tmp_path / f"{name}.pt")
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


Options = Callable[..., list[str]]


@pytest.fixture
def options(tmp_path: Path, make_video: Callable[..., Path]) -> Options:
    """Options of commands on two small videos, one to train on."""
    for name in ("highway", "office"):
        make_video(tmp_path / "data", "baseline", name, unlabelled=4, labelled=4)

    def made(*more: str) -> list[str]:
        return [
            "--model=BsuvNet", "--model.init_args.width=2", "--model.init_args.history=3", "--data=ScenesDataModule",
            "--data.init_args.protocol=Subset", "--data.init_args.protocol.init_args.train=['*/office']",
            "--data.init_args.protocol.init_args.test=['*/highway']", f"--data.init_args.root={tmp_path / 'data'}",
            "--data.init_args.num_workers=0", "--data.init_args.size=[32, 16]", "--wandb=disabled",
            f"--run_dir={tmp_path / 'run'}", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=False",
            "--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--data.init_args.batch_size=2", *more,
        ]  # fmt: skip

    return made


def test_a_test_of_published_weights_needs_no_checkpoint_and_leaks(
    tmp_path: Path, options: Options, capfd: pytest.CaptureFixture[str]
) -> None:
    """They were trained on all scenes of CDnet2014."""
    exported(tmp_path / "fast.pt")
    given = options(f"--model.init_args.weights={tmp_path / 'fast.pt'}")
    assert main(["test", *given]) == 2
    assert "highway" in capfd.readouterr().err
    assert main(["test", *given, "--data.init_args.allow_training_frames=true"]) == 0
    assert "includes training frames" in capfd.readouterr().out
    assert len(published_record()) == 53


def test_a_checkpoint_comes_before_published_weights(
    tmp_path: Path, options: Options, capfd: pytest.CaptureFixture[str]
) -> None:
    """A fit begins with them, and nothing reads their file again: neither a test of its run, nor a resume."""
    exported(tmp_path / "fast.pt")
    given = options(f"--model.init_args.weights={tmp_path / 'fast.pt'}", "--model.init_args.lr=0.1")
    assert main(["fit", *given]) == 0
    (tmp_path / "fast.pt").unlink()
    capfd.readouterr()
    leaks = "--data.init_args.allow_training_frames=true"
    assert main(["test", *given, leaks]) == 0
    assert "the configuration names" not in capfd.readouterr().out
    scores = json.loads((tmp_path / "run/scores.json").read_text())
    assert scores["checkpoint"].endswith("last.ckpt")
    assert main(["fit", *given, "--ckpt_path=last", "--trainer.max_epochs=2"]) == 0
    assert main(["test", *options(leaks)]) == 0  # of the same run, whose configuration names none


@pytest.mark.slow
def test_maps_train_test_and_export_and_are_no_matter_of_a_stream(
    tmp_path: Path, options: Options, fails: Callable[[int], str]
) -> None:
    for video, kind in product(("highway", "office"), ("frame", "recent", "empty")):
        place = tmp_path / "maps" / kind / "baseline" / video
        place.mkdir(parents=True)
        for number in range(1, 9):
            cv2.imwrite(str(place / f"fpm{number:06d}.png"), np.full((48, 64), 30 * number, np.uint8))
    folders = [f"--model.init_args.maps.{kind}={tmp_path / 'maps' / kind}" for kind in ("frame", "recent", "empty")]
    given = options(*folders, "--data.init_args.crop.size=16", "--data.init_args.crop.shift=0.5")
    one = "--data.init_args.batch_size=1"
    assert re.search("batch_size.*got 1", fails(main(["fit", *given, one])))  # batch normalisation of one value
    assert main(["fit", *given]) == 0
    assert main(["test", *given]) == 0
    checkpoint = str(tmp_path / "run/checkpoints/last.ckpt")
    (tmp_path / "maps").rename(tmp_path / "moved")  # another machine has no such folders
    system = load_system(checkpoint)
    with pytest.raises(UserError, match=r"run.*EmptyMap"):
        Subtractor(system, "cpu")
    if importlib.util.find_spec("onnxscript") and importlib.util.find_spec("onnxruntime"):
        assert main(["export", "--checkpoint", checkpoint, "--out", str(tmp_path / "net.onnx")]) == 0
    (tmp_path / "moved").rename(tmp_path / "maps")
    (tmp_path / "maps/frame/baseline/office/fpm000007.png").unlink()
    message = fails(main(["fit", *given, f"--run_dir={tmp_path / 'other'}"]))
    assert re.search(r"maps/frame/baseline/office.*7", message)
