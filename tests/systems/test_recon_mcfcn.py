"""Reconstruction and MCFCN in three stages, and the frame alone, through the real trainer and datamodule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_training
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from made_batches import random_batch
from numpy.typing import NDArray
from tiny_training import (
    TORCHVISION,
    Begins,
    assert_alike,
    content,
    each_step,
    fit_whole,
    moved,
    quiet,
    random_vgg,
    resume_whole,
    trainer,
    undecayed,
    weights,
)
from torch import Tensor, nn

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Image, ScenesDataModule, Stage, TruthBackground
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.report.learning import learning_curves
from bgsub_lightning.splits import FirstHalf, Protocol, SceneWise, Subset
from bgsub_lightning.systems.pretrained import Pretrained, Sgd
from bgsub_lightning.systems.recon_mcfcn import FrameFcn, ReconMcfcn
from bgsub_lightning.systems.recon_mcfcn.background import ReconstructedBackground
from bgsub_lightning.systems.vgg import VGG_LAYERS
from bgsub_lightning.training.callbacks import BestCheckpoint, LastCheckpoint, StageCheckpoints

RECONSTRUCT = Stage(steps=4, batch_size=2, lr=1e-4)
SEGMENT = Stage(steps=3, batch_size=2, lr=1e-2, decay="cosine")
JOINT = Stage(steps=3, batch_size=1, lr=1e-4)
STEPS, FIRST_OF_SEGMENT, FIRST_OF_JOINT = 10, 4, 7
Fcn = FrameFcn | ReconMcfcn
NETWORKS = ("reconstruction", "segmentation")
SIZE, GRID = 49, 7

pytestmark = quiet


def module(seed: int = 0, initial: Path | None = None, **settings: Any) -> ReconMcfcn:
    seed_everything(seed, verbose=False)
    stages = {"reconstruct": RECONSTRUCT, "segment": SEGMENT, "joint": JOINT}
    system = ReconMcfcn(**{"bottleneck": 8, "width": 4, "mcfcn_width": 4, "size": SIZE, **stages, **settings})
    system.initial_weights = initial
    return system


def frame_fcn(seed: int = 0, **settings: Any) -> FrameFcn:
    seed_everything(seed, verbose=False)
    return FrameFcn(**{"mcfcn_width": 4, "size": SIZE, "segment": SEGMENT, **settings})


@pytest.fixture
def root(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Two scenes of 6 labelled frames of 32×24, of which the first 3 are trained on."""
    for name in ("highway", "office"):
        make_video(tmp_path / "data", "baseline", name, size=(32, 24), unlabelled=2)
    return tmp_path / "data"


def datamodule(root: Path, system: Fcn, protocol: Protocol | None = None, **settings: Any) -> ScenesDataModule:
    settings = {"size": None, "num_workers": 0, "flip": 0.5, "eval_batch_size": 4, **settings}
    return ScenesDataModule(system.inputs, protocol or FirstHalf(), root, plan=system.plan, **settings)


def fit(root: Path, folder: Path, system: Fcn, callbacks: Sequence[Callback] = (), **settings: Any) -> Trainer:
    return fit_whole(system, datamodule(root, system), folder, callbacks, **settings)


def is_statistic(key: str) -> bool:
    return key.endswith(("running_mean", "running_var", "num_batches_tracked"))


class Watcher(tiny_training.Watcher):
    """Notes as well whether the reconstruction's batch normalisation is on batch statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.normalises: list[set[bool]] = []

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        super().on_before_optimizer_step(trainer, pl_module, optimizer)
        assert isinstance(pl_module, ReconMcfcn)
        layers = pl_module.reconstruction.modules()
        self.normalises.append({layer.training for layer in layers if isinstance(layer, nn.BatchNorm2d)})


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Path:
    """A run that nothing interrupted, with a checkpoint of each step."""
    fit(root, tmp_path / "whole", module(), [each_step(tmp_path / "whole")])
    return tmp_path / "whole"


# --- losses ----------------------------------------------------------------------------------------------------------


def batch(height: int = 24, width: int = 32, size: int = 2) -> Any:
    return random_batch(size, height, width, image=(3,), truth_background=(3,), mask=())


def lively(system: ReconMcfcn) -> ReconMcfcn:
    """Give the reconstruction weights whose output is not almost 0, as those that it begins with are."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in system.reconstruction.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(std=0.2, generator=generator))
    return system.eval()


def test_reconstruction_loss_is_the_sum_over_both_ranges() -> None:
    system, data = lively(module()), batch(128, 128, 3)
    losses = system.losses(data)
    assert set(losses) == {"reconstruction"}
    with torch.no_grad():
        restored = system.reconstruction(2 * data["image"] - 1).double().numpy()
    assert restored.std() > 0.05
    truth = 2 * data["truth_background"].double().numpy() - 1
    assert losses["reconstruction"].item() == pytest.approx(np.sum((restored - truth) ** 2) / (2 * 3), rel=1e-5)
    losses["reconstruction"].backward()
    assert all(p.grad is not None for p in system.reconstruction.parameters())
    assert all(p.grad is None for p in system.segmentation.parameters())


def test_reconstruction_is_shown_frames_of_128_pixels() -> None:
    system, seen = module().eval(), []
    system.reconstruction.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    image = torch.full((2, 3, 240, 320), 0.75)
    assert system.background(image).shape == (2, 3, 128, 128)
    torch.testing.assert_close(seen[0], torch.full((2, 3, 128, 128), 0.5))


def cross_entropy(logits: NDArray[np.float64], mask: NDArray[np.uint8]) -> float:
    """Equation 2 by hand: minus the mean log-probability of the labels, over the pixels that have one."""
    chances = np.exp(logits - logits.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    foreground, background = mask == 255, (mask == 0) | (mask == 50)
    total = np.log(chances[:, 1][foreground]).sum() + np.log(chances[:, 0][background]).sum()
    return float(-total / (foreground.sum() + background.sum()))


def test_segmentation_loss_on_the_grid() -> None:
    """Output i lies on pixel 8i of the network's input, as corners are aligned; its label is the nearest there."""
    system, data = module(), batch()
    logits = torch.randn(2, 2, GRID, GRID, requires_grad=True)
    loss = system.segmentation_loss(logits, data)
    rows, columns = (np.floor((8 * np.arange(GRID) + 0.5) * side / SIZE).astype(int) for side in (24, 32))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (0, 23, 0, 31)
    mask = data["mask"].numpy()[:, rows][:, :, columns]
    assert loss.item() == pytest.approx(cross_entropy(logits.detach().double().numpy(), mask), rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    ignored = torch.from_numpy(np.isin(mask, (85, 170)))
    assert 0 < ignored.sum() < ignored.numel()
    assert torch.equal(logits.grad.abs().sum(1) == 0, ignored)


def test_segmentation_loss_at_full_size() -> None:
    system, data = module(loss_size="full"), batch()
    logits = torch.randn(2, 2, GRID, GRID, requires_grad=True)
    loss = system.segmentation_loss(logits, data)
    rows, columns = (np.floor((np.arange(SIZE) + 0.5) * side / SIZE).astype(int) for side in (24, 32))
    mask = data["mask"].numpy()[:, rows][:, :, columns]
    at = np.arange(SIZE) / 8
    line = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(GRID)))  # weights of the outputs for each pixel
    large = np.einsum("yi,xj,bcij->bcyx", line, line, logits.detach().double().numpy())
    assert loss.item() == pytest.approx(cross_entropy(large, mask), rel=1e-5)

    data["mask"][:] = 170
    data["mask"][0, 0, 0] = 255  # the first pixels of the input alone have a label
    (gradient,) = torch.autograd.grad(system.segmentation_loss(logits, data), logits)
    assert gradient[0, :, 0, 0].abs().min() > 0
    assert not gradient[1].any()
    assert not gradient[0, :, 2:].any()
    assert not gradient[0, :, :, 2:].any()


@pytest.mark.parametrize("size", ["grid", "full"])
def test_nothing_is_learnt_where_nothing_is_known(size: str) -> None:
    system, data = module(loss_size=size), batch()
    data["mask"][:] = 85
    logits = torch.randn(2, 2, GRID, GRID, requires_grad=True)
    loss = system.segmentation_loss(logits, data)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_labels_are_those_of_the_rule() -> None:
    data = batch()
    logits = torch.randn(2, 2, GRID, GRID)
    found = {rule: module(labels=rule).segmentation_loss(logits, data).item() for rule in LabelRule}
    assert len(set(found.values())) == len(LabelRule)


def test_step_segment_does_not_reach_the_reconstruction() -> None:
    system, data = lively(module(begin="segment")), batch()
    losses = system.losses({key: value for key, value in data.items() if key != "truth_background"})  # type: ignore[typeddict-item]
    assert set(losses) == {"segmentation"}
    losses["segmentation"].backward()
    assert all(p.grad is None for p in system.reconstruction.parameters())
    assert all(p.grad is not None for p in system.segmentation.parameters())


def test_joint_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """L_rec + λ L_seg; L_seg alone reaches every parameter of both networks."""
    data = batch()
    systems = [lively(module(begin="joint", segmentation_weight=weight)) for weight in (1.0, 3.0)]
    one, three = (system.losses(data) for system in systems)
    assert set(one) == {"reconstruction", "segmentation"}
    assert torch.equal(one["reconstruction"], three["reconstruction"])
    torch.testing.assert_close(3 * one["segmentation"], three["segmentation"])
    monkeypatch.setattr(systems[1], "log", lambda *_, **__: None)
    torch.testing.assert_close(systems[1].training_step(data, 0), one["reconstruction"] + 3 * one["segmentation"])
    expected = systems[0].segmentation_loss(systems[0](data["image"]), data)
    torch.testing.assert_close(one["segmentation"], expected)

    one["segmentation"].backward()
    for name, parameter in systems[0].named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_frame_alone() -> None:
    system, data = frame_fcn().eval(), batch()
    losses = system.losses(data)
    assert set(losses) == {"segmentation"}
    torch.testing.assert_close(losses["segmentation"], system.segmentation_loss(system(data["image"]), data))
    assert system.segmentation.channels == 3


# --- what the networks see, and what they answer ---------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["unit", "imagenet", "caffe"])
def test_range_of_the_input(wanted: str) -> None:
    settings = {} if wanted == "unit" else {"pretrained": Pretrained("file.pth", range=wanted)}
    system, seen = lively(module(**settings)), []
    system.segmentation.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    image = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        system(image)
        restored = (system.background(image) + 1) / 2
    large = nn.functional.interpolate(restored, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
    assert seen[0].shape == (2, 6, SIZE, SIZE)
    for part, unit in zip(seen[0].split(3, 1), (image, large), strict=True):
        red, green, blue = unit.unbind(1)
        expected = {
            "unit": 2 * unit - 1,
            "imagenet": torch.stack([(red - 0.485) / 0.229, (green - 0.456) / 0.224, (blue - 0.406) / 0.225], dim=1),
            "caffe": torch.stack([255 * blue - 104.00699, 255 * green - 116.66877, 255 * red - 122.67892], dim=1),
        }[wanted]
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-4)


def position(height: int, width: int) -> Tensor:
    """A picture that says where a pixel lies, from 0 at one edge to 1 at the other: down, across, and both."""
    down, across = torch.meshgrid(*((torch.arange(n) + 0.5) / n for n in (height, width)), indexing="ij")
    return torch.stack([down, across, (down + across) / 2])


@pytest.mark.parametrize("frame", [(240, 320), (100, 60), (480, 720)])
@torch.no_grad()
def test_an_ideal_background_lies_where_the_frame_does(frame: tuple[int, int]) -> None:
    """Through 128×128, in the second network's input and in the thresholded difference."""
    system, seen = module(size=241).eval(), []
    system.segmentation.register_forward_pre_hook(lambda _, given: seen.append((given[0] + 1) / 2))
    system.reconstruction.forward = lambda image: image  # type: ignore[method-assign]  # restores what it is shown
    image = position(*frame)[None]
    system(image)
    inside = (..., slice(24, -24), slice(24, -24))
    for part in seen[0].split(3, 1):
        assert (part[0] - position(241, 241))[inside].abs().max() * 241 < 0.1  # of its pixels

    source = ReconstructedBackground(8, 4)
    source.network.forward = lambda image: image  # type: ignore[method-assign]
    height, width = frame
    inside = (..., slice(height // 10, -height // 10), slice(width // 10, -width // 10))
    assert (source.estimate(source.begin_scene(), image) - image)[inside].abs().max() * max(frame) < 0.1


@pytest.mark.parametrize("frame", [(240, 320), (100, 60), (480, 720)])
@torch.no_grad()
def test_the_answer_lies_where_the_frame_does(frame: tuple[int, int]) -> None:
    """Output i of the grid lies on pixel 8i of the network's input; what it says there is said of that place."""
    system = module(size=241).eval()
    on_grid = (8 * torch.arange(31) + 0.5) / 241  # shares of the picture
    logits = torch.zeros(1, 2, 31, 31)
    logits[0, 1] = on_grid[None, :] + 2 * on_grid[:, None]
    system.segmentation.forward = lambda _: logits  # type: ignore[method-assign]
    found = system.probability(system.begin_scene({}), {"image": torch.zeros(1, 3, *frame)})[0, 0].logit()
    down, across, _ = position(*frame)
    height, width = frame
    inside = (slice(height // 10, -height // 10), slice(width // 10, -width // 10))
    assert (found - across - 2 * down)[inside].abs().max() * max(frame) < 0.1


@pytest.mark.parametrize("make", [module, frame_fcn])
@pytest.mark.parametrize("size", [(24, 32), (37, 51), (SIZE, SIZE)])
@torch.no_grad()
def test_probability_is_of_the_frames_own_size(make: Callable[..., Fcn], size: tuple[int, int]) -> None:
    system = make().eval()
    for layer in (system.segmentation.fc8,):
        layer.weight.normal_()
    data = batch(*size, size=3)
    context = system.begin_scene({})
    probability = system.probability(context, data)
    assert probability.shape == (1, 3, *size)
    assert 0 <= probability.min() < probability.max() <= 1
    logits = system(data["image"])
    if size == (SIZE, SIZE):
        torch.testing.assert_close(probability[0, :, ::8, ::8], logits.softmax(1)[:, 1])
    torch.testing.assert_close(system.probability(context, batch(*size, size=3))[0, :1], probability[0, :1])


@torch.no_grad()
def test_background_pictures() -> None:
    system, data = lively(module()), batch()
    context = system.begin_scene({})
    assert context.pictures() == {}
    system.probability(context, data)
    pictures = context.pictures()
    assert list(pictures) == ["reconstruction"]
    torch.testing.assert_close(pictures["reconstruction"], (system.background(data["image"])[-1] + 1) / 2)
    system.losses(data)
    context = system.begin_scene({})
    system.probability(context, data)
    assert list(context.pictures()) == ["ground truth of a training frame", "reconstruction"]
    assert torch.equal(context.pictures()["ground truth of a training frame"], data["truth_background"][-1])
    for picture in context.pictures().values():
        assert picture.ndim == 3
        assert 0 <= picture.min() <= picture.max() <= 1
    assert frame_fcn().begin_scene({}).pictures() == {}


# --- the numbers -----------------------------------------------------------------------------------------------------


def test_the_stages_and_their_inputs() -> None:
    """The paper's numbers are in the README, and tests/test_experiments.py holds the defaults to them."""
    with torch.device("meta"):
        system = ReconMcfcn()
    assert (system.reconstruction.size, system.segmentation.fc6.dilation) == (128, (6, 6))
    assert system.inputs == (Image(),)
    reconstruct, segment, joint = system.plan
    assert [span.name for span in system.plan] == ["reconstruct", "segment", "joint"]
    assert [span.learns for span in system.plan] == [NETWORKS[:1], NETWORKS[1:], NETWORKS]
    assert [span.draws for span in system.plan] == [4, 2, 1]
    assert [span.running_statistics for span in system.plan] == [(), (), NETWORKS[:1]]
    for span, keys in ((reconstruct, 2), (segment, 1), (joint, 2)):
        assert [entry.key for entry in span.inputs] == ["image", "truth_background"][:keys]
    truth = reconstruct.inputs[1]
    assert isinstance(truth, TruthBackground)
    assert truth.neighbours == 31


def test_frame_alone_has_the_numbers_of_the_second_step() -> None:
    with torch.device("meta"):
        system = FrameFcn()
    (segment,) = system.plan
    assert segment.stage == Stage(6_000, 2, 1e-3, "constant")
    assert (system.size, system.loss_size, system.sgd) == (961, "grid", Sgd(0.9, 5e-4, False))
    assert sum(p.numel() for p in system.parameters()) == 20_487_682 - 3 * 64 * 9


def test_optimizer() -> None:
    optimizer = module().configure_optimizers()["optimizer"]  # type: ignore[index, call-overload]
    assert type(optimizer) is torch.optim.SGD
    assert [group["name"] for group in optimizer.param_groups] == undecayed(NETWORKS)
    for group in optimizer.param_groups:
        assert group["momentum"] == 0.9
        assert group["weight_decay"] == (5e-4 if group["name"] in NETWORKS else 0)
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["name"] in NETWORKS}
    assert not any(group["nesterov"] or group["dampening"] for group in optimizer.param_groups)
    other = module(sgd=Sgd(0.5, 0.0)).configure_optimizers()["optimizer"]  # type: ignore[index, call-overload]
    assert all((group["momentum"], group["weight_decay"]) == (0.5, 0.0) for group in other.param_groups)
    whole = module(sgd=Sgd(decay_all=True)).configure_optimizers()["optimizer"]  # type: ignore[index, call-overload]
    assert [(group["name"], group["weight_decay"]) for group in whole.param_groups] == [(n, 5e-4) for n in NETWORKS]


@pytest.mark.parametrize("size", [960, 48, 1, 0, -7, 9 - 1])
@pytest.mark.parametrize("make", [module, frame_fcn])
def test_size_must_fit_the_stride(make: Callable[..., Fcn], size: int) -> None:
    with pytest.raises(UserError, match=rf"model\.init_args\.size: .*8k \+ 1.*{size}\."):
        make(size=size)


def test_batch_normalisation_needs_two_frames() -> None:
    with pytest.raises(UserError, match=r"model\.init_args\.reconstruct\.batch_size: .* needs 2 frames, got 1\."):
        module(reconstruct=replace(RECONSTRUCT, batch_size=1))


# --- stages ----------------------------------------------------------------------------------------------------------


def test_only_what_a_stage_trains_moves(run: Path) -> None:
    start, restored, segmented, end = (
        weights(run / f"step={step}.ckpt") for step in (1, FIRST_OF_SEGMENT, FIRST_OF_JOINT, STEPS)
    )
    learnt = {name for name, _ in module().named_parameters()}
    reconstruction = {name for name in start if name.startswith("reconstruction")}
    statistics = {name for name in reconstruction if is_statistic(name)}
    assert len(statistics) == 3 * 10
    assert moved(start, restored, "segmentation") == set()
    assert moved(start, restored, "reconstruction") >= statistics
    assert moved(restored, segmented, "reconstruction") == set()
    assert moved(restored, segmented, "segmentation")
    changed = moved(segmented, end, "reconstruction")
    assert not changed & statistics
    # a step of a scale near 1 may be smaller than what a float can show
    assert {name for name in reconstruction & learnt if end[name].ndim > 1} <= changed
    assert moved(segmented, end, "segmentation")


def test_rates_momentum_modes_and_gradients(root: Path, tmp_path: Path) -> None:
    system, watcher = module(), Watcher()
    fit(root, tmp_path, system, [watcher])
    assert watcher.rates == [{name: system.plan.rate(name, step) for name in NETWORKS} for step in range(STEPS)]
    assert [rates["reconstruction"] for rates in watcher.rates] == [1e-4] * 4 + [0.0] * 3 + [1e-4] * 3
    assert [rates["segmentation"] > 0 for rates in watcher.rates] == [False] * 4 + [True] * 6
    assert watcher.sizes == [2] * 7 + [1] * 3
    assert watcher.modes == [(True, False)] * 4 + [(False, True)] * 3 + [(True, True)] * 3
    assert watcher.normalises == [{True}] * 4 + [{False}] * 6
    assert ["truth_background" in keys for keys in watcher.keys] == [True] * 4 + [False] * 3 + [True] * 3
    counts = [len(list(getattr(system, name).parameters())) for name in NETWORKS]
    expected = [counts[0]] * 4 + [counts[1]] * 3 + [sum(counts)] * 3
    assert watcher.moments == [0 if step in (0, 4, 7) else expected[step] for step in range(STEPS)]
    for step, gradients in enumerate(watcher.gradients):
        for name, has in gradients.items():
            assert has == (name.split(".")[0] in system.plan.at(step).learns), (step, name)


def test_a_stage_begins_with_fresh_momentum(run: Path) -> None:
    """After one step from a gradient alone, SGD's buffer is what the weights have moved by."""
    for step in (FIRST_OF_SEGMENT, FIRST_OF_JOINT):
        before, after = (content(run / f"step={number}.ckpt") for number in (step, step + 1))
        system = module()
        of_id = {id(parameter): name for name, parameter in system.named_parameters()}
        groups = system.configure_optimizers()["optimizer"].param_groups  # type: ignore[index, call-overload]
        names = [of_id[id(parameter)] for group in groups for parameter in group["params"]]
        rate = 1e-2 if step == FIRST_OF_SEGMENT else 1e-4
        state = after["optimizer_states"][0]["state"]
        assert state
        for index, name in enumerate(names):
            if index in state:
                expected = before["state_dict"][name] - rate * state[index]["momentum_buffer"]
                torch.testing.assert_close(after["state_dict"][name], expected, rtol=1e-4, atol=1e-7)


def test_validation_changes_nothing(run: Path, root: Path, tmp_path: Path) -> None:
    system, watcher = module(), Watcher()
    callbacks = [watcher, StageCheckpoints(), BestCheckpoint(), LastCheckpoint(1), each_step(tmp_path / "b")]
    fit(root, tmp_path / "validated", system, callbacks, limit_val_batches=1.0, val_check_interval=1)
    for step in range(1, STEPS + 1):
        expected, found = weights(run / f"step={step}.ckpt"), weights(tmp_path / f"b/step={step}.ckpt")
        assert not moved(expected, found, ""), step
    assert watcher.modes == [(True, False)] * 4 + [(False, True)] * 3 + [(True, True)] * 3
    folder = tmp_path / "validated/checkpoints"
    names = {"after_reconstruct.ckpt", "after_segment.ckpt", "best.ckpt", "last.ckpt", "previous.ckpt"}
    assert {path.name for path in folder.iterdir()} == names
    assert content(folder / "best.ckpt")["global_step"] > FIRST_OF_JOINT
    for name, step in (("reconstruct", FIRST_OF_SEGMENT), ("segment", FIRST_OF_JOINT)):
        saved = content(folder / f"after_{name}.ckpt")
        assert saved["global_step"] == step
        assert not moved(saved["state_dict"], weights(run / f"step={step}.ckpt"), "")


# --- resuming --------------------------------------------------------------------------------------------------------


def resume(root: Path, folder: Path, checkpoint: Path, make: Callable[..., Fcn] = module, workers: int = 0) -> Path:
    system = make(seed=7)  # the weights it begins with do not matter
    return resume_whole(system, datamodule(root, system, num_workers=workers), folder, checkpoint)


@pytest.mark.parametrize(
    ("steps", "workers"), [(range(1, STEPS), 0), pytest.param((2, 4, 5, 7, 8), 2, marks=pytest.mark.slow)]
)
def test_resume_is_exact(run: Path, root: Path, tmp_path: Path, steps: Sequence[int], workers: int) -> None:
    """From every step: with dropout, whose draws no checkpoint holds."""
    for step in steps:
        found = resume(root, tmp_path / f"resumed {step}", run / f"step={step}.ckpt", workers=workers)
        assert_alike(run / f"step={STEPS}.ckpt", found)


def test_dropout_is_another_at_each_step_and_seed(root: Path, tmp_path: Path) -> None:
    drawn: list[Tensor] = []

    class Looks(Callback):
        def on_train_batch_start(
            self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
        ) -> None:
            assert isinstance(pl_module, FrameFcn)
            self.hook = pl_module.segmentation.dropout.register_forward_hook(
                lambda _, given, dropped: drawn.append((dropped == 0) & (given[0] != 0))
            )

        def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
            self.hook.remove()

    for seed in (0, 0, 1):
        system = frame_fcn()
        trainer(tmp_path, [Looks()]).fit(system, datamodule(root, system, seed=seed, flip=0.0))
    first, again, other = drawn[:6], drawn[6:12], drawn[12:]
    assert all(each.any() and not each.all() for each in drawn)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not any(torch.equal(first[i], first[j]) for i in (0, 2, 4) for j in (0, 2, 4) if i != j)


def test_checkpoints_hold_the_stages(run: Path) -> None:
    loaded = ReconMcfcn.load_from_checkpoint(run / "step=9.ckpt", weights_only=True)
    assert loaded.hparams["joint"] == JOINT
    assert len(loaded.plan) == STEPS


# --- beginning with what another run has learnt ----------------------------------------------------------------------


@pytest.mark.parametrize(("begin", "step"), [("segment", FIRST_OF_SEGMENT), ("joint", FIRST_OF_JOINT)])
def test_a_run_begins_with_the_weights_of_another(run: Path, root: Path, tmp_path: Path, begin: str, step: int) -> None:
    initial = run / f"step={step}.ckpt"
    make = lambda seed=7: module(seed, begin=begin, initial=initial)  # noqa: E731
    system, begins, watcher = make(), Begins(), Watcher()
    assert [span.name for span in system.plan] == ["segment", "joint"][["segment", "joint"].index(begin) :]
    fit(root, tmp_path / "b", system, [begins, watcher, each_step(tmp_path / "b")])
    assert not moved(weights(initial), begins.weights, "")
    assert watcher.normalises == [{False}] * len(system.plan)
    end = weights(tmp_path / f"b/step={len(system.plan)}.ckpt")
    assert moved(begins.weights, end, "reconstruction")
    assert moved(begins.weights, end, "segmentation")
    assert not any(map(is_statistic, moved(begins.weights, end, "")))

    initial.unlink()  # it is not needed to resume, to test or to load
    found = resume(root, tmp_path / "c", tmp_path / "b/step=2.ckpt", make)
    assert_alike(tmp_path / f"b/step={len(system.plan)}.ckpt", found)
    tester = trainer(tmp_path, [each_step(tmp_path)])
    tester.test(make(), datamodule(root, system), tmp_path / "b/step=2.ckpt", verbose=False)
    loaded = ReconMcfcn.load_from_checkpoint(tmp_path / "b/step=2.ckpt", weights_only=True)
    assert not moved(loaded.state_dict(), weights(tmp_path / "b/step=2.ckpt"), "")


def test_what_the_other_run_was_trained_on_is_not_forgotten(root: Path, tmp_path: Path) -> None:
    """Or a test of its training frames would pass the leak guard."""
    first, checkpoint = module(), each_step(tmp_path / "a")
    fitted = trainer(tmp_path / "a", [checkpoint], max_steps=1)
    fitted.fit(first, datamodule(root, first, Subset(["baseline/highway"], ["baseline/office"])))
    system = module(begin="joint", initial=tmp_path / "a/step=1.ckpt")
    trainer(tmp_path / "b").fit(system, datamodule(root, system, Subset(["baseline/office"], ["baseline/highway"])))
    assert set(system.trained_on) == {"CDnet2014:baseline/highway", "CDnet2014:baseline/office"}


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_a_weight_of_the_segmentation_is_a_positive_number(weight: float) -> None:
    with pytest.raises(UserError, match=rf"model\.init_args\.segmentation_weight: .* got {weight}\."):
        module(segmentation_weight=weight)


@pytest.mark.parametrize("begin", ["segment", "joint"])
def test_a_later_stage_needs_trained_networks(begin: str, root: Path, tmp_path: Path) -> None:
    message = rf"model\.init_args\.begin: to begin with {begin}, name a checkpoint .* --initial_weights FILE"
    with pytest.raises(UserError, match=message):
        fit(root, tmp_path, module(begin=begin))


def test_initial_weights_that_cannot_be_used(run: Path, root: Path, tmp_path: Path) -> None:
    def fails(message: str, initial: Path, **settings: Any) -> None:
        system = module(begin="joint", initial=initial, **settings)
        with pytest.raises(UserError, match=message):
            trainer(tmp_path / "b").fit(system, datamodule(root, system))

    sound = run / "step=9.ckpt"
    fails(r"initial_weights: .*none\.ckpt: there is no such checkpoint", tmp_path / "none.ckpt")
    fails(r"step=9\.ckpt: .*ReconMcfcn .*reconstruction", sound, width=8)
    fails(r"step=9\.ckpt: .*ReconMcfcn .*segmentation", sound, mcfcn_width=8)
    fit(root, tmp_path / "frame", frame_fcn(), [each_step(tmp_path / "frame")])
    fails(r"step=3\.ckpt: .*FrameFcn.*ReconMcfcn", tmp_path / "frame/step=3.ckpt")
    torch.save({"state_dict": module().state_dict()}, tmp_path / "bare.pth")
    fails(r"bare\.pth: .*trained_on", tmp_path / "bare.pth")
    message = r"step=9\.ckpt: .* inputs of the range unit; got imagenet\. Set --model"
    fails(message, sound, pretrained=Pretrained("vgg16.pth", range="imagenet"))


# --- pretrained weights ----------------------------------------------------------------------------------------------


@pytest.fixture
def vgg(tmp_path: Path) -> Path:
    return random_vgg(tmp_path / "vgg16.pth", width=4)


def vgg_layers(file: Path, found: dict[str, Tensor]) -> list[str]:
    """The layers that are the file's; without the first, which has more channels."""
    state = torch.load(file, weights_only=True)
    return [
        layer
        for index, layer in zip(TORCHVISION, VGG_LAYERS, strict=False)
        if found[f"segmentation.{layer}.weight"].shape == state[f"features.{index}.weight"].shape
        and torch.equal(found[f"segmentation.{layer}.weight"], state[f"features.{index}.weight"])
        and torch.equal(found[f"segmentation.{layer}.bias"], state[f"features.{index}.bias"])
    ]


def test_given_weights_are_loaded_when_a_fit_begins_and_then_only(
    vgg: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(seed: int = 0) -> ReconMcfcn:
        return module(seed, pretrained=Pretrained(str(vgg), range="imagenet"))

    begins = Begins()
    fit(root, tmp_path / "a", make(), [begins, each_step(tmp_path / "a")])
    output = capsys.readouterr().out
    assert f"Weights of {vgg}" in output
    assert "loaded: conv1_2, conv2_1," in output
    assert "newly drawn: conv1_1, fc6, fc7, fc8" in output
    assert "not used: features.0.bias, features.0.weight" in output
    assert vgg_layers(vgg, begins.weights) == list(VGG_LAYERS[1:13])
    assert vgg_layers(vgg, weights(tmp_path / "a/step=4.ckpt")) == list(VGG_LAYERS[1:13])
    assert vgg_layers(vgg, weights(tmp_path / "a/step=5.ckpt")) == []

    file, kept = vgg.read_bytes(), tmp_path / "kept.pth"
    vgg.unlink()  # neither a continued fit nor a test reads it
    assert_alike(tmp_path / "a/step=10.ckpt", resume(root, tmp_path / "b", tmp_path / "a/step=5.ckpt", make))
    system = make()
    tester = trainer(tmp_path, [each_step(tmp_path)])
    tester.test(system, datamodule(root, system), tmp_path / "a/step=5.ckpt", verbose=False)
    assert not moved(system.state_dict(), weights(tmp_path / "a/step=5.ckpt"), "")
    assert "Weights of" not in capsys.readouterr().out

    vgg.write_bytes(file)  # the second step again, with given weights and the reconstruction of the run
    kept.write_bytes(file)
    again = module(
        3, pretrained=Pretrained(str(kept), range="imagenet"), begin="segment", initial=tmp_path / "a/step=7.ckpt"
    )
    fit(root, tmp_path / "c", again, [begins])
    assert vgg_layers(kept, begins.weights) == list(VGG_LAYERS[1:13])
    assert not moved(weights(tmp_path / "a/step=7.ckpt"), begins.weights, "reconstruction")
    onward = module(
        3, pretrained=Pretrained(str(kept), range="imagenet"), begin="joint", initial=tmp_path / "a/step=7.ckpt"
    )
    fit(root, tmp_path / "d", onward, [begins])
    assert not moved(weights(tmp_path / "a/step=7.ckpt"), begins.weights, "")


def test_without_weights_it_is_said_that_training_starts_from_scratch(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system = frame_fcn()
    fit(root, tmp_path, system)
    sentence = "No pretrained weights are given: VGG's layers start from He's initialisation."
    assert capsys.readouterr().out.count(sentence) == 1


@pytest.mark.parametrize(("first_layer", "drawn"), [("normal", True), ("frame", False)])
def test_first_layer(vgg: Path, root: Path, tmp_path: Path, first_layer: str, drawn: bool) -> None:
    system, begins = module(pretrained=Pretrained(str(vgg)), first_layer=first_layer), Begins()
    trainer(tmp_path, [begins], max_steps=1).fit(system, datamodule(root, system))
    layer = begins.weights["segmentation.conv1_1.weight"]
    given = torch.load(vgg, weights_only=True)["features.0.weight"]
    assert torch.equal(layer[:, :3], given) != drawn
    assert bool(layer[:, 3:].any()) == drawn


def test_the_frame_alone_takes_all_of_a_vgg(vgg: Path, root: Path, tmp_path: Path) -> None:
    system, begins = frame_fcn(pretrained=Pretrained(str(vgg))), Begins()
    fit(root, tmp_path, system, [begins])
    assert vgg_layers(vgg, begins.weights) == list(VGG_LAYERS[:13])


def test_weights_are_checked(vgg: Path, root: Path, tmp_path: Path) -> None:
    for settings, message in (
        ({"pretrained": Pretrained(str(vgg), "0" * 64)}, "must have the sha256 0000"),
        ({"mcfcn_width": 2}, "features.0.weight has the shape"),
    ):
        system = module(**{"pretrained": Pretrained(str(vgg)), **settings})
        with pytest.raises(UserError, match=message):
            trainer(tmp_path).fit(system, datamodule(root, system))


# --- trainers and data of all sorts ----------------------------------------------------------------------------------


def test_gradient_clipping_is_by_sub_network(run: Path, root: Path, tmp_path: Path) -> None:
    norms: dict[str, list[float]] = {name: [] for name in NETWORKS}

    class Looks(Callback):
        def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
            for name in NETWORKS:
                gradients = [p.grad.norm() for p in getattr(pl_module, name).parameters() if p.grad is not None]
                if gradients:
                    norms[name].append(torch.stack(gradients).norm().item())

    system = module()
    fit(root, tmp_path / "clipped", system, [Looks()], gradient_clip_val=0.1)
    assert {name: len(found) for name, found in norms.items()} == {"reconstruction": 6, "segmentation": 5}
    for name in NETWORKS:
        assert max(norms[name]) == pytest.approx(0.1, rel=1e-3)
    # in the joint stage as well, where the sum over pixels of one loss is thousands of times the other's mean
    assert min(norms["segmentation"][-2:]) > 0.09
    assert moved(weights(run / "step=10.ckpt"), system.state_dict(), "reconstruction")


@pytest.mark.parametrize(
    "clip", [{}, {"gradient_clip_val": 0.1}, {"gradient_clip_val": 1e-3, "gradient_clip_algorithm": "value"}]
)
def test_norms_are_logged_as_they_were_before_clipping(clip: dict[str, Any], root: Path, tmp_path: Path) -> None:
    """Of the sub-networks that learn, at each step."""
    norms: dict[str, list[tuple[int, float]]] = {name: [] for name in NETWORKS}

    class Looks(Callback):
        def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
            for name in NETWORKS:
                gradients = [p.grad for p in getattr(pl_module, name).parameters() if p.grad is not None]
                if gradients:
                    norm = torch.cat([each.double().flatten() for each in gradients]).norm().item()
                    norms[name].append((trainer.global_step, norm))

    logger = CSVLogger(tmp_path, name="csv")
    fit(root, tmp_path / "run", module(), [Looks()], logger=logger, log_every_n_steps=1, **clip)
    curves = learning_curves(tmp_path)
    for name, expected in norms.items():
        found = curves[f"train/gradient_norm/{name}"]
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [norm for _, norm in found] == pytest.approx([norm for _, norm in expected], rel=1e-4)
        assert min(norm for _, norm in found) > 0.1
    assert [len(found) for found in norms.values()] == [7, 6]


def test_gradients_are_clipped_by_value(root: Path, tmp_path: Path) -> None:
    largest: list[float] = []

    class Looks(Callback):
        def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
            largest.extend(p.grad.abs().max().item() for p in pl_module.parameters() if p.grad is not None)

    fit(root, tmp_path / "clipped", module(), [Looks()], gradient_clip_val=0.001, gradient_clip_algorithm="value")
    assert max(largest) == pytest.approx(0.001)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_lower_precision(root: Path, tmp_path: Path, precision: str) -> None:
    system, watcher = module(), Watcher()
    fitted = fit(root, tmp_path, system, [watcher], precision=precision, limit_val_batches=1.0, val_check_interval=5)
    assert all(p.isfinite().all() for p in system.state_dict().values())
    for step, gradients in enumerate(watcher.gradients):
        assert all(has == (name.split(".")[0] in system.plan.at(step).learns) for name, has in gradients.items())
    fitted.test(system, datamodule(root, system), verbose=False)
    assert list(system.confusion.by_scene()) == ["baseline/highway", "baseline/office"]


@pytest.mark.parametrize("make", [module, frame_fcn])
@pytest.mark.parametrize("protocol", [FirstHalf(), SceneWise(folds=2, exclude=[])], ids=["first half", "scenes"])
def test_protocols(make: Callable[..., Fcn], protocol: Protocol, root: Path, tmp_path: Path) -> None:
    system = make()
    data = datamodule(root, system, protocol)
    fitted = trainer(tmp_path, limit_val_batches=1.0)
    fitted.fit(system, data)
    assert fitted.global_step == len(system.plan)
    fitted.test(system, data, verbose=False)
    tested = system.confusion.by_scene()
    assert len(tested) == (2 if isinstance(protocol, FirstHalf) else 1)
    assert all(len(frames) == 3 for _, frames in data.split.train) == isinstance(protocol, FirstHalf)


@pytest.mark.slow
def test_it_learns_to_subtract(root: Path, tmp_path: Path) -> None:
    """The frame alone as well: the foreground of these videos is the brightest thing in them."""
    stages = {
        "reconstruct": Stage(200, 4, 1e-4, "cosine"),
        "segment": Stage(500, 4, 1e-2, "cosine"),
        "joint": Stage(100, 2, 1e-4, "cosine"),
    }
    both = module(width=8, bottleneck=32, mcfcn_width=8, size=97, loss_size="full", **stages)
    alone = frame_fcn(mcfcn_width=8, size=97, loss_size="full", segment=stages["segment"])
    for name, system in (("both", both), ("alone", alone)):
        fitted = fit(root, tmp_path / name, system)
        found = fitted.test(system, datamodule(root, system), verbose=False)[0]
        assert found["test/f_measure"] > 0.6, name
