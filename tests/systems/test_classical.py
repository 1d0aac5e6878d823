"""OpenCV's subtractors, which are the same whatever ran before."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from bgsub_lightning.systems.baselines import ClassicalSubtractor


@pytest.mark.parametrize("method", ["MOG2", "KNN"])
def test_answers_do_not_depend_on_what_ran_before(method: str) -> None:
    generator = np.random.default_rng(0)
    scene = generator.integers(60, 190, (1, 40, 60, 3))
    frames = np.clip(scene + generator.normal(0, 25, (300, *scene.shape[1:])), 0, 255).astype(np.uint8)
    batch = {"image": torch.from_numpy(frames).movedim(-1, 1)}
    module = ClassicalSubtractor(method)
    first = module.probability(module.begin_scene({}), batch)
    assert 0 < first.mean() < 1
    cv2.randu(np.zeros((7, 7), np.float32), 0, 1)  # moves OpenCV's generator
    assert torch.equal(module.probability(module.begin_scene({}), batch), first)
