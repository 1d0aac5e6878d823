"""SeqFeedNet: its networks, which loss changes what, and the state of a stream."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from made_batches import random_batch
from tiny_training import assert_alike, each_step, quiet, trainer
from torch import Tensor

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import EmptyBackground, FrameGroup, GroupBackground, GroupMasks, ScenesDataModule, Stream
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.inference import load_system
from bgsub_lightning.losses import batch_jaccard
from bgsub_lightning.splits import Subset, published_record
from bgsub_lightning.splits.folds import published_folds
from bgsub_lightning.systems import SeqFeedNet
from bgsub_lightning.systems.bsuv_unet import BsuvUNet
from bgsub_lightning.systems.bsuv_unet import renamed as renamed_unet
from bgsub_lightning.systems.seqfeednet.network import SeqNetwork, without_foreground
from bgsub_lightning.systems.seqfeednet.weights import PublishedWeights

pytestmark = quiet


def small(**settings: Any) -> SeqFeedNet:
    torch.manual_seed(0)
    return SeqFeedNet(**{"width": 2, "group": 3, "history": 3} | settings)


def group_of(frames: int, size: int = 2, height: int = 16, width: int = 32) -> Any:
    batch = random_batch(size, height, width, frames=(frames, 3), empty=(3,), recent=(3,), mask=())
    masks = [random_batch(size, height, width, mask=())["mask"].roll(place, -1) for place in range(frames)]
    return batch | {"masks": torch.stack(masks, 1)}


# --- the networks -----------------------------------------------------------------------------------------------------


def test_its_parameters_are_as_many_as_the_authors_networks_have() -> None:
    with torch.device("meta"):
        network = SeqNetwork()
    parts = (network.initial, network.sequence, network.foreground, network.sequence.head)
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in parts]
    assert counts == [510, 30_369_243, 30_370_433, 603]
    assert sum(counts[:3]) == sum(parameter.numel() for parameter in network.parameters()) == 60_740_186
    assert len(network.state_dict()) == 375


def test_the_first_features_are_those_of_convolutions_over_images_colours_and_places() -> None:
    """Written with the layers that the authors name: a convolution and a normalisation over three dimensions."""
    torch.manual_seed(1)
    network = SeqNetwork(1).initial.train()
    images = torch.rand(2, 9, 8, 12)
    x = images.unflatten(1, (3, 3))  # image, colour
    for place in (0, 2):
        unit = network[place]
        norm = torch.nn.BatchNorm3d(3)
        x = norm(torch.relu(unit.conv(x)))
        if place == 0:
            weights = torch.sigmoid(network[1].excite(torch.relu(network[1].squeeze(x.mean((-2, -1))))))
            x = torch.einsum("bichw,bic->bichw", x, weights)
    torch.testing.assert_close(network(images), x.flatten(1, 2))


def test_the_features_of_a_frame_do_not_see_it() -> None:
    """They are computed from the last frame and its features; the judgement sees the frame."""
    module, batch = small().eval(), group_of(2)
    found: list[Tensor] = []
    module.network.sequence.register_forward_hook(lambda *given: found.append(given[2].detach().clone()))
    other = {**batch, "frames": batch["frames"].clone()}
    other["frames"][:, 1] = 1 - other["frames"][:, 1]
    losses = [module.losses(each) for each in (batch, other)]
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[3])
    assert torch.equal(losses[0]["earlier"], losses[1]["earlier"])
    assert not torch.equal(losses[0]["last"], losses[1]["last"])


def test_what_is_taken_out_of_a_frame_has_the_mean_colour() -> None:
    image, logits = torch.randn(1, 3, 2, 2, requires_grad=True), torch.tensor([[[-40.0, 40.0], [0.0, 0.0]]])
    found = without_foreground(image, logits)
    assert not found.requires_grad
    torch.testing.assert_close(found[0, :, 0, 0], image[0, :, 0, 0].detach())
    torch.testing.assert_close(found[0, :, 0, 1], torch.zeros(3))
    torch.testing.assert_close(found[0, :, 1], image[0, :, 1].detach() / 2)


# --- which loss changes what ------------------------------------------------------------------------------------------


def parts(module: SeqFeedNet) -> dict[str, list[torch.nn.Parameter]]:
    network = module.network
    return {name: list(getattr(network, name).parameters()) for name in ("initial", "sequence", "foreground")}


def test_earlier_losses_reach_the_judging_network_alone_and_the_last_one_every_frame() -> None:
    module, batch = small(group=4).train(), group_of(4)
    features: list[Tensor] = []

    def keep(*given: Any) -> None:
        given[2].retain_grad()
        features.append(given[2])

    module.network.sequence.register_forward_hook(keep)
    losses = module.successive_losses(batch)
    for _ in range(3):
        module.zero_grad()
        next(losses).backward()
        for name, own in parts(module).items():
            assert all((parameter.grad is not None) == (name == "foreground") for parameter in own), name
    assert all(each.grad is None for each in features)
    module.zero_grad()
    with pytest.raises(StopIteration) as end:
        next(losses)
    end.value.value.backward()
    for each in features:  # back to the first, through all frames
        assert bool(each.grad.any())  # type: ignore[union-attr]
    for name, own in parts(module).items():
        assert all(parameter.grad is not None for parameter in own), name
        assert any(bool(parameter.grad.any()) for parameter in own if parameter.grad is not None), name


def test_nothing_flows_through_the_frame_without_its_foreground() -> None:
    """The judging network has no gradient of a later loss, if that is of features alone."""
    module, batch = small().train(), group_of(2)
    images, empty = module.network.normalised(batch["frames"]), module.network.normalised(batch["empty"])
    features = module.network.begin(module.network.before(batch["empty"], batch["recent"], batch["frames"][:, 0]))
    features = module.network.advance(features, empty)
    logits = module.network.judge(features.detach(), images[:, 0], empty)
    module.network.advance(features, without_foreground(images[:, 0], logits)).square().sum().backward()
    assert all(parameter.grad is None for parameter in module.network.foreground.parameters())


@pytest.fixture
def dataset(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    for name in ("highway", "office"):
        make_video(tmp_path / "data", "baseline", name, unlabelled=6, labelled=12)
    return tmp_path / "data"


def data_of(root: Path, module: SeqFeedNet, **settings: Any) -> ScenesDataModule:
    protocol = Subset(["*/highway"], ["*/office"])
    given: dict[str, Any] = {"size": (32, 16), "batch_size": 3, "num_workers": 0, "flip": 0.5, **settings}
    return ScenesDataModule(module.inputs, protocol, root, **given)


def steps_of(module: SeqFeedNet, fitted: Any) -> dict[str, set[float]]:
    """The optimiser's steps of the parameters of each network."""
    (optimizer,) = fitted.optimizers
    return {
        name: {float(optimizer.state[parameter]["step"]) for parameter in own} for name, own in parts(module).items()
    }


@pytest.mark.parametrize(("updates", "group", "expected"), [("each", 7, 7.0), ("each", 1, 1.0), ("once", 7, 1.0)])
def test_the_judging_network_takes_a_step_for_each_frame_and_the_others_one(
    dataset: Path, tmp_path: Path, updates: Any, group: int, expected: float
) -> None:
    """The trainer counts batches."""
    module = small(updates=updates, group=group, gap=(1, 2))
    fitted = trainer(tmp_path / "run", max_steps=1)
    fitted.fit(module, data_of(dataset, module))
    assert fitted.global_step == 1
    assert steps_of(module, fitted) == {"initial": {1.0}, "sequence": {1.0}, "foreground": {expected}}


def test_both_ways_of_updates_agree_for_groups_of_one(dataset: Path, tmp_path: Path) -> None:
    found = []
    for updates in ("each", "once"):
        module = small(updates=updates, group=1)
        trainer(tmp_path / updates, max_steps=3).fit(module, data_of(dataset, module))
        found.append(module.state_dict())
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_a_batch_is_what_the_authors_loop_makes_of_it(dataset: Path, tmp_path: Path) -> None:
    """Frame by frame: all gradients to zero, a backward pass, a step of Adam; nothing of Lightning's."""
    module = small(gap=(2, 2), lr=1e-3)
    reference = copy.deepcopy(module).train()
    data = data_of(dataset, module, batch_size=6, flip=0.0)
    fitted = trainer(tmp_path / "run", max_steps=1)
    fitted.fit(module, data)
    batch = data.on_after_batch_transfer(
        next(iter(data_of(dataset, module, batch_size=6, flip=0.0).train_dataloader())), 0
    )
    adam = torch.optim.Adam(reference.parameters(), 1e-3)
    images, empty = (reference.network.normalised(batch[key]) for key in ("frames", "empty"))
    features = reference.network.begin(reference.network.before(batch["empty"], batch["recent"], batch["frames"][:, 0]))
    background = empty
    for place in range(3):
        adam.zero_grad()
        features = reference.network.advance(features, background)
        shown = features if place == 2 else features.detach()
        logits = reference.network.judge(shown, images[:, place], empty)
        background = without_foreground(images[:, place], logits)
        batch_jaccard(logits, reference.target(batch["masks"][:, place])).backward()
        adam.step()
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, reference.state_dict()[name], rtol=1e-5, atol=1e-6, msg=name)


def test_a_resumed_fit_is_the_one_that_was_not_stopped(dataset: Path, tmp_path: Path) -> None:
    """Weights and moments to the last bit: the gap depends on the batch's number alone, whatever the workers."""
    settings: dict[str, Any] = {"max_steps": 6, "max_epochs": -1}
    module = small(gap=(1, 4), lr=1e-3)
    whole = trainer(tmp_path / "whole", [each_step(tmp_path / "whole")], **settings)
    whole.fit(module, data_of(dataset, module))
    assert whole.global_step == 6
    module = small(gap=(1, 4), lr=1e-3)
    again = trainer(tmp_path / "again", [each_step(tmp_path / "again")], **settings)
    again.fit(
        module, data_of(dataset, module, num_workers=2), ckpt_path=tmp_path / "whole/step=3.ckpt", weights_only=True
    )
    assert_alike(tmp_path / "whole/step=6.ckpt", tmp_path / "again/step=6.ckpt")


def test_gradients_of_several_batches_are_not_joined(dataset: Path, tmp_path: Path) -> None:
    module = small()
    with pytest.raises(UserError, match=r"accumulate_grad_batches: .*got 2.*once"):
        trainer(tmp_path, max_steps=1, accumulate_grad_batches=2).fit(module, data_of(dataset, module))


def half(scale: float) -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=scale))


def norms_before_clipping(module: SeqFeedNet) -> list[float]:
    """Note the norm of the judging network's gradients at each step."""
    norms: list[float] = []
    clip = module.configure_gradient_clipping

    def note(*given: Any, **more: Any) -> None:
        gradients = [each.grad for each in module.network.foreground.parameters() if each.grad is not None]
        norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        clip(*given, **more)

    module.configure_gradient_clipping = note  # type: ignore[method-assign]
    return norms


def test_scaled_losses_of_half_precision_make_steps_of_the_same_gradients(dataset: Path, tmp_path: Path) -> None:
    """At each step but the last, which is Lightning's, before they are clipped."""
    found = []
    for name, plugins in (("single", []), ("half", [half(16.0)])):
        module = small(gap=(2, 2))
        found.append(norms_before_clipping(module))
        fitted = trainer(tmp_path / name, max_steps=1, plugins=plugins, gradient_clip_val=1.0)
        fitted.fit(module, data_of(dataset, module, flip=0.0))
    single, scaled = found
    assert len(single) == len(scaled) == 3
    assert scaled[:2] == pytest.approx(single[:2], rel=0.3)


def test_steps_whose_scaled_gradients_are_infinite_are_left_out(dataset: Path, tmp_path: Path) -> None:
    module = small(gap=(2, 2))
    before = copy.deepcopy(dict(module.named_parameters()))
    fitted = trainer(tmp_path, max_steps=1, plugins=[half(2.0**100)])
    fitted.fit(module, data_of(dataset, module))
    for name, value in module.named_parameters():
        assert torch.equal(value, before[name]), name
    assert fitted.optimizers[0].state == {}


def test_each_group_of_parameters_is_clipped_by_itself() -> None:
    module = small()
    optimizer: Any = module.configure_optimizers()
    assert [group["name"] for group in optimizer.param_groups] == ["foreground", "features"]
    for parameter in module.network.foreground.parameters():
        parameter.grad = torch.full_like(parameter, 1e3)
    small_ones = [*module.network.initial.parameters(), *module.network.sequence.parameters()]
    for parameter in small_ones:
        parameter.grad = torch.full_like(parameter, 1e-6)
    module.configure_gradient_clipping(optimizer, 0.1, "norm")
    norm = torch.nn.utils.get_total_norm([each.grad for each in module.network.foreground.parameters()])
    torch.testing.assert_close(norm, torch.tensor(0.1))
    assert all(bool((each.grad == 1e-6).all()) for each in small_ones)


def test_defaults_are_the_published_ones() -> None:
    with torch.device("meta"):
        module = SeqFeedNet()
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    assert {key: optimizer.defaults[key] for key in ("lr", "weight_decay", "betas")} == {
        "lr": 1e-4,
        "weight_decay": 0,
        "betas": (0.9, 0.999),
    }
    assert (module.labels, module.updates, module.threshold) == (LabelRule.TRAINING, "each", 0.5)
    stream, empty, recent, frames, masks = module.inputs
    assert isinstance(stream, Stream)
    assert isinstance(empty, EmptyBackground)
    assert isinstance(recent, GroupBackground)
    assert frames == FrameGroup(7, (3, 200))
    assert isinstance(masks, GroupMasks)
    assert masks.group == recent.group == frames
    assert recent.history == 100


@pytest.mark.slow
def test_it_learns_what_differs_from_the_backgrounds() -> None:
    """Two made groups of one scene, until they are known."""
    generator = np.random.default_rng(0)
    background = generator.integers(60, 120, (32, 48, 3)).astype(np.uint8)
    images, masks = np.tile(background, (2, 3, 1, 1, 1)), np.zeros((2, 3, 32, 48), np.uint8)
    for row, place in np.ndindex(2, 3):
        left = 2 + 20 * row + 7 * place
        images[row, place, 8:22, left : left + 10], masks[row, place, 8:22, left : left + 10] = (220, 200, 40), 255
    empty = torch.from_numpy(background).permute(2, 0, 1).expand(2, 3, 32, 48).float() / 255
    batch: Any = {"frames": torch.from_numpy(images).permute(0, 1, 4, 2, 3).float() / 255, "empty": empty}
    batch |= {"recent": empty, "masks": torch.from_numpy(masks), "number": torch.arange(2)}
    module = small(width=4, lr=5e-3, updates="once").train()
    optimizer: Any = module.configure_optimizers()
    for _ in range(150):
        optimizer.zero_grad()
        sum(module.losses(batch).values(), torch.zeros(())).backward()
        optimizer.step()
    found: list[Tensor] = []
    module.network.foreground.register_forward_hook(lambda *given: found.append(given[2][:, 0].detach() > 0))
    module.losses(batch)
    answers, truth = torch.stack(found, 1), batch["masks"] == 255
    assert 2 * (answers & truth).sum() / (answers.sum() + truth.sum()) > 0.95


# --- a stream ---------------------------------------------------------------------------------------------------------


def shown(module: SeqFeedNet, scene: Any, frames: Tensor, size: int) -> tuple[Tensor, Any]:
    context, found = module.begin_scene(scene), []
    for images in frames.split(size):
        batch: Any = {"image": images, "is_scored": torch.ones(len(images), dtype=torch.bool)}
        found.append(module.probability(context, batch))
    return torch.cat(found, 1), context


def levels(count: int, seed: int = 0, height: int = 16, width: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, height, width), generator=generator).float() / 255


def of_scene() -> Any:
    return {"empty": levels(1, 7), "recent": levels(1, 8)}


@torch.no_grad()
def test_a_stream_is_judged_frame_by_frame_whatever_its_batches() -> None:
    """By the rule of training, from the first frame; a second pass is the first again."""
    module, frames, scene = small().eval(), levels(9), of_scene()
    network = module.network
    found, context = shown(module, scene, frames, 1)
    assert context.features.dtype == context.background.dtype == torch.float32
    for size in (2, 8, 9):
        assert torch.equal(shown(module, scene, frames, size)[0], found)
    empty = network.normalised(scene["empty"])
    features, background = network.begin(network.before(scene["empty"], scene["recent"], frames[:1])), empty
    for place, image in enumerate(network.normalised(frames)):
        features = network.advance(features, background)
        logits = network.judge(features, image[None], empty)
        background = without_foreground(image[None], logits)
        torch.testing.assert_close(found[0, place], torch.sigmoid(logits)[0])


@torch.no_grad()
def test_answers_have_the_size_of_the_frames() -> None:
    """Also where 16 does not divide it."""
    frames = levels(2, height=19, width=37)
    found, _ = shown(small().eval(), {"empty": frames[:1], "recent": frames[1:]}, frames, 2)
    assert found.shape == (1, 2, 19, 37)


@torch.no_grad()
def test_scenes_that_share_passes_are_judged_as_each_by_itself() -> None:
    module = small().eval()
    streams, scenes = (levels(4, 1), levels(4, 2)), (of_scene(), {"empty": levels(1, 9), "recent": levels(1, 3)})
    expected = [shown(module, *each, 4)[0] for each in zip(scenes, streams, strict=True)]
    works = [
        module.passes(module.begin_scene(scene), {"image": frames})  # type: ignore[typeddict-item]
        for scene, frames in zip(scenes, streams, strict=True)
    ]
    asked = [next(work) for work in works]
    for _ in range(4):
        answers = module.network_pass(torch.cat(asked)).split(1)
        asked = [work.send(answer) for work, answer in zip(works, answers, strict=True)]
    for work, answer, wanted in zip(works, module.network_pass(torch.cat(asked)).split(1), expected, strict=True):
        with pytest.raises(StopIteration) as end:
            work.send(answer)
        torch.testing.assert_close(end.value.value, wanted)


@torch.no_grad()
def test_a_context_goes_on_from_its_state() -> None:
    module, frames = small(empty=EmptyBackground(history=5)).eval(), levels(9)
    for scene in (of_scene(), {"recent": levels(1, 8)}):
        expected, _ = shown(module, scene, frames, 1)
        _, context = shown(module, scene, frames[:6], 1)
        twin = module.begin_scene(scene)
        twin.load_state_dict(copy.deepcopy(context.state_dict()))
        batch: Any = {"image": frames[6:]}
        assert torch.equal(module.probability(twin, batch), expected[:, 6:])


@torch.no_grad()
def test_a_new_empty_background_leaves_the_features() -> None:
    module, frames = small().eval(), levels(6)
    _, before = shown(module, of_scene(), frames[:3], 3)
    context = module.begin_scene({"empty": levels(1, 11)})
    context.follow(before)
    features = before.features.clone()
    found = module.probability(context, {"image": frames[3:4]})  # type: ignore[typeddict-item]
    empty = module.network.normalised(levels(1, 11))
    features = module.network.advance(features[None], before.background[None])
    expected = module.network.judge(features, module.network.normalised(frames[3:4]), empty)
    torch.testing.assert_close(found[0], torch.sigmoid(expected))


@torch.no_grad()
def test_a_camera_that_moves_has_its_trailing_median_for_the_empty_background() -> None:
    module, frames = small(empty=EmptyBackground(history=5)).eval(), levels(8)
    context = module.begin_scene({"recent": levels(1, 8)})
    module.probability(context, {"image": frames})  # type: ignore[typeddict-item]
    assert torch.equal(context.pictures()["background"], frames[2:7].sort(0).values[2])


@torch.no_grad()
def test_a_long_still_scene_stays_finite() -> None:
    module, frame = small().eval(), levels(1)
    found, context = shown(module, {"empty": frame, "recent": frame}, frame.expand(300, 3, 16, 32), 100)
    assert bool(found.isfinite().all())
    assert bool(context.features.isfinite().all())


@torch.no_grad()
def test_features_that_each_image_normalises_do_not_grow() -> None:
    """Those that statistics of training normalise may: nothing there bounds them, in a network that has not learnt."""
    frame, largest = levels(1), {}
    for norm in ("batch", "image"):
        module = small(norm=norm).eval()
        for convolution in module.network.sequence.modules():
            if isinstance(convolution, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                convolution.weight *= 3
        _, context = shown(module, {"empty": frame, "recent": frame}, frame.expand(12, 3, 16, 32), 12)
        largest[norm] = float(context.features.abs().max())
    assert largest["batch"] > 1e3
    assert largest["image"] < (16 * 32) ** 0.5  # no normalised value of n is larger than √(n - 1)


@torch.no_grad()
def test_features_that_each_image_normalises_are_the_same_in_training_and_test() -> None:
    module = small(norm="image")
    found = []
    for trains in (True, False):
        network = module.network.train(trains)
        images = network.before(*(levels(2, seed) for seed in (1, 2, 3)))
        features = network.begin(images)
        found += [network.advance(features, images[:, :3])]
    assert torch.equal(*found)


# --- weights ----------------------------------------------------------------------------------------------------------


def exported(
    path: Path, width: int = 2, names: tuple[str, str, str] = ("si_encoder", "se_model", "fp_model")
) -> SeqNetwork:
    """Write weights under the authors' names."""
    torch.manual_seed(3)
    network = SeqNetwork(width)
    unet = BsuvUNet(1, width=1).state_dict()
    theirs = {ours: name for name, ours in ((each, renamed_unet(each)) for each in authors_names()) if ours in unet}
    state = {}
    for name, value in network.state_dict().items():
        part, _, rest = name.partition(".")
        if part == "initial":
            unit, layer, what = rest.split(".")
            to = {"squeeze": "se.fc.0", "excite": "se.fc.2"}.get(layer)
            key = f"{to}.{what}" if to else f"cnn{1 if unit == '0' else 2}.{0 if layer == 'conv' else 2}.{what}"
            state[f"{names[0]}.{key}"] = value
        elif part == "sequence" and rest.startswith("head"):
            state[f"{names[1]}.{rest.replace('head', 'out')}"] = value
        else:
            state[f"{names[1] if part == 'sequence' else names[2]}.{theirs[rest]}"] = value
    assert len(state) == 375
    torch.save(state, path)
    return network


def authors_names() -> list[str]:
    """The names of a U-Net's weights, as the authors' code builds it."""
    bn = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = [f"out.out.conv2d.{what}" for what in bn[:2]]
    for block, units in enumerate((2, 2, 3, 3, 3), 1):
        for unit in range(1, units + 1):
            names += [f"enc{block}.down_block.conv{unit}.{what}" for what in bn[:2]]
            names += [f"enc{block}.down_block.bn{unit}.{what}" for what in bn]
    for block in (4, 3, 2, 1):
        names += [f"dec{block}.up.conv2d_transpose.{what}" for what in bn[:2]]
        names += [f"dec{block}.up.bn1.{what}" for what in bn]
        for unit in (1, 2):
            names += [f"dec{block}.conv_block.conv{unit}.{what}" for what in bn[:2]]
            names += [f"dec{block}.conv_block.bn{unit + 1}.{what}" for what in bn]
    return names


@pytest.mark.parametrize("names", [("si_encoder", "se_model", "fp_model"), ("erd_model", "se_model", "me_model")])
def test_weights_of_the_authors_are_loaded(tmp_path: Path, names: tuple[str, str, str]) -> None:
    expected = exported(tmp_path / "cv1.pt", names=names).state_dict()
    network = SeqNetwork(2)
    PublishedWeights(str(tmp_path / "cv1.pt")).load_into(network)
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_weights_of_the_authors_subtract_live(tmp_path: Path) -> None:
    expected = exported(tmp_path / "cv1.pt").state_dict()
    (tmp_path / "authors.yaml").write_text(
        f"config: seqfeednet.yaml\nmodel: {{init_args: {{width: 2, weights: {{file: {tmp_path / 'cv1.pt'}}}}}}}\n"
    )
    network = load_system(tmp_path / "authors.yaml").module.get_submodule("network")
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    exported(tmp_path / "wide.pt", 4)
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "pickled.pt")
    network = SeqNetwork(2)
    before = copy.deepcopy(network.state_dict())
    for name, message in (
        ("wide", r"wide\.pt: .*\(2, 12, 3, 3\); got \(4, 12, 3, 3\).*width"),
        ("other", r"other\.pt: .*se_model"),
        ("pickled", r"pickled\.pt: .*Python object"),
        ("none", r"none\.pt"),
    ):
        with pytest.raises(UserError, match=message):
            PublishedWeights(str(tmp_path / f"{name}.pt")).load_into(network)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])
    with pytest.raises(UserError, match=r"norm: .*batch.*got image"):
        small(norm="image", weights=PublishedWeights(str(tmp_path / "wide.pt")))
    with pytest.raises(UserError, match=r"weights\.fold: .*got 5"):
        PublishedWeights("cv5.pt", 5)


def test_the_weights_of_a_fold_have_seen_the_videos_of_the_others() -> None:
    folds = {f"CDnet2014:{key}": fold for key, fold in published_folds(4).items()}
    for fold in range(1, 5):
        assert {*PublishedWeights("cv.pt", fold).record} == {key for key in published_record() if folds[key] != fold}
    assert PublishedWeights("cv.pt").record == published_record()


def test_a_test_of_published_weights_needs_no_checkpoint_and_leaks(
    tmp_path: Path, make_video: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """Those of the fold that tests the video have not seen it; how they were chosen is said of any."""
    fold = published_folds(4)["baseline/highway"]
    make_video(tmp_path / "data", "baseline", "highway", unlabelled=4, labelled=4)
    exported(tmp_path / "cv.pt")
    options = [
        "--model=SeqFeedNet", "--model.init_args.width=2", f"--model.init_args.weights.file={tmp_path / 'cv.pt'}",
        "--data=ScenesDataModule", "--data.init_args.protocol=Subset", "--data.init_args.protocol.init_args.train=[]",
        "--data.init_args.protocol.init_args.test=['*/*']", f"--data.init_args.root={tmp_path / 'data'}",
        "--data.init_args.num_workers=0", "--data.init_args.size=[32, 16]", "--wandb=disabled",
        f"--run_dir={tmp_path / 'run'}", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=False",
    ]  # fmt: skip
    assert main(["test", *options]) == 2
    assert "highway" in capfd.readouterr().err
    assert main(["test", *options, f"--model.init_args.weights.fold={fold % 4 + 1}"]) == 2
    assert main(["test", *options, f"--model.init_args.weights.fold={fold}"]) == 0
    out = capfd.readouterr().out
    assert "unseen scenes" in out
    assert "chosen on the test videos" in " ".join(out.split())
