"""Metric learning on two frames and the encoder-decoder, through the real trainer and datamodule, on tiny videos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from made_batches import random_batch
from tiny_training import (
    Begins,
    Watcher,
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
from torch import Tensor

from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import BaseImage, BaseMask, EvaluationBatch, Image, ScenesDataModule, Stage
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.frames import SceneFrames, pseudo_coloured
from bgsub_lightning.metrics import confusion_counts
from bgsub_lightning.splits import HoldOut, LabelBudget, Protocol
from bgsub_lightning.systems.pretrained import Pretrained
from bgsub_lightning.systems.siamese import Siamese
from bgsub_lightning.systems.siamese.system import BaseFeatures
from bgsub_lightning.training.callbacks import BestCheckpoint, LastCheckpoint, Pictures, StageCheckpoints

METRIC = Stage(steps=4, batch_size=2, lr=1e-3)
SEGMENT = Stage(steps=4, batch_size=4, lr=1e-2, decay="cosine")
STEPS, FIRST_OF_SEGMENT = 8, 4
NETWORKS = ("siamese", "segmentation")

pytestmark = quiet


def module(seed: int = 0, **settings: Any) -> Siamese:
    seed_everything(seed, verbose=False)
    return Siamese(**{"width": 2, "channels": 2, "depth": 2, "metric": METRIC, "segment": SEGMENT, **settings})


@pytest.fixture
def root(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Two scenes of 10 labelled frames of 32×24, of which 3 are trained on, 1 is held out and 6 are tested."""
    for name in ("highway", "office"):
        make_video(tmp_path / "data", "baseline", name, size=(32, 24), unlabelled=2, labelled=10)
    return tmp_path / "data"


def datamodule(root: Path, system: Siamese, protocol: Protocol | None = None, **settings: Any) -> ScenesDataModule:
    settings = {"size": None, "num_workers": 0, "flip": 0.5, "eval_batch_size": 2, **settings}
    chosen = protocol or LabelBudget(0.4, "random", validation=HoldOut(frames=4))
    return ScenesDataModule(system.inputs, chosen, root, plan=system.plan, **settings)


def fit(root: Path, folder: Path, system: Siamese, callbacks: Sequence[Callback] = (), **settings: Any) -> Trainer:
    return fit_whole(system, datamodule(root, system), folder, callbacks, **settings)


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Path:
    """A run that nothing interrupted, with a checkpoint of each step."""
    fit(root, tmp_path / "whole", module(), [each_step(tmp_path / "whole")])
    return tmp_path / "whole"


def batch(height: int = 24, width: int = 32, size: int = 2) -> Any:
    return random_batch(size, height, width, image=(3,), base_image=(3,), mask=(), base_mask=())


@torch.no_grad()
def lively(system: Siamese) -> Siamese:
    """Centre the features, so that distances are not all as small as those that a network begins with."""
    system.eval()
    seen: list[Tensor] = []
    hook = system.siamese.pyramid.register_forward_hook(lambda _, given, answer: seen.append(answer))
    system.siamese.features(system.ranged(batch(size=8)["image"]))
    hook.remove()
    assert system.siamese.pyramid.bias is not None
    system.siamese.pyramid.bias -= seen[0].mean((0, 2, 3))
    return system


# --- losses ----------------------------------------------------------------------------------------------------------


def contrast_by_hand(system: Siamese, data: Any, tolerance: float = 0.0, margin: float = 2.0) -> tuple[float, float]:
    """Equation 2 place by place, and equation 3; a place has the class of the pixel in the middle of its 4×4."""
    with torch.no_grad():
        distances = system.siamese(2 * data["image"] - 1, 2 * data["base_image"] - 1).double().numpy()
    total = constant = 0.0
    for (n, y, x), d in np.ndenumerate(distances):
        levels = [int(data[key][n, 4 * y + 2, 4 * x + 2]) for key in ("mask", "base_mask")]
        if not {85, 170} & {*levels}:
            moving = sum(level == 255 for level in levels)
            kind = {0: 2, 1: 0, 2: 1}[moving]
            total += kind / 2 * max(d - tolerance, 0) ** 2 + (1 - kind / 2) * max(margin - d, 0) ** 2
            constant += 1 / (1.5 - kind)
    return total / (2 * len(distances)), constant / (2 * len(distances))


@pytest.mark.parametrize(("tolerance", "margin"), [(0.0, 2.0), (0.2, 2.0), (0.0, 1.0)])
def test_contrast(tolerance: float, margin: float) -> None:
    system, data = lively(module(tolerance=tolerance, margin=margin)), batch()
    losses = system.losses(data)
    assert set(losses) == {"contrast"}
    assert losses["contrast"].item() == pytest.approx(contrast_by_hand(system, data, tolerance, margin)[0], rel=1e-5)
    losses["contrast"].backward()
    assert all(p.grad is not None for p in system.siamese.parameters())
    assert all(p.grad is None for p in system.segmentation.parameters())


def test_the_constant_is_shown_and_changes_no_gradient() -> None:
    data = batch()
    plain, shown = module(), module(tau=1.5)
    losses = shown.losses(data)
    assert losses["constant"].item() == pytest.approx(contrast_by_hand(shown, data)[1], rel=1e-5)
    sum(losses.values(), torch.zeros(())).backward()
    plain.losses(data)["contrast"].backward()
    for one, other in zip(plain.siamese.parameters(), shown.siamese.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)


def test_labels_are_those_of_the_rule() -> None:
    data = batch(96, 128)
    found = {rule: module(labels=rule).losses(data)["contrast"].item() for rule in LabelRule}
    assert len(set(found.values())) == len(LabelRule)


@pytest.mark.parametrize("fusion", ["stretch", "mean"])
def test_segmentation_is_of_the_fused_image_and_leaves_the_siamese_network_alone(fusion: str) -> None:
    system, data = lively(module(fusion=fusion)), batch()
    del data["base_mask"]
    seen: list[Tensor] = []
    system.segmentation.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    losses = system.losses(data)
    assert set(losses) == {"segmentation"}

    with torch.no_grad():
        distances = system.siamese(2 * data["image"] - 1, 2 * data["base_image"] - 1).numpy()
    assert len(np.unique(np.rint(distances))) > 1
    large = np.rint(distances).repeat(4, 1).repeat(4, 2) / 2
    both = data["image"].numpy() + large[:, None]
    low, high = both.min((1, 2, 3), keepdims=True), both.max((1, 2, 3), keepdims=True)
    expected = both / 2 if fusion == "mean" else (both - low) / (high - low)
    np.testing.assert_allclose(seen[0].numpy(), expected, atol=1e-6)

    with torch.no_grad():
        chances = system.segmentation(seen[0])[:, 0].sigmoid().double().numpy()
    mask = data["mask"].numpy()
    foreground, background = mask == 255, (mask == 0) | (mask == 50)
    total = np.log(chances[foreground]).sum() + np.log(1 - chances[background]).sum()
    assert losses["segmentation"].item() == pytest.approx(-total / (foreground | background).sum(), rel=1e-5)
    losses["segmentation"].backward()
    assert all(p.grad is None for p in system.siamese.parameters())
    assert all(p.grad is not None for p in system.segmentation.parameters())


def test_weights_of_the_other_fusion_are_refused() -> None:
    trained = module()
    checkpoint = {"state_dict": trained.state_dict(), "trained_on": {}, "hyper_parameters": dict(trained.hparams)}
    module().on_load_checkpoint(checkpoint)
    with pytest.raises(UserError, match=r"^model\.init_args\.fusion: .*stretch; got mean"):
        module(fusion="mean").on_load_checkpoint(checkpoint)


@pytest.mark.parametrize("wanted", ["unit", "imagenet", "caffe"])
@torch.no_grad()
def test_range_of_the_siamese_input(wanted: str) -> None:
    system = module(**({} if wanted == "unit" else {"pretrained": Pretrained("file.pth", range=wanted)}))
    data, seen = batch(), []
    system.siamese.conv1_1.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    system(data["image"], data["base_image"])
    for found, unit in zip(seen, (data["image"], data["base_image"]), strict=True):
        red, green, blue = unit.unbind(1)
        expected = {
            "unit": 2 * unit - 1,
            "imagenet": torch.stack([(red - 0.485) / 0.229, (green - 0.456) / 0.224, (blue - 0.406) / 0.225], dim=1),
            "caffe": torch.stack([255 * blue - 104.00699, 255 * green - 116.66877, 255 * red - 122.67892], dim=1),
        }[wanted]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


# --- evaluation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(24, 32), (23, 33)])
@torch.no_grad()
def test_the_kept_base_is_as_good_as_a_new_one(size: tuple[int, int]) -> None:
    system, data = lively(module()), batch(*size, size=6)
    frames, base = data["image"], data["base_image"][:1]
    context = system.begin_scene({"base_image": base})
    pairs = [frames[i : i + 2] for i in (0, 2, 4)]
    kept = torch.cat([system.probability(context, {"image": pair}) for pair in pairs], dim=1)
    computed = [system.probability(system.begin_scene({"base_image": base}), {"image": pair}) for pair in pairs]
    single = torch.cat([system.probability(context, {"image": frames[[i]]}) for i in range(6)], dim=1)
    whole = system(frames, base.expand(6, -1, -1, -1)).sigmoid()
    assert kept.shape == (1, 6, *size)
    assert 0 <= kept.min() < kept.max() <= 1
    assert torch.equal(kept, torch.cat(computed, dim=1))
    torch.testing.assert_close(kept, single)  # convolutions sum in another order in batches of another size
    torch.testing.assert_close(kept[0], whole)


@torch.no_grad()
def test_another_scene_has_another_base() -> None:
    system, data = lively(module()), batch(size=2)
    one, other = (system.begin_scene({"base_image": base[None]}) for base in data["base_image"])
    first = system.probability(one, data)
    assert not torch.equal(system.probability(other, data), first)
    assert torch.equal(system.probability(one, data), first)


class Counts(Callback):
    """How often the siamese network looks at an image of a batch of one: the base."""

    def __init__(self) -> None:
        self.bases = self.batches = 0

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Siamese)
        pl_module.siamese.conv1_1.register_forward_pre_hook(self._count)

    def _count(self, _: Any, given: tuple[Tensor]) -> None:
        self.batches += len(given[0]) > 1
        self.bases += len(given[0]) == 1


def test_an_untrained_answer_is_as_rare_as_foreground() -> None:
    system, data = module(channels=4), batch()
    with torch.no_grad():
        answer = system(data["image"], data["base_image"]).sigmoid()
    assert 0.02 < answer.mean() < 0.04


def test_a_test_computes_the_base_once_per_scene_and_does_not_score_it(run: Path, root: Path, tmp_path: Path) -> None:
    system, counts = module(), Counts()
    system.load_state_dict(weights(run / f"step={STEPS}.ckpt"))
    with torch.no_grad():  # what so short a training calls foreground
        system.threshold = float(system.eval()(batch()["image"], batch()["base_image"]).sigmoid().quantile(0.6))
    tester = trainer(tmp_path, [counts, each_step(tmp_path)])
    data = datamodule(root, system, LabelBudget(0.4, "random", validation=HoldOut(frames=4)), eval_batch_size=2)
    tester.test(system, data, run / f"step={STEPS}.ckpt", verbose=False, weights_only=True)
    assert (counts.bases, counts.batches) == (2, 2 * 5)  # 10 labelled frames of two scenes, two a batch
    pixels = sum(int(SceneFrames(scene, None).roi.sum()) for scene in data.frames_of("test").scenes)
    assert int(system.confusion.counts[:, :4].sum()) <= 5 * pixels  # 5 of the 6 tested frames, some pixels unknown
    by_hand = torch.zeros(5, dtype=torch.int64)
    system.eval()
    bases = data.bases_of("test")
    with torch.no_grad():
        for scene, numbers in data.frames_of("test"):
            pixels_ = SceneFrames(scene, None)
            image = {n: torch.from_numpy(pixels_.image(n)).movedim(-1, 0)[None] / 255 for n in numbers}
            for number in numbers:
                if number != bases[scene.key]:
                    said = system(image[number], image[bases[scene.key]]).sigmoid() > system.threshold
                    truth = torch.from_numpy(pixels_.truth(number))[None]
                    by_hand += confusion_counts(said, truth, torch.from_numpy(pixels_.roi))[0]
    assert torch.equal(system.confusion.counts.sum(0), by_hand)
    assert by_hand[:4].all()  # there is some of everything


@torch.no_grad()
def test_pictures_of_the_frame_that_is_asked_for() -> None:
    system, data = lively(module()), batch(size=3)
    context = system.begin_scene({"base_image": data["base_image"][:1]})
    distances = system.siamese(2 * data["image"] - 1, 2 * data["base_image"][:1].expand(3, -1, -1, -1) - 1)
    for position in (0, 1, -1):
        pictures = system.frame_pictures(context, data, position)
        assert list(pictures) == ["distance from the base", "rounded", "fused image"]
        grey = (distances[position] * 127.5).round().byte().numpy()
        expected = torch.from_numpy(pseudo_coloured(grey)).movedim(-1, 0) / 255
        torch.testing.assert_close(pictures["distance from the base"], expected)
        assert len(pictures["rounded"].flatten(1).unique(dim=1).T) <= 3
        assert pictures["fused image"].shape == (3, 24, 32)
        for picture in pictures.values():
            assert 0 <= picture.min() <= picture.max() <= 1
    fused = [system.frame_pictures(context, data, position)["fused image"] for position in (0, 1)]
    assert not torch.equal(*fused)
    assert list(context.pictures()) == ["base image"]
    assert torch.equal(context.pictures()["base image"], data["base_image"][0])


def test_pictures_of_a_validation(root: Path, tmp_path: Path) -> None:
    system, pictures = module(), Pictures(scenes=1)
    shown: list[tuple[Tensor, Tensor]] = []
    looked = system.frame_pictures

    def spy(context: BaseFeatures, batch: EvaluationBatch, position: int) -> dict[str, Tensor]:
        pictures = looked(context, batch, position)
        shown.append((batch["image"][position], pictures["fused image"]))
        return pictures

    system.frame_pictures = spy  # type: ignore[method-assign]
    fit(root, tmp_path, system, [pictures], limit_val_batches=1.0, val_check_interval=STEPS)
    panel = cv2.imread(str(tmp_path / f"pictures/validation_inner_step{STEPS:07d}.png"))
    assert panel is not None
    assert panel.shape[1] == 4 * 324
    frame, fused = shown[-1]  # the last that was looked at is the one with the most foreground
    (drawn,) = pictures.shown.values()
    np.testing.assert_array_equal(drawn.panels[""]["frame"], (frame * 255).round().byte().movedim(0, -1).numpy())
    np.testing.assert_array_equal(
        drawn.panels["_inner"]["fused image"], (fused * 255).round().byte().movedim(0, -1).numpy()
    )


# --- the numbers -----------------------------------------------------------------------------------------------------


def test_the_stages_and_their_inputs() -> None:
    """The paper's numbers are in the README, and tests/test_experiments.py holds the defaults to them."""
    with torch.device("meta"):
        system = Siamese()
    assert system.inputs == (Image(), BaseImage())
    metric, segment = system.plan
    assert [(span.name, span.learns, span.draws) for span in system.plan] == [
        ("metric", ("siamese",), 4),
        ("segment", ("segmentation",), 4),
    ]
    assert metric.inputs == (Image(), BaseImage(), BaseMask(BaseImage()))
    assert segment.inputs == (Image(), BaseImage())
    optimizer = system.configure_optimizers()["optimizer"]  # type: ignore[index, call-overload]
    assert type(optimizer) is torch.optim.SGD
    assert [group["name"] for group in optimizer.param_groups] == undecayed(NETWORKS)
    for group in optimizer.param_groups:
        assert group["momentum"] == 0.9
        assert group["weight_decay"] == (5e-4 if group["name"] in NETWORKS else 0)
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["name"] in NETWORKS}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tolerance": -0.1}, r"model\.init_args\.tolerance: .*\[0, 2\]; got -0\.1\."),
        ({"tolerance": 2.0}, r"model\.init_args\.tolerance: .* got 2\.0\."),
        ({"margin": 0.0}, r"model\.init_args\.margin: .*got 0\.0\."),
        ({"margin": 2.5}, r"model\.init_args\.margin: .*got 2\.5\."),
        ({"fusion": "sum"}, r"model\.init_args\.fusion: .*got 'sum'\."),
        ({"tau": 1.0}, r"model\.init_args\.tau: .* between 1 and 2; got 1\.0\."),
        ({"tau": 2.0}, r"model\.init_args\.tau: .* got 2\.0\."),
        ({"threshold": 1.0}, r"model\.init_args\.threshold"),
    ],
)
def test_numbers_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        module(**settings)


# --- stages ----------------------------------------------------------------------------------------------------------


def test_only_what_a_stage_trains_moves(run: Path) -> None:
    start, compared, end = (weights(run / f"step={step}.ckpt") for step in (1, FIRST_OF_SEGMENT, STEPS))
    assert moved(start, compared, "segmentation") == set()
    assert moved(compared, end, "siamese") == set()
    assert {name for name in start if name.startswith("siamese") and name.endswith("weight")} <= moved(
        start, compared, "siamese"
    )
    assert moved(compared, end, "segmentation")


def test_rates_moments_modes_batches_and_gradients(root: Path, tmp_path: Path) -> None:
    system, watcher = module(), Watcher()
    fit(root, tmp_path, system, [watcher])
    assert watcher.rates == [{name: system.plan.rate(name, step) for name in NETWORKS} for step in range(STEPS)]
    assert [rates["siamese"] for rates in watcher.rates] == [1e-3] * 4 + [0.0] * 4
    assert watcher.sizes == [2] * 4 + [4] * 4
    assert watcher.modes == [(True, False)] * 4 + [(False, True)] * 4
    assert ["base_mask" in keys for keys in watcher.keys] == [True] * 4 + [False] * 4
    assert all({"image", "base_image", "mask"} <= keys for keys in watcher.keys)
    counts = [len(list(getattr(system, name).parameters())) for name in NETWORKS]
    assert watcher.moments == [0, *[counts[0]] * 3, 0, *[counts[1]] * 3]
    for step, gradients in enumerate(watcher.gradients):
        for name, has in gradients.items():
            assert has == (name.split(".")[0] in system.plan.at(step).learns), (step, name)


class Numbers(Callback):
    """Which frames the samples of a fit are drawn from."""

    def __init__(self, pixels: dict[str, SceneFrames]) -> None:
        self.known = {
            scene.image(number).tobytes(): (key, number)
            for key, scene in pixels.items()
            for number in scene.scene.frames
        }
        self.pairs: list[tuple[tuple[str, int], tuple[str, int]]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        images = [(batch[key] * 255).round().byte().movedim(-3, -1).numpy() for key in ("image", "base_image")]
        self.pairs += [(self.known[a.tobytes()], self.known[b.tobytes()]) for a, b in zip(*images, strict=True)]


@pytest.mark.parametrize("workers", [0, 2])
def test_pairs_are_of_training_frames_alone(root: Path, tmp_path: Path, workers: int) -> None:
    protocol = LabelBudget(0.4, "random", validation=HoldOut(fraction=0.25))
    system = module(metric=Stage(12, 4, 1e-3), segment=Stage(12, 4, 1e-2))
    data = datamodule(root, system, protocol, flip=0.0, num_workers=workers)
    trained = {scene.key: set(numbers) for scene, numbers in data.split.train}
    assert {len(numbers) for numbers in trained.values()} == {3}
    numbers = Numbers({scene.key: SceneFrames(scene, None) for scene in data.split.train.scenes})
    assert len(numbers.known) == 24
    trainer(tmp_path, [numbers]).fit(system, data)
    assert len(numbers.pairs) == 24 * 4 * 3 // 4
    for (scene, number), (other, partner) in numbers.pairs:
        assert scene == other
        assert number != partner
        assert {number, partner} <= trained[scene]
    assert {number for pair in numbers.pairs for number in pair} == {(key, n) for key in trained for n in trained[key]}


def test_validation_changes_nothing(run: Path, root: Path, tmp_path: Path) -> None:
    system = module()
    callbacks = [StageCheckpoints(), BestCheckpoint(), LastCheckpoint(1), each_step(tmp_path / "b")]
    fit(root, tmp_path / "validated", system, callbacks, limit_val_batches=1.0, val_check_interval=1)
    for step in range(1, STEPS + 1):
        assert not moved(weights(run / f"step={step}.ckpt"), weights(tmp_path / f"b/step={step}.ckpt"), ""), step
    folder = tmp_path / "validated/checkpoints"
    assert {path.name for path in folder.iterdir()} == {"after_metric.ckpt", "best.ckpt", "last.ckpt", "previous.ckpt"}
    assert content(folder / "best.ckpt")["global_step"] > FIRST_OF_SEGMENT


@pytest.mark.parametrize(("steps", "workers"), [(range(1, STEPS), 0), ((2, 4, 6), 2)])
def test_resume_is_exact(run: Path, root: Path, tmp_path: Path, steps: Sequence[int], workers: int) -> None:
    for step in steps:
        system = module(seed=7)  # the weights it begins with do not matter
        data = datamodule(root, system, num_workers=workers)
        found = resume_whole(system, data, tmp_path / f"resumed {step}", run / f"step={step}.ckpt")
        assert_alike(run / f"step={STEPS}.ckpt", found)


def test_checkpoints_hold_the_stages_and_no_base(root: Path, tmp_path: Path) -> None:
    """The base of an evaluation is no part of the weights."""
    fit(root, tmp_path, module(base=3), [each_step(tmp_path)])
    loaded = Siamese.load_from_checkpoint(tmp_path / f"step={STEPS}.ckpt", weights_only=True)
    assert loaded.hparams["metric"] == METRIC
    assert "base" not in loaded.hparams
    assert loaded.inputs == (Image(), BaseImage())


# --- pretrained weights ----------------------------------------------------------------------------------------------


@pytest.fixture
def vgg(tmp_path: Path) -> Path:
    return random_vgg(tmp_path / "vgg16.pth", width=2)


def test_pretrained_weights_are_what_training_begins_with(
    vgg: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begins = Begins()
    system = module(pretrained=Pretrained(str(vgg), range="imagenet"))
    fit(root, tmp_path / "run", system, [begins, each_step(tmp_path / "run")])
    output = " ".join(capsys.readouterr().out.split())
    assert f"Weights of {vgg} loaded: conv1_1, conv1_2, conv2_1" in output
    assert "newly drawn: pyramid not used: features.24.bias, features.24.weight" in output
    file = torch.load(vgg, weights_only=True)
    assert torch.equal(begins.weights["siamese.conv1_1.weight"], file["features.0.weight"])
    assert torch.equal(begins.weights["siamese.conv4_3.bias"], file["features.21.bias"])

    vgg.unlink()  # it is not needed to resume or to test
    resumed = trainer(tmp_path / "resumed", [each_step(tmp_path / "resumed")])
    again = module(7, pretrained=Pretrained(str(vgg), range="imagenet"))
    resumed.fit(again, datamodule(root, again), ckpt_path=tmp_path / "run/step=2.ckpt", weights_only=True)
    assert_alike(tmp_path / f"run/step={STEPS}.ckpt", tmp_path / f"resumed/step={STEPS}.ckpt")


def test_weights_of_another_width_or_network(vgg: Path, root: Path, tmp_path: Path) -> None:
    def fails(message: str, system: Siamese) -> None:
        with pytest.raises(UserError, match=message):
            trainer(tmp_path / "run").fit(system, datamodule(root, system))

    message = (
        r"vgg16\.pth: features\.0\.weight has the shape \(2, 3, 3, 3\), but the network's .* \(4, 3, 3, 3\).* width"
    )
    fails(message, module(width=4, pretrained=Pretrained(str(vgg))))
    torch.save({"layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "resnet.pth")
    fails(r"resnet\.pth: holds no layer of a VGG-16", module(pretrained=Pretrained(str(tmp_path / "resnet.pth"))))


def test_from_scratch_says_so(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(root, tmp_path, module())
    assert "VGG's layers start from He's initialisation." in " ".join(capsys.readouterr().out.split())
