"""Staged training of CDN-MEDAL-net, through the real trainer and datamodule, on tiny videos."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from made_batches import random_batch
from scipy.stats import multivariate_normal
from tiny_training import (
    Watcher,
    assert_alike,
    content,
    each_step,
    fit_whole,
    moved,
    quiet,
    resume_whole,
    trainer,
    weights,
)
from torch import Tensor

from bgsub_lightning.backgrounds import BackgroundSource
from bgsub_lightning.backgrounds.classical import Mog2Background, TemporalMedian
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Background, Histories, ScenesDataModule, Stage, Stream
from bgsub_lightning.datasets import CDnet2014
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.losses.cross_entropy import masked_binary_cross_entropy
from bgsub_lightning.splits import HoldOut, LabelBudget, Protocol, Subset
from bgsub_lightning.systems.cdn_medal import CdnMedal
from bgsub_lightning.systems.cdn_medal.background import DensityBackground
from bgsub_lightning.systems.cdn_medal.cdn_gm import hard_sigmoid
from bgsub_lightning.systems.recon_mcfcn.background import ReconstructedBackground
from bgsub_lightning.training.callbacks import BestCheckpoint, LastCheckpoint, Pictures, StageCheckpoints

DENSITY = Stage(steps=5, batch_size=16, lr=1e-2, decay="cosine", repeat=2)
DIFFERENCE = Stage(steps=6, batch_size=2, lr=1e-2)
STEPS = 11
NETWORKS = ("background", "difference")

pytestmark = quiet


def module(seed: int = 0, **settings: Any) -> CdnMedal:
    seed_everything(seed, verbose=False)
    return CdnMedal(**{"density": DENSITY, "difference": DIFFERENCE, **settings})


@pytest.fixture
def root(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Two scenes of 26 frames of 32×24, of which 6 are labelled."""
    for name in ("highway", "office"):
        make_video(tmp_path / "data", "baseline", name, size=(32, 24))
    return tmp_path / "data"


def datamodule(root: Path, system: CdnMedal, protocol: Protocol | None = None, **settings: Any) -> ScenesDataModule:
    settings = {"size": None, "num_workers": 0, "flip": 0.5, "eval_batch_size": 5, **settings}
    chosen = protocol or LabelBudget(3, "random", validation=HoldOut(frames=3))
    return ScenesDataModule(system.inputs, chosen, root, plan=system.plan, **settings)


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Path:
    """A run that nothing interrupted, with a checkpoint of each step."""
    system = module()
    fit_whole(system, datamodule(root, system), tmp_path / "whole", [each_step(tmp_path / "whole")])
    return tmp_path / "whole"


# --- the module ------------------------------------------------------------------------------------------------------


def test_the_stages_and_their_inputs() -> None:
    """The paper's numbers are in the README, and tests/test_experiments.py holds the defaults to them."""
    system = CdnMedal()
    assert isinstance(system.background, DensityBackground)
    network = system.background.network
    assert (network.components, network.history, network.spread) == (3, 245, "deviation")
    density, difference = system.plan
    assert (density.name, difference.name) == ("density", "difference")
    assert (density.learns, difference.learns) == (("background",), ("difference",))
    assert density.draws == 1
    assert density.stage.steps / density.stage.repeat == 80  # windows
    assert difference.draws == 1
    assert system.inputs == (Stream(),)
    assert density.inputs == (Histories(network.history, density.stage.batch_size),)
    assert [entry.key for entry in difference.inputs] == ["image", "background"]


@pytest.mark.parametrize("source", [Mog2Background(), TemporalMedian()])
def test_a_source_without_weights_has_one_stage(source: BackgroundSource, root: Path, tmp_path: Path) -> None:
    system = module(background=source)
    assert [span.name for span in system.plan] == ["difference"]
    assert system.plan.networks == ("difference",)
    fitted = trainer(tmp_path / "run", [StageCheckpoints()])
    fitted.fit(system, datamodule(root, system))
    assert fitted.global_step == 6
    assert not list(tmp_path.rglob("after_*.ckpt"))
    fitted.test(system, datamodule(root, system), verbose=False)
    assert len(system.confusion.by_scene()) == 2


def test_a_source_with_weights_that_no_stage_trains_is_refused(root: Path, tmp_path: Path) -> None:
    system = module(background=ReconstructedBackground(4, 2))
    with pytest.raises(UserError, match=r"background: .*ReconstructedBackground"):
        trainer(tmp_path / "run").fit(system, datamodule(root, system))


def test_tables_say_what_the_density_network_has_seen() -> None:
    tested = cast("ScenesDataModule", None)  # whatever it is
    assert "the tested ones as well, without their labels" in module().note(tested, all_unseen=False)
    assert module().note(tested, all_unseen=True) == ""
    assert CdnMedal(TemporalMedian()).note(tested, all_unseen=False) == ""


@pytest.mark.parametrize("slope", [0.0, -1.0, 2.0])
def test_a_slope_out_of_range_is_refused(slope: float) -> None:
    with pytest.raises(UserError, match=rf"^model\.init_args\.slope: .*got {slope}\."):
        CdnMedal(slope=slope)


def batch(size: int = 2) -> dict[str, Tensor]:
    return random_batch(size, 21, 30, image=(3,), background=(3,), mask=())


@pytest.mark.parametrize("sigmoid", ["logistic", "hard"])
@pytest.mark.parametrize("rule", list(LabelRule))
def test_loss_of_the_difference(rule: LabelRule, sigmoid: str) -> None:
    system, data = module(labels=rule, sigmoid=sigmoid), batch()
    target = torch.full((2, 21, 30), 255)
    foreground, background = rule.value
    for level in (0, 50, 85, 170, 255):
        if level in foreground or level in background:
            target[data["mask"] == level] = int(level in foreground)
    expected = masked_binary_cross_entropy(system.difference(data["image"], data["background"]), target, sigmoid)  # type: ignore[arg-type]
    losses = system.losses(data)  # type: ignore[arg-type]
    assert set(losses) == {"difference"}
    assert torch.equal(losses["difference"], expected)
    losses["difference"].backward()
    assert all(p.grad is None for p in system.background.parameters())
    assert all(p.grad is not None for p in system.difference.parameters())


@pytest.mark.parametrize("slope", [0.2, 0.5, 1 / 6])
@pytest.mark.parametrize("spread", ["deviation", "variance"])
def test_loss_of_the_density(spread: str, slope: float) -> None:
    """Equations 1, 2, 6 and 14, by SciPy's densities on what the dense layers give."""
    source = DensityBackground(2, spread=spread, slope=slope)  # type: ignore[arg-type]
    system = module(background=source)
    history = torch.rand(1, 245, 3, 4)
    losses = system.losses({"history": history, "number": torch.ones(1)})
    assert set(losses) == {"density"}

    network = source.network
    outputs: list[np.ndarray] = []
    with torch.no_grad():
        groups = network.groups(network.blocks(history))[0]  # (5, 7, P)
        features = groups.permute(2, 1, 0).flatten(1)
        outputs = [head(features).double().numpy() for head in (network.weights, network.spreads, network.means)]
    log_likelihood = 0.0
    for pixel, (logits, spreads, means) in enumerate(zip(*outputs, strict=True)):
        weights = np.exp(logits) / np.exp(logits).sum()
        sigma = (16 + 16 * np.clip(slope * spreads + 0.5, 0, 1)) / 255
        covariance = sigma if spread == "variance" else sigma**2
        centres = np.clip(slope * means + 0.5, 0, 1).reshape(2, 3)
        samples = history[0, :, :, pixel].double().numpy()
        density = sum(
            weight * multivariate_normal(centre, variance * np.eye(3)).pdf(samples)
            for weight, centre, variance in zip(weights, centres, covariance, strict=True)
        )
        log_likelihood += np.log(density).sum()
    assert losses["density"].item() == pytest.approx(-log_likelihood / 4, rel=1e-4)
    losses["density"].backward()
    assert all(p.grad is not None for p in source.parameters())
    assert all(p.grad is None for p in system.difference.parameters())


@pytest.mark.parametrize("slope", [0.2, 0.5, 1 / 6])
@torch.no_grad()
def test_probability_is_that_of_the_scored_frames(slope: float) -> None:
    system = module(background=TemporalMedian(5, 1), slope=slope).eval()
    images = (torch.rand(9, 3, 21, 30) * 255).round() / 255
    scored = torch.tensor([False, True, False, True, True, False, False, False, True])
    source = TemporalMedian(5, 1)
    backgrounds = source.push(source.begin_scene(), images)
    expected = (slope * system.difference(images, backgrounds) + 0.5).clamp(0, 1) * scored[:, None, None]
    for _ in range(2):  # the second scene is the first again: nothing is left of it
        found, context = [], system.begin_scene({})
        for first, last in ((0, 4), (4, 5), (5, 8), (8, 9)):
            probability = system.probability(context, {"image": images[first:last], "is_scored": scored[first:last]})
            assert probability.shape == (1, last - first, 21, 30)
            found.append(probability[0])
        torch.testing.assert_close(torch.cat(found), expected)
    assert not torch.cat(found)[~scored].any()
    assert torch.cat(found)[scored].flatten(1).any(1).all()


def test_missing_input_is_named(root: Path, tmp_path: Path) -> None:
    system = module(background=Mog2Background())
    plan, system.plan = system.plan, module().plan  # the datamodule gets another plan than the module has
    data = datamodule(root, system)
    system.plan = plan
    with pytest.raises(UserError, match=r"CdnMedal .*background, image.*history"):
        trainer(tmp_path / "run").fit(system, data)


# --- stages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "frozen", "free"), [("background", (5, 11), (1, 5)), ("difference", (1, 5), (6, 11))]
)
def test_only_what_a_stage_trains_moves(
    run: Path, network: str, frozen: tuple[int, int], free: tuple[int, int]
) -> None:
    def changed(first: int, last: int) -> set[str]:
        return moved(weights(run / f"step={first}.ckpt"), weights(run / f"step={last}.ckpt"), network)

    assert not changed(*frozen)
    assert changed(*free)


def test_rates_moments_and_modes(root: Path, tmp_path: Path) -> None:
    system, watcher = module(), Watcher()
    trainer(tmp_path, [watcher]).fit(system, datamodule(root, system))
    assert watcher.rates == [{name: system.plan.rate(name, step) for name in NETWORKS} for step in range(STEPS)]
    assert [rates["background"] > 0 for rates in watcher.rates] == [True] * 5 + [False] * 6
    assert [rates["difference"] > 0 for rates in watcher.rates] == [False] * 5 + [True] * 6
    assert watcher.steps == [set(), {1}, {2}, {3}, {4}, set(), {1}, {2}, {3}, {4}, {5}]  # of Adam, before each step
    assert watcher.modes == [(True, False)] * 5 + [(False, True)] * 6
    assert ["history" in keys for keys in watcher.keys] == [True] * 5 + [False] * 6


def test_validation_changes_nothing(run: Path, root: Path, tmp_path: Path) -> None:
    system, watcher = module(), Watcher()
    fitted = trainer(tmp_path / "validated", [watcher, Pictures(2)], limit_val_batches=1.0, val_check_interval=2)
    fitted.fit(system, datamodule(root, system))
    assert not moved(weights(run / f"step={STEPS}.ckpt"), system.state_dict(), "")
    assert watcher.modes == [(True, False)] * 5 + [(False, True)] * 6
    assert {path.name for path in (tmp_path / "validated/pictures").iterdir()} == {
        f"{name}_step{step:07d}.png" for name in ("validation", "validation_background") for step in (2, 4, 6, 8, 10)
    }


def test_logs(root: Path, tmp_path: Path) -> None:
    system = module()
    logger = CSVLogger(tmp_path, name="csv")
    fitted = trainer(tmp_path, logger=logger, log_every_n_steps=1, limit_val_batches=1.0, val_check_interval=3)
    fitted.fit(system, datamodule(root, system))
    with (tmp_path / "csv/version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = {
        name: [int(row["step"]) for row in rows if row.get(f"train/loss/{name}")] for name in ("density", "difference")
    }
    assert steps == {"density": list(range(5)), "difference": list(range(5, 11))}
    validated = [row for row in rows if row.get("val/f_measure")]
    assert len(validated) == 3  # in both stages
    assert all(row["val/loss"] for row in validated)


def test_best_is_of_the_final_stage_and_after_density_is_kept(root: Path, run: Path, tmp_path: Path) -> None:
    """An untrained MEDAL-net may score well by chance; the end of the first stage is not that of the last."""
    system = module()
    seen: list[tuple[int, bool]] = []

    class Looks(Callback):
        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            saved = list((tmp_path / "run/checkpoints").glob("best.ckpt"))
            seen.append((trainer.global_step, bool(saved)))

    callbacks = [Looks(), StageCheckpoints(), BestCheckpoint(), LastCheckpoint(1)]
    trainer(tmp_path / "run", callbacks, limit_val_batches=1.0, val_check_interval=1).fit(
        system, datamodule(root, system)
    )
    folder = tmp_path / "run/checkpoints"
    assert {path.name for path in folder.iterdir()} == {"after_density.ckpt", "best.ckpt", "last.ckpt", "previous.ckpt"}
    assert not any(saved for step, saved in seen if step <= 6)  # it is looked at before that of step 6 is saved
    assert all(saved for step, saved in seen if step > 6)
    assert content(folder / "best.ckpt")["global_step"] > 5
    after, expected = content(folder / "after_density.ckpt"), content(run / "step=5.ckpt")
    assert after["global_step"] == 5
    assert all(torch.equal(value, expected["state_dict"][name]) for name, value in after["state_dict"].items())
    assert content(folder / "last.ckpt")["global_step"] == STEPS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"max_epochs": 2},
            r"trainer\.max_epochs: must be 1, .*\(11 steps\).* got 2\. .*difference\.steps",
        ),
        ({"max_epochs": -1, "max_steps": 5}, r"trainer\.max_epochs: .* got -1"),
        ({"accumulate_grad_batches": 2}, r"trainer\.accumulate_grad_batches: must be 1 .* got 2"),
    ],
)
def test_trainers_that_cannot_run_a_plan(root: Path, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    system = module()
    with pytest.raises(UserError, match=message):
        trainer(tmp_path, **settings).fit(system, datamodule(root, system))


def test_max_steps_ends_a_run_early(root: Path, tmp_path: Path) -> None:
    system = module()
    fitted = trainer(tmp_path, max_steps=3)
    fitted.fit(system, datamodule(root, system))
    assert fitted.global_step == 3


# --- resuming --------------------------------------------------------------------------------------------------------


def resume(root: Path, folder: Path, checkpoint: Path, workers: int = 0) -> CdnMedal:
    system = module(seed=7)  # the weights it begins with do not matter
    resume_whole(system, datamodule(root, system, num_workers=workers), folder, checkpoint)
    return system


def assert_ends_alike(folder: Path, run: Path, system: CdnMedal) -> None:
    end = run / f"step={STEPS}.ckpt"
    assert not moved(weights(end), system.state_dict(), "")
    if (folder / end.name).exists():
        assert_alike(end, folder / end.name)


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_resume_is_exact(run: Path, root: Path, tmp_path: Path, step: int) -> None:
    system = resume(root, tmp_path / "resumed", run / f"step={step}.ckpt")
    assert_ends_alike(tmp_path / "resumed", run, system)


@pytest.mark.parametrize("step", [3, 5, 8])
def test_resume_with_workers_is_exact(run: Path, root: Path, tmp_path: Path, step: int) -> None:
    system = resume(root, tmp_path / "resumed", run / f"step={step}.ckpt", workers=2)
    assert_ends_alike(tmp_path / "resumed", run, system)


def test_workers_change_nothing(run: Path, root: Path, tmp_path: Path) -> None:
    system = module()
    trainer(tmp_path / "workers").fit(system, datamodule(root, system, num_workers=2))
    assert_ends_alike(tmp_path / "workers", run, system)


def test_resume_from_the_end_of_the_first_stage(run: Path, root: Path, tmp_path: Path) -> None:
    """``after_density.ckpt`` is a point like any other."""
    system = module()
    trainer(tmp_path / "first", [StageCheckpoints()]).fit(system, datamodule(root, system))
    resumed = resume(root, tmp_path / "second", tmp_path / "first/checkpoints/after_density.ckpt")
    assert_ends_alike(tmp_path / "second", run, resumed)


def test_a_longer_last_stage_goes_on(run: Path, root: Path, tmp_path: Path) -> None:
    """Of the same batches: the plan comes from the configuration, not from the checkpoint."""
    longer = replace(DIFFERENCE, steps=9)
    whole, resumed = module(difference=longer), module(seed=7, difference=longer)
    trainer(tmp_path / "a").fit(whole, datamodule(root, whole))
    assert len(resumed.plan) == 14
    resume_whole(resumed, datamodule(root, resumed), tmp_path / "b", run / "step=8.ckpt")
    assert not moved(whole.state_dict(), resumed.state_dict(), "")


def test_checkpoints_hold_the_stages(run: Path) -> None:
    loaded = CdnMedal.load_from_checkpoint(run / "step=7.ckpt", weights_only=True)
    assert loaded.hparams["density"] == DENSITY
    assert loaded.hparams["difference"] == DIFFERENCE
    assert len(loaded.plan) == STEPS


# --- evaluation ------------------------------------------------------------------------------------------------------


def trained(run: Path) -> CdnMedal:
    system = module(seed=7)
    system.load_state_dict(weights(run / f"step={STEPS}.ckpt"))
    return system.eval()


class Looks(Callback):
    """Keeps the backgrounds and the answers of a test."""

    def __init__(self) -> None:
        self.backgrounds: dict[tuple[int, int], Tensor] = {}
        self.probabilities: dict[tuple[int, int], Tensor] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, CdnMedal)
        self.hook = pl_module.difference.register_forward_pre_hook(lambda _, given: setattr(self, "given", given[1]))

    def on_test_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        for row, number in enumerate(batch["number"][batch["is_scored"]].tolist()):
            self.backgrounds[batch["scene"], number] = self.given[row].clone()
            self.probabilities[batch["scene"], number] = outputs["probability"][row].clone()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.hook.remove()


def looks_of(root: Path, folder: Path, system: CdnMedal, **settings: Any) -> Looks:
    looks = Looks()
    tester = trainer(folder, [looks])
    tester.test(system, datamodule(root, system, **settings), verbose=False)
    return looks


def test_backgrounds_of_training_are_those_of_a_test(run: Path, root: Path, tmp_path: Path) -> None:
    system = trained(run)
    looks = looks_of(root, tmp_path / "test", system)
    assert len(looks.backgrounds) == 12  # 3 + 3 frames of each scene
    data = datamodule(root, system)
    train = data.split.train
    entry = next(entry for entry in system.plan.inputs if isinstance(entry, Background))
    from bgsub_lightning.frames import FrameStore, SceneFrames

    pixels = [SceneFrames(scene, None) for scene in train.scenes]
    system.begin_stage(system.plan.spans[-1], pixels, train, FrameStore(tmp_path / "store"))
    out = np.zeros((24, 32, 3), np.uint8)
    for position, numbers in enumerate(train.numbers):
        for number in numbers:
            entry.load(pixels[position], number, 0, out)
            stored = torch.from_numpy(out).movedim(-1, 0).float().div_(255)
            assert torch.equal(stored, looks.backgrounds[position, number])


def test_a_test_is_the_networks_by_hand(run: Path, root: Path, tmp_path: Path) -> None:
    """The windows are built frame by frame here, and each scene on its own."""
    system = trained(run)
    looks = looks_of(root, tmp_path / "test", system)
    assert isinstance(system.background, DensityBackground)
    for position, scene in enumerate(CDnet2014().scenes(root)):
        images = {n: cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1] for n, path in scene.frames.items()}
        video = torch.from_numpy(np.stack(list(images.values()))).movedim(-1, 1).float() / 255
        for number in range(21, 27):
            end = number // 7 * 7
            window = torch.cat([video[:end]] * 245)[-245:]  # what there is, again and again
            with torch.no_grad():
                background = system.background.network(window.flatten(2)).background().view(3, 24, 32)
                background = (background * 255).round() / 255
                difference = (looks.backgrounds[position, number] - background).abs()
                assert difference.max() < 1.01 / 255
                assert (difference > 0.5 / 255).float().mean() < 0.01
                logits = system.difference(video[number - 1][None], looks.backgrounds[position, number][None])[0]
            torch.testing.assert_close(looks.probabilities[position, number], hard_sigmoid(logits))


@pytest.mark.parametrize("settings", [{"eval_batch_size": 1}, {"eval_batch_size": 26}, {"num_workers": 2}])
def test_batches_and_workers_do_not_matter(run: Path, root: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    expected = looks_of(root, tmp_path / "a", trained(run))
    found = looks_of(root, tmp_path / "b", trained(run), **settings)
    assert found.backgrounds.keys() == expected.backgrounds.keys()
    for key in expected.backgrounds:
        assert torch.equal(found.backgrounds[key], expected.backgrounds[key])
        torch.testing.assert_close(found.probabilities[key], expected.probabilities[key])


def test_a_scene_is_what_it_is_alone(run: Path, root: Path, tmp_path: Path) -> None:
    """Nothing of the first scene is left when the second begins."""
    both = looks_of(root, tmp_path / "a", trained(run))
    alone = looks_of(root, tmp_path / "b", trained(run), scene="baseline/office")
    assert len(alone.backgrounds) == 6
    for (_, number), background in alone.backgrounds.items():
        assert torch.equal(both.backgrounds[1, number], background)


def test_background_pictures(run: Path) -> None:
    system = trained(run)
    context = system.begin_scene({})
    assert context.pictures() == {}
    system.probability(context, {"image": torch.rand(1, 3, 24, 32), "is_scored": torch.tensor([True])})
    names = [f"{what} of component {k}" for what in ("weight", "spread") for k in (1, 2, 3)]
    assert list(context.pictures()) == ["background", *names]


# --- footage of all sorts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_grey_frames(root: Path, tmp_path: Path, suffix: str) -> None:
    for path in root.glob("*/*/input/*.jpg"):
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        path.unlink()
        assert cv2.imwrite(str(path.with_suffix(suffix)), grey)
    system = module()
    trainer(tmp_path / "run").fit(system, datamodule(root, system))
    assert len(looks_of(root, tmp_path / "test", system).backgrounds) == 12


@pytest.mark.parametrize(("unlabelled", "labelled"), [(0, 6), (1, 3), (250, 4)])
def test_short_and_long_scenes(tmp_path: Path, make_video: Callable[..., Path], unlabelled: int, labelled: int) -> None:
    make_video(tmp_path / "data", "baseline", "x", size=(32, 24), unlabelled=unlabelled, labelled=labelled)
    system = module(difference=replace(DIFFERENCE, batch_size=1))
    protocol = LabelBudget(2, "random", validation=HoldOut(frames=2))
    fitted = trainer(tmp_path / "run")
    fitted.fit(system, datamodule(tmp_path / "data", system, protocol))
    assert fitted.global_step == STEPS
    fitted.test(system, datamodule(tmp_path / "data", system, protocol), verbose=False)


def test_scenes_of_several_sizes(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    for name, size in (("x", (32, 24)), ("y", (48, 24))):
        make_video(tmp_path / "data", "baseline", name, size=size)
    system = module(difference=replace(DIFFERENCE, batch_size=1))
    fitted = trainer(tmp_path / "run")
    fitted.fit(system, datamodule(tmp_path / "data", system))
    assert fitted.global_step == STEPS
    fitted.test(system, datamodule(tmp_path / "data", system), verbose=False)
    assert len(system.confusion.by_scene()) == 2
    batch = module(difference=replace(DIFFERENCE, batch_size=2))
    with pytest.raises(UserError, match=r"data\.init_args\.size: .* several sizes \(32×24, 48×24\)"):
        trainer(tmp_path / "batch").fit(batch, datamodule(tmp_path / "data", batch))
    assert batch.global_step == 0


def test_padded_windows(root: Path, tmp_path: Path) -> None:
    system = module(background=DensityBackground(history=240))
    trainer(tmp_path / "run").fit(system, datamodule(root, system))
    assert len(looks_of(root, tmp_path / "test", system).backgrounds) == 12


def test_scenes_that_were_not_trained_on(root: Path, tmp_path: Path) -> None:
    system, protocol = module(), Subset(["baseline/highway"], ["baseline/office"], validation=HoldOut(frames=2))
    fitted = trainer(tmp_path / "run")
    fitted.fit(system, datamodule(root, system, protocol))
    fitted.test(system, datamodule(root, system, protocol), verbose=False)
    assert list(system.confusion.by_scene()) == ["baseline/office"]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_lower_precision(root: Path, tmp_path: Path, precision: str) -> None:
    system = module()
    fitted = trainer(tmp_path / "run", precision=precision, limit_val_batches=1.0)
    fitted.fit(system, datamodule(root, system))
    assert all(p.isfinite().all() for p in system.parameters())
    fitted.test(system, datamodule(root, system), verbose=False)


def test_backgrounds_do_not_depend_on_autocast(run: Path, root: Path, tmp_path: Path) -> None:
    """The loader of training computes them outside of it, a test inside."""
    system = trained(run)
    images = (torch.rand(30, 3, 24, 32) * 255).round() / 255
    with torch.no_grad():
        expected = system.background.push(system.begin_scene({}), images)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(system.background.push(system.begin_scene({}), images), expected)


@pytest.mark.slow
def test_it_learns_to_subtract(root: Path, tmp_path: Path) -> None:
    density = Stage(400, 64, 3e-3, "cosine", 8)
    system = module(density=density, difference=Stage(400, 2, 5e-3, "cosine"))
    fitted = trainer(tmp_path / "run")
    fitted.fit(system, datamodule(root, system))
    found = fitted.test(system, datamodule(root, system), verbose=False)[0]
    assert found["test/f_measure"] > 0.8
