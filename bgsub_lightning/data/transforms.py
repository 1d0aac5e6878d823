"""Variations of training samples, so that a system meets more than its scenes show.

A transform knows two kinds of frames: those of *now*, the target and its neighbours in time, and those of the *past*,
which show what the scene was like before: references, backgrounds, samples of a background model. What both share
(colours, noise, the grain of the camera) changes alike; what sets them apart (objects, light, movements) does not.

Frames stay uint8, range [0, 255]: what is computed is clipped and truncated to it. The grey levels of masks stay; only
what moves or adds pixels changes a mask with them. Optical flow is no frame and stays as it is: it is computed once,
from the frames as they were recorded, since a change of appearance is no motion.

What is random depends on the seed of the sample and the place of the transform in the list and on nothing else: neither
on processes, workers and devices, nor on where a run was stopped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from bgsub_lightning.core.console import console
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_ascending, check_choice, check_range
from bgsub_lightning.datasets.labels import MOVING, STATIC, UNKNOWN
from bgsub_lightning.frames import SceneFrames
from bgsub_lightning.splits import FrameSet

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Frames = Literal["now", "all"]
"""Which frames of a sample change: those of now alone, which sets them apart from the past, or all alike."""
Load = Callable[[int, int, int], "Sample"]
"""Loads the sample of a scene's position, the number of a frame, and a seed, before it is varied; its frames are
aligned."""


@dataclass
class Sample:
    """A training sample, changed in place.

    Attributes:
        now: Frames of now, the target first: each ``(K, H, W, 3)``, uint8.
        past: Frames of the past, each ``(N, H, W, 3)``, uint8.
        mask: Grey levels of the target's mask, ``(H, W)``, uint8.
        long_past: Those of the past that are of long before; see :attr:`Input.is_long_past`.
        planes: What is no picture and not of long before, as maps of foreground and optical flow: each ``(H, W, C)``.
        load: What loads another sample; ``None``: there is no other.
    """

    now: list[Bytes]
    past: list[Bytes]
    mask: Bytes
    long_past: list[Bytes] = field(default_factory=list)
    planes: list[Bytes] = field(default_factory=list)
    load: Load | None = None

    def map_now(self, change: Callable[[Bytes], Bytes]) -> None:
        """Change each frame of now, ``(H, W, 3)``."""
        _each(self.now, change)

    def map_all(self, change: Callable[[Bytes], Bytes]) -> None:
        """Change each frame of now and of the past, ``(H, W, 3)``."""
        _each([*self.now, *self.past], change)

    def map(self, frames: Frames, change: Callable[[Bytes], Bytes]) -> None:
        """Change each frame of now, or of now and of the past, ``(H, W, 3)``."""
        (self.map_all if frames == "all" else self.map_now)(change)

    def map_long_past(self, change: Callable[[Bytes], Bytes]) -> None:
        """Change each frame of the long past, ``(H, W, 3)``."""
        _each(self.long_past, change)


def _each(groups: Sequence[Bytes], change: Callable[[Bytes], Bytes]) -> None:
    for group in groups:
        for frame in group:
            frame[...] = change(frame)


@dataclass
class SampleTransform(ABC):
    """Varies a part of the training samples.

    Args:
        p: Probability that a sample is varied.

    Attributes:
        pointwise: Whether the colour of a pixel depends on its colour before and on nothing else, channel by channel.
        changes_mask: Whether it changes the mask of the target, so that frames of a group, each of which has a mask,
            cannot be varied by it.
        joins_scenes: Whether it puts frames of one scene on those of another, so that all must have one size.

    Raises:
        UserError: If it is no probability.
    """

    pointwise: ClassVar[bool] = False
    changes_mask: ClassVar[bool] = False
    joins_scenes: ClassVar[bool] = False
    p: float = 0.5

    def __post_init__(self) -> None:
        self._check("p", most=1)

    def _check(self, *names: str, least: float = 0, most: float | None = None) -> None:
        """Check that values lie in a range: probabilities up to 1, standard deviations at least 0."""
        given = {name: getattr(self, name) for name in names}
        check_range(f"{type(self).__name__}.", least=least, most=most, **given)

    def _check_frames(self, frames: str) -> None:
        check_choice(f"{type(self).__name__}.", Frames, frames=frames)

    def prepare(self, scenes: Sequence[SceneFrames], frames: FrameSet, seed: int) -> None:  # noqa: B027 (most need none)
        """Take what it needs of the training scenes, once before training.

        Args:
            scenes: Pixels of the scenes.
            frames: Their training frames.
            seed: Seed of what is random in the choice.
        """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> None:
        """Vary a sample in place, or leave it as it is."""
        if rng.random() < self.p:
            self.apply(sample, rng)

    @abstractmethod
    def apply(self, sample: Sample, rng: np.random.Generator) -> None:
        """Vary a sample in place."""


@dataclass
class Sway(SampleTransform):
    """Shakes the camera, or lets regions sway: every frame has its own displacement.

    Args:
        p: See :class:`SampleTransform`.
        jitter: Range of the standard deviation of a shaking camera in pixels.
        wave: Range of the displacement of swaying regions in pixels.
        waving: Probability that regions sway; else, or also (one in five), the camera shakes.
    """

    changes_mask = True
    p: float = 0.25
    jitter: tuple[float, float] = (0.7, 5.0)
    wave: tuple[float, float] = (1.0, 9.0)
    waving: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("waving", most=1)
        self._check("jitter", "wave")
        check_ascending("Sway.", jitter=self.jitter, wave=self.wave)

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        height, width = sample.mask.shape
        waves = rng.random() < self.waving
        jitter = rng.uniform(*self.jitter) if not waves or rng.random() < 0.2 else 0.0
        turn = rng.uniform(0, 0.008) if jitter else 0.0
        amplitude = rng.uniform(*self.wave) if waves else 0.0
        cells = int(rng.integers(3, 16))
        region = np.clip(2 * smooth_map(rng, height, width, int(rng.integers(2, 4))) + 0.3, 0, 1)
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))

        def moved(frame: Bytes, rng: np.random.Generator, mask: Bytes | None = None) -> Bytes:
            (dx, dy), angle = rng.normal(size=2) * jitter, rng.normal() * turn
            to_x, to_y = x + dx + angle * (y - height / 2), y + dy - angle * (x - width / 2)
            if amplitude:
                to_x = to_x + amplitude * region * smooth_map(rng, height, width, cells)
                to_y = to_y + amplitude * region * smooth_map(rng, height, width, cells)
            where = to_x.astype(np.float32), to_y.astype(np.float32)
            if mask is not None:
                border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": (UNKNOWN,)}
                mask[...] = cv2.remap(mask, *where, cv2.INTER_NEAREST, **border)  # type: ignore[call-overload]
            return np.asarray(cv2.remap(frame, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.uint8)

        target, *others = [frame for group in sample.now for frame in group]
        target[...] = moved(target, rng, sample.mask)
        for frame in others:
            frame[...] = moved(frame, rng)
        seed = int(rng.integers(2**63))
        for group in sample.past:  # of banks of samples, those of one time move alike
            alike = np.random.default_rng(seed)
            for frame in group:
                frame[...] = moved(frame, alike)


@dataclass
class Cutout:
    """An object that was cut out: RGB ``(h, w, 3)``, and how much of each pixel it covers, ``(h, w)``, both uint8."""

    image: Bytes
    cover: Bytes


@dataclass
class PastedObjects(SampleTransform):
    """Pastes objects of other training frames, cut out by their masks: into the target, or into the past.

    Objects of now are foreground and may cast shadows. Objects of the past that are gone are background: what is left
    of them in a background model is called a ghost. Objects of both are background, too.

    Args:
        p: Probability that objects are pasted into the target.
        ghost: Probability that one is pasted into the past.
        shadow: Probability that an object casts a shadow.
        texture: Probability that it shows any texture of the training frames instead.
        per_scene: Objects that are cut out of a scene at most.
        least: Pixels of the smallest that is cut out.
    """

    changes_mask = True
    p: float = 0.6
    ghost: float = 0.3
    shadow: float = 0.5
    texture: float = 0.25
    per_scene: int = 14
    least: int = 120
    _cutouts: list[Cutout] = field(default_factory=list, init=False, repr=False)
    _textures: list[Bytes] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("ghost", "shadow", "texture", most=1)
        self._check("per_scene", least=1)
        check_range("PastedObjects.least", above=0, **{"": self.least})  # `least` is an argument of check_range as well

    def prepare(self, scenes: Sequence[SceneFrames], frames: FrameSet, seed: int) -> None:
        """Cut objects out of the training frames, and keep some frames for their texture.

        Raises:
            UserError: If no training frame has an object that is large enough and wholly inside.
        """
        rng = np.random.default_rng((seed, 4))
        self._cutouts, self._textures = [], []
        for pixels, numbers in zip(scenes, frames.numbers, strict=True):
            found: list[Cutout] = []
            for number in rng.permutation(numbers)[:12]:
                found += _cut_out(pixels.image(int(number)), pixels.mask(int(number)), self.least)
            self._cutouts += found[: self.per_scene]
            self._textures.append(pixels.image(int(rng.choice(numbers))))
        if not self._cutouts:
            raise UserError(
                f"PastedObjects: no object of {self.least} pixels or more lies inside a training frame; got "
                f"{len(frames)} frames. Lower `least`, or leave the transform out."
            )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> None:
        """Vary a sample in place: ghosts and objects are drawn separately."""
        if rng.random() < self.ghost:
            self._haunt(sample, rng)
        super().__call__(sample, rng)

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        for _ in range(int(rng.integers(1, 4))):
            image, alpha = self._object(rng)
            top, left = _position(rng, sample.mask.shape, alpha.shape)
            everywhere = rng.random() < 0.4  # it stood there in the neighbouring frames, too
            frames = [frame for group in sample.now for frame in group][: None if everywhere else 1]
            if rng.random() < self.shadow:
                _cast(frames, alpha, (top, left), rng)
            if (box := _overlap((top, left), alpha.shape, sample.mask.shape)) is None:
                continue
            inside, part = box
            cover = alpha[part]
            if rng.random() < 0.3:
                cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.4, 1.2)), np.float32)
            for frame in frames:
                area = frame[inside]
                area[...] = (area * (1 - cover[..., None]) + image[part] * cover[..., None]).astype(np.uint8)
            mask = sample.mask[inside]
            mask[(cover > 0.15) & (cover < 0.85)] = UNKNOWN
            mask[cover >= 0.85] = MOVING

    def _haunt(self, sample: Sample, rng: np.random.Generator) -> None:
        image, alpha = self._object(rng)
        box = _overlap(_position(rng, sample.mask.shape, alpha.shape), alpha.shape, sample.mask.shape)
        if box is None:
            return
        inside, part = box
        cover, colours = alpha[part] > 0.5, image[part].astype(np.uint8)
        stayed = rng.random() < 0.5
        for group in [*sample.past, *(sample.now if stayed else [])]:
            for frame in group:
                grain = rng.normal(0, 2, colours.shape)  # a pasted picture has no noise
                frame[inside][cover] = np.clip(colours + grain, 0, 255).astype(np.uint8)[cover]
        if stayed:
            sample.mask[inside][cover] = STATIC

    def _object(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return the colours of an object, ``(h, w, 3)``, and its cover, ``(h, w)``, range [0, 1]."""
        cutout = self._cutouts[int(rng.integers(len(self._cutouts)))]
        height, width = cutout.cover.shape
        scale = np.exp(rng.uniform(np.log(0.45), np.log(2.0)))
        scale = min(scale, 170 / max(height, width))
        size = max(5, int(width * scale)), max(6, int(height * scale * rng.uniform(0.85, 1.18)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        source = cutout.image
        if rng.random() < self.texture:
            source = _piece(self._textures[int(rng.integers(len(self._textures)))], size, rng)
        image = np.asarray(cv2.resize(source, size, interpolation=how), np.float32)
        cover = np.asarray(cv2.resize(cutout.cover, size, interpolation=how), np.float32) / 255
        if rng.random() < 0.7:
            mean = image.mean()
            tint = rng.normal(size=3) * 14
            image = (image - mean) * rng.uniform(0.5, 1.4) + mean * rng.uniform(0.55, 1.4) + tint
        turned = slice(None, None, -1 if rng.random() < 0.5 else 1)
        return np.clip(image, 0, 255).astype(np.float32)[:, turned], np.ascontiguousarray(cover[:, turned])


@dataclass
class IgnoreIndistinct(SampleTransform):
    """Takes objects out of the mask that all of the past shows as the target does: no cue separates them.

    So it is with what stands still since before the past began, such as a car that the masks know to have been parked.

    Args:
        p: See :class:`SampleTransform`.
        near: L1 distance of colours below which a pixel is the same.
        share: Share of an object's pixels that must be the same in all of the past.
    """

    changes_mask = True
    p: float = 1.0
    near: int = 36
    share: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("near")
        self._check("share", most=1)

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        target = sample.now[0][0]
        same = np.ones(sample.mask.shape, np.bool_)
        for group in sample.past:
            for frame in group[:: max(1, len(group) // 4)]:
                same &= cv2.absdiff(frame, target).sum(2, dtype=np.uint16) < self.near
        count, regions = cv2.connectedComponents((sample.mask == MOVING).astype(np.uint8), connectivity=8)
        if count > 1 and sample.past:
            flat = np.asarray(regions).ravel()
            shares = np.bincount(flat, same.ravel(), count) / np.bincount(flat, minlength=count)
            shares[0] = 0
            sample.mask[(shares > self.share)[regions]] = UNKNOWN


@dataclass
class LightChange(SampleTransform):
    """Changes the light, or the exposure: gain, gamma, offset, and each channel by itself; alike over the image.

    A grey level x of a channel becomes ``gain · tint · 255 (x / 255)^gamma + offset``. It depends on x alone, so that
    accelerators compute it after the transfer, to the same bits.

    Args:
        p: See :class:`SampleTransform`.
        gain: Standard deviation of the logarithm of the gain that all channels share.
        offset: Standard deviation of the offset in grey levels.
        tint: Standard deviation of the logarithm of the gain of a channel.
        gamma: Standard deviation of the logarithm of gamma; 0: none.
        frames: Which frames change, ``"now"`` or ``"all"``.

    Raises:
        UserError: If a value is out of range.
    """

    pointwise = True
    p: float = 0.35
    gain: float = 0.15
    offset: float = 8.0
    tint: float = 0.03
    gamma: float = 0.0
    frames: Frames = "now"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("gain", "offset", "tint", "gamma")
        self._check_frames(self.frames)

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        gain, offset = np.exp(rng.normal() * self.gain), rng.normal() * self.offset
        tint = np.exp(rng.normal(size=3) * self.tint)
        levels = np.arange(256)[:, None]
        if self.gamma:
            levels = 255 * (levels / 255) ** np.exp(rng.normal() * self.gamma)
        table = np.clip(levels * gain * tint + offset, 0, 255).astype(np.uint8)
        sample.map(self.frames, lambda frame: _looked_up(frame, table))


@dataclass
class LightDifference(SampleTransform):
    """Adds one offset to all frames, then another to those of the long past: the light has changed since.

    M. O. Tezcan, P. Ishwar, J. Konrad, "BSUV-Net 2.0", IEEE Access 2021, "illumination difference". There values leave
    the range [0, 1]; here they are clipped to it, as by a camera.

    Args:
        p: See :class:`SampleTransform`.
        offset: Standard deviation of what all channels share, in grey levels.
        tint: Standard deviation of what each channel has by itself.

    Raises:
        UserError: If a value is out of range.
    """

    p: float = 1.0
    offset: float = 25.5
    tint: float = 10.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("offset", "tint")

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        sample.map_all(self.change(rng))
        sample.map_long_past(self.change(rng))

    def change(self, rng: np.random.Generator) -> Callable[[Bytes], Bytes]:
        """Draw a change of the light."""
        offset = rng.normal() * self.offset + rng.normal(size=3) * self.tint
        table = np.clip(np.rint(np.arange(256)[:, None] + offset), 0, 255).astype(np.uint8)
        return lambda frame: _looked_up(frame, table)


@dataclass
class IntermittentObjects(SampleTransform):
    """Puts the moving objects of another sample into now and the recent past, and not into the long past.

    A system learns from it that an object which came and stands still is foreground. M. O. Tezcan, P. Ishwar,
    J. Konrad, "BSUV-Net 2.0", IEEE Access 2021, "intermittent object addition".

    Args:
        p: See :class:`SampleTransform`.
        of: Categories, or patterns of ``category/video``, of the training scenes that give them.
        behind: Probability that they lie behind what moves in the sample itself.
        light: Change of the light of the other sample; ``None``: none.

    Raises:
        UserError: If a value is out of range.
    """

    changes_mask = True
    joins_scenes = True
    p: float = 0.1
    of: tuple[str, ...] = ("intermittentObjectMotion",)
    behind: float = 0.5
    light: LightDifference | None = field(default_factory=LightDifference)
    _scenes: list[tuple[int, tuple[int, ...]]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("behind", most=1)

    def prepare(self, scenes: Sequence[SceneFrames], frames: FrameSet, seed: int) -> None:
        """Note the scenes that give objects, or print that there are none."""
        numbered = enumerate(zip(scenes, frames.numbers, strict=True))
        self._scenes = [(place, numbers) for place, (one, numbers) in numbered if one.scene.matches(self.of)]
        if not self._scenes and self.p:
            console.print(
                f"IntermittentObjects: no training scene of {', '.join(self.of)}, so that no objects are put in.",
                soft_wrap=True,
            )

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        if not self._scenes or sample.load is None:
            return
        place, numbers = self._scenes[int(rng.integers(len(self._scenes)))]
        other = sample.load(place, int(rng.choice(numbers)), int(rng.integers(2**63)))
        if self.light:
            self.light(other, rng)
        cover = other.mask == MOVING
        if rng.random() < self.behind:
            cover &= sample.mask != MOVING
        long_past = {id(group) for group in sample.long_past}
        for groups, others in ((sample.now, other.now), (sample.past, other.past)):
            for group, given in zip(groups, others, strict=True):
                if id(group) not in long_past:
                    group[:, cover] = given[:, cover]
        for plane, given in zip(sample.planes, other.planes, strict=True):
            plane[cover] = given[cover]
        sample.mask[cover] = MOVING


@dataclass
class CloudShade(SampleTransform):
    """Darkens, or lightens, regions of now with soft borders."""

    p: float = 0.2

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        height, width = sample.mask.shape
        shade = np.clip(smooth_map(rng, height, width, int(rng.integers(2, 6))) * rng.uniform(0.3, 1.2), 0, 1)
        gain = 1 - shade * rng.uniform(0.1, 0.5)
        gain = (2 - gain if rng.random() < 0.3 else gain).astype(np.float32)[..., None]
        frames = [frame for group in sample.now for frame in group]
        for frame in frames[: None if rng.random() < 0.7 else 1]:
            frame[...] = np.clip(frame * gain, 0, 255).astype(np.uint8)


@dataclass
class Colours(SampleTransform):
    """Changes the colours of all frames alike: order of channels, inversion, gamma, gain and offset.

    Args:
        p: See :class:`SampleTransform`.
        grey: Probability that colour is taken away, as of a thermal camera or at night.
        order: Probability that the channels of a sample that is varied change their places.
        inversion: Probability that it is turned into its negative.
        gamma: Standard deviation of the logarithm of gamma.
        gain: Standard deviation of the logarithm of the gain of a channel; each but the first keeps its own in half of
            the samples.
        offset: Standard deviation of the offset of a channel in grey levels.

    Raises:
        UserError: If a value is out of range.
    """

    p: float = 0.6
    grey: float = 0.12
    order: float = 0.3
    inversion: float = 0.12
    gamma: float = 0.25
    gain: float = 0.15
    offset: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("grey", "order", "inversion", most=1)
        self._check("gamma", "gain", "offset")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> None:
        """Vary a sample in place: colours, then whether there is colour."""
        super().__call__(sample, rng)
        if rng.random() < self.grey:
            sample.map_all(lambda frame: np.asarray(cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), 8), np.uint8))

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        order = rng.permutation(3) if rng.random() < self.order else np.arange(3)
        curve = (np.arange(256) / 255) ** np.exp(rng.normal() * self.gamma)
        if rng.random() < self.inversion:
            curve = 1 - curve
        gain = np.exp(rng.normal(size=3) * self.gain * ([1, *(rng.random(2) < 0.5)]))
        table = np.clip(255 * curve[:, None] * gain + rng.normal(size=3) * self.offset, 0, 255).astype(np.uint8)
        sample.map_all(lambda frame: _looked_up(frame[..., order], table))


@dataclass
class Blur(SampleTransform):
    """Blurs: by a movement of the camera, or out of focus.

    Args:
        p: See :class:`SampleTransform`.
        frames: Which frames are blurred: ``"now"``, the target and sometimes its neighbours; or ``"all"``, alike, as by
            another lens.

    Raises:
        UserError: If a value is out of range.
    """

    p: float = 0.15
    frames: Frames = "now"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_frames(self.frames)

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        if rng.random() < 0.5:
            side = int(rng.integers(3, 10))
            kernel = np.zeros((side, side), np.float32)
            start, end = rng.integers(0, side, (2, 2)).tolist()
            cv2.line(kernel, start, end, (1.0,))
            kernel[side // 2, side // 2] = 1
            kernel /= kernel.sum()
            self._blur(sample, rng.random() < 0.3, lambda frame: np.asarray(cv2.filter2D(frame, -1, kernel), np.uint8))
        else:
            sigma = rng.uniform(0.4, 1.2)
            neighbours = rng.random() < 0.6
            self._blur(sample, neighbours, lambda frame: np.asarray(cv2.GaussianBlur(frame, (0, 0), sigma), np.uint8))

    def _blur(self, sample: Sample, neighbours: bool, blurred: Callable[[Bytes], Bytes]) -> None:
        if neighbours or self.frames == "all":
            sample.map(self.frames, blurred)
        else:
            sample.now[0][0] = blurred(sample.now[0][0])


@dataclass
class Misalignment(SampleTransform):
    """Moves the target by what is left of a shaking camera when it has been stabilised."""

    changes_mask = True
    p: float = 0.12

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        (a, b), (dx, dy) = rng.normal(size=2) * 0.004, rng.normal(size=2) * 0.8
        matrix = np.array([[1, a, dx], [b, 1, dy]], np.float32)
        size = sample.mask.shape[::-1]
        for image, how in ((sample.now[0][0], cv2.INTER_LINEAR), (sample.mask, cv2.INTER_NEAREST)):
            image[...] = cv2.warpAffine(image, matrix, size, flags=how, borderMode=cv2.BORDER_REFLECT)


@dataclass
class SensorNoise(SampleTransform):
    """Adds noise of a sensor to frames, each its own; grey or in colour.

    Args:
        p: See :class:`SampleTransform`.
        sigma: Smallest and largest standard deviation in grey levels, drawn on a logarithmic scale.
        grey: Probability that it is grey.
        frames: Which frames have it, ``"now"`` or ``"all"``.
    """

    p: float = 0.25
    sigma: tuple[float, float] = (1.5, 12.0)
    grey: float = 0.4
    frames: Frames = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("grey", most=1)
        self._check("sigma", least=1e-6)
        check_ascending("SensorNoise.", sigma=self.sigma)
        self._check_frames(self.frames)

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        sigma = np.exp(rng.uniform(*np.log(self.sigma)))
        in_grey = rng.random() < self.grey
        height, width = sample.mask.shape
        # drawn once, twice as large as a frame: each frame gets a piece of it, which costs a tenth of drawing again
        drawn = rng.standard_normal((2 * height, 2 * width, 1 if in_grey else 3), np.float32) * np.float32(sigma)
        more, less = (np.rint(np.clip(sign * drawn, 0, 255)).astype(np.uint8) for sign in (1, -1))
        if in_grey:
            more, less = np.repeat(more, 3, 2), np.repeat(less, 3, 2)

        def noisy(frame: Bytes, rng: np.random.Generator) -> Bytes:
            top, left = rng.integers(0, (height, width))
            piece = np.s_[top : top + height, left : left + width]
            return np.asarray(cv2.subtract(cv2.add(frame, more[piece]), less[piece]), np.uint8)

        sample.map_now(lambda frame: noisy(frame, rng))
        if self.frames == "now":
            return
        seed = int(rng.integers(2**63))
        for group in sample.past:  # of banks of samples, those of one time are alike
            differs = len(sample.past) > len(sample.long_past) and any(group is each for each in sample.long_past)
            alike = np.random.default_rng(seed + differs)
            for frame in group:
                frame[...] = noisy(frame, alike)


@dataclass
class Jpeg(SampleTransform):
    """Compresses frames as a camera or a recorder does, by JPEG with its colours at half the size.

    Args:
        p: See :class:`SampleTransform`.
        quality: Smallest and largest quality, 1 to 100, the same for all frames of a sample.
        frames: Which frames are compressed, ``"now"`` or ``"all"``.

    Raises:
        UserError: If a value is out of range.
    """

    p: float = 0.2
    quality: tuple[int, int] = (20, 90)
    frames: Frames = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("quality", least=1, most=100)
        check_ascending("Jpeg.", quality=self.quality)
        self._check_frames(self.frames)

    def apply(self, sample: Sample, rng: np.random.Generator) -> None:  # noqa: D102
        low, high = self.quality
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(low, high + 1))]

        def compressed(frame: Bytes) -> Bytes:
            _, data = cv2.imencode(".jpg", frame[..., ::-1], quality)
            return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)

        sample.map(self.frames, compressed)


def tables(transforms: Sequence[tuple[int, SampleTransform]], seed: int) -> Bytes:
    """Return what pointwise transforms do to each grey level: of now and of the past, ``(2, 256, 3)``.

    Args:
        transforms: Each with its place in the list of all.
        seed: Seed of the sample.
    """
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    now, past = levels[None, :, None].copy(), levels[None, :, None].copy()  # frames of 256×1 pixels, one of each level
    sample = Sample([now], [past], np.zeros((256, 1), np.uint8))
    for position, transform in transforms:
        transform(sample, rng_of(seed, position))
    return np.stack([now[0, :, 0], past[0, :, 0]])


def rng_of(seed: int, position: int) -> np.random.Generator:
    """Return the random numbers of a transform for a sample: by the sample's seed and the transform's place."""
    return np.random.default_rng((seed, 3, position))


def smooth_map(rng: np.random.Generator, height: int, width: int, cells: int) -> Floats:
    """Return normal random numbers on a coarse grid, interpolated: shape ``(height, width)``."""
    coarse = rng.standard_normal((cells, cells), np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _looked_up(frame: Bytes, table: Bytes) -> Bytes:
    """Map the grey levels of each channel by a table, ``(256, 3)``."""
    return np.asarray(cv2.LUT(np.ascontiguousarray(frame), table[None]), np.uint8)


def _cut_out(image: Bytes, mask: Bytes, least: int) -> list[Cutout]:
    """Cut out the objects of a frame that lie wholly inside."""
    count, regions, found, _ = cv2.connectedComponentsWithStats((mask == MOVING).astype(np.uint8), connectivity=8)
    height, width = mask.shape
    cut = []
    for number in range(1, count):
        x, y, w, h, area = found[number]
        if area < least or x < 2 or y < 2 or x + w > width - 2 or y + h > height - 2:
            continue
        box = np.s_[y - 2 : y + h + 2, x - 2 : x + w + 2]
        cut.append(Cutout(image[box].copy(), (np.asarray(regions)[box] == number).astype(np.uint8) * 255))
    return cut


def _piece(image: Bytes, size: tuple[int, int], rng: np.random.Generator) -> Bytes:
    """Return a random piece of an image, of about this size."""
    factor = rng.uniform(0.5, 2)
    height, width = min(image.shape[0], int(size[1] * factor) + 2), min(image.shape[1], int(size[0] * factor) + 2)
    top, left = int(rng.integers(0, image.shape[0] - height + 1)), int(rng.integers(0, image.shape[1] - width + 1))
    return image[top : top + height, left : left + width]


def _position(rng: np.random.Generator, frame: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, int]:
    """Draw the top and the left of an object, a third of which may be outside of the frame."""
    top, left = (
        int(rng.integers(-side // 3, max(1, whole - side * 2 // 3)))
        for whole, side in zip(frame, shape[:2], strict=True)
    )
    return top, left


def _overlap(
    corner: tuple[int, int], shape: tuple[int, ...], frame: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Return where an object lies in the frame, and which part of it that is; ``None``: it hardly does."""
    inside, part = [], []
    for start, side, whole in zip(corner, shape, frame, strict=False):
        first, last = max(start, 0), min(start + side, whole)
        if last <= first + 2:
            return None
        inside.append(slice(first, last))
        part.append(slice(first - start, last - start))
    return (inside[0], inside[1]), (part[0], part[1])


def _cast(frames: Sequence[Bytes], alpha: Floats, corner: tuple[int, int], rng: np.random.Generator) -> None:
    """Let an object cast a shadow on the ground before or behind it."""
    height, width = alpha.shape
    tall = max(3, int(height * rng.uniform(0.15, 0.9)))
    slant = rng.uniform(-1.3, 1.3) if rng.random() < 0.7 else rng.uniform(-5, 5)  # a low sun from the side
    reach = abs(slant) * tall
    upside_down = rng.random() < 0.3  # towards the camera
    rise = -1 if upside_down else 1
    shift = reach if (slant > 0) != upside_down else 0.0
    matrix = np.array(
        [[1, -rise * slant * tall / height, shift], [0, rise * tall / height, tall if upside_down else 0]], np.float32
    )
    shadow = cv2.warpAffine(alpha, matrix, (int(width + reach) + 2, tall))
    shadow = np.asarray(cv2.GaussianBlur(shadow, (0, 0), rng.uniform(0.5, 2.5)), np.float32)
    foot = corner[0] + height
    top = foot - 2 if upside_down else foot - tall
    left = corner[1] - int(0 if upside_down and slant > 0 else reach if slant > 0 else 0)
    if (box := _overlap((top, left), shadow.shape, frames[0].shape)) is None:
        return
    inside, part = box
    tint = 1 + np.array([-0.03, 0, 0.06]) * rng.random()
    dark = (1 - rng.uniform(0.25, 0.65) * shadow[part][..., None] * tint).astype(np.float32)
    for frame in frames:
        area = frame[inside]
        area[...] = np.clip(area * dark, 0, 255).astype(np.uint8)
