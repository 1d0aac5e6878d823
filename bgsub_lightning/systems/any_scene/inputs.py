"""Training inputs of AnyScene: the frame, an earlier one, and the samples that its background model would hold."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from bgsub_lightning.backgrounds.samples import held
from bgsub_lightning.core.ranges import check_range
from bgsub_lightning.data import Input, Sample, SampleTransform
from bgsub_lightning.datasets.labels import MOVING
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.systems.any_scene.features import in_order
from bgsub_lightning.systems.any_scene.relighting import Relighting

EARLIER = 4
"""Frames between the target and the one that motion is measured against."""


@dataclass(frozen=True)
class EarlierFrame(Input):
    """The frame some frames before the target; the first frame where there are fewer."""

    key = "earlier"
    as_bytes = True

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        interval = EARLIER + int(np.random.default_rng((seed, 5)).integers(-2, 3))  # as at other frame rates
        numbers = tuple(pixels.scene.frames)
        pixels.image(numbers[max(0, bisect.bisect_left(numbers, number) - interval)], out)


@dataclass(frozen=True)
class SampleBanks(Input):
    """The samples of a locked and of a blind bank, as a :class:`SampleBackground` would hold them at the target.

    The stream begins at a frame drawn for each sample, so that banks of all ages are seen. Foreground is locked by the
    masks, from the frame on from which the model would; some samples have regions that were locked for nothing, as the
    network's own false positives do.

    Args:
        count: Samples of each bank.
        stride: Longest distance of two samples in frames.
        warm_up: Frames of the stream before which nothing is locked.
        faulty: Probability that a region is locked without foreground.
    """

    key = "samples"
    is_past = True
    as_bytes = True
    count: int = 20
    stride: int = 16
    warm_up: int = 20
    faulty: float = 0.25

    def __post_init__(self) -> None:
        check_range("SampleBanks.", least=2, most=1000, count=self.count)
        check_range("SampleBanks.", least=1, stride=self.stride)
        check_range("SampleBanks.", least=0, warm_up=self.warm_up)
        check_range("SampleBanks.", least=0, most=1, faulty=self.faulty)

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:  # noqa: D102
        return (2, self.count, size[1], size[0], 3)

    def load(self, pixels: SceneFrames, number: int, seed: int, out: NDArray[np.uint8]) -> None:  # noqa: D102
        rng = np.random.default_rng((seed, 6))
        numbers = tuple(pixels.scene.frames)
        target = bisect.bisect_left(numbers, number)
        # as old as it can be, or of any age, the young ones more often: they change faster
        age = target if rng.random() < 0.5 else round(np.exp(rng.uniform(0, np.log(max(target, 1)))))
        times = held(max(age, 1), self.count, self.stride)
        chosen = [numbers[max(0, target - age) + time] for time in times]
        blind, locked = out[1], out[0]
        for place, frame in zip(blind, chosen, strict=True):
            pixels.image(frame, place)
        locked[...] = blind
        locks = age > self.warm_up and rng.random() < 0.85  # a camera that shakes has none
        fault = self._fault(rng, out.shape[2:4]) if locks and rng.random() < self.faulty else None
        since = int(rng.integers(1, self.count))  # the sample from which that region is locked
        order = rng.permutation(self.count)
        for position, frame in enumerate(chosen):
            keep = None
            if locks and times[position] >= min(self.warm_up, age // 2) and frame in pixels.scene.masks:
                keep = cv2.dilate((pixels.mask(frame) == MOVING).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            if fault is not None and position >= since:
                keep = fault if keep is None else keep | fault
            if keep is not None and position:
                older = locked[order[position] % position]  # what the slot had before, itself without foreground
                locked[position][keep] = older[keep]

    @staticmethod
    def _fault(rng: np.random.Generator, size: tuple[int, ...]) -> NDArray[np.bool_]:
        cells = int(rng.integers(3, 12))
        smooth = cv2.resize(rng.standard_normal((cells, cells), np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
        return np.asarray(smooth > rng.uniform(0.2, 1.2), np.bool_)


@dataclass
class Relit(SampleTransform):
    """Brings now back to the light of the past, as the stream does before it compares."""

    p: float = 0.5

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        ordered = in_order(torch.from_numpy(sample.past[0])[None])
        background = np.ascontiguousarray(ordered[len(ordered) // 2][0].numpy().transpose(2, 0, 1))
        relighting = Relighting()

        def relit(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return relighting(np.ascontiguousarray(frame.transpose(2, 0, 1)), background, 0).transpose(1, 2, 0)

        sample.map_now(relit)
