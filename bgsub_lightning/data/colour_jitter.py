"""Brightness, contrast, saturation and hue of a sample, those of the long past by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.data.transforms import Bytes, Sample, SampleTransform

_LUMA = np.array([0.2989, 0.587, 0.114], np.float32)

Floats = NDArray[np.float32]


@dataclass
class ColourJitter(SampleTransform):
    """Changes brightness, contrast, saturation and hue, in any order, as torchvision's transform of that name.

    Y.-S. Huang, J.-M. Guo, Y.-X. Yang, "SeqFeedNet", WACV 2026, by the authors' code: once for the long past, and once
    for all other frames of the sample together.

    Args:
        p: See :class:`SampleTransform`.
        brightness: Factors lie within this distance of 1.
        contrast: Likewise, of the distance from the mean grey level of a frame.
        saturation: Likewise, of the distance from grey.
        hue: Largest turn of the hue, as a share of the circle.

    Raises:
        UserError: If a value is out of range.
    """

    p: float = 0.9
    brightness: float = 0.5
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.075

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("brightness", "contrast", "saturation", most=1)
        self._check("hue", most=0.5)

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        long_past = {id(group) for group in sample.long_past}
        others = [group for group in [*sample.now, *sample.past] if id(group) not in long_past]
        for groups in (others, sample.long_past):
            change = self.change(rng)
            for group in groups:
                for frame in group:
                    frame[...] = change(frame)

    def change(self, rng: np.random.Generator) -> Callable[[Bytes], Bytes]:
        """Draw a change of colours."""
        factors = [1 + rng.uniform(-most, most) for most in (self.brightness, self.contrast, self.saturation)]
        changes = [_brightness, _contrast, _saturation, _hue]
        drawn = list(zip(changes, [*factors, rng.uniform(-self.hue, self.hue)], strict=True))
        order = rng.permutation(4)

        def changed(frame: Bytes) -> Bytes:
            image = frame.astype(np.float32) / np.float32(255)
            for place in order:
                step, amount = drawn[place]
                image = np.clip(step(image, np.float32(amount)), 0, 1)  # hue is nothing beyond that
            return np.asarray(np.rint(image * 255), np.uint8)

        return changed


def _brightness(image: Floats, factor: np.float32) -> Floats:
    return image * factor


def _contrast(image: Floats, factor: np.float32) -> Floats:
    return image * factor + (1 - factor) * np.float32((image @ _LUMA).mean())


def _saturation(image: Floats, factor: np.float32) -> Floats:
    return np.asarray(image * factor + (1 - factor) * (image @ _LUMA)[..., None], np.float32)


def _hue(image: Floats, turn: np.float32) -> Floats:
    colours = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), np.float32)
    colours[..., 0] = (colours[..., 0] + 360 * turn) % 360
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_HSV2RGB), np.float32)
