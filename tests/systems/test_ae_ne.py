"""AE-NE: its network, loss and mask rule by hand, and training without labels through the real trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything
from numpy.typing import NDArray
from tiny_training import Watcher, assert_alike, content, each_step, fit_whole, quiet, resume_whole, trainer, weights
from torch import Tensor, nn

from bgsub_lightning.backgrounds import TemporalMedian
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import ScenesDataModule, Stage, UnlabelledImage
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits import LabelBudget, Unlabelled
from bgsub_lightning.systems import CdnMedal, ThresholdedDifference
from bgsub_lightning.systems.ae_ne import AeNe, AutoencoderBackground
from bgsub_lightning.systems.ae_ne.loss import background_complexity, foreground_weights, reconstruction_losses
from bgsub_lightning.systems.ae_ne.network import Autoencoder, Complexity, WithCoordinates, reductions
from bgsub_lightning.training.callbacks import StageCheckpoints

pytestmark = quiet

SIZE = (32, 24)


def tiny(**settings: Any) -> AeNe:
    seed_everything(0, verbose=False)
    stages = {"learn": Stage(5, 4, 1e-3), "settle": Stage(3, 4, 1e-4)}
    return AeNe(AutoencoderBackground(SIZE, width=8), **stages | settings)


# --- network ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "complexity", "count"),
    [
        ((240, 320), "simple", 3_877_480),
        ((240, 320), "complex", 13_881_224),
        ((576, 720), "simple", 9_464_264),
        ((576, 720), "complex", 45_314_376),
    ],
)
def test_its_parameters_are_as_many_as_the_authors_network_has(
    size: tuple[int, int], complexity: Complexity, count: int
) -> None:
    with torch.device("meta"):
        network = Autoencoder(size, complexity)
        assert sum(parameter.numel() for parameter in network.parameters()) == count
        assert network(torch.empty(2, 3, *size)).shape == (2, 4, *size)


@pytest.mark.parametrize("size", [(16, 16), (17, 300), (241, 319), (1215, 100)])
@pytest.mark.parametrize("complexity", ["simple", "complex"])
def test_each_layer_of_the_decoder_undoes_one_of_the_encoder(size: tuple[int, int], complexity: Complexity) -> None:
    layers = list(reductions(size))
    assert layers[0].size == size
    assert layers[-1].reduced == (1, 1)
    assert 3 <= len(layers) <= 6
    network = Autoencoder(size, complexity, width=4, latents=3)
    x = torch.rand(2, 3, *size)
    shapes = []
    for part in (*network.encoder, *network.decoder):
        x = part(x)
        shapes.append(tuple(x.shape[-2:]))
    expected = [layer.reduced for layer in layers]
    assert shapes == [*expected, *reversed([size, *expected[:-1]])]


def test_each_layer_sees_where_a_pixel_is() -> None:
    seen: list[Tensor] = []
    layer = nn.Identity()
    layer.register_forward_hook(lambda _, given, found: seen.append(found))
    WithCoordinates(layer, (3, 5))(torch.zeros(2, 4, 3, 5))
    assert seen[0].shape == (2, 6, 3, 5)
    assert seen[0][1, 4].T.tolist() == [[-0.5, 0.0, 0.5]] * 5
    assert seen[0][0, 5].tolist() == [[-0.5, -0.25, 0.0, 0.25, 0.5]] * 3
    placed = [part for part in Autoencoder(SIZE[::-1], width=4).modules() if isinstance(part, WithCoordinates)]
    assert len(placed) == 2 * len(list(reductions(SIZE[::-1])))


def test_latent_numbers_are_all_that_passes() -> None:
    network = Autoencoder(SIZE[::-1], width=4, latents=3)
    assert network.encoder(torch.rand(2, 3, 24, 32)).shape == (2, 3, 1, 1)


def test_another_size_is_an_error_of_the_network_and_resized_by_the_source() -> None:
    source, images = AutoencoderBackground(SIZE, width=4), torch.rand(2, 3, 50, 70)
    with pytest.raises(ValueError, match="24, 32"):
        source.network(images)
    background, error = source.reconstruct(images)
    assert background.shape == images.shape
    assert error.shape == (2, 50, 70)
    pushed = source.push(source.begin_scene(), images)
    torch.testing.assert_close(pushed, background, atol=0.5 / 255 + 1e-6, rtol=0)
    assert torch.equal((pushed * 255).round() / 255, pushed)


# --- loss -------------------------------------------------------------------------------------------------------------


def smooth(difference: float) -> float:
    """Smooth L1 of grey levels, β 3."""
    return difference**2 / 6 if abs(difference) < 3 else abs(difference) - 1.5


def by_hand(image: NDArray[np.float64], found: NDArray[np.float64], radius: int) -> tuple[float, float]:
    """The loss as the authors' code has it, in grey levels, pixel by pixel: ``(B, C, H, W)``."""
    count, _, height, width = image.shape
    errors = np.vectorize(smooth)(image - found[:, :3]).sum(1) / 255
    of_expected = np.vectorize(smooth)(found[:, 3] - 255 * errors / 3) / 255
    background = error = 0.0
    for n in range(count):
        for i in range(height):
            for j in range(width):
                square = errors[n, max(0, i - radius) : i + radius + 1, max(0, j - radius) : j + radius + 1]
                weight = np.exp(-6 * np.tanh(square / 0.25).mean()) / errors.size
                background += weight * errors[n, i, j]
                error += weight * of_expected[n, i, j]
    return background, error


@pytest.mark.parametrize(("width", "radius"), [(9, 0), (80, 1)])
def test_losses_by_hand(width: int, radius: int) -> None:
    generator = np.random.default_rng(0)
    image, found = generator.uniform(0, 255, (2, 3, 4, width)), generator.uniform(0, 255, (2, 4, 4, width))
    found[0, :3] = image[0] + generator.uniform(-4, 4, image[0].shape)  # as much as a good background differs
    losses = reconstruction_losses(torch.from_numpy(image / 255), torch.from_numpy(found / 255))
    assert (losses["background"].item(), losses["error"].item()) == pytest.approx(by_hand(image, found, radius))


def test_weights_by_hand() -> None:
    """A pixel of which nothing is reconstructed, in a window of 3×3 that is cut off at the border."""
    errors = torch.zeros(1, 3, 75)
    errors[0, 0, 0] = 3.0
    found, m = foreground_weights(errors), np.tanh(12)
    expected = np.ones((3, 75))
    expected[:2, :2] = np.exp([[-6 * m / 4, -6 * m / 6], [-6 * m / 6, -6 * m / 9]])
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-5)
    assert torch.equal(foreground_weights(errors, strength=0), torch.ones(1, 3, 75))


def test_no_gradient_passes_through_weights_and_what_is_expected() -> None:
    image = torch.rand(1, 3, 4, 5)
    found = torch.rand(1, 4, 4, 5, requires_grad=True)
    losses = reconstruction_losses(image, found, strength=0.0)
    (of_background,) = torch.autograd.grad(losses["background"], found, retain_graph=True)
    (of_error,) = torch.autograd.grad(losses["error"], found)
    assert not of_background[:, 3].any()
    assert not of_error[:, :3].any()
    assert of_error[:, 3].all()


def test_complexity_by_hand() -> None:
    backgrounds = torch.full((5, 3, 2, 2), 100, dtype=torch.uint8)
    assert background_complexity(backgrounds) == 0
    backgrounds[0, :, 0, 0] = torch.tensor([105, 90, 100])
    assert background_complexity(backgrounds) == pytest.approx(np.tanh(15 / 255 / 0.25) / 20)


# --- mask -------------------------------------------------------------------------------------------------------------


class Given(AutoencoderBackground):
    """Gives backgrounds and expected errors, in grey levels, that a test has made."""

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.background / 255, self.error / 255

    background: Tensor
    error: Tensor


def authors_mask(image: NDArray[Any], background: NDArray[Any], error: NDArray[Any]) -> NDArray[np.uint8]:
    """The rule, of one frame, by OpenCV: images ``(H, W, 3)``, all in grey levels."""
    difference = np.abs(image - background).mean(2).astype(np.uint8).astype(int)
    excess = np.maximum(0, difference - 7 * error.astype(np.uint8).astype(int))
    mask = (3 * excess > 96 / 255 * background.mean()).astype(np.uint8)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8)), np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_masks_are_those_of_the_authors_rule(seed: int) -> None:
    generator = np.random.default_rng(seed)
    background = generator.uniform(20, 120 + 40 * seed, (2, 40, 60, 3)).astype(np.float32)
    error = generator.uniform(0, 4, (2, 40, 60)).astype(np.float32)
    image = np.clip(background + generator.normal(0, 4, background.shape), 0, 255)
    for frame in image:
        frame[5:17, 20:33] += 90  # larger than the opening
        frame[24:28, 45:49] += 90  # smaller
        frame[30:38, 0:12] += 90 * (generator.random((8, 12, 1)) < 0.8)  # with holes, at the border
    image = image.clip(0, 255).astype(np.float32)
    source = Given(SIZE, width=4)
    source.background, source.error = torch.from_numpy(background).permute(0, 3, 1, 2), torch.from_numpy(error)
    system = AeNe(source)
    batch: Any = {"image": torch.from_numpy(image).permute(0, 3, 1, 2) / 255}
    probability = system.probability(system.begin_scene({}), batch)
    assert probability.shape == (1, 2, 40, 60)
    found = system.is_foreground(probability[0]).numpy()
    expected = np.stack([authors_mask(*each) for each in zip(image, background, error, strict=True)])
    np.testing.assert_array_equal(found, expected)
    assert expected[:, 5:17, 20:33].mean() > 0.9
    assert not expected[:, 20:32, 41:53].any()


def test_a_black_scene_has_no_foreground() -> None:
    source = Given(SIZE, width=4)
    source.background, source.error = torch.zeros(1, 3, 24, 32), torch.zeros(1, 24, 32)
    system = AeNe(source)
    assert not system.probability(system.begin_scene({}), {"image": torch.zeros(1, 3, 24, 32)}).any()


@torch.no_grad()
def test_frames_of_a_batch_are_answered_one_by_one() -> None:
    system, images = tiny(contrast=1.0, noise=0.0).eval(), (torch.rand(5, 3, 24, 32) * 255).round() / 255
    context = system.begin_scene({})
    together = system.probability(context, {"image": images})[0]
    alone = torch.cat([system.probability(context, {"image": image[None]})[0] for image in images])
    torch.testing.assert_close(together, alone)
    assert together.std() > 0
    assert {*context.pictures()} == {"background", "expected error"}


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """A scene of 26 frames of 32×24, of which 6 are labelled."""
    make_video(tmp_path / "data", "baseline", "highway", size=SIZE)
    return tmp_path / "data"


def datamodule(root: Path, system: AeNe, **settings: Any) -> ScenesDataModule:
    settings = {"size": None, "num_workers": 0, "flip": 0.5, "protocol": Unlabelled(), **settings}
    return ScenesDataModule(system.inputs, root=root, plan=system.plan, **settings)


def test_all_frames_are_trained_on_and_no_mask_is_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, watcher = tiny(), Watcher()

    def fail(*_: Any) -> None:
        raise AssertionError("a mask was read")

    monkeypatch.setattr(SceneFrames, "mask", fail)
    monkeypatch.setattr(SceneFrames, "truth", fail)
    data = datamodule(root, system)
    fit_whole(system, data, tmp_path / "run", [watcher])
    assert watcher.keys == [{"image", "scene", "number"}] * 8
    assert watcher.steps == [set(), *({step} for step in range(1, 8))]  # of Adam: the second stage continues
    assert watcher.rates == [{"background": 1e-3}] * 5 + [{"background": 1e-4}] * 3
    assert system.complexity is not None
    split = data.split
    drawn = UnlabelledImage().drawn_from(split)
    assert [len(part) for part in (split.train, split.test, drawn)] == [20, 6, 26]


def test_validation_without_labels_is_refused(root: Path, tmp_path: Path) -> None:
    system = tiny()
    with pytest.raises(UserError, match=r"^trainer\.limit_val_batches: .*got 1\.0"):
        trainer(tmp_path / "run", limit_val_batches=1.0).fit(system, datamodule(root, system))


def test_images_come_as_labelled_ones_do(root: Path, tmp_path: Path) -> None:
    system = tiny()
    data = datamodule(root, system)
    loader = data.train_dataloader()
    raw = next(iter(loader))
    batch = data.on_after_batch_transfer(raw, 0)
    (scene,) = data.split.train.scenes
    pixels = SceneFrames(scene, None)
    expected = np.stack([pixels.image(number) for number in batch["number"].tolist()])
    np.testing.assert_allclose(batch["image"].permute(0, 2, 3, 1).numpy() * 255, expected, atol=1e-4)


@pytest.mark.parametrize("step", [3, 5, 6])
def test_a_resumed_run_ends_as_one_that_was_not_stopped(step: int, root: Path, tmp_path: Path) -> None:
    system = tiny()
    fit_whole(system, datamodule(root, system), tmp_path / "whole", [each_step(tmp_path / "whole")])
    resumed = tiny()
    last = resume_whole(resumed, datamodule(root, resumed), tmp_path / "resumed", tmp_path / f"whole/step={step}.ckpt")
    assert_alike(tmp_path / "whole/step=8.ckpt", last)
    assert content(last)["complexity"] == content(tmp_path / "whole/step=8.ckpt")["complexity"]


def test_a_moving_square_is_no_part_of_the_background() -> None:
    """It is in every frame, differs by some 100 grey levels, and is in no background; the mask is where it is."""
    generator = np.random.default_rng(0)
    scene = cv2.resize(generator.integers(60, 160, (3, 4, 3)).astype(np.float32), SIZE)
    images, masks = [], []
    for _ in range(240):
        left, top = generator.integers(25), generator.integers(17)
        image, mask = scene + generator.normal(0, 2, scene.shape), np.zeros(SIZE[::-1], bool)
        image[top : top + 8, left : left + 8], mask[top : top + 8, left : left + 8] = (230, 30, 220), True
        images.append(image.clip(0, 255).round())
        masks.append(mask)
    image, truth = (
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255,
        torch.from_numpy(np.stack(masks)),
    )
    seed_everything(0, verbose=False)
    system = AeNe(AutoencoderBackground(SIZE, width=16), closing=1, opening=3).train()
    optimizer = torch.optim.Adam(system.parameters(), 2e-3)
    for _ in range(300):
        optimizer.zero_grad()
        torch.stack([*system.losses({"image": image[torch.randperm(240)[:16]]}).values()]).sum().backward()
        optimizer.step()
    with torch.no_grad():
        context = system.eval().begin_scene({})
        background = system.background.push(context, image)
        found = system.is_foreground(system.probability(context, {"image": image})[0])
    wrong = 255 * (background - torch.from_numpy(scene).permute(2, 0, 1) / 255).abs().mean(1)
    assert wrong.mean() < 4
    assert wrong[truth].mean() < 4
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.97


def test_frames_of_several_sizes_are_learnt_at_that_of_the_background(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    for name, size in (("x", (32, 24)), ("y", (64, 48))):
        make_video(tmp_path / "data", "baseline", name, size=size)
    system = tiny(learn=Stage(2, 1, 1e-3), settle=Stage(2, 1, 1e-3))
    fit_whole(system, datamodule(tmp_path / "data", system), tmp_path / "run")
    assert system.complexity is not None


# --- its background in other systems, and what tests say --------------------------------------------------------------


@pytest.fixture
def trained(root: Path, tmp_path: Path) -> Path:
    """The last checkpoint of a run."""
    system, folder = tiny(), tmp_path / "ae_ne"
    fit_whole(system, datamodule(root, system), folder, [StageCheckpoints(), each_step(folder)])
    return folder / "step=8.ckpt"


def test_another_run_gives_its_weights_and_not_what_it_found_of_its_scene(
    trained: Path, root: Path, tmp_path: Path
) -> None:
    torch.save(content(trained) | {"complexity": 7.0}, tmp_path / "other.ckpt")
    system = tiny(learn=Stage(1, 4, 1e-30), settle=Stage(1, 4, 1e-30))
    system.initial_weights = tmp_path / "other.ckpt"
    fit_whole(system, datamodule(root, system), tmp_path / "run")
    assert system.complexity not in (None, 7.0)
    torch.testing.assert_close(
        dict(system.named_parameters()), {k: weights(trained)[k] for k, _ in system.named_parameters()}
    )


def test_its_background_serves_thresholds_and_is_recorded(trained: Path, root: Path, tmp_path: Path) -> None:
    checkpoint = trained
    assert (trained.parent / "checkpoints/after_learn.ckpt").is_file()
    assert content(checkpoint)["trained_on"] == {"CDnet2014:baseline/highway": [[1, 20]]}
    thresholded = ThresholdedDifference(AutoencoderBackground(SIZE, width=8))
    with pytest.raises(UserError, match="AutoencoderBackground"):
        thresholded.require_weights()
    stored = content(checkpoint)
    thresholded.on_load_checkpoint(stored)
    thresholded.load_state_dict(stored["state_dict"])
    thresholded.require_weights()
    for name, value in thresholded.background.state_dict().items():
        assert torch.equal(value, weights(checkpoint)[f"background.{name}"])
    data = ScenesDataModule(thresholded.inputs, Unlabelled(), root, size=None, num_workers=0)
    trainer(tmp_path / "test").test(thresholded, data, verbose=False)
    assert len(thresholded.confusion.by_scene()) == 1
    with pytest.raises(UserError, match=r"background: .*32×24.*31×24"):
        AeNe(AutoencoderBackground((31, 24), width=8)).on_load_checkpoint(content(checkpoint))


def test_tables_say_what_it_has_seen_and_what_the_paper_would_do() -> None:
    system, nothing = tiny(), Any
    assert "without their labels" in system.note(nothing, all_unseen=False)  # type: ignore[arg-type]
    assert system.note(nothing, all_unseen=True) == ""  # type: ignore[arg-type]
    system.complexity = 0.3
    assert "ae_ne_complex" in system.note(nothing, all_unseen=True)  # type: ignore[arg-type]
    system.background.complexity = "complex"
    assert system.note(nothing, all_unseen=True) == ""  # type: ignore[arg-type]


def test_a_scene_whose_frames_are_all_labelled_is_refused(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    make_video(tmp_path, "baseline", "highway", size=SIZE, unlabelled=0)
    system = tiny()
    with pytest.raises(UserError, match=r"protocol.*baseline/highway"):
        _ = datamodule(tmp_path, system).split
    assert len(datamodule(tmp_path, system, protocol=LabelBudget(2, "random")).split.train) == 2


# --- in CDN-MEDAL-net's second stage ----------------------------------------------------------------------------------


def difference(initial: Path | None, size: tuple[int, int] = SIZE) -> CdnMedal:
    seed_everything(1, verbose=False)
    return CdnMedal(AutoencoderBackground(size, width=8), difference=Stage(3, 1, 1e-2), initial=initial)


def labelled(root: Path, system: CdnMedal) -> ScenesDataModule:
    return ScenesDataModule(
        system.inputs, LabelBudget(3, "random"), root, size=None, num_workers=0, eval_batch_size=4, plan=system.plan
    )


def test_cdn_medal_learns_to_compare_with_its_background(trained: Path, root: Path, tmp_path: Path) -> None:
    system = difference(trained)
    assert [span.name for span in system.plan] == ["difference"]
    data = labelled(root, system)
    fit_whole(system, data, tmp_path / "run", [each_step(tmp_path / "run")])
    stored, of_background = content(tmp_path / "run/step=3.ckpt"), weights(trained)
    for name, value in of_background.items():
        assert torch.equal(stored["state_dict"][name], value)
    ((first, last), *_) = stored["trained_on"]["CDnet2014:baseline/highway"]
    assert (first, last >= 20) == (1, True)  # what AE-NE's run has recorded, and the labelled frames of this one
    tested: Any = None
    assert "without their labels" in system.note(tested, all_unseen=False)
    trainer(tmp_path / "test").test(system, data, verbose=False)
    assert len(system.confusion.by_scene()) == 1
    assert {*system.export_targets} == {"difference.core", "background.network.forward"}


def test_a_run_of_cdn_medal_gives_its_background_as_well(trained: Path, root: Path, tmp_path: Path) -> None:
    first = difference(trained)
    fit_whole(first, labelled(root, first), tmp_path / "first", [each_step(tmp_path / "first")])
    onward = difference(None)
    onward.initial_weights = tmp_path / "first/step=3.ckpt"
    fit_whole(onward, labelled(root, onward), tmp_path / "onward")
    for name, value in weights(trained).items():
        assert torch.equal(onward.state_dict()[name], value)


@pytest.mark.parametrize("size", [(31, 24), (48, 24)])
def test_a_checkpoint_of_another_background_is_refused(trained: Path, size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=rf"model\.init_args\.initial: .*step=8\.ckpt: .*{size[0]}×24"):
        difference(trained, size).begin_fit()


def test_a_background_that_nothing_has_trained_is_refused(trained: Path, root: Path, tmp_path: Path) -> None:
    untrained = difference(None)
    with pytest.raises(UserError, match=r"background: .*AutoencoderBackground.*initial"):
        fit_whole(untrained, labelled(root, untrained), tmp_path / "run")
    with pytest.raises(UserError, match=r"initial: TemporalMedian"):
        CdnMedal(TemporalMedian(), initial=trained)
