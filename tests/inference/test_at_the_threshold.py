"""Probabilities exactly at the threshold: foreground in scores, files and streams where a paper prints ≥, else not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from live_systems import TINY, moving_square, tiny_system, with_trainer
from tiny_training import quiet, trainer

from bgsub_lightning.data import ScenesDataModule
from bgsub_lightning.inference.subtractor import Subtractor
from bgsub_lightning.metrics import THRESHOLDS
from bgsub_lightning.splits import Subset
from bgsub_lightning.training.callbacks import MaskWriter

pytestmark = quiet

AT_LEAST = {"CdnMedal"}  # equation 22; no other paper prints a comparison


@pytest.mark.parametrize("name", TINY)
def test_it_is_what_the_paper_has(name: str) -> None:
    module = tiny_system(name, threshold=0.25).module
    found = module.is_foreground(torch.tensor([0.2, 0.25, 0.3]))
    assert found.tolist() == [False, name in AT_LEAST, True]
    assert module.is_foreground(torch.tensor([0.2, 0.25, 0.3]), 0.125).all()


@pytest.mark.parametrize("name", ["CdnMedal", "FrameFcn"])
def test_everywhere_alike(name: str, make_video: Callable[..., Path], tmp_path: Path) -> None:
    make_video(tmp_path / "data", "baseline", "highway", size=(32, 24))
    system = tiny_system(name, threshold=0.25)
    module = with_trainer(system)
    for half in (system.module, module):
        half.probability = lambda _, batch: torch.full_like(batch["image"][:, 0], 0.25)[None]  # type: ignore[method-assign]
    data = ScenesDataModule(
        module.inputs, Subset([], ["*/*"]), tmp_path / "data", size=None, num_workers=0, plan=module.plan
    )
    runs = trainer(tmp_path, [MaskWriter(tmp_path / "masks")])
    runs.predict(module, data)
    written = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tmp_path / "masks").rglob("bin*.png")]
    streamed = Subtractor(system, "cpu").push([moving_square(1)[0]])
    all_is_foreground = name in AT_LEAST
    assert len(written) == 6
    assert np.unique([*written, *streamed]).tolist() == [255 * all_is_foreground]

    module.trained_on = {"CDnet2014:baseline/office": [1]}  # a test asks what the weights have seen
    trainer(tmp_path).test(module, data, verbose=False)
    (counts,) = module.confusion.by_scene().values()
    tp, fp, fn, tn = counts[:4]
    assert (tp + fp, fn + tn)[all_is_foreground] == 0 < (tp + fp, fn + tn)[not all_is_foreground]
    (at_thresholds,) = module.confusion_at_thresholds.by_scene().values()
    expected = [threshold < 0.25 or (threshold == 0.25 and all_is_foreground) for threshold in THRESHOLDS]
    assert [row[0] + row[1] > 0 for row in at_thresholds] == expected
