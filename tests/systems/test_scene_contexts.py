"""Scenes are known by their contexts alone: batches of several scenes come in any order, and answers stay the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from test_every_system import SYSTEMS, UNTRAINED
from tiny_training import module_of, quiet, trainer
from torch import Tensor
from torch.utils.data import DataLoader

from bgsub_lightning.data import ScenesDataModule
from bgsub_lightning.splits import Subset
from bgsub_lightning.systems import BgsModule

pytestmark = quiet

EACH = sorted({*SYSTEMS, *UNTRAINED} - {"ClassicalSubtractor, KNN"})
"""KNN draws from OpenCV's one generator, so that its scenes must run one after the other."""


class Interleaved(ScenesDataModule):
    """Gives the batches of two scenes in turn."""

    def predict_dataloader(self) -> DataLoader[dict[str, Any]]:
        loader = super().predict_dataloader()
        sampler: Any = loader.sampler
        first, second = ([draws for draws in sampler.batches if draws[0].scene == scene] for scene in (0, 1))
        sampler.batches = list(chain(*zip(first, second, strict=True)))
        return loader


class Counted(Callback):
    """Notes how many contexts there are after each batch, before its own may go."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        assert isinstance(pl_module, BgsModule)
        self.counts.append(len(pl_module.contexts))


def named_module(system: str) -> BgsModule:
    torch.manual_seed(0)
    name = f"bgsub_lightning.systems.{system.partition(',')[0]}"
    init_args = {**SYSTEMS, **UNTRAINED}[system]
    source = init_args.get("background")
    if source and "." not in source["class_path"]:
        path = f"bgsub_lightning.backgrounds.{source['class_path']}"
        init_args = init_args | {"background": source | {"class_path": path}}
    module = module_of({"class_path": name, "init_args": init_args})
    module.trained_on = {"CDnet2014:a/x": [1]}
    return module


def predicted(module: BgsModule, data: ScenesDataModule, folder: Path) -> tuple[list[Tensor], list[int]]:
    """The answers to each scene, ``(B, h, w)``, and the numbers of contexts."""
    counted, scenes = Counted(), data.predict_dataloader().sampler
    found: Any = trainer(folder, [counted]).predict(module, data)
    of_batches = [draws[0].scene for draws in scenes]
    answers = [torch.cat([each for each, of in zip(found, of_batches, strict=True) if of == i]) for i in (0, 1)]
    assert module.contexts == {}
    return answers, counted.counts


@pytest.mark.parametrize("system", EACH)
def test_the_order_of_batches_does_not_matter(system: str, tmp_path: Path, make_video: Callable[..., Path]) -> None:
    for name in ("a", "b"):
        make_video(tmp_path / "data", "baseline", name, unlabelled=12, labelled=8)
    module = named_module(system)
    size = (256, 256) if system == "CrossNet" else (32, 24)
    made = [
        kind(module.inputs, Subset([], ["*/*"]), tmp_path / "data", size=size, num_workers=0, eval_batch_size=3)
        for kind in (ScenesDataModule, Interleaved)
    ]
    (expected, one), (found, two) = (predicted(module, data, tmp_path / "run") for data in made)
    assert set(one) == {1}
    assert set(two) == {1, 2}
    assert expected[0].shape == found[0].shape
    assert not torch.equal(*expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)
