"""Changes of the whole picture, on made clips."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from bgsub_lightning.inference.watching import PictureWatch

RATE = 10
AT = 80
"""Frame from which a clip is changed."""


def view(seed: int = 0) -> np.ndarray:
    """A street of boxes, in colour: RGB, 120×180."""
    generator = np.random.default_rng(seed)
    image = np.full((120, 180, 3), (120, 130, 110), np.uint8)
    for _ in range(40):
        x, y = generator.integers(0, 170), generator.integers(0, 110)
        colour = generator.integers(20, 200, 3).tolist()
        cv2.rectangle(
            image,
            (int(x), int(y)),
            (int(x + generator.integers(8, 40)), int(y + generator.integers(8, 30))),
            colour,
            -1,
        )
    return image


def clip(change: Callable[[np.ndarray, int], np.ndarray], length: int = 200) -> list[tuple[int, str]]:
    generator, watch, street, found = np.random.default_rng(1), PictureWatch(), view(), []
    for number in range(length):
        image = street.copy()
        cv2.circle(image, (3 * number % 180, 60), 12, (200, 40, 40), -1)  # somebody always passes
        if number >= AT:
            image = change(image, number)
        noisy = image + generator.normal(0, 2, image.shape) * (image.any())
        if change is frozen and number >= AT:
            noisy = image
        seen = watch.update(noisy.clip(0, 255).astype(np.uint8), number, number / RATE)
        found += [(each.frame, each.event) for each in seen]
    return found


def frozen(image: np.ndarray, number: int) -> np.ndarray:
    return view()


def grey(image: np.ndarray, number: int) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2)


def test_nothing_happens() -> None:
    assert clip(lambda image, number: image) == []


def test_light_goes_up_and_down_slowly() -> None:
    assert clip(lambda image, number: image * (1 - 0.4 * (number - AT) / 120), 200) == []


@pytest.mark.parametrize(
    ("change", "event", "within"),
    [
        (lambda image, number: np.roll(image, (12, 20), (0, 1)), "camera_moved", 2.5),
        (lambda image, number: np.concatenate([view(7)[:, 60:], image[:, :60]], 1), "camera_moved", 2.5),
        (lambda image, number: image * 0.6, "light_changed", 0.5),
        (lambda image, number: np.minimum(image * 1.4, 255), "light_changed", 0.5),
        (grey, "infrared", 2.0),
        (frozen, "frozen", 5.5),
        (lambda image, number: image * 0, "dark", 0.5),
    ],
)
def test_a_change_is_noticed_once(change: Callable[[np.ndarray, int], np.ndarray], event: str, within: float) -> None:
    found = clip(change)
    assert [name for _, name in found] == [event]
    assert AT <= found[0][0] <= AT + within * RATE


def test_it_comes_back() -> None:
    found = clip(lambda image, number: image * 0 if number < 120 else image)
    assert [name for _, name in found] == ["dark", "resumed"]
    found = clip(lambda image, number: grey(image, number) if number < 120 else image)
    assert [name for _, name in found] == ["infrared", "colour"]


def test_a_change_of_size_is_no_change_of_the_view() -> None:
    assert clip(lambda image, number: cv2.resize(image, (360, 200))) == []
