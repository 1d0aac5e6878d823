"""From draws to batches of uint8 arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from bgsub_lightning.data.batches import Draw
from bgsub_lightning.data.crops import Crop, Views
from bgsub_lightning.data.frame_group import FrameGroup
from bgsub_lightning.data.inputs import Input, Pixels
from bgsub_lightning.data.pasting import VocObjects
from bgsub_lightning.data.transforms import Sample, SampleTransform, rng_of, tables
from bgsub_lightning.datasets.labels import UNKNOWN
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits import FrameSet

if TYPE_CHECKING:
    from bgsub_lightning.data.augment import ClipAugmentation


class TrainingDataset(Dataset[dict[str, Any]]):
    """Samples of training; a batch is built in one piece.

    Args:
        scenes: Pixels of the scenes that the draws number.
        inputs: What to build.
        augment: Applied to all frames of a sample; ``None``: nothing.
        flip: Probability that a sample is mirrored, which is done on the device.
        pasted: Key of a scene → what is pasted into its target frames, before they are augmented.
        crop: Window of the frames that a sample shows; ``None``: all of them.
        transforms: Applied to each sample in their order, after the pipeline.
        on_device: How many of them, the last ones, are left to the device: these must be pointwise. Their tables come
            with the batch.
    """

    def __init__(
        self,
        scenes: Sequence[SceneFrames],
        inputs: Sequence[Input],
        augment: ClipAugmentation | None,
        flip: float,
        pasted: Mapping[str, VocObjects] | None = None,
        crop: Crop | None = None,
        transforms: Sequence[SampleTransform] = (),
        on_device: int = 0,
    ) -> None:
        self.crop = crop
        numbered = list(enumerate(transforms))
        self.transforms, self.on_device = numbered[: len(numbered) - on_device], numbered[len(numbered) - on_device :]
        self.scenes = scenes
        self.inputs = inputs
        self.labelled = all(entry.labelled for entry in inputs)
        self.augment = augment
        self.flip = flip
        self.pasted = pasted or {}
        self.empty: Callable[..., Tensor] = _empty

    def __getitem__(self, draws: Sequence[Draw]) -> dict[str, Any]:
        size = (self.crop.size, self.crop.size) if self.crop else self.scenes[draws[0].scene].size
        batch = {entry.key: self.empty(len(draws), *entry.shape(size)) for entry in self.inputs}
        if self.labelled:
            batch["mask"] = self.empty(len(draws), size[1], size[0])
        arrays = {key: tensor.numpy() for key, tensor in batch.items()}
        for row, draw in enumerate(draws):
            parts = {key: array[row] for key, array in arrays.items()}
            views = self._views(draw)
            self._load(draw, views, parts)
            if self.labelled and self.augment:
                self._augment(parts, draw.seed)
            if self.labelled and self.transforms:
                sample = self._sample(parts)
                sample.load = self._aligned
                for position, transform in self.transforms:
                    transform(sample, rng_of(draw.seed, position))
        if self.labelled:
            chances = [np.random.default_rng((draw.seed, 1)).random() for draw in draws]
            if self.on_device:
                batch["tables"] = torch.from_numpy(np.stack([tables(self.on_device, draw.seed) for draw in draws]))
            batch["flip"] = torch.tensor([chance < self.flip for chance in chances])
        batch["scene"] = torch.tensor([draw.scene for draw in draws])
        batch["number"] = torch.tensor([draw.number for draw in draws])
        return batch

    def _views(self, draw: Draw) -> Views:
        """Return what a sample shows of its scene's frames."""
        pixels = self.scenes[draw.scene]
        if self.crop is None:
            return Views.same(pixels)
        group = next((entry.at(draw.progress) for entry in self.inputs if isinstance(entry, FrameGroup)), None)
        numbers = group.frames(pixels.scene, draw.number, draw.seed) if group else ()
        return self.crop.of(pixels, draw.number, draw.seed, numbers)

    def _load(self, draw: Draw, views: Views, parts: Mapping[str, NDArray[np.uint8]]) -> None:
        """Load a sample into its parts of a batch, by key."""
        for entry in self.inputs:
            entry.at(draw.progress).load(views.of(entry), draw.number, draw.seed, parts[entry.key])
        if self.labelled:
            mask = views.now.mask(draw.number, parts["mask"])
            key = views.now.scene.key
            if key in self.pasted and "image" in parts:
                self.pasted[key].paste(parts["image"], mask, draw.seed)

    def _augment(self, parts: Mapping[str, NDArray[np.uint8]], seed: int) -> None:
        assert self.augment
        mask = parts["mask"]
        images = [parts[entry.key].reshape(-1, *mask.shape, 3) for entry in self.inputs if entry.colour]
        planes = [
            parts[entry.key].reshape(-1, *mask.shape)
            if entry.is_mask
            else np.atleast_3d(parts[entry.key]).transpose(2, 0, 1)
            for entry in self.inputs
            if not entry.colour
        ]
        self.augment(list(chain(*images)), mask, seed, list(chain(*planes)))

    def _sample(self, parts: Mapping[str, NDArray[np.uint8]]) -> Sample:
        """Show transforms a sample: its frames, as views of its parts of a batch."""
        frames = [(entry, parts[entry.key]) for entry in self.inputs if entry.colour]
        shown = [(entry, part.reshape(-1, *part.shape[-3:])) for entry, part in frames]
        now = [part for entry, part in shown if not entry.is_past]
        past = [part for entry, part in shown if entry.is_past]
        long_past = [part for entry, part in shown if entry.is_long_past]
        planes = [e for e in self.inputs if not e.colour and not e.is_mask and not e.is_long_past]
        return Sample(now, past, parts["mask"], long_past, [parts[entry.key] for entry in planes])

    def _aligned(self, scene: int, number: int, seed: int) -> Sample:
        """Load another sample, all of it through the window of its target."""
        draw, pixels = Draw(scene, number, seed), self.scenes[scene]
        now = self.crop.aligned(pixels, number, seed) if self.crop else pixels
        parts = {entry.key: np.empty(entry.shape(now.size), np.uint8) for entry in self.inputs}
        parts["mask"] = np.empty(now.size[::-1], np.uint8)
        self._load(draw, Views.same(now), parts)
        return self._sample(parts)


class EvaluationDataset(Dataset[dict[str, Any]]):
    """Batches of one scene's frames, with masks at the frames' own size.

    Args:
        scenes: Pixels of the scenes that the draws number.
        inputs: What to build.
        scored: The frames that are evaluated; others are shown to systems that carry state.
        seed: Seed of what is fixed per scene.
        with_truth: Whether to load the masks.
        also_scored: Those of the scored frames that are of the training part; ``None``: no such key in the batches.
    """

    def __init__(
        self,
        scenes: Sequence[SceneFrames],
        inputs: Sequence[Input],
        scored: FrameSet,
        seed: int,
        with_truth: bool = True,
        also_scored: FrameSet | None = None,
    ) -> None:
        self.scenes = scenes
        self.inputs = inputs
        self.scored = _by_key(scored)
        self.also_scored = None if also_scored is None else _by_key(also_scored)
        self.seed = seed
        self.with_truth = with_truth

    def __getitem__(self, draws: Sequence[Draw]) -> dict[str, Any]:
        frames = self.scenes[draws[0].scene]
        scored = self.scored.get(frames.scene.key, frozenset())
        batch: dict[str, Any] = dict(frame_inputs(self.inputs, frames, [draw.number for draw in draws]))
        if draws[0].first_in_scene:
            once = {entry.key: entry.scene(frames, self.seed) for entry in self.inputs if not entry.per_frame}
            batch |= {key: torch.from_numpy(array) for key, array in once.items() if array is not None}
        if self.with_truth:
            batch["ground_truth"] = torch.from_numpy(np.stack([_truth(frames, draw.number) for draw in draws]))
        batch["roi"] = torch.from_numpy(frames.roi)
        batch["is_scored"] = torch.tensor([draw.number in scored for draw in draws])
        if self.also_scored is not None:
            also_scored = self.also_scored.get(frames.scene.key, frozenset())
            batch["also_scored"] = torch.tensor([draw.number in also_scored for draw in draws])
        batch["scene"] = draws[0].scene
        batch["number"] = torch.tensor([draw.number for draw in draws])
        batch["first_in_scene"], batch["last_in_scene"] = draws[0].first_in_scene, draws[0].last_in_scene
        return batch


def frame_inputs(inputs: Sequence[Input], frames: Pixels, numbers: Sequence[int]) -> dict[str, Tensor]:
    """Load what modules ask for of each frame in an evaluation.

    Args:
        inputs: What they ask for; those that are loaded once per scene are passed over.
        frames: The pixels of a scene or of a stream.
        numbers: The frames.
    """
    batch: dict[str, Tensor] = {}
    for entry in inputs:
        if entry.per_frame:
            batch[entry.key] = _empty(len(numbers), *entry.shape(frames.size))
            for number, place in zip(numbers, batch[entry.key].numpy(), strict=True):
                entry.load(cast("SceneFrames", frames), number, 0, place)  # per frame they load from any pixels
    return batch


def ready(batch: Mapping[str, Any], inputs: Sequence[Input], dtype: torch.dtype) -> dict[str, Any]:
    """Make of uint8 with channels last what :mod:`bgsub_lightning.data.sample` says, on the device.

    Before that, pointwise transforms that were left to the device change the frames, and samples are mirrored.

    Args:
        batch: A loader's batch, on the device.
        inputs: What it may hold.
        dtype: Type of the images.
    """
    flip = batch.get("flip")
    mirrored = flip.nonzero()[:, 0] if flip is not None and bool(flip.any()) else None

    def mirror(pixels: Tensor, width: int) -> Tensor:
        return pixels if mirrored is None else pixels.index_copy(0, mirrored, pixels[mirrored].flip(width))

    def looked_up(entry: Input) -> Tensor:
        pixels: Tensor = batch[entry.key]
        if "tables" not in batch or not entry.colour:
            return pixels
        table = batch["tables"][:, int(entry.is_past)]
        return torch.stack([_looked_up(*pair) for pair in zip(pixels, table, strict=True)])

    done = {key: value for key, value in batch.items() if key != "tables"}
    for entry in {entry.key: entry for entry in inputs}.values():
        if entry.key in batch and entry.is_mask:
            done[entry.key] = mirror(batch[entry.key], -1)
        elif entry.key in batch:
            pixels = mirror(looked_up(entry), -2).movedim(-1, -3) if entry.is_image else batch[entry.key]
            done[entry.key] = pixels if entry.as_bytes else pixels.to(dtype).div_(255)
    if "mask" in batch:
        done["mask"] = mirror(batch["mask"], -1)
    return done


def _looked_up(pixels: Tensor, table: Tensor) -> Tensor:
    """Map the grey levels of each channel, ``(..., 3)``, uint8, by a table, ``(256, 3)``."""
    return torch.stack([table[:, channel][pixels[..., channel].int()] for channel in range(3)], -1)


def _by_key(frames: FrameSet) -> dict[str, frozenset[int]]:
    return {scene.key: frozenset(numbers) for scene, numbers in frames}


def _truth(frames: SceneFrames, number: int) -> NDArray[np.uint8]:
    """A mask at the frames' own size; unknown all over where there is none."""
    if number in frames.scene.masks:
        return frames.truth(number)
    return np.full(frames.scene.size[::-1], UNKNOWN, np.uint8)


def _empty(*shape: int) -> Tensor:
    """Memory for a batch, from numpy, which asks for huge pages: page faults would cost more than the copies."""
    return torch.from_numpy(np.empty(shape, np.uint8))
