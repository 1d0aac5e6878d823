"""Samples of each pixel's past: a background model with order statistics, for one stream of frames.

Arrays are planar, ``(3, H, W)``, uint8, and worked on by OpenCV: saturating arithmetic on whole planes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bgsub_lightning.backgrounds.source import BackgroundContext, BackgroundSource
from bgsub_lightning.core.errors import UserError
from bgsub_lightning.core.ranges import check_range

Bytes = NDArray[np.uint8]


class Schedule:
    """Which frames a bank of samples holds: spread over the whole stream at first, over a window later.

    Every frame is taken until the bank is full. Then the stride doubles again and again: new samples replace every
    second old one, until the stride is the longest, from when on the oldest sample is replaced. So the samples always
    cover all that was seen, up to ``count * stride`` frames.

    Args:
        count: Samples of a bank.
        stride: Longest distance between two samples in frames, a power of 2.

    Attributes:
        times: Frame that each slot was taken at, counted from 0; -1: a copy of the first frame, replaced first.

    Example:
        >>> schedule = Schedule(4, 4)
        >>> [schedule.advance(frame) for frame in range(9)]
        [0, 1, 2, 3, 1, None, 3, None, 2]
        >>> schedule.times
        [0, 4, 8, 6]
    """

    def __init__(self, count: int = 20, stride: int = 16) -> None:
        check_range("", least=2, most=1000, count=count)
        if stride < 1 or stride & (stride - 1):
            raise UserError(f"stride: must be a power of 2; got {stride}.")
        self.longest = stride
        self.stride = 1
        self.times = [-1] * count

    def is_due(self, frame: int) -> bool:
        """Whether a frame is sampled."""
        return frame % self._next_stride() == 0

    def advance(self, frame: int) -> int | None:
        """Return the slot that takes a frame, or ``None`` if the frame is not sampled."""
        self.stride = self._next_stride()
        if frame % self.stride:
            return None
        slot = min(range(len(self.times)), key=lambda each: (self._is_kept(each), self.times[each]))
        self.times[slot] = frame
        return slot

    @property
    def in_order(self) -> list[int]:
        """The slots from the oldest sample to the newest."""
        return sorted(range(len(self.times)), key=self.times.__getitem__)

    def _is_kept(self, slot: int) -> bool:
        return self.times[slot] >= 0 and self.times[slot] % self.stride == 0

    def _next_stride(self) -> int:
        full = all(time >= 0 and time % self.stride == 0 for time in self.times)
        return min(2 * self.stride, self.longest) if full else self.stride


@lru_cache(maxsize=4096)
def held(frames: int, count: int = 20, stride: int = 16) -> tuple[int, ...]:
    """Return which frames of a stream a bank holds after the first ``frames``, from the oldest to the newest.

    A slot that has not been filled holds the first frame.

    Example:
        >>> held(2, count=4), held(9, count=4, stride=4)
        ((0, 0, 0, 1), (0, 4, 6, 8))
    """
    schedule = Schedule(count, stride)
    for frame in range(frames):
        schedule.advance(frame)
    return tuple(sorted(max(time, 0) for time in schedule.times))


class SampleBank:
    """Samples of each pixel, and their order statistics, kept up to date sample by sample.

    A sorted copy is kept next to the samples: replacing one of N costs 5 N operations on whole planes, all of them
    vectorised, where sorting again costs several times as much.

    Args:
        frame: The first frame, ``(3, H, W)``, uint8: every sample, until others come.
        count: Samples.
    """

    def __init__(self, frame: Bytes, count: int = 20) -> None:
        self.samples = np.repeat(frame[None], count, 0)
        self.ordered = self.samples.copy()

    def replace(self, slot: int, frame: Bytes, keep: NDArray[np.bool_] | None = None) -> None:
        """Replace a sample.

        Args:
            slot: Which.
            frame: The new one, ``(3, H, W)``.
            keep: Pixels whose sample stays, ``(H, W)``.
        """
        old, new = self.samples[slot].copy(), frame
        if keep is not None:
            new = np.where(keep, old, frame)
        gone, carry = _flat(old), _flat(new).copy()
        rows = [_flat(row) for row in self.ordered]
        for lower, upper in zip(rows, [*rows[1:], None], strict=True):
            if upper is not None:  # close the gap that the old sample leaves: lower is < gone before it, upper after
                cv2.max(lower, cv2.min(upper, cv2.compare(lower, gone, cv2.CMP_GE)), dst=lower)
                smaller = cv2.min(lower, carry)
                cv2.max(lower, carry, dst=carry)
                lower[...] = smaller
            else:
                lower[...] = carry
        self.samples[slot] = new

    def quantile(self, level: float) -> Bytes:
        """Return the sample at a level of the sorted ones, 0 to 1: shape ``(3, H, W)``."""
        return np.asarray(self.ordered[round(level * (len(self.ordered) - 1))], np.uint8)


def _flat(planes: Bytes) -> Bytes:
    return planes.reshape(-1, planes.shape[-1])


def total(planes: Bytes) -> Bytes:
    """Add the three channels, saturating at 255: ``(3, H, W)`` → ``(H, W)``."""
    return np.asarray(cv2.add(cv2.add(planes[0], planes[1]), planes[2]), np.uint8)


def distance(a: Bytes, b: Bytes) -> Bytes:
    """Return the L1 distance of colours, saturating at 255, ``(H, W)``."""
    return total(np.asarray(cv2.absdiff(_flat(a), _flat(b)), np.uint8).reshape(a.shape))


def grown(planes: Bytes, size: int, darker: bool) -> Bytes:
    """Take the smallest or the largest of a square neighbourhood of each pixel, channel by channel."""
    morph = cv2.erode if darker else cv2.dilate
    kernel = np.ones((size, size), np.uint8)
    return np.stack([np.asarray(morph(plane, kernel), np.uint8) for plane in planes])


class Interval:
    """The range of a bank's samples, and how far a frame lies outside of it.

    Args:
        bank: The samples.
        size: Side of the square neighbourhood over which the range is taken, in pixels.
        level: The range goes from this quantile to its counterpart.
    """

    def __init__(self, bank: SampleBank, size: int, level: float = 0.1) -> None:
        low, high = bank.quantile(level), bank.quantile(1 - level)
        self.spread = total(np.asarray(cv2.subtract(_flat(high), _flat(low)), np.uint8).reshape(high.shape))
        self.low, self.high = grown(low, size, darker=True), grown(high, size, darker=False)

    def outside(self, frame: Bytes) -> Bytes:
        """Return the distance of a frame to the range, summed over channels, saturating at 255: ``(H, W)``."""
        flat = _flat(frame)
        beyond = cv2.max(cv2.subtract(flat, _flat(self.high)), cv2.subtract(_flat(self.low), flat))
        return total(np.asarray(beyond, np.uint8).reshape(frame.shape))


CHANGE = 12
"""What each change between match and no match counts: 20 samples stay within 8 bits."""


def second_smallest(frame: Bytes, samples: Sequence[Bytes], near: int | None = None) -> tuple[Bytes, Bytes | None]:
    """Compare a frame with samples.

    Args:
        frame: Shape ``(3, H, W)``.
        samples: Each of the same shape, from the oldest to the newest.
        near: Distance below which a sample matches; ``None``: matches are not looked at.

    Returns:
        The second-smallest distance, ``(H, W)``; and :data:`CHANGE` times how often the samples change between match
        and no match in the course of time, ``(H, W)``, or ``None``.
    """
    flat = _flat(frame)
    differences = np.empty_like(flat)
    red, green, blue = differences.reshape(frame.shape)
    first: Any = None
    second: Any = None
    before: Any = None
    changes: Any = None if near is None else np.zeros(frame.shape[1:], np.uint8)
    limit: Any = near  # OpenCV takes numbers where its stubs name arrays alone
    step: Any = CHANGE
    for sample in samples:
        cv2.absdiff(_flat(sample), flat, dst=differences)
        found: Any = cv2.add(red, green)
        found = cv2.add(found, blue, dst=found)
        if changes is not None:
            matches = cv2.compare(found, limit, cv2.CMP_LT)
            if before is not None:
                changes = cv2.add(changes, cv2.min(cv2.bitwise_xor(matches, before), step), dst=changes)
            before = matches
        if first is None:
            first, second = found, np.full_like(found, 255)
        else:
            second = cv2.min(second, cv2.max(first, found), dst=second)
            first = cv2.min(first, found, dst=first)
    return np.asarray(second, np.uint8), changes


class SampleBackground:
    """A background model of one stream: a bank that foreground is kept out of, and one that takes everything.

    It looks at no future frame, its memory does not depend on the length of the stream, and the work on a sampled
    frame is a small part of the comparison that every frame needs.

    The first bank is *locked* where the caller found foreground: there its samples stay. So who stands still does not
    become background; but nor do twigs that are taken for foreground, which the *blind* bank learns.

    Args:
        frame: The first frame, ``(3, H, W)``, uint8.
        count: Samples of each bank.
        stride: Longest distance of two samples in frames; see :class:`Schedule`.
        warm_up: Frames before which nothing is locked: what is there at first is not known to be background.
        patience: Sampled frames after which a locked pixel is set free.
        small: Share of the image below which a connected region is set free sooner: it is noise, or twigs.
        large: Share beyond which it is: the camera has turned or zoomed, or the light has changed.
        hurry: Sampled frames after which these are set free.
        near: L1 distance of colours below which a sample of the blind bank matches.

    Attributes:
        frames: Frames seen.
        updates: Sampled frames.
        blind_until: Frame before which nothing is locked, whatever the mask.
        flips: How often the mask of each pixel changes between sampled frames, running mean, ``(H, W)``, range [0, 1].
    """

    def __init__(
        self,
        frame: Bytes,
        count: int = 20,
        stride: int = 16,
        warm_up: int = 160,
        patience: int = 100,
        small: float = 0.002,
        large: float = 0.33,
        hurry: int = 8,
        near: int = 36,
    ) -> None:
        self.schedule = Schedule(count, stride)
        self.locked, self.blind = SampleBank(frame, count), SampleBank(frame, count)
        self.patience, self.small, self.large, self.hurry, self.near = patience, small, large, hurry, near
        self.frames = self.updates = 0
        self.blind_until = warm_up
        self.locked_for = np.zeros(frame.shape[1:], np.uint8)
        self.flips = np.zeros(frame.shape[1:], np.float32)
        self._mask: NDArray[np.uint8] | None = None
        self._summarise()

    @property
    def is_due(self) -> bool:
        """Whether the next frame is sampled, so that its mask matters."""
        return self.schedule.is_due(self.frames)

    @property
    def median(self) -> Bytes:
        """The background: the median of the locked bank, ``(3, H, W)``."""
        return self.locked.ordered[len(self.locked.ordered) // 2]  # type: ignore[no-any-return]

    def compare(self, frame: Bytes) -> list[Bytes]:
        """Compare a frame with both banks.

        Args:
            frame: Shape ``(3, H, W)``, uint8.

        Returns:
            Planes ``(H, W)``, uint8: of the locked bank the second-smallest distance, the distance outside of the range
            of a neighbourhood of 3×3, and the width of the range; of the blind bank the second-smallest distance, the
            changes between match and no match (times :data:`CHANGE`), the distance outside of the range of 7×7, and
            the width of the range.
        """
        order = self.schedule.in_order
        locked, _ = second_smallest(frame, [self.locked.samples[slot] for slot in order])
        blind, changes = second_smallest(frame, [self.blind.samples[slot] for slot in order], self.near)
        assert changes is not None
        narrow, wide = self._narrow, self._wide
        return [locked, narrow.outside(frame), narrow.spread, blind, changes, wide.outside(frame), wide.spread]

    def update(self, frame: Bytes, mask: NDArray[np.bool_] | None = None) -> None:
        """Take the next frame of the stream.

        Args:
            frame: Shape ``(3, H, W)``, uint8.
            mask: Where foreground is, ``(H, W)``; ``None``: not known. Looked at where :attr:`is_due`.
        """
        slot = self.schedule.advance(self.frames)
        if slot is not None:
            keep = None if mask is None else self._lock(mask.astype(np.uint8))
            self.locked.replace(slot, frame, keep)
            self.blind.replace(slot, frame)
            self._summarise()
            self.updates += 1
        self.frames += 1

    def _summarise(self) -> None:
        self._narrow, self._wide = Interval(self.locked, 3), Interval(self.blind, 7)

    def _lock(self, mask: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
        """Return where the locked bank keeps what it has."""
        if self._mask is not None:
            self.flips += (cv2.absdiff(mask, self._mask) - self.flips) / 20
        self._mask = mask
        if self.frames < self.blind_until:
            return None
        around = np.ones((5, 5), np.uint8)
        keep = np.asarray(cv2.dilate(mask, around)) > 0
        self.locked_for = np.where(keep, np.minimum(self.locked_for, 254) + 1, 0).astype(np.uint8)
        _, regions, found, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        share = found[:, cv2.CC_STAT_AREA] / mask.size
        hurried = (share < self.small) | (share > self.large)
        hurried[0] = True
        soon = np.asarray(cv2.erode(hurried[regions].astype(np.uint8), around)) > 0  # others win where both grow
        return np.asarray(keep & (self.locked_for < np.where(soon, self.hurry, self.patience)), np.bool_)

    def state_dict(self) -> dict[str, Any]:
        """Return all that makes the next answers, as tensors and numbers."""
        return {
            "frames": self.frames,
            "updates": self.updates,
            "blind_until": self.blind_until,
            "stride": self.schedule.stride,
            "times": list(self.schedule.times),
            "locked": torch.tensor(self.locked.samples),
            "blind": torch.tensor(self.blind.samples),
            "locked_for": torch.tensor(self.locked_for),
            "flips": torch.tensor(self.flips),
            "mask": None if self._mask is None else torch.tensor(self._mask),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned.

        Raises:
            ValueError: If it is of frames of another size.
        """
        known: dict[str, NDArray[Any]] = {"locked": self.locked.samples, "blind": self.blind.samples}
        for name, array in {**known, "locked_for": self.locked_for, "flips": self.flips}.items():
            if tuple(state[name].shape) != array.shape:
                raise ValueError(f"{name} has shape {tuple(state[name].shape)}, not {array.shape}")
        self.frames, self.updates, self.blind_until = state["frames"], state["updates"], state["blind_until"]
        self.schedule.stride, self.schedule.times = state["stride"], list(state["times"])
        for bank, samples in ((self.locked, state["locked"]), (self.blind, state["blind"])):
            bank.samples = samples.numpy().copy()
            bank.ordered = np.sort(bank.samples, 0)
        self.locked_for, self.flips = state["locked_for"].numpy().copy(), state["flips"].numpy().copy()
        self._mask = None if state["mask"] is None else state["mask"].numpy().copy()
        self._summarise()


@dataclass
class SampledFrames(BackgroundContext):
    """Samples of a scene.

    Attributes:
        schedule: When the next is taken.
        bank: The samples; ``None`` before the first frame.
        frames: Number of frames so far.
        median: Median of the samples, range [0, 1].
    """

    schedule: Schedule
    bank: SampleBank | None = None
    frames: int = 0
    median: Tensor | None = None


class SampleMedian(BackgroundSource):
    """The median of samples that cover what was seen, up to some hundred frames; see :class:`SampleBackground`.

    Args:
        count: Number of samples.
        stride: Longest distance of two samples in frames, a power of 2.
    """

    def __init__(self, count: int = 20, stride: int = 16) -> None:
        super().__init__()
        Schedule(count, stride)  # checks them
        self.count, self.stride = count, stride

    def begin_scene(self) -> SampledFrames:  # noqa: D102
        return SampledFrames(Schedule(self.count, self.stride))

    def estimate(self, context: SampledFrames, images: Tensor) -> Tensor:  # noqa: D102
        backgrounds = []
        for image in (images * 255).round().byte().cpu().numpy():
            if context.bank is None:
                context.bank = SampleBank(image, self.count)
            slot = context.schedule.advance(context.frames)
            context.frames += 1
            if slot is not None or context.median is None:
                context.bank.replace(slot or 0, image)
                context.median = torch.from_numpy(context.bank.ordered[self.count // 2].copy()).to(images) / 255
            backgrounds.append(context.median)
        return torch.stack(backgrounds)

    def settings(self) -> str:  # noqa: D102
        return f"median of {self.count} samples of stride {self.stride}"
