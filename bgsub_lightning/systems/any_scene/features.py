"""Inputs of the network for a frame: planes of 8 bits, computed from samples.

The functions here are for batches of tensors, as training has them, on any device. A stream has the same planes from
:class:`bgsub_lightning.backgrounds.SampleBackground`, whose samples are kept in order from frame to frame.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from bgsub_lightning.backgrounds.samples import CHANGE

PLANES = (
    *("red", "green", "blue", "background red", "background green", "background blue"),
    *("nearest locked", "outside locked", "spread locked"),
    *("nearest blind", "changes blind", "outside blind", "spread blind"),
    "motion",
)
"""The planes in their order. The first six are colours; the others are sums over channels, saturating at 255."""

NEAR = 36


def planes(frame: Tensor, earlier: Tensor, locked: Tensor, blind: Tensor) -> Tensor:
    """Compute the network's input.

    Args:
        frame: Target frames, ``(B, 3, H, W)``, uint8.
        earlier: Frames a little before, of the same shape.
        locked: Samples of the locked bank from the oldest to the newest, ``(B, N, 3, H, W)``, uint8.
        blind: Those of the blind bank.

    Returns:
        :data:`PLANES`, shape ``(B, 14, H, W)``, uint8.
    """
    count = locked.shape[1]
    low, high = (round(level * (count - 1)) for level in (0.1, 0.9))
    ordered, ordered_blind = in_order(locked), in_order(blind)
    near, _ = _second_smallest(frame, locked)
    near_blind, changes = _second_smallest(frame, blind)
    found = [
        near,
        _outside(frame, ordered[low], ordered[high], 3),
        _total(ordered[high] - ordered[low]),
        near_blind,
        changes,
        _outside(frame, ordered_blind[low], ordered_blind[high], 7),
        _total(ordered_blind[high] - ordered_blind[low]),
        _total(_difference(frame, earlier)),
    ]
    return torch.cat([frame, ordered[count // 2], torch.stack(found, 1)], 1)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    return torch.maximum(a, b) - torch.minimum(a, b)


def _total(channels: Tensor) -> Tensor:
    red, green, blue = channels.unbind(-3)
    return (red.short() + green + blue).clamp_(max=255).byte()  # several times faster than sum()


def _second_smallest(frame: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    distances = _total(_difference(frame[:, None], samples))
    matches = distances < NEAR
    changes = (matches[:, 1:] != matches[:, :-1]).sum(1, dtype=torch.int16) * CHANGE
    first, second = distances[:, 0], torch.full_like(distances[:, 0], 255)
    for found in distances[:, 1:].unbind(1):
        second = torch.minimum(second, torch.maximum(first, found))
        first = torch.minimum(first, found)
    return second, changes.clamp(max=255).byte()


def _outside(frame: Tensor, low: Tensor, high: Tensor, size: int) -> Tensor:
    grown_low, grown_high = 255 - _largest(255 - low, size), _largest(high, size)
    above = torch.maximum(frame, grown_high) - grown_high
    below = grown_low - torch.minimum(frame, grown_low)
    return _total(torch.maximum(above, below))


def _largest(planes: Tensor, size: int) -> Tensor:
    """Take the largest of a square neighbourhood, by rows and columns: max_pool2d has no kernel for bytes."""
    for dimension, padding in ((-1, (size // 2, size // 2)), (-2, (0, 0, size // 2, size // 2))):
        length, padded = planes.shape[dimension], F.pad(planes, padding)
        planes = padded.narrow(dimension, 0, length)
        for shift in range(1, size):
            planes = torch.maximum(planes, padded.narrow(dimension, shift, length))
    return planes


def in_order(samples: Tensor) -> list[Tensor]:
    """Sort samples, ``(B, N, ...)``, by a network of comparators, each on whole batches; faster than torch's sort."""
    found = list(samples.unbind(1))
    for low, high in comparators(len(found)):
        found[low], found[high] = torch.minimum(found[low], found[high]), torch.maximum(found[low], found[high])
    return found


@lru_cache
def comparators(count: int) -> tuple[tuple[int, int], ...]:
    """Return the comparators that sort that many values: K. E. Batcher's odd-even merge sort (AFIPS 1968)."""
    found: list[tuple[int, int]] = []
    size = 1
    while size < count:
        step = size
        while step:
            for start in range(step % size, count - step, 2 * step):
                pairs = ((low, low + step) for low in range(start, min(start + step, count - step)))
                found += [pair for pair in pairs if pair[0] // (2 * size) == pair[1] // (2 * size)]
            step //= 2
        size *= 2
    return tuple(found)
