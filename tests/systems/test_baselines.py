"""Baselines without learning under every protocol: frame difference and the temporal median."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from bgsub_lightning.backgrounds.classical import PreviousFrame
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.evaluation import TestResult

PROTOCOLS = {
    "SceneWise": {"folds": 3},
    "FirstHalf": {},
    "LabelBudget": {"frames": 2, "drawn": "balanced"},
    "CategoryBudget": {"fraction": 0.3},
    "RandomShares": {},
    "Subset": {"train": ["baseline/office"], "test": ["baseline/highway", "thermal/park"]},
}
BACKGROUNDS = {"PreviousFrame": {}, "TemporalMedian": {"history": 9, "every": 2}}


def images(folder: Path) -> list[NDArray[np.int64]]:
    return [cv2.imread(str(path)).astype(np.int64) for path in sorted((folder / "input").iterdir())]


def backgrounds(name: str, frames: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Of each frame, by the definition."""
    if name == "PreviousFrame":
        return [frames[0], *frames[:-1]]
    taken = [list(range(0, i + 1, 2))[-5:] for i in range(len(frames))]
    return [np.sort(np.stack([frames[n] for n in numbers]), 0)[(len(numbers) - 1) // 2] for numbers in taken]


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_counts_are_those_of_the_definition(
    run: Callable[..., int], tiny: Path, cdnet: Path, tmp_path: Path, protocol: str, background: str
) -> None:
    content = yaml.safe_load(tiny.read_text())
    content["model"] = {
        "class_path": "bgsub_lightning.systems.ThresholdedDifference",
        "init_args": {
            "background": {
                "class_path": f"bgsub_lightning.backgrounds.{background}",
                "init_args": BACKGROUNDS[background],
            },
            "threshold": 0.1,
        },
    }
    content["data"]["init_args"] |= {
        "size": None,
        "protocol": {"class_path": f"bgsub_lightning.splits.{protocol}", "init_args": PROTOCOLS[protocol]},
    }
    config = tmp_path / "baseline.yaml"
    config.write_text(yaml.safe_dump(content))
    assert run("test", config=config) == 0
    result = TestResult.load(tmp_path / "run")
    assert result.leakage == "unseen scenes"
    assert result.videos
    with (tmp_path / "run/frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    for key in result.videos:
        frames = images(cdnet / key)
        differences = [np.abs(a - b).max(-1) for a, b in zip(frames, backgrounds(background, frames), strict=True)]
        roi = cv2.imread(str(cdnet / key / "ROI.bmp"), cv2.IMREAD_GRAYSCALE) > 0
        for row in (row for row in rows if row["video"] == key):
            number = int(row["frame"])
            truth = cv2.imread(str(cdnet / key / f"groundtruth/gt{number:06d}.png"), cv2.IMREAD_GRAYSCALE)
            said = differences[number - 1] > 25.5
            called = said & roi & (truth != 170)
            assert int(row["TP"]) == (called & (truth == 255)).sum()
            assert int(row["FP"]) == (called & (truth != 255)).sum()


def test_the_previous_frame() -> None:
    source = PreviousFrame(2)
    frames = torch.rand(6, 3, 4, 5).mul(255).round().div(255)
    context = source.begin_scene()
    found = torch.cat([source.push(context, part) for part in (frames[:1], frames[1:4], frames[4:])])
    assert torch.equal(found, frames[[0, 0, 0, 1, 2, 3]])
    assert torch.equal(source.push(source.begin_scene(), frames[3:5]), frames[[3, 3]])
    assert source.settings() != PreviousFrame().settings()
    with pytest.raises(UserError, match=r"interval: .*got 0"):
        PreviousFrame(0)
