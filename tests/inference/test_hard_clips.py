"""Events of cameras: bars, night, a light that is switched, infrared, a knock; on made clips, with AnyScene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_systems import write_video

import bgsub_lightning
from bgsub_lightning.inference import Result

AT = 100
"""Frame from which a clip is changed."""
SIZE = (160, 240)


def street() -> np.ndarray:
    generator = np.random.default_rng(0)
    image = np.full((*SIZE, 3), (120, 130, 110), np.uint8)
    for _ in range(40):
        x, y = generator.integers(0, 230), generator.integers(0, 150)
        corner = int(x + generator.integers(10, 50)), int(y + generator.integers(10, 40))
        cv2.rectangle(image, (int(x), int(y)), corner, generator.integers(20, 200, 3).tolist(), -1)
    return image


def clip(
    folder: Path, change: Callable[[np.ndarray, int], np.ndarray], noise: float = 2.0, system: str = "AnyScene"
) -> list[Result]:
    """Results of 8 s in which a box of 20×40 pixels goes through a street from the second one on, in H.264."""
    generator, background, frames = np.random.default_rng(1), street(), []
    for number in range(200):
        image = background.copy()
        if number >= 25:
            x = 2 * number % 280 - 30
            cv2.rectangle(image, (x, 70), (x + 19, 109), (200, 60, 50), -1)
        image = change(image.astype(np.float32), number)
        frames.append((image + generator.normal(0, noise, image.shape)).clip(0, 255).astype(np.uint8))
    video = write_video(folder / "clip.mp4", frames, "libx264", "yuv420p")
    return list(bgsub_lightning.stream(video, checkpoint=system))


def shares(results: list[Result]) -> np.ndarray:
    """Share of foreground in each mask."""
    return np.array([np.count_nonzero(result.mask) / result.mask.size for result in results])


def changes(results: list[Result]) -> list[str]:
    """Changes of the picture as a whole."""
    return [event.event for result in results for event in result.events if event.event not in {"enter", "leave"}]


def letterboxed(image: np.ndarray, number: int) -> np.ndarray:
    picture = np.zeros((SIZE[1], SIZE[1], 3), np.float32)
    picture[40:200] = image
    return picture


@pytest.mark.parametrize("system", ["AnyScene", "TemporalMedian"])
def test_black_bars_are_never_foreground(system: str, tmp_path: Path) -> None:
    found = clip(tmp_path, letterboxed, system=system)
    assert not any(result.mask[:40].any() or result.mask[200:].any() for result in found)
    assert shares(found)[50:].max() > 0.01
    assert changes(found) == []


def test_noise_at_night_is_no_object(tmp_path: Path) -> None:
    found = clip(tmp_path, lambda image, _: image * 0.2 + 4, noise=5)
    assert len({track.id for result in found for track in result.tracks}) <= 2  # the box comes twice
    assert shares(found).max() < 0.03
    assert changes(found) == []


@pytest.mark.parametrize(
    ("change", "event"),
    [
        (lambda image, number: image * (0.6 if number >= AT else 1), "light_changed"),
        (lambda image, number: image[..., :1].repeat(3, 2) if number >= AT else image, "infrared"),
        (lambda image, number: np.roll(image, (30, 45), (0, 1)) if number >= AT else image, "camera_moved"),
    ],
)
def test_masks_are_good_again_soon(change: Callable[[np.ndarray, int], np.ndarray], event: str, tmp_path: Path) -> None:
    found = clip(tmp_path, change)
    assert changes(found) == [event]
    share = shares(found)
    assert share[AT + 65 :].max() < 0.04
    assert share[AT + 65 :].max() > 0.005  # the box, which is 2 % of the picture
