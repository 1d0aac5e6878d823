"""BMN-BSN's rules that no command shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from made_batches import random_batch

from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.data import Image, References
from bgsub_lightning.datasets.labels import LabelRule
from bgsub_lightning.losses.cross_entropy import masked_cross_entropy
from bgsub_lightning.systems.bmn_bsn import BmnBsn


def small(**settings: object) -> BmnBsn:
    torch.manual_seed(0)
    return BmnBsn(references=3, maps=4, channels=4, depth=2, **settings)


def batch(size: int = 2) -> dict[str, torch.Tensor]:
    return random_batch(size, 21, 30, image=(3,), references=(3, 3), mask=())


def test_inputs() -> None:
    assert small(reference_draws=2).inputs == (Image(), References(3, 2))


@pytest.mark.parametrize("rule", list(LabelRule))
def test_loss_sees_what_the_rule_says(rule: LabelRule) -> None:
    module, data = small(labels=rule), batch()
    target = torch.full((2, 21, 30), 255)
    foreground, background = rule.value
    for level in (0, 50, 85, 170, 255):
        if level in foreground or level in background:
            target[data["mask"] == level] = int(level in foreground)
    expected = masked_cross_entropy(module(data["references"], data["image"]), target)
    assert torch.equal(module.losses(data)["segmentation"], expected)


def test_probability_is_the_softmax_of_the_network() -> None:
    module, data = small().eval(), batch()
    with torch.no_grad():
        context = module.begin_scene({"references": data["references"][:1]})
        first, later = (module.probability(context, {"image": data["image"]}) for _ in range(2))
        logits = module(data["references"][:1].expand(2, -1, -1, -1, -1), data["image"])
    assert first.shape == (1, 2, 21, 30)
    torch.testing.assert_close(first[0], logits.softmax(1)[:, 1])
    assert torch.equal(first, later)


def test_background_is_modelled_once_per_scene() -> None:
    module, data = small().eval(), batch()
    calls = []
    module.network.bmn.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        for references in (data["references"][:1], data["references"][1:]):  # two scenes of three batches
            context = module.begin_scene({"references": references})
            for _ in range(3):
                module.probability(context, {"image": data["image"]})
    assert len(calls) == 2


def test_background_modelled_for_each_frame_gives_the_same_answer() -> None:
    module, each = (small(model_each_frame=value) for value in (False, True))
    each.load_state_dict(module.state_dict())
    data = batch(3)
    modelled: list[int] = []
    each.network.bmn.register_forward_hook(lambda *_: modelled.append(1))
    with torch.no_grad():
        context = each.begin_scene({"references": data["references"][:1]})
        expected = module.eval().probability(context, data)
        for _ in range(2):
            assert torch.allclose(each.eval().probability(context, data), expected, atol=1e-6)
    assert len(modelled) == 1 + 3 + 3


def test_references_are_shown() -> None:
    module, data = small().eval(), batch(1)
    with torch.no_grad():
        shown = module.begin_scene(data).pictures()
    (references,) = data["references"]
    assert torch.equal(shown["reference"], references[0])
    sheet = shown["references"]  # three of 21×30 on two columns
    assert sheet.shape == references[0].shape
    assert torch.allclose(sheet[:, :10, 15:30].mean(), references[1].mean(), atol=0.02)
    assert not sheet[:, 10:20, 15:].any()
    assert {"maps 1 to 3", "maps 4 to 6"} <= shown.keys()


def test_missing_input_is_named() -> None:
    data = batch()
    del data["references"]
    with pytest.raises(UserError, match=r"needs references in its batches.*data\.init_args\.inputs"):
        small().training_step(data, 0)


@pytest.mark.parametrize("steps", [0, 10])
def test_rate(steps: int) -> None:
    module = small(lr=0.5, decay_steps=steps)
    configured = module.configure_optimizers()
    if steps == 0:
        assert isinstance(configured, torch.optim.Adam)
        return
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == 0.5
    assert rates[5] == pytest.approx(0.25)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
def test_it_learns_to_subtract(tmp_path: Path, cdnet: Path) -> None:
    """On squares in front of textures, an unseen texture is subtracted nearly without error."""
    config = tmp_path / "learn.yaml"
    config.write_text(f"""
trainer: {{accelerator: cpu, max_epochs: -1, max_steps: 150, log_every_n_steps: 5, limit_val_batches: 0,
  num_sanity_val_steps: 0, use_distributed_sampler: false, enable_progress_bar: false, enable_model_summary: false}}
model:
  class_path: bgsub_lightning.systems.BmnBsn
  init_args: {{references: 4, maps: 4, channels: 8, depth: 2, lr: 5.0e-3, decay_steps: 150, class_balanced: true}}
data:
  class_path: bgsub_lightning.data.ScenesDataModule
  init_args:
    root: {cdnet}
    size: [64, 48]
    batch_size: 4
    num_workers: 0
    protocol: {{class_path: bgsub_lightning.splits.SceneWise}}
wandb: disabled
""")
    assert main(["fit", "--config", str(config), f"--run_dir={tmp_path / 'run'}"]) == 0
    assert main(["test", "--config", str(config), f"--run_dir={tmp_path / 'run'}"]) == 0
    from bgsub_lightning.evaluation import TestResult

    assert TestResult.load(tmp_path / "run").scores().overall["f_measure"] > 0.9


def test_flip_mirrors_all_of_a_sample(cdnet: Path, make_scene: Callable[..., object]) -> None:
    from bgsub_lightning.data import ScenesDataModule
    from bgsub_lightning.splits import SceneWise

    def first(flip: float) -> dict[str, torch.Tensor]:
        inputs = (Image(), References(3))
        data = ScenesDataModule(inputs, SceneWise(), root=cdnet, size=(32, 24), batch_size=4, num_workers=0, flip=flip)
        return data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)

    plain, mirrored = first(0.0), first(1.0)
    for key in ("image", "references", "mask"):
        assert torch.equal(plain[key].flip(-1), mirrored[key])
    assert plain["image"].shape == (4, 3, 24, 32)
    assert plain["references"].shape == (4, 3, 3, 24, 32)
    assert plain["image"].dtype == torch.float32
    assert 0 <= plain["image"].min() < plain["image"].max() <= 1
