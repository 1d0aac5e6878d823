"""GSOC, CNT and LSBP: OpenCV's own masks, the same in every run, where its contrib build is installed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import bgsub_lightning
from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.frames.opencv import CONTRIB
from bgsub_lightning.inference.system import load_system
from bgsub_lightning.systems.baselines import ClassicalSubtractor

Bytes = NDArray[np.uint8]

contrib = pytest.mark.skipif(not hasattr(cv2, "bgsegm"), reason="opencv-contrib-python-headless is not installed")
each = pytest.mark.parametrize("name", CONTRIB)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    yield
    cv2.setNumThreads(before)


def frames(count: int = 30) -> list[Bytes]:
    """A bright square that moves over noise, BGR; large enough to be shared among threads."""
    generator = np.random.default_rng(0)
    made = np.clip(90 + generator.normal(0, 2, (count, 96, 128, 3)), 0, 255).astype(np.uint8)
    for number, frame in enumerate(made):
        frame[30:60, 3 * number : 3 * number + 30] = 250
    return list(made)


def opencvs(name: str, images: list[Bytes]) -> list[Bytes]:
    cv2.setNumThreads(1)
    subtractor = getattr(cv2.bgsegm, f"createBackgroundSubtractor{name}")()  # type: ignore[attr-defined]
    masks = [subtractor.apply(image) for image in images]
    cv2.setNumThreads(2)
    return masks


@each
def test_the_usual_build_lacks_them(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: Callable[[int], str]
) -> None:
    monkeypatch.delattr(cv2, "bgsegm", raising=False)
    cv2.imwrite(str(tmp_path / "in000001.png"), frames(1)[0])
    for load in (bgsub_lightning.load, load_system, ClassicalSubtractor):
        with pytest.raises(
            UserError, match=rf"^{name}: .*opencv-contrib-python-headless.*; got OpenCV {cv2.__version__}"
        ):
            load(name)
    message = fails(main(["segment", str(tmp_path), f"--checkpoint={name}", f"--out={tmp_path / 'out'}"]))
    assert f"{name}: " in message
    assert "pip install opencv-contrib-python-headless" in message
    assert not (tmp_path / "out").exists()


@contrib
@each
def test_masks_are_opencvs_on_any_number_of_threads(name: str) -> None:
    images = frames()
    expected = opencvs(name, images)
    assert {*np.unique(expected)} == {0, 255}  # no shadows
    assert 0 < np.mean(np.asarray(expected[-1]) == 255) < 0.5
    for _ in range(2):
        ours = bgsub_lightning.load(name)
        np.testing.assert_array_equal([ours.apply(image) for image in images], expected)
    assert cv2.getNumThreads() == 2
    module = ClassicalSubtractor(name)
    batch: Any = {"image": torch.from_numpy(np.stack(images)[..., ::-1].copy()).movedim(-1, 1)}
    context = module.begin_scene({})
    np.testing.assert_array_equal(module.probability(context, batch)[0].numpy() * 255, expected)
    assert context.pictures()["background"].shape == (3, 96, 128)


@contrib
@each
def test_a_grey_stream_is_grey_all_through(name: str) -> None:
    images = [np.ascontiguousarray(image[..., 1]) for image in frames()]
    ours = bgsub_lightning.load(name)
    assert ours.getBackgroundImage() is None
    np.testing.assert_array_equal([ours.apply(image) for image in images], opencvs(name, images))
    shown = ours.getBackgroundImage()
    assert shown is not None
    assert shown.shape == (96, 128)
    ours.reset()
    ours.apply(frames(1)[0])
    shown = ours.getBackgroundImage()
    assert shown is not None
    assert shown.shape == (96, 128, 3)


@contrib
@each
def test_known_foreground_is_not_learnt(name: str) -> None:
    """A thing that stands still long enough to become background, unless it is known."""
    empty = np.full((48, 64, 3), 90, np.uint8)
    stands = empty.copy()
    stands[10:30, 10:30] = 250
    known = (stands != empty).any(-1)
    ours = bgsub_lightning.load(name)
    for shown in [empty] * 30 + [stands] * 200:
        mask = ours.apply(shown, knownForegroundMask=known if shown is stands else None)
    assert mask[known].all()
    shown = ours.getBackgroundImage()
    assert shown is not None
    assert np.abs(shown[known].astype(int) - 90).max() <= 2


@contrib
@each
def test_rates_and_copies(name: str) -> None:
    images = frames()
    ours = bgsub_lightning.load(name)
    assert copy.deepcopy(ours).name == name
    for image in images:
        ours.apply(image)
    with pytest.raises(UserError, match=f"^learningRate: {name} .*got 0"):
        ours.apply(images[0], learningRate=0)
    with pytest.raises(UserError, match=f"^{name}: "):
        copy.deepcopy(ours)
    fresh = bgsub_lightning.load(name)
    np.testing.assert_array_equal(ours.apply(images[5], learningRate=1), fresh.apply(images[5]))
    np.testing.assert_array_equal(ours.apply(images[6]), fresh.apply(images[6]))
