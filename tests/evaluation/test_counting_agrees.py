"""Files are counted with numpy and tensors with PyTorch: both give the same counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bgsub_lightning.evaluation.mask_files import official_counts
from bgsub_lightning.metrics import confusion_counts, dice_counts, dice_sums


@pytest.mark.parametrize("has_roi", [False, True])
def test_pixels_by_the_official_rule(has_roi: bool) -> None:
    generator = np.random.default_rng(has_roi)
    for height, width in ((1, 1), (7, 5), (40, 60)):
        truth = generator.choice(np.array([0, 50, 85, 170, 255], np.uint8), (height, width))
        mask = generator.choice(np.array([0, 1, 254, 255], np.uint8), (height, width))
        roi = generator.random((height, width)) < 0.7 if has_roi else None
        on_tensors = confusion_counts(
            torch.from_numpy(mask == 255)[None],
            torch.from_numpy(truth)[None],
            None if roi is None else torch.from_numpy(roi),
        )
        assert official_counts(mask, truth, roi) == on_tensors[0].tolist()


def test_dice_of_frames() -> None:
    rows = np.random.default_rng(0).integers(0, 1000, (200, 5)) * np.random.default_rng(1).integers(0, 2, (200, 5))
    assert (rows[:, [0, 2]].sum(1) == 0).any()
    assert dice_sums(rows.tolist()) == dice_counts(torch.from_numpy(rows)).sum(0).tolist()
    assert dice_sums([]) == [0, 0, 0, 0]
