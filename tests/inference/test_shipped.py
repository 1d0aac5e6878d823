"""The weights that ship with the package, and what they are worth."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from live_systems import write_video
from numpy.typing import NDArray

import bgsub_lightning
from bgsub_lightning.cli import main
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.inference import SHIPPED, load_system
from bgsub_lightning.systems import AnySceneSystem
from bgsub_lightning.systems.any_scene import weights
from bgsub_lightning.systems.weights import damage

Bytes = NDArray[np.uint8]


def test_the_file_is_the_one_of_its_card() -> None:
    path, card = weights.shipped(), weights.card()
    assert path == weights.PATH
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"]
    assert all(value not in ("", None, [], {}) for value in card.values())


def test_the_file_is_small_and_nothing_in_it_is_executed() -> None:
    path = weights.shipped()
    assert path.stat().st_size <= 1_000_000
    assert damage(path) is None
    content = torch.load(path, map_location="cpu", weights_only=True)
    assert content["module"] == "AnyScene"
    assert content["trained_on"]
    assert all(key.startswith("Rendered:") for key in content["trained_on"])  # no frame of any dataset
    assert "optimizer_states" not in content
    assert all(bool(value.isfinite().all()) for value in content["state_dict"].values())


def test_it_is_what_is_loaded_where_nothing_is_named() -> None:
    one, other = load_system(), load_system(SHIPPED)
    assert one.name == other.name == SHIPPED == "AnyScene"
    assert isinstance(one.module, AnySceneSystem)
    assert one.model_config == other.model_config
    assert one.size is None
    assert one.module.threshold == other.module.threshold
    ours, theirs = one.module.state_dict(), other.module.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert bgsub_lightning.load().system.name == "AnyScene"


@pytest.mark.parametrize("damaged", ["cut off", "spoilt", "absent"])
def test_a_damaged_file_is_reported(damaged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, path = weights.shipped().read_bytes(), tmp_path / "weights.ckpt"
    monkeypatch.setattr(weights, "PATH", path)
    if damaged != "absent":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + (b"" if damaged == "cut off" else b"spoilt" + whole[middle + 6 :]))
    for load in (weights.shipped, load_system, bgsub_lightning.load):
        with pytest.raises(UserError, match=rf"{path}.*{weights.card()['sha256'][:16]}"):
            load()


def street(count: int) -> tuple[list[Bytes], list[NDArray[np.bool_]]]:
    """Frames of a textured background, grainy as a camera's, before which a square moves; and where it is."""
    generator = np.random.default_rng(3)
    smooth = cv2.GaussianBlur(generator.normal(size=(240, 320, 3)), (0, 0), 4)
    background = np.clip(110 + 25 * smooth / smooth.std(), 0, 255)
    frames, masks = [], []
    for i in range(count):
        frame, mask = background + generator.normal(0, 2, background.shape), np.zeros((240, 320), np.bool_)
        left, top = 10 + 3 * i % 260, 60 + i % 90
        frame[top : top + 40, left : left + 32] = (225, 60, 40)
        mask[top : top + 40, left : left + 32] = True
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
        masks.append(mask)
    return frames, masks


def test_it_finds_what_moves_and_nothing_else() -> None:
    subtractor = bgsub_lightning.load(device="cpu")
    found, missed, false = 0, 0, 0
    for number, (frame, mask) in enumerate(zip(*street(80), strict=True)):
        (answer,) = subtractor.push([frame])
        if number < 30:
            continue
        around = np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8))) > 0
        found += np.count_nonzero(answer[mask])
        missed += np.count_nonzero(answer[mask] == 0)
        false += np.count_nonzero(answer[~around])
    assert found > 0.85 * (found + missed)
    assert false < 0.001 * 50 * 240 * 320


def test_segment_needs_no_checkpoint(tmp_path: Path) -> None:
    frames, _ = street(4)
    video, out = write_video(tmp_path / "street.mkv", frames), tmp_path / "out"
    assert main(["segment", f"--source={video}", f"--out={out}", "--write=masks", "--clean=false", "--device=cpu"]) == 0
    written = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted((out / "masks").iterdir())]
    subtractor = bgsub_lightning.load(device="cpu")
    for frame, mask in zip(frames, written, strict=True):
        np.testing.assert_array_equal(subtractor.push([frame])[0], mask)


def test_the_card_is_json_that_people_can_read() -> None:
    text = weights.CARD.read_text()
    card: dict[str, Any] = json.loads(text)
    assert len(text.splitlines()) > len(card)
    assert len(card["sha256"]) == 64
