"""CrossNet's rules that no command shows."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from made_batches import random_batch

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Hop, Image
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.systems.crossnet import CrossNet
from bgsub_lightning.systems.crossnet.loss import focal_loss, l1_loss, scale_weight


def small(**settings: object) -> CrossNet:
    torch.manual_seed(0)
    return CrossNet(**{"width": 2, **settings})


def batch(size: int = 2, flows: int = 3) -> dict[str, torch.Tensor]:
    return random_batch(size, 256, 256, image=(3,), mask=(), **({"hop": (flows,)} if flows else {}))


@pytest.mark.parametrize("taus", [(1, 5, 10), (1, 5), (1,), ()])
def test_inputs_are_what_the_intervals_ask_for(taus: tuple[int, ...]) -> None:
    module = small(taus=taus)
    assert module.inputs == ((Image(), Hop(taus)) if taus else (Image(),))
    data = batch(flows=len(taus))
    assert module(data["image"], data.get("hop")).shape == (2, 256, 256)


def test_missing_flow_is_named() -> None:
    data = batch(flows=0)
    with pytest.raises(UserError, match=r"needs hop in its batches.*data\.init_args\.inputs"):
        small().training_step(data, 0)


@pytest.mark.parametrize("rule", [LabelRule.TRAINING, LabelRule.CROSSNET])
@pytest.mark.parametrize("beta", ["paper", "off"])
def test_losses_are_the_weighted_terms(beta: str, rule: LabelRule) -> None:
    module, data = small(beta=beta, focal_weight=0.7, l1_weight=0.4, alpha=0.6, gamma=1.5, labels=rule).eval(), batch()
    logits = module.network(data["image"] * 2 - 1, data["hop"] * 2 - 1)
    target = torch.from_numpy(rule.table)[data["mask"].long()]
    terms = module.losses(data)
    name = "cs_focal" if beta == "paper" else "focal"
    assert set(terms) == {name, "l1"}
    by_scale = scale_weight(target) if beta == "paper" else None
    torch.testing.assert_close(terms[name], 0.7 * focal_loss(logits, target, 0.6, 1.5, by_scale))
    torch.testing.assert_close(terms["l1"], 0.4 * l1_loss(logits, target))


def test_the_numbers_of_beta_are_options() -> None:
    """At γ = 0 the loss is linear in β: foreground of one image alone, so that β is a factor."""
    data = batch(1)
    data["mask"] = torch.zeros_like(data["mask"])
    data["mask"][:, :64] = 255  # a quarter of the image
    settings = {"l1_weight": 0.0, "alpha": 1.0}
    plain = small(**settings, beta="off").eval().losses(data)["focal"]
    for beta, numbers in (
        (0.25 * 4, {}),
        (0.5 * 4, {"beta_scale": 0.5}),
        (0.25 * 2, {"beta_limit": 2.0}),
        (0.25 * 3, {"beta_share": "background"}),
    ):
        found = small(**settings, **numbers).eval().losses(data)["cs_focal"]
        torch.testing.assert_close(found, beta * plain)


@pytest.mark.parametrize(
    ("settings", "terms"),
    [
        ({}, {"cs_focal", "l1"}),
        ({"beta": "off"}, {"focal", "l1"}),
        ({"l1_weight": 0}, {"cs_focal"}),
        ({"beta": "off", "l1_weight": 0}, {"focal"}),
        ({"focal_weight": 0}, {"l1"}),
    ],
)
def test_ablations_of_the_loss(settings: dict[str, object], terms: set[str]) -> None:
    assert set(small(**settings).losses(batch())) == terms


def test_probability_is_the_sigmoid_of_the_network() -> None:
    module, data = small().eval(), batch()
    with torch.no_grad():
        probability = module.probability(module.begin_scene({}), data)
        logits = module.network(data["image"] * 2 - 1, data["hop"] * 2 - 1)
    assert probability.shape == (1, 2, 256, 256)
    torch.testing.assert_close(probability[0], logits.sigmoid())


def test_pictures_are_means_of_the_last_filter() -> None:
    module, data = small().eval(), batch()
    context = module.begin_scene({})
    step = module.network.decoder[-1]
    seen: list[tuple[torch.Tensor, ...]] = []
    step.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    with torch.no_grad():
        module.probability(context, data)
        x, encoded = seen[0]
        weights, features = step.weigh(step.up(x)), step.fuse(encoded)
    expected = {"B_w": weights, "B_e_op": features, "B_w x B_e_op": weights * features}
    for position in (0, 1, -1):
        pictures = module.frame_pictures(context, data, position)
        assert set(pictures) == set(expected)
        for title, values in expected.items():
            mean = values[position].mean(0)
            torch.testing.assert_close(pictures[title], (mean - mean.min()) / (mean.max() - mean.min()))


def test_without_filters_there_are_no_pictures() -> None:
    without = small(filters=False).eval()
    assert without.frame_pictures(without.begin_scene({}), batch(), 0) == {}


def test_adam_has_the_papers_numbers_and_leaves_out_what_is_frozen() -> None:
    module = CrossNet(width=1)
    optimizer = module.configure_optimizers()
    assert type(optimizer) is torch.optim.Adam
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"]) == (5e-5, (0.95, 0.999))
    assert len(group["params"]) == len(list(module.parameters()))
    frozen = small(freeze_fusion=True)
    learning = {id(each) for each in frozen.configure_optimizers().param_groups[0]["params"]}
    still = {
        name.split(".")[-3] if "bottleneck" not in name else "bottleneck"
        for name, each in frozen.named_parameters()
        if id(each) not in learning
    }
    assert still == {"fuse", "bottleneck"}
    assert len(learning) == len(list(frozen.parameters())) - 16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"focal_weight": 0, "l1_weight": 0}, r"focal_weight \+ l1_weight: .*got 0"),
        ({"focal_weight": -1}, "focal_weight: .*got -1"),
        ({"alpha": 1.5}, r"alpha: .*got 1\.5"),
        ({"gamma": -0.5}, r"gamma: .*got -0\.5"),
        ({"width": 0}, "width: .*got 0"),
        ({"taus": (0, 5)}, "taus"),
        ({"lr": -1.0}, r"lr: .*got -1\.0"),
        ({"betas": (0.9, 1.5)}, r"betas: .*got 1\.5"),
        ({"decay_steps": -5}, "decay_steps: .*got -5"),
        ({"dropout": 2.0}, r"dropout: .*got 2\.0"),
        ({"beta_scale": 0.0}, r"beta_scale: .*got 0\.0"),
        ({"beta_limit": float("inf")}, r"beta_limit: .*got inf"),
        ({"beta_share": "half"}, r"beta_share: .*got 'half'"),
        ({"form": "printed"}, r"form: .*got 'printed'"),
        ({"freeze_fusion": True, "filters": False}, "no fusion to freeze"),
    ],
)
def test_senseless_numbers_raise(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**settings)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--data.init_args.size=[256, 320]", "multiples of 256, such as [256, 256]; got [256, 320]"),
        ("--data.init_args.size=null", "multiples of 256, such as [256, 256]; got each scene's own"),
        ("--model.init_args.norm=batch", "batch normalisation over a vector needs 2 frames, got 1"),
    ],
)
def test_frames_that_the_network_cannot_take(
    cdnet: Path, tmp_path: Path, fails: Callable[[int], str], option: str, message: str
) -> None:
    config = Path(__file__).parents[2] / "experiments/crossnet_small.yaml"
    options = [f"--data.init_args.root={cdnet}", "--data.init_args.batch_size=1", "--model.init_args.width=1"]
    options += [f"--data.init_args.store={tmp_path / 'store'}", f"--run_dir={tmp_path / 'run'}", "--wandb=disabled"]
    assert message in fails(main(["fit", "--config", str(config), *options, option]))
    assert not (tmp_path / "store").exists()  # nothing is computed before


def test_weights_of_other_intervals_are_refused() -> None:
    trained = small(taus=(1, 5, 10))
    checkpoint = {"state_dict": trained.state_dict(), "trained_on": {}, "hyper_parameters": dict(trained.hparams)}
    small(taus=[1, 5, 10]).on_load_checkpoint(checkpoint)
    with pytest.raises(UserError, match=r"^model\.init_args\.taus: .*\[1, 5, 10\]; got \[2, 3, 4\]"):
        small(taus=(2, 3, 4)).on_load_checkpoint(checkpoint)


def test_pictures_leave_nothing_behind() -> None:
    module = small().eval()
    before = pickle.dumps(module)
    with torch.no_grad():
        assert module.frame_pictures(module.begin_scene({}), batch(), 0)
    assert pickle.dumps(module) == before
