"""Pictures."""

from __future__ import annotations

import numpy as np

from bgsub_lightning.evaluation.drawing import comparison_panel, confusion_image


def test_confusion_colours_are_the_papers() -> None:
    truth = np.array([[255, 255, 0, 0, 50, 50, 170, 170, 85, 85]], np.uint8)
    said = np.array([[1, 0, 1, 0, 1, 0, 1, 0, 1, 0]], bool)
    image = confusion_image(said, truth, np.ones_like(said))
    green, pink, red, black = (0, 200, 0), (255, 130, 190), (230, 0, 0), (0, 0, 0)
    grey = [(50,) * 3, (170,) * 3]
    assert [tuple(pixel) for pixel in image[0].tolist()] == [
        green, pink, red, black, red, grey[0], grey[1], grey[1], red, black,
    ]  # fmt: skip
    outside = confusion_image(said, truth, np.zeros_like(said))
    assert (outside == 85).all()


def test_panel_takes_grey_and_colour_of_any_size() -> None:
    grey, colour = np.full((30, 40), 7, np.uint8), np.zeros((60, 80, 3), np.uint8)
    panel = comparison_panel([("a", [grey, colour]), ("b", [colour, grey])], ["left", "right"])
    assert panel.dtype == np.uint8
    assert panel.shape == (22 + 2 * (240 + 22), 2 * 324, 3)
    assert (panel[100, 100] == 7).all()
